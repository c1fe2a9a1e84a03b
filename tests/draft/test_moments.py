"""Moments whose parts stand in several columns: which are put together, and that rows to predict are read as the training was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns.written import Written
from headway.data.arriving import find_inputs
from headway.data.fit import fit
from headway.data.opening import open_table
from headway.data.series import SeriesConfig
from headway.data.split import TRAIN
from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.errors import ConfigError, DataError
from headway.pipeline import stages
from headway.project import Project, load_project
from headway.run.report import Silent
from headway.serve.body import CSV, JSON, PARQUET, read_body
from headway.serve.config import ServeConfig
from headway.serve.reading import canonical_rows
from headway.serve.rows import refuse_unfit

HOURS = pd.Series(pd.date_range("2023-11-20 05:00", periods=300, freq="h"))


def write(
    root: Path, table: pd.DataFrame, settings: tuple[str, ...] = (), name: str = "t.csv"
) -> tuple[Project, tuple[str, ...]]:
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / "t.yaml").unlink(missing_ok=True)
    if name.endswith("csv"):
        table.to_csv(root / name, index=False)
    else:
        table.to_parquet(root / name)
    lines = draft(name, "y", "t", root, Choices(settings=settings)).decisions
    return load_project("t", root), lines


def table_of(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame(columns)
    return table.assign(x=np.random.default_rng(0).normal(size=len(table)).round(3), y=np.arange(len(table)) % 37 / 4)


CASES: dict[str, dict[str, object]] = {
    "numbers": {"year": HOURS.dt.year, "month": HOURS.dt.month, "day": HOURS.dt.day, "hour": HOURS.dt.hour},
    "names of months": {"Year": HOURS.dt.year, "Mon": HOURS.dt.strftime("%b"), "DD": HOURS.dt.day, "HH": HOURS.dt.hour},
    "a common beginning": {
        **{"obsYear": HOURS.dt.year, "obsMonth": HOURS.dt.month, "obsDay": HOURS.dt.day, "obsHour": HOURS.dt.hour}
    },
    "German": {
        **{"Jahr": HOURS.dt.year, "Monat": HOURS.dt.strftime("%m"), "Tag": HOURS.dt.strftime("%d")},
        "Uhrzeit": HOURS.dt.strftime("%H:%M"),
    },
    "a day and an hour": {"dteday": HOURS.dt.strftime("%Y-%m-%d"), "hr": HOURS.dt.hour},
    "a day and a time": {"Date": HOURS.dt.strftime("%d/%m/%Y"), "Time": HOURS.dt.strftime("%H.%M.%S")},
    "a day in digits and a time of halves": {
        **{"date": HOURS.dt.strftime("%Y%m%d"), "time": HOURS.dt.strftime("%I:%M %p")}
    },
    "to the minute": {
        **{"year": HOURS.dt.year, "month": HOURS.dt.month, "day": HOURS.dt.day, "hour": HOURS.dt.hour},
        "minute": HOURS.dt.minute,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_parts_of_a_moment_are_one_date_and_their_rows_a_series(tmp_path: Path, case: str) -> None:
    project, lines = write(tmp_path, table_of(**CASES[case]))
    (name,) = (name for name, kind in project.data.features.items() if kind == "date")
    assert project.data.written[name].columns == tuple(CASES[case])
    assert {*CASES[case]} <= project.data.ignore.keys()
    assert project.data.series == SeriesConfig(step="1 hour", season=24)
    assert (project.split.by, project.split.column) == ("time", name)
    assert any(line.startswith(f"{name}: date") and "2023-11-20 05:00:00" in line for line in lines)
    opened = open_table(project.data, project.task, tmp_path)
    assert next(opened.chunks()).batch.column(name).to_pandas().tolist() == HOURS.tolist()
    stages.check("t", tmp_path, [], Silent())


def test_a_year_and_a_day_of_it_are_one_date(tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2019-11-01", periods=300))
    project, _ = write(tmp_path, table_of(Year=days.dt.year, DOY=days.dt.day_of_year))
    assert project.data.series == SeriesConfig(step="1 day", season=7)
    opened = open_table(project.data, project.task, tmp_path)
    assert next(opened.chunks()).batch.column("moment").to_pandas().tolist() == days.tolist()


def test_an_ambiguous_day_beside_a_time_is_read_as_people_say(tmp_path: Path) -> None:
    days = pd.Series(pd.date_range("2023-12-01 05:00", periods=180, freq="h"))
    table = table_of(day=days.dt.strftime("%d/%m/%Y"), time=days.dt.strftime("%H:%M"))
    project, lines = write(tmp_path, table)
    assert not any(one.columns for one in project.data.written.values())
    assert any("dates that may be %d/%m/%Y or %m/%d/%Y" in line for line in lines)
    project, _ = write(tmp_path, table, ("data.date_format=%d/%m/%Y",))
    assert project.data.series == SeriesConfig(step="1 hour", season=24)
    opened = open_table(project.data, project.task, tmp_path)
    assert next(opened.chunks()).batch.column("moment").to_pandas().tolist() == days.tolist()


def test_days_of_a_table_that_is_no_series_are_one_date(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    days = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(chance.integers(0, 900, 300), unit="D"))
    project, _ = write(tmp_path, table_of(year=days.dt.year, month=days.dt.month, day=days.dt.day))
    assert project.data.features == {"x": "numeric", "moment": "date"}
    assert (project.data.series, project.split.by) == (None, "random")


NONE: dict[str, dict[str, object]] = {
    "hours from 1 to 24": {"day": HOURS.dt.strftime("%Y-%m-%d"), "hour": HOURS.dt.hour + 1},
    "a time of another thing": {
        "order_date": HOURS.dt.strftime("%Y-%m-%d"),
        "delivery_time": HOURS.dt.strftime("%H:%M"),
    },
    "no day of its month": {"year": [2023] * 300, "month": [2] * 300, "day": [30] * 300, "hour": HOURS.dt.hour},
    "a number of hours that is called time": {"day": HOURS.dt.strftime("%Y-%m-%d"), "time": HOURS.dt.hour},
    "years of two digits": {"yr": HOURS.dt.year % 100, "month": HOURS.dt.month, "day": HOURS.dt.day},
    "a month of a sale": {"YrSold": 2006 + np.arange(300) % 5, "MoSold": 1 + np.arange(300) % 12},
    "two days beside a time": {
        **{"ordered": HOURS.dt.strftime("%Y-%m-%d"), "sent": HOURS.dt.strftime("%Y-%m-%d")},
        "time": HOURS.dt.strftime("%H:%M"),
    },
}


@pytest.mark.parametrize("case", NONE)
def test_columns_that_may_be_something_else_stay_as_they_are(tmp_path: Path, case: str) -> None:
    project, _ = write(tmp_path, table_of(**NONE[case]))
    assert not any(one.columns for one in project.data.written.values())


def test_a_year_and_a_month_are_one_date_where_rows_are_a_series_of_months(tmp_path: Path) -> None:
    months = pd.Series(pd.date_range("2010-01-01", periods=90, freq="MS"))
    table = table_of(year=months.dt.year, month=months.dt.month)
    project, _ = write(tmp_path, table)
    assert project.data.series == SeriesConfig(step="1 month", season=12)
    both = pd.concat([table.assign(shop="north"), table.assign(shop="south")])
    project, _ = write(tmp_path, both)
    assert project.data.series == SeriesConfig(groups=("shop",), step="1 month", season=12)


def test_columns_of_which_people_say_something_are_theirs(tmp_path: Path) -> None:
    table = table_of(**CASES["numbers"])
    project, _ = write(tmp_path, table, ("data.features.hour=categorical",))
    assert project.data.features["hour"] == "categorical"
    assert project.data.written["moment"].columns == ("year", "month", "day")
    project, _ = write(
        tmp_path,
        table.rename(columns={"day": "d", "year": "j"}),
        ("data.written.when.columns=[j, month, d]", "data.written.when.dates=%Y %m %d"),
    )
    assert project.data.features["when"] == "date"
    assert project.data.written["when"] == Written(columns=("j", "month", "d"), dates=("%Y %m %d",))


def test_rows_to_predict_are_read_as_the_training_was(tmp_path: Path) -> None:
    table = table_of(**CASES["numbers"])
    table.loc[7, "hour"] = None  # as pandas writes it, the others become 5.0
    project, _ = write(tmp_path, table)
    assert project.data.series is None
    opened = open_table(project.data, project.task, tmp_path)
    preparation = fit(opened, np.full(300, TRAIN), project.data, project.prepare)
    preparation = type(preparation).from_json(json.loads(json.dumps(preparation.to_json())))
    trained = next(opened.chunks(columns=list(preparation.kinds), rows=20)).batch
    assert trained.column("moment").null_count == 1
    raw = table.head(20).astype(object).where(table.head(20).notna(), None)
    names, limits = tuple(preparation.composition.sources(preparation.needed)), ServeConfig()
    assert {*names} == {"x", "year", "month", "day", "hour"}
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.Table.from_pandas(table.head(20)), sink)
    body = json.dumps({"inputs": raw.to_dict("records")}, default=float).encode()
    texts = table.head(20).to_csv(index=False)
    (tmp_path / "new.csv").write_text(texts)
    (file,) = find_inputs(project.data, str(tmp_path / "new.csv"), tmp_path)
    ways = [
        table.head(20),
        raw,
        pa.RecordBatch.from_pandas(table.head(20), preserve_index=False),
        next(file.batches(preparation.needed, 100))[1],
        trained,
        read_body(texts.encode(), CSV, names, True, limits).rows,
        read_body(body, JSON, names, True, limits).rows,
        read_body(sink.getvalue().to_pybytes(), PARQUET, names, True, limits).rows,
    ]
    for rows in ways:
        assert canonical_rows(preparation, rows).to_pydict() == trained.to_pydict()
    with pytest.raises(DataError, match="must have the column hour, but they have year, month, day, x"):
        canonical_rows(preparation, table[["year", "month", "day", "x"]])
    table.drop(columns="hour").to_csv(tmp_path / "less.csv", index=False)
    (file,) = find_inputs(project.data, str(tmp_path / "less.csv"), tmp_path)
    with pytest.raises(DataError, match="less.csv: rows to predict must have the key column hour, but it is missing"):
        refuse_unfit(file, preparation, ["moment"])


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        ("data.written.moment.columns=[year]", "columns must be at least two, but is year alone"),
        ("data.written.moment.columns=[year, y]", "columns must not name the target, but y is it"),
        ("data.written.y.columns=[year, month]", "columns must be left out, but y is the target"),
    ],
)
def test_what_cannot_be_put_together_is_one_line(tmp_path: Path, setting: str, refusal: str) -> None:
    write(tmp_path, table_of(**CASES["numbers"]))
    with pytest.raises(ConfigError, match=refusal) as error:
        load_project("t", tmp_path, [setting])
    assert "\n" not in str(error.value)


def test_a_part_that_is_no_column_and_a_column_of_the_moments_name_are_one_line(tmp_path: Path) -> None:
    project, _ = write(tmp_path, table_of(**CASES["numbers"]))
    lacking = load_project("t", tmp_path, ["data.written.moment.columns=[year, mnth]"])
    with pytest.raises(
        ConfigError, match=r"data\.written\.moment\.columns must name a column of t\.csv, but mnth is none"
    ):
        open_table(lacking.data, project.task, tmp_path)
    table_of(**CASES["numbers"], moment=1).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        ConfigError, match=r"must make a new column of year, month, day, hour, but t\.csv has one called moment"
    ):
        open_table(project.data, project.task, tmp_path)
