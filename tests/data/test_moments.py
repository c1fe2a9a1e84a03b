"""A split by time puts the newest rows in the test, but their time is written; what is ambiguous is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.data.config import DataConfig, SplitConfig
from headway.data.measure import Request, measure
from headway.data.opening import open_table
from headway.data.source import Table
from headway.data.split import TEST, TRAIN, VALIDATION, assign
from headway.errors import ConfigError, DataError

ROWS = 300


def opened(when: Any, folder: Path, form: str = "csv", **data: Any) -> Table:
    """A table with a column `when`, which is no feature unless stated."""
    path = folder / f"rows.{form}"
    rows = len(when)
    if form == "csv":
        pd.DataFrame({"when": when, "x": range(rows), "y": [0.5] * rows}).to_csv(path, index=False)
    else:
        pq.write_table(pa.table({"when": when, "x": list(range(rows)), "y": [0.5] * rows}), path)
    config = DataConfig.parse({"source": str(path), "target": "y", "features": {"x": "numeric"}, **data}, "data")
    return open_table(config, "regression", folder, ("when",))


def shuffled_times(seconds: float) -> pd.Series:
    """Moments in random order, so far apart on average, over months and years where that is days."""
    rng = np.random.default_rng(3)
    times = pd.Timestamp("2021-03-05 01:00") + pd.to_timedelta(np.arange(ROWS) * seconds, "s")
    return pd.Series(times).iloc[rng.permutation(ROWS)].reset_index(drop=True)


def assert_newest_are_the_test(parts: np.ndarray, truth: pd.Series) -> None:
    order = pd.Series(truth).rank(method="dense")
    assert order[parts == TRAIN].max() < order[parts == VALIDATION].min()
    assert order[parts == VALIDATION].max() < order[parts == TEST].min()
    assert 0.15 < (parts == TEST).mean() < 0.25


DAY, HOUR = 86_400.0, 3_600.0


@pytest.mark.parametrize(
    ("form", "apart"),
    [
        ("%Y-%m-%d", DAY),
        ("%d.%m.%Y", DAY),
        ("%d.%m.%y %H:%M", HOUR * 7),
        ("%m/%d/%Y", DAY),
        ("%d/%m/%Y", DAY),
        ("%m/%d/%Y %I:%M %p", HOUR * 7),
        ("%Y-%m-%d %I:%M:%S %p", HOUR * 7),
        ("%d-%b-%Y", DAY),
        ("%b %d, %Y", DAY),
        ("%Y%m%d", DAY),
        ("%m.%Y", DAY * 31),
        ("%b %Y", DAY * 31),
        ("%Y-%m-%dT%H:%M:%SZ", HOUR),
        ("%d.%m.%Y %H:%M:%S+0200", HOUR),
        ("%d%m%Y", DAY),
        ("text %Y %m %d", DAY),
    ],
)
def test_the_newest_rows_of_texts_are_the_test(tmp_path: Path, form: str, apart: float) -> None:
    times = shuffled_times(apart)
    stated = {"%d%m%Y": "%d%m%Y", "text %Y %m %d": "text", "%d.%m.%y %H:%M": form}.get(
        form
    )  # these alone could be others
    parts = assign(opened(times.dt.strftime(form), tmp_path), SplitConfig(by="time", column="when", format=stated))
    assert_newest_are_the_test(parts, pd.to_datetime(times.dt.strftime(form), format=form, utc=True))


@pytest.mark.parametrize("form", ["%y.%m.%d", "%y-%m-%d", "%y/%m/%d", "%d.%m.%y", "%d-%m-%y"])
def test_years_of_two_digits_that_could_be_days_are_refused_until_the_format_is_stated(
    tmp_path: Path, form: str
) -> None:
    """23.11.20 is 20 November 2023 or 23 November 2020."""
    times = pd.Series(pd.date_range("2023-11-20", periods=60, freq="D"))
    table = opened(times.dt.strftime(form), tmp_path)
    with pytest.raises(ConfigError, match=r"split\.format must be given where it is ambiguous"):
        assign(table, SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(assign(table, SplitConfig(by="time", column="when", format=form)), times)


def test_numbers_in_a_csv_file_are_ordered_as_numbers(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).permutation(ROWS) - 20
    parts = assign(opened(steps, tmp_path), SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(parts, pd.Series(steps))
    parts = assign(opened(steps / 7, tmp_path), SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(parts, pd.Series(steps))


@pytest.mark.parametrize("kind", ["categorical", "numeric"])
def test_a_feature_is_ordered_as_a_number_too(tmp_path: Path, kind: str) -> None:
    steps = np.random.default_rng(0).permutation(ROWS)
    table = opened(steps, tmp_path, features={"x": "numeric", "when": kind})
    assert_newest_are_the_test(assign(table, SplitConfig(by="time", column="when")), pd.Series(steps))


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("ns"), pa.timestamp("us", "Asia/Tokyo"), pa.timestamp("s"), pa.date32(), pa.int64(), pa.string()],
    ids=str,
)
def test_parquet_columns_of_time_are_ordered_by_it(tmp_path: Path, kind: pa.DataType) -> None:
    times = shuffled_times(DAY)
    if kind == pa.int64():
        column = pa.array(times.dt.strftime("%Y%m%d").astype(int))
    elif kind == pa.string():
        column = pa.array(times.astype("int64").astype(str).str.lstrip("0"))
    else:
        column = pa.array(times.astype("datetime64[ns]")).cast(pa.timestamp("us")).cast(kind, safe=False)
    parts = assign(opened(column, tmp_path, "parquet"), SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(parts, times)


def test_offsets_from_utc_are_taken_into_account(tmp_path: Path) -> None:
    """By the text alone, 23:30 at +14:00 is later than 11:00 in UTC, but it was an hour and a half earlier."""
    texts = [f"2024-01-{d:02}T{'23:30:00+14:00' if d % 2 else '11:00:00Z'}" for d in range(1, 31) for _ in range(2)]
    parts = assign(opened(texts, tmp_path), SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(parts, pd.to_datetime(pd.Series(texts), utc=True, format="ISO8601"))


def test_a_mixture_of_zoned_and_plain_times_is_refused(tmp_path: Path) -> None:
    texts = ["2024-01-01T10:00:00Z", "2024-01-02T10:00:00"] * 10
    with pytest.raises(DataError, match=r"time zone in every row or in none, but '2024-01-01T10:00:00Z' has one"):
        assign(opened(texts, tmp_path), SplitConfig(by="time", column="when"))


AMBIGUOUS = [f"{a:02}/{b:02}/2024" for a in range(1, 13) for b in range(1, 13)]


def test_dates_that_may_be_read_in_two_ways_must_be_stated(tmp_path: Path) -> None:
    table = opened(AMBIGUOUS, tmp_path)
    with pytest.raises(ConfigError, match=r"split.format must be given .* as %d/%m/%Y or as %m/%d/%Y"):
        assign(table, SplitConfig(by="time", column="when"))
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        parts = assign(table, SplitConfig(by="time", column="when", format=form))
        assert_newest_are_the_test(parts, pd.to_datetime(pd.Series(AMBIGUOUS), format=form))
    usual = assign(opened(AMBIGUOUS, tmp_path, date_format="%m/%d/%Y"), SplitConfig(by="time", column="when"))
    np.testing.assert_array_equal(usual, parts)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_whole_numbers_that_may_be_days_must_be_stated(tmp_path: Path, form: str) -> None:
    """As numbers, 31012023 is larger than 1022024: a number has lost the first zero of 01.02.2024."""
    times = shuffled_times(DAY)
    days = times.dt.strftime("%d%m%Y").astype(int)
    table = opened(days if form == "csv" else pa.array(days), tmp_path, form)
    with pytest.raises(ConfigError, match=r"may be written as number or as %d%m%Y"):
        assign(table, SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(assign(table, SplitConfig(by="time", column="when", format="%d%m%Y")), times)
    numbers = assign(table, SplitConfig(by="time", column="when", format="number"))
    assert_newest_are_the_test(numbers, days)


@pytest.mark.parametrize("form", ["%y%m", "%m%y", "%y%m%d"])
def test_years_of_two_digits_must_be_stated(tmp_path: Path, form: str) -> None:
    """As numbers, 9912 is larger than 0001, but December 1999 came before January 2000."""
    times = pd.Series(pd.date_range("1995-01-01", periods=ROWS // 2, freq="MS"))
    table = opened(times.dt.strftime(form), tmp_path)
    with pytest.raises(ConfigError, match=f"split.format must be given .* as number or as {form}"):
        assign(table, SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(assign(table, SplitConfig(by="time", column="when", format=form)), times)


@pytest.mark.parametrize(("text", "first"), [("{}", 100), ("{}", 1000), ("{:04}", 1)])
def test_numbers_of_up_to_four_digits_are_numbers(tmp_path: Path, text: str, first: int) -> None:
    """Without a zero in front 136 is no January of 1936; 0001 is no month of 2001."""
    steps = np.random.default_rng(0).permutation(ROWS) + first
    parts = assign(opened([text.format(step) for step in steps], tmp_path), SplitConfig(by="time", column="when"))
    assert_newest_are_the_test(parts, pd.Series(steps))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (["2024Q1", "2024Q2", "2024Q3"], "must hold numbers, or dates in one format, .* row 1 is '2024Q1'"),
        (["2024-01-01", "2024-01-02", "03.01.2024"], "row 3 is '03.01.2024'"),
        (["1", "2", "x"], "row 3 is 'x'"),
        (["1", "2", "inf"], "row 3 is 'inf'"),
        (["1", None, "3"], "must be given in every row .* 1 rows lack it"),
        (["1", "  ", "3"], "must be given in every row .* 1 rows lack it"),
        (["10:30", "11:30", "12:30"], "must hold numbers, or dates"),
    ],
)
def test_what_has_no_order_in_time_is_refused_in_one_line(tmp_path: Path, values: list[str], text: str) -> None:
    with pytest.raises(DataError, match=text) as refusal:
        assign(opened(values, tmp_path), SplitConfig(by="time", column="when"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", [pa.time64("us"), pa.bool_(), pa.list_(pa.int64())], ids=str)
def test_parquet_columns_that_are_no_time_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([[1], [2], [3]], kind) if pa.types.is_list(kind) else pa.array([0, 1, 1], pa.int64()).cast(kind)
    with pytest.raises(DataError, match="when must hold numbers or dates to split by time, but it holds"):
        assign(opened(column, tmp_path, "parquet"), SplitConfig(by="time", column="when"))


def test_a_value_that_is_not_in_the_stated_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be written as %d.%m.%Y \(split.format\), but row 2 is '2024-01-02'"):
        assign(opened(["01.01.2024", "2024-01-02"], tmp_path), SplitConfig(by="time", column="when", format="%d.%m.%Y"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"by": "time", "column": "day", "format": "dd.mm.yyyy"}, "format must be number, text or a date format"),
        ({"by": "time", "column": "day", "format": "%d.%m."}, "with a year"),
        ({"by": "time", "column": "day", "format": "%Q"}, "but is '%Q'"),
        ({"by": "group", "column": "day", "format": "number"}, "format is only for a split by time"),
    ],
)
def test_a_format_that_is_none_is_refused(fields: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        SplitConfig.parse(fields, "split")


def test_a_range_for_a_column_of_texts_is_refused_in_one_line(tmp_path: Path) -> None:
    table = opened(["1", "2", "3"], tmp_path)
    request = Request("key", "column_values.between.unexpected_count", ("when",), {"min_value": 0.0})
    with pytest.raises(ConfigError, match=r"expectation on when must suit its type, but it holds text"):
        measure(table, [request])
