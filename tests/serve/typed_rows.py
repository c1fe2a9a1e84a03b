"""Random rows with columns of every type, and the ways in which programs write each value."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

ZONE = "Europe/Berlin"
WORDS = ("plain", "ü", 'a "quoted", one', "two\nlines", "  spaced", "007", "7", "1.50", "4.0", "1e5", "true")
Rng = np.random.Generator


@dataclass(frozen=True)
class Column:
    """A column's kind, and the pool (P,) that the values of its rows are drawn from."""

    kind: str
    pool: pa.Array
    form: pa.DataType | None = None
    """The type of the column, where pyarrow draws from none of its type."""

    def draw(self, places: np.ndarray) -> pa.Array:
        """The values of the rows (N,)."""
        values = self.pool.take(pa.array(places, mask=places < 0))
        return values if self.form is None else values.cast(self.form)

    def texts(self, exact: bool) -> list[list[str]]:
        """For each value of the pool, what programs write for it into a CSV.

        ``exact``: fractions as categories only as Python writes them. A model that learnt texts takes 0.100 and 0.1 for two.
        """
        return [_texts(one, exact and self.kind == "categorical") for one in self.pool]

    def jsons(self, exact: bool) -> list[list[str]]:
        """The same for JSON."""
        exact = exact and self.kind == "categorical"
        return [[*map(json.dumps, _texts(one, exact)), *_bare(one, self.kind, exact)] for one in self.pool]


@dataclass(frozen=True)
class Rows:
    """Random rows. ``places``: for each column, the place of each row's value in its pool; -1 is null."""

    columns: Mapping[str, Column]
    places: Mapping[str, np.ndarray]

    def table(self) -> pa.Table:
        """As a file with types holds them."""
        return pa.table({name: column.draw(self.places[name]) for name, column in self.columns.items()})

    def csv(self, path: Path, rng: Rng, exact: bool) -> Path:
        """As texts."""
        texts = [_drawn(column.texts(exact), self.places[name], "", rng) for name, column in self.columns.items()]
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(zip(*texts, strict=True))
        return path

    def json_lines(self, rng: Rng, exact: bool, left_out: float) -> list[str]:
        """A JSON object a row; what is missing is null or, for a share of it, left out, as in a file."""
        texts = [_drawn(column.jsons(exact), self.places[name], "null", rng) for name, column in self.columns.items()]
        names = [json.dumps(name) for name in self.columns]

        def line(row: tuple[str, ...]) -> str:
            pairs = zip(names, row, strict=True)
            parts = [f"{name}: {text}" for name, text in pairs if text != "null" or rng.random() >= left_out]
            return "{" + ", ".join(parts) + "}"

        return [line(row) for row in zip(*texts, strict=True)]

    def frame(self, rng: Rng, exact: bool) -> pd.DataFrame:
        """As pandas, each column in one of the forms in which users hold it."""
        table = self.table()
        return pd.DataFrame({name: _series(table.column(name), rng, exact) for name in table.column_names})


def random_rows(columns: Mapping[str, Column], count: int, rng: Rng) -> Rows:
    """``count`` rows, of each column one value of twelve null."""
    places = {name: rng.integers(0, len(column.pool), count) for name, column in columns.items()}
    for column in places.values():
        column[rng.random(count) < 1 / 12] = -1
    return Rows(columns, places)


def every_type(rng: Rng) -> dict[str, Column]:
    """A column for each type and each kind that it can be of."""
    tenths = np.arange(-9, 9) / 10  # which no binary number is; so often that they are quantiles
    fractions = [0.1, -0.7, 4, 1e10, 2.5, 1e-5, 16777216]
    return {
        **_integers(rng),
        "float32 numeric": Column("numeric", pa.array([*rng.normal(size=50), *tenths], pa.float32())),
        "float32 categorical": Column("categorical", pa.array(fractions, pa.float32())),
        "float64 numeric": Column("numeric", pa.array([*rng.normal(size=50), *tenths, 1e-9])),
        "float64 categorical": Column("categorical", pa.array([*fractions, 1e17, 1e22, 1e-7, -0.0])),
        **{f"bool {kind}": Column(kind, pa.array([True, False])) for kind in ("numeric", "categorical", "text")},
        **_decimals(rng),
        **_moments(rng),
        **_days(rng),
        **_strings(rng),
    }


def _integers(rng: Rng) -> dict[str, Column]:
    columns = {}
    for bits in (8, 16, 32, 64):
        for sign in ("int", "uint"):
            kind: Any = getattr(pa, f"{sign}{bits}")()
            least, most = (int(end) for end in (np.iinfo(f"{sign}{bits}").min, np.iinfo(f"{sign}{bits}").max))
            codes = [0, 1, 4, most, most - 1, least, *(2**53 + i for i in range(3) if most > 2**53)]
            drawn = [least + int((most - least) * share) for share in rng.random(50)]
            columns[f"{kind} categorical"] = Column("categorical", pa.array(codes, kind))
            columns[f"{kind} numeric"] = Column("numeric", pa.array([*codes, *drawn], kind))
    columns["int32 text"] = Column("text", pa.array([4, 7, -12], pa.int32()))
    columns["int32 date"] = Column("date", pa.array([20200131, 19691231, 20240229], pa.int32()))
    return columns


def _decimals(rng: Rng) -> dict[str, Column]:
    cents = [Decimal(int(n)).scaleb(-2) for n in rng.integers(-100_000, 100_000, 60)]
    codes = [Decimal(text) for text in ("1.500", "4.000", "0.100", "-0.700", "12.345", "0.000")]
    long = [Decimal(f"{n}.00") for n in (10**20, 10**20 + 1, 2**53 + 1, 5)]
    return {
        "decimal32 categorical": Column("categorical", pa.array(codes, pa.decimal32(6, 3))),
        "decimal64 numeric": Column("numeric", pa.array(cents, pa.decimal64(12, 2))),
        "decimal128 numeric": Column("numeric", pa.array(cents, pa.decimal128(12, 2))),
        "decimal128 categorical": Column("categorical", pa.array(codes, pa.decimal128(6, 3))),
        "decimal256 categorical": Column("categorical", pa.array(long, pa.decimal256(45, 2))),
    }


def _moments(rng: Rng) -> dict[str, Column]:
    """Before and after 1970, with fractions of a second as fine as the unit."""
    columns = {}
    for unit, second in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        fine = rng.integers(-(10**9), 17 * 10**8, 30) * second + rng.integers(0, second, 30)
        codes = [0, -86_400 * second, 43_200 * second, -1, 5 * second + second // 2]
        for zone in (None, "UTC", ZONE):
            kind = pa.timestamp(unit, zone)
            columns[f"{kind} date"] = Column("date", pa.array(fine, pa.int64()).cast(kind))
            columns[f"{kind} categorical"] = Column("categorical", pa.array(codes, pa.int64()).cast(kind))
    return columns


def _days(rng: Rng) -> dict[str, Column]:
    days = pa.array(rng.integers(-9000, 20_000, 40), pa.int32()).cast(pa.date32())
    return {
        f"{name} {kind}": Column(kind, pool.cast(form))
        for name, form in (("date32", pa.date32()), ("date64", pa.date64()))
        for kind, pool in (("date", days), ("categorical", days[:6]))
    }


def _strings(rng: Rng) -> dict[str, Column]:
    pools: dict[str, list[str]] = {
        "numeric": [*map(repr, rng.normal(size=20).tolist()), "4", "4.0", "+4", " 1.5"],
        "categorical": list(WORDS),
        "date": ["2020-01-31", "1969-12-31 23:30:00", "31.12.2024", "2024-12-31T23:00:00+01:00"],
        "text": ["late again", "Paid", "4.0 paid", "again, AGAIN", "ü"],
    }
    forms = {
        "string": pa.string(),
        "large_string": pa.large_string(),
        "string_view": pa.string_view(),
        "dictionary": pa.dictionary(pa.int8(), pa.string()),
    }
    columns = {
        f"{name} {kind}": Column(kind, pa.array(pool), form)
        for kind, pool in pools.items()
        for name, form in forms.items()
    }
    numbers = pa.array([4, 2**53 + 1, -7], pa.int64())
    return {**columns, "dictionary of int64 categorical": Column("categorical", numbers.dictionary_encode())}


def _type_of(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _texts(one: pa.Scalar, exact: bool) -> list[str]:
    if pa.types.is_timestamp(one.type):
        return _moment_texts(one)
    value = one.as_py()
    if isinstance(value, bool):
        return [str(value), str(value).lower(), str(value).upper()]
    if isinstance(value, int):
        return [str(value), *([f"{value}.0"] if abs(value) <= 2**53 else [])]
    if isinstance(value, float):
        python = str(np.float32(value) if pa.types.is_float32(one.type) else value)
        return [python] if exact else [python, pc.cast(one, pa.string()).as_py()]
    return [str(value)]


def _moment_texts(one: pa.Scalar) -> list[str]:
    moment = pd.Timestamp(one.value, unit=one.type.unit)
    texts = [str(moment), moment.isoformat(), f"{moment.isoformat()}Z", pc.cast(one, pa.string()).as_py()]
    return texts if one.type.tz is None else [*texts, str(moment.tz_localize("UTC").tz_convert(ZONE))]


def _bare(one: pa.Scalar, kind: str, exact: bool) -> list[str]:
    """Numbers and truth values without quotes."""
    value = one.as_py()
    if isinstance(value, (bool, int)):
        return [json.dumps(value)]
    if not isinstance(value, (float, Decimal)):
        return []
    if exact:
        return _texts(one, exact)
    long = isinstance(value, Decimal) and Decimal(repr(float(value))) != value
    return [] if long and kind == "categorical" else [json.dumps(float(value))]


def _drawn(forms: list[list[str]], places: np.ndarray, null: str, rng: Rng) -> list[str]:
    draws = rng.random(len(places)).tolist()
    return [
        null if place < 0 else forms[place][int(draw * len(forms[place]))]
        for place, draw in zip(places.tolist(), draws, strict=True)
    ]


def _series(column: pa.ChunkedArray, rng: Rng, exact: bool) -> pd.Series:
    """In Arrow's own types, as objects, as objects and texts, as pandas converts them; whole numbers also in its nullable types."""
    kind = _type_of(column.type)
    forms: list[Callable[[], pd.Series]] = [
        lambda: column.to_pandas(types_mapper=pd.ArrowDtype),
        lambda: pd.Series(column.to_pylist(), dtype=object),
        lambda: pd.Series(_mixed(column, rng, exact), dtype=object),
    ]
    if not pa.types.is_integer(kind):
        forms.append(column.to_pandas)
    elif not pa.types.is_dictionary(column.type):
        nullable = str(kind).replace("uint", "UInt").replace("int", "Int")
        forms.append(lambda: pd.Series(column.to_pylist(), dtype=nullable))  # pyrefly: ignore
        if kind.bit_width < 64:  # beside nulls they are floats, which lack the last digits of longer ones
            forms.append(column.to_pandas)
    return forms[int(rng.integers(len(forms)))]()


def _mixed(column: pa.ChunkedArray, rng: Rng, exact: bool) -> list[Any]:
    """Objects of more than one type: the values and their texts, and every sort of null."""
    nulls = [None, np.nan, pd.NA]
    narrow = pa.types.is_float32(column.type) and exact
    return [
        nulls[int(draw * 3)] if value is None else value if draw < 0.5 else str(np.float32(value) if narrow else value)
        for value, draw in zip(column.to_pylist(), rng.random(len(column)).tolist(), strict=True)
    ]
