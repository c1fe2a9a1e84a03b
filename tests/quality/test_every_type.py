"""Every expectation on random columns of every type of Parquet: the verdict and the figures of Great Expectations' own pandas engine.

It is given the values as Headway reads them, by Python (`tests/quality/typed_columns.py`). What differs, and why that is right:

- the sum of whole numbers of 64 bits: pandas' wraps around, ours does not;
- a standard deviation at rounding: pandas finds 0 for equal values near 1e40 where ours is at their last digit, or the other way round;
- decimals are compared as the floats that they are written for: to Python, Decimal("0.1") is less than 0.1.
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.data.config import DataConfig, Expectation
from headway.data.opening import open_table
from headway.data.rules import RULES, Rule
from headway.data.source import Table
from headway.errors import ConfigError, DataError
from headway.quality.judge import Result, judge
from tests.quality.typed_columns import TYPES, UNREAD, array_of, drawn, family, kinds_of, series_of, value_of

ROWS = 40
FILES = (slice(0, 17), slice(17, 30), slice(30, ROWS))
NAMES = ["x", "z", "f", "y"]


def opened(root: Path, kind: pa.DataType, columns: dict[str, list[Any]], read_as: str) -> Table:
    """A project's table of the columns x and z, read as a kind or carried along, in several files of several row groups."""
    for number, rows in enumerate(FILES):
        target = (["no", "yes"] * ROWS)[: len(range(ROWS)[rows])]
        own = {name: array_of(kind, values[rows]) for name, values in columns.items()}
        table = pa.table({**own, "f": np.arange(float(ROWS))[rows], "y": target})
        pq.write_table(table, root / f"{number}.parquet", row_group_size=9)
    carried = list(columns) if read_as == "own" else []
    features = {"f": "numeric"} | ({} if carried else dict.fromkeys(columns, read_as))
    fields = {"source": str(root), "target": "y", "features": features, "keys": carried}
    return open_table(DataConfig.parse(fields, "data"), "classification", root, carried)


def cases(values: Sequence[Any], what: str, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Every expectation that suits such values, with random arguments near them."""
    for name, rule in RULES.items():
        if what not in (rule.about or ("a number",)) or (name == "column_values_to_be_between" and what == "text"):
            continue  # those on the table once in a while
        case: dict[str, Any] = {"expect": name}
        if rule.has_column:
            case["column"] = "x"
        if "column_A" in rule.arguments:
            how = rng.choice(["both_values_are_missing", "either_value_is_missing", "neither"])
            case |= {"column_A": "x", "column_B": "z", "ignore_row_if": str(how)}
        for flag in ("or_equal", "ties_okay"):
            if flag in rule.arguments and rng.random() < 0.5:
                case[flag] = True
        if "mostly" in rule.arguments and rng.random() < 0.7:
            case["mostly"] = float(rng.choice([0.2, 0.5, 0.9]))
        if "min_value" in rule.arguments:
            case |= bounds(name, rule, values, rng)
        yield case | sets(name, rule, values, rng)


def bounds(name: str, rule: Rule, values: Sequence[Any], rng: np.random.Generator) -> dict[str, Any]:
    """One bound or two. Those of figures that rounding changes are near no value."""
    if "min_value" in rule.in_column_type:
        ends = [values[place] for place in rng.integers(len(values), size=2)]
    elif "row_count" in name or "unique_value_count" in name:
        ends = rng.integers(0, 50, 2).tolist()
    elif "lengths" in name:
        ends = rng.integers(0, 4, 2).tolist()
    elif "proportion" in name:
        ends = rng.random(2).tolist()
    else:
        ends = [
            float(values[place]) * factor
            for place, factor in zip(rng.integers(len(values), size=2), (0.97, 1.02), strict=True)
        ]
    low, high = sorted(ends)
    which = rng.integers(3)
    case = (
        {"min_value": low}
        if which == 0
        else {"max_value": high}
        if which == 1
        else {"min_value": low, "max_value": high}
    )
    for end in list(case):
        if rng.random() < 0.3:
            case[f"strict_{end[:3]}"] = True
    return case


def sets(name: str, rule: Rule, values: Sequence[Any], rng: np.random.Generator) -> dict[str, Any]:
    """The other arguments that a rule needs."""
    case: dict[str, Any] = {}
    if "value_set" in rule.arguments:
        case["value_set"] = list(dict.fromkeys(values[place] for place in rng.integers(len(values), size=3)))
    if "regex" in rule.arguments:
        case["regex"] = str(rng.choice(["^a", r"\d", "^$", "é|日", "(?i)A{2}"]))
    if "quantile_ranges" in rule.arguments:
        shares = sorted(rng.choice([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0], 3, replace=False).tolist())
        ends = [sorted(float(values[place]) for place in rng.integers(len(values), size=2)) for _ in shares]
        case["quantile_ranges"] = {"quantiles": shares, "value_ranges": ends}
        case["allow_relative_error"] = str(rng.choice(["lower", "higher", "nearest"]))
    if name == "table_row_count_to_equal":
        case["value"] = int(rng.choice([ROWS, ROWS + 1]))
    if name.startswith("table_columns"):
        columns = NAMES if rng.random() < 0.5 else NAMES[::-1][1:]
        case["column_set" if "set" in name else "column_list"] = columns
    return case


@pytest.fixture(scope="module")
def own() -> Any:
    """What makes a batch for Great Expectations' own engine of a frame."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("p").add_dataframe_asset("f")
        return asset.add_batch_definition_whole_dataframe("b")


def trusted(batch: Any, case: dict[str, Any]) -> Any:
    """The result of Great Expectations' own engine."""
    import great_expectations.expectations as known

    cls = getattr(known, "Expect" + "".join(w.capitalize() for w in case["expect"].split("_")))
    result = batch.validate(cls(**{k: v for k, v in case.items() if k != "expect"}))
    assert "raised_exception" not in str(result.exception_info) or "True" not in str(result.exception_info), (
        case,
        result,
    )
    return result


def same(mine: Any, theirs: Any) -> bool:
    """Equal, or missing in both; floats to the last digits."""
    if isinstance(mine, list):
        theirs = theirs["values"] if isinstance(theirs, dict) else theirs
        return len(mine) == len(theirs) and all(map(same, sorted(mine), sorted(theirs)))
    if mine is None or mine != mine:
        return theirs is None or theirs != theirs
    if isinstance(mine, float):
        return math.isclose(mine, theirs, rel_tol=1e-9)
    return bool(pd.Timestamp(mine) == pd.Timestamp(theirs) if hasattr(mine, "year") else mine == theirs)


def differs_rightly(case: dict[str, Any], values: Sequence[Any]) -> bool:
    """As this file's first lines say."""
    present = [value for value in values if value is not None]
    if "sum" in case["expect"] and all(isinstance(value, int) for value in present):
        return not -(2**63) <= sum(present) < 2**63
    return "stdev" in case["expect"] and len(set(present)) == 1


def compare(result: Result, theirs: Any, case: dict[str, Any]) -> None:
    """The verdict, the counts, the percentage, the observed value."""
    figures = theirs.result
    assert result.passed == bool(theirs.success), (case, result, theirs)
    if result.unexpected_count is not None:
        assert result.unexpected_count == figures["unexpected_count"], (case, result, theirs)
        assert same(result.unexpected_percent, figures["unexpected_percent"]), (case, result, theirs)
    elif figures.get("observed_value") is not None and case["expect"].startswith("column_"):
        assert same(result.observed, figures["observed_value"]), (case, result, theirs)


COLUMNS = [(name, read_as) for name, (kind, _) in TYPES.items() for read_as in kinds_of(kind, name)]


@pytest.mark.parametrize(("name", "read_as"), COLUMNS, ids=[f"{name}-{read_as}" for name, read_as in COLUMNS])
def test_verdicts_and_figures_are_those_of_great_expectations(
    tmp_path: Path, own: Any, name: str, read_as: str
) -> None:
    kind, pool = TYPES[name]
    rng = np.random.default_rng(zlib.crc32(f"{name} {read_as}".encode()))
    columns = {column: drawn(pool, ROWS, rng) for column in ("x", "z")}
    table = opened(tmp_path, kind, columns, read_as)
    values = {column: [value_of(one, kind, read_as) for one in columns[column]] for column in columns}
    what = family(kind, read_as)
    some = {"a number": 1.0, "a date": dt.datetime(2024, 1, 1), "text": "a"}[what]
    stated = list(cases([one for one in values["x"] if one is not None] or [some], what, rng))
    results = judge([Expectation.model_validate(case) for case in stated], table).results
    frame = pd.DataFrame({column: series_of(values[column], kind, read_as) for column in values}).assign(f=0.0, y="no")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = own.get_batch({"dataframe": frame})
        objects = {column: pd.Series(values[column], dtype=object) for column in values}
        pairs = own.get_batch({"dataframe": frame.assign(**objects)})
        for case, result in zip(stated, results, strict=True):
            whole = frame["x"].dtype.name in ("Int64", "UInt64") and "column_A" in case  # it cannot compare pandas' NA
            theirs = trusted(pairs if whole else batch, case)
            if not differs_rightly(case, values["x"]):
                compare(result, theirs, case)


@pytest.mark.parametrize("name", UNREAD)
def test_an_expectation_on_what_no_kind_reads_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    kind, pool = UNREAD[name]
    columns = {"x": [pool[0]] * ROWS, "z": [None, *[pool[1]] * (ROWS - 1)]}
    stated = Expectation.model_validate({"expect": "column_values_to_not_be_null", "column": "x"})
    with pytest.raises(
        ConfigError, match="x must be a number or text or a date for column_values_to_not_be_null"
    ) as line:
        judge([stated], opened(tmp_path, kind, columns, "own"))
    assert "\n" not in str(line.value)
    rule = r"0\.parquet: column x must (be numeric|be a date|hold single values), but"
    for read_as in ("numeric", "categorical", "date", "text"):
        with pytest.raises(DataError, match=rule) as line:
            list(opened(tmp_path, kind, columns, read_as).chunks())
        assert "\n" not in str(line.value)
