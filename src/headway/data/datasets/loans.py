"""A synthetic loan book, generated here, one Parquet file a month, so that the best possible model is known.

Each loan defaults with probability p, its column `true_probability` (never a feature). With [x] = 1 if x else 0, and d the
drift, 0 until the last six months and then 1/6, 2/6, ... 1 (of fewer than twelve months, half of them drift),

    logit p = -2.80
      + 0.90 (interest_rate - 13) / 5 + 0.90 (utilisation - 0.45) + 0.30 |credit_lines - 9| / 4
      - 0.80 ln(income / 48,000)                       + 0.40 where income is null
      + (0.45 + 0.65 [home = rent]) (debt_to_income - 20) / 12
      + 0.85 min(delinquencies, 3) exp(-months_since_delinquency / 24)
      + 0.42 [term_months >= 48] log2(amount / 12,000)
      - 0.08 min(employment_years, 10)                 - 0.30 where employment_years is null
      + 0.90 [purpose = business] [employment_years < 2]
      + PURPOSES[purpose] + REGION_EFFECTS[region] + EMPLOYER_EFFECTS[employer] + sum of WORDS in the note
      + 0.20 d

so p is a function of the file's own columns but for d. The drift also moves the columns: rates rise by up to 1.5 points,
utilisation by about 0.06, incomes fall by up to 10 %, and more loans consolidate debts. A further month has faults: rates as
fractions, unknown codes in `home`, nulls in `amount`, negative incomes. It lies in the folder `broken`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from headway.config import Config
from headway.data.datasets import Dataset
from headway.errors import DataError
from headway.files.atomic import digest, replacing

VERSION = 1
"""To be increased when the generator's output changes, so that old files are not taken for new ones."""

FIRST_YEAR = 2024
BLOCK_ROWS = 250_000
DRIFT_MONTHS = 6

TERMS = (12, 24, 36, 48, 60)
HOMES = ("rent", "mortgage", "own", "other")
PURPOSES = {
    "debt consolidation": 0.15,
    "credit card": 0.0,
    "home improvement": -0.25,
    "car": -0.35,
    "business": 0.35,
    "medical": 0.30,
    "moving": 0.10,
    "holiday": 0.05,
    "wedding": -0.30,
    "education": -0.10,
    "appliance": -0.05,
    "other": 0.10,
}
PURPOSE_SHARES = np.array([30, 18, 12, 9, 6, 5, 4, 4, 3, 3, 3, 3]) / 100
_PLAIN_WORDS = (
    "please thank you for the a new my family house kitchen roof old loan quick bank card bills rate lower one payment "
    "month plan school trip engine dentist shop garden"
)
WORDS = {"urgent": 0.7, "behind": 0.9, "overdue": 0.8, "bonus": -0.6, "savings": -0.7, "permanent": -0.5}
WORDS |= dict.fromkeys(_PLAIN_WORDS.split(), 0.0)
REGIONS = tuple(f"{area} {number}" for area in ("north", "east", "south", "west", "centre") for number in range(1, 11))
_TREES = "Ash Birch Cedar Elm Fir Hazel Juniper Larch Maple Oak Pine Rowan Spruce Willow Yew"
_PLACES = "berg brook croft dale field ford gate ham hurst land ley mere mont port stead ton vale ville wick wood"
_TRADES = "Foods Transport Schools Steel Clinics Software Builders Stores Energy Insurance"
EMPLOYERS = tuple(f"{a}{b} {c}" for c in _TRADES.split() for a in _TREES.split() for b in _PLACES.split())
_FIXED = np.random.default_rng(20_240_101)  # part of the model: the same for every seed
REGION_EFFECTS = _FIXED.normal(0, 0.20, len(REGIONS))
EMPLOYER_EFFECTS = _FIXED.normal(0, 0.30, len(EMPLOYERS))
_EMPLOYER_ORDER = _FIXED.permutation(len(EMPLOYERS))
_ZIPF = np.cumsum(1 / np.arange(5, 5 + len(EMPLOYERS)))

Columns = dict[str, np.ndarray]


class Options(Config):
    """The loan book's size and seed."""

    rows_per_month: int = Field(10_000, ge=1, le=100_000_000, description="Loans in each month.")
    months: int = Field(24, ge=1, le=240, description="Months, one file each, the first being January 2024.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the loans; the probability model stays as it is.")
    broken: bool = Field(False, description="Whether the month after the last, which has faults, is among the files.")


def generate(options: Options, folder: Path) -> tuple[Path, ...]:
    """Write the months that are not there yet. Raises DataError when they cannot be written."""
    sizes = [VERSION, options.rows_per_month, options.months, options.seed]
    folder = folder / digest(sizes)
    paths = [folder / f"{_month(m)[:7]}.parquet" for m in range(options.months)]
    paths.append(folder / "broken" / f"{_month(options.months)[:7]}.parquet")
    for number, path in enumerate(paths):
        if not path.exists():
            try:
                _write(options, number, path)
            except OSError as error:
                raise DataError(
                    f"{folder} must be writable with room for the loans, but: {error.strerror or error}"
                ) from None
    return tuple(paths if options.broken else paths[:-1])


def _month(number: int) -> str:
    return f"{FIRST_YEAR + number // 12}-{number % 12 + 1:02d}-01"


def _write(options: Options, number: int, path: Path) -> None:
    """One month, block by block, so that memory does not grow with its rows; renamed when it is whole."""
    rows = options.rows_per_month
    with replacing(path) as partial, pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, BLOCK_ROWS):
            writer.write_batch(_block(options, number, start, min(BLOCK_ROWS, rows - start)))


def drift_of(number: int, months: int) -> float:
    """How far the drift has gone in a month, 0 to 1; the broken month is as the last one."""
    lasting = min(DRIFT_MONTHS, months // 2)
    return 0.0 if not lasting else min(1.0, max(0.0, (number - (months - lasting) + 1) / lasting))


def _block(options: Options, number: int, start: int, rows: int) -> pa.RecordBatch:
    """Loans ``start`` to ``start + rows`` of a month."""
    rng = np.random.default_rng([options.seed, number, start])
    drift = drift_of(number, options.months)
    columns = _draw(rng, rows, drift)
    columns["note"], words = _notes(rng, rows)
    columns["words"] = words
    p = probability(columns, drift)
    columns["defaulted"] = (rng.random(rows) < p).astype(np.int64)
    columns["true_probability"] = p
    order = start + np.arange(rows)
    columns["loan_id"] = number * options.rows_per_month + order
    columns["issued"] = _issued(number, (order + rng.random(rows)) / options.rows_per_month)
    batch = _arrow(columns)
    return _break(batch, rng) if number == options.months else batch


def _issued(number: int, share: np.ndarray) -> np.ndarray:
    """Seconds since the epoch at a share of the month."""
    first, after = (datetime.fromisoformat(f"{_month(n)}T00:00:00+00:00").timestamp() for n in (number, number + 1))
    return np.minimum(first + share * (after - first), after - 1).astype(np.int64)


def _draw(rng: np.random.Generator, rows: int, drift: float) -> Columns:
    """The borrowers and their loans: floats with NaN for null, and codes of the categories."""
    thrift = rng.standard_normal(rows)  # unobserved by the bank; it makes the columns depend on one another
    years = np.round(np.minimum(rng.gamma(1.3, 5.0, rows), 45), 1)
    income = np.exp(10.72 + 0.42 * rng.standard_normal(rows) + 0.012 * np.minimum(years, 20) + 0.10 * thrift)
    income = np.round(income * (1 - 0.10 * drift), -2)
    utilisation = np.round(1 / (1 + np.exp(0.25 - 0.30 * drift + 0.55 * thrift - 0.9 * rng.standard_normal(rows))), 3)
    debt = np.round(np.clip(20 - 2.5 * thrift + 9 * rng.standard_normal(rows), 0, 60), 1)
    delinquencies = rng.poisson(0.22 * np.exp(-0.45 * thrift))
    months_since = np.where(delinquencies > 0, np.ceil(rng.exponential(30.0, rows)), np.nan)
    term = rng.choice(TERMS, rows, p=[0.10, 0.15, 0.40, 0.15, 0.20])
    amount = np.round(np.clip(0.25 * income * np.exp(0.55 * rng.standard_normal(rows)), 1000, 75_000) / 50) * 50
    rate = (
        12.5 + 3.0 * (utilisation - 0.45) + 0.05 * (debt - 20) + 1.0 * (term >= 48) + 0.8 * np.minimum(delinquencies, 3)
    )
    rate = np.round(np.clip(rate + 1.5 * drift + 3.6 * rng.standard_normal(rows), 4, 30), 2)
    shares = PURPOSE_SHARES + drift * 0.12 * (np.arange(len(PURPOSES)) == 0)
    return {
        "amount": amount,
        "term_months": term,
        "interest_rate": rate,
        "income": np.where(rng.random(rows) < 0.06, np.nan, income),
        "employment_years": np.where(rng.random(rows) < 0.04, np.nan, years),
        "debt_to_income": debt,
        "credit_lines": 1 + rng.poisson(np.exp(2.05 + 0.25 * rng.standard_normal(rows))),
        "utilisation": utilisation,
        "delinquencies": delinquencies,
        "months_since_delinquency": months_since,
        "home": rng.choice(len(HOMES), rows, p=[0.42, 0.41, 0.14, 0.03]),
        "purpose": rng.choice(len(PURPOSES), rows, p=shares / shares.sum()),
        "region": (len(REGIONS) * rng.random(rows) ** 1.5).astype(np.int64),
        "employer": _EMPLOYER_ORDER[np.searchsorted(_ZIPF, rng.random(rows) * _ZIPF[-1])],
    }


def _notes(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of two to five words, -1 where a note has fewer (rows, 5), all -1 for no note; and the words' effect (rows,)."""
    effects = np.array([*WORDS.values(), 0.0])
    codes = rng.integers(0, len(WORDS), (rows, 5))
    codes[np.arange(5) >= rng.integers(2, 6, rows)[:, None]] = -1
    codes[rng.random(rows) < 0.15] = -1
    again = np.zeros(codes.shape, bool)  # a word counts once, also where the note repeats it
    for i in range(1, codes.shape[1]):
        again[:, i] = (codes[:, :i] == codes[:, i : i + 1]).any(1)
    return codes, np.where(again, 0.0, effects[codes]).sum(1)


def probability(columns: Columns, drift: float) -> np.ndarray:
    """The formula at the top of this module. (rows,) float64."""
    c = columns
    years, business = c["employment_years"], list(PURPOSES).index("business")
    recent = np.exp(-np.nan_to_num(c["months_since_delinquency"]) / 24)
    logit = -2.80 + 0.90 * (c["interest_rate"] - 13) / 5 + 0.90 * (c["utilisation"] - 0.45)
    logit += 0.30 * np.abs(c["credit_lines"] - 9) / 4
    logit += np.where(np.isnan(c["income"]), 0.40, -0.80 * np.log(c["income"] / 48_000))
    logit += (0.45 + 0.65 * (c["home"] == HOMES.index("rent"))) * (c["debt_to_income"] - 20) / 12
    logit += 0.85 * np.minimum(c["delinquencies"], 3) * recent
    logit += 0.42 * (c["term_months"] >= 48) * np.log2(c["amount"] / 12_000)
    logit += np.where(np.isnan(years), -0.30, -0.08 * np.minimum(years, 10))
    logit += 0.90 * (c["purpose"] == business) * (years < 2)
    logit += np.array(list(PURPOSES.values()))[c["purpose"]] + REGION_EFFECTS[c["region"]]
    logit += EMPLOYER_EFFECTS[c["employer"]] + c["words"] + 0.20 * drift
    return 1 / (1 + np.exp(-logit))


def _texts(codes: np.ndarray, words: tuple[str, ...]) -> pa.Array:
    """Codes to strings; null for -1."""
    return pc.take(pa.array(words), pa.array(codes, pa.int64(), mask=codes < 0))


_NUMBERS = {
    **dict.fromkeys(("amount", "interest_rate", "income", "employment_years", "debt_to_income"), pa.float64()),
    **dict.fromkeys(("utilisation", "months_since_delinquency", "true_probability"), pa.float64()),
    **dict.fromkeys(("term_months", "credit_lines", "delinquencies"), pa.int32()),
}
_CATEGORIES = {
    "home": HOMES,
    "purpose": tuple(PURPOSES),
    "region": REGIONS,
    "employer": EMPLOYERS,
    "defaulted": ("no", "yes"),
}
_COLUMNS = (
    "loan_id issued amount term_months interest_rate income employment_years debt_to_income credit_lines utilisation "
    "delinquencies months_since_delinquency home purpose region employer note defaulted true_probability"
)
SCHEMA = pa.schema(
    [(n, pa.timestamp("us") if n == "issued" else _NUMBERS.get(n, pa.string())) for n in _COLUMNS.split()]
)


def _arrow(columns: Columns) -> pa.RecordBatch:
    arrays = {n: pa.array(columns[n], kind, from_pandas=True) for n, kind in _NUMBERS.items()}
    arrays |= {n: _texts(columns[n], values) for n, values in _CATEGORIES.items()}
    words = [_texts(column, tuple(WORDS)) for column in columns["note"].T]
    words[0] = pc.fill_null(words[0], "")  # a join of nulls alone would leave its row out
    note = pc.binary_join_element_wise(*words, " ", null_handling="skip")
    arrays["note"] = pc.if_else(pc.equal(note, ""), pa.scalar(None, pa.string()), note)
    number = pc.utf8_lpad(pc.cast(pa.array(columns["loan_id"]), pa.string()), 9, "0")
    arrays["loan_id"] = pc.binary_join_element_wise("L", number, "")
    arrays["issued"] = pa.array(columns["issued"]).cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    return pa.RecordBatch.from_arrays([arrays[name] for name in SCHEMA.names], schema=SCHEMA)


def _break(batch: pa.RecordBatch, rng: np.random.Generator) -> pa.RecordBatch:
    """What a careless export does: another unit, other codes, holes, a sign."""

    def put(name: str, values: pa.Array) -> None:
        nonlocal batch
        batch = batch.set_column(batch.schema.get_field_index(name), name, values)

    put("interest_rate", pc.divide(batch.column("interest_rate"), 100.0))
    put("home", pc.if_else(pa.array(rng.random(batch.num_rows) < 0.10), "H9", batch.column("home")))
    put("amount", pc.if_else(pa.array(rng.random(batch.num_rows) < 0.05), None, batch.column("amount")))
    income = batch.column("income")
    put("income", pc.if_else(pa.array(rng.random(batch.num_rows) < 0.02), pc.negate(income), income))
    return batch


DATASET = Dataset(format="parquet", options=Options, generate=generate)
