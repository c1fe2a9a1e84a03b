"""How columns are written that are not written plainly: told from their texts, kept as a setting, read the same everywhere."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.columns.written import Written
from headway.data.arriving import find_inputs
from headway.data.fit import fit
from headway.data.opening import open_table
from headway.data.split import TRAIN
from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.draft.writing import as_written
from headway.pipeline import stages
from headway.project import load_project
from headway.run.report import Silent
from headway.serve.body import CSV, JSON, read_body
from headway.serve.config import ServeConfig
from headway.serve.reading import canonical_rows
from headway.serve.rows import sift

NUMBERS: list[tuple[list[str], list[float | None]]] = [
    (["$4,210.18", "($12.10)", "-$5", "$7", "$ 1,000", "$.50"], [4210.18, -12.1, -5, 7, 1000, 0.5]),
    (["11.4%", "77 %", "5%", "100.0%", "8%"], [11.4, 77, 5, 100, 8]),
    (["85 m2", "18 m2", "66 m2", "5.5 m2", "1 m2"], [85, 18, 66, 5.5, 1]),
    (["1.234,5", "3", "4,25", "12.000", "7,0"], [1234.5, 3, 4.25, 12000, 7]),
    (["1 234,5", "2", "3,5", "5\u00a0000", "\u22126"], [1234.5, 2, 3.5, 5000, -6]),
    (["0,309", "-1,505", "0,300", "1,200", "2,100"], [0.309, -1.505, 0.3, 1.2, 2.1]),
    (["1,234", "2,345", "12,500", "999", "3,100"], [1234, 2345, 12500, 999, 3100]),
    (["12,34,567", "1,00,000", "5,000", "70", "2,345"], [1234567, 100000, 5000, 70, 2345]),
    (["CHF 1'200.50", "CHF 300", "CHF 5", "CHF 6", "CHF 7"], [1200.5, 300, 5, 6, 7]),
    (["19M", "201k", "8.7M", "20k", "3M"], [19e6, 201e3, 8.7e6, 20e3, 3e6]),
    (["5 kg", "600 g", "7 kg", "8 kg", "1.5 kg"], [5000, 600, 7000, 8000, 1500]),
    (["(12)", "13", "14", "15", "16"], [-12, 13, 14, 15, 16]),
    (["12-", "13", "14", "15", "16"], [-12, 13, 14, 15, 16]),
    (["< 1 year", "10+ years", "3 years", "2 years", "n/a", "6 years"], [1, 10, 3, 2, None, 6]),
    (["<0.01", "0.5", ">100", "0.7", "0.8"], [0.01, 0.5, 100, 0.7, 0.8]),
    (["?", "1", "2.5", "-3", "4", "5"], [None, 1, 2.5, -3, 4, 5]),
    (["-", "#DIV/0!", "2.5", "3", "4", "5", "6"], [None, None, 2.5, 3, 4, 5, 6]),
    (["1", " ", "2.5", "3", "", "5"], [1, None, 2.5, 3, None, 5]),
    (["$31.20/mo", "$5/mo", "$7/mo", "$8.5/mo", "$9/mo"], [31.2, 5, 7, 8.5, 9]),
    (["$31/MO", "$5/MO", "$7/MO", "$8/MO", "$9/MO"], [31, 5, 7, 8, 9]),
    (["31 /Monat", "5 /Monat", "7 /Monat", "8 /Monat", "9 /Monat"], [31, 5, 7, 8, 9]),
    (["€12.5/m2", "€5/m2", "€7/m2", "€8/m2", "€9/m2"], [12.5, 5, 7, 8, 9]),
    (["31/h", "5/h", "7/h", "8/h", "9/h"], [31, 5, 7, 8, 9]),
]


def read(values: list[Any], beside: list[str] | None = None) -> list[Any]:
    """A column as it seems to be written; ``beside``: another column of the same table."""
    table = {"c": pd.Series(values, dtype=object)}
    if beside is not None:
        table["beside"] = pd.Series(beside, dtype=object)
    column = as_written(pd.DataFrame(table))[0]["c"]
    return [None if pd.isna(value) else value for value in column.tolist()]


@pytest.mark.parametrize(("texts", "values"), NUMBERS, ids=lambda case: str(case[0]))
def test_numbers_as_people_write_them_are_read_as_the_numbers_that_they_are(
    texts: list[str], values: list[float]
) -> None:
    assert [None if value is None else float(value) for value in read(texts)] == values


def test_times_of_day_and_durations_are_seconds_where_there_are_more_than_a_few() -> None:
    spans = [dt.timedelta(seconds=613 * n) for n in range(300)]  # two days
    day = dt.timedelta(days=1)
    cases = {
        "spans": ([str(span) for span in spans], [span.total_seconds() for span in spans]),
        "times": (
            [f"{dt.datetime(2024, 1, 1) + span:%I:%M:%S %p}" for span in spans],
            [(span % day).seconds for span in spans],
        ),
        "days": (
            [f"2 days {span % day}" for span in spans],
            [(2 * day + span % day).total_seconds() for span in spans],
        ),
    }
    for texts, seconds in cases.values():
        assert read([*texts, "n/a", "-0:30:00", " "]) == [*seconds, None, -1800, None]
    minutes = [f"{n}:30" for n in range(20, 60)]
    assert read([*minutes, "1:03:25"])[-1] == "1:03:25"  # which is longer than 59:30, of minutes beside it
    assert read(["12:30", "1:30"] * 20) == ["12:30", "1:30"] * 20
    assert read([f"{n}:{n + 60}" for n in range(99)]) == [f"{n}:{n + 60}" for n in range(99)]


def test_a_word_among_many_numbers_is_a_missing_one() -> None:
    assert read(["1", "2", "refused"] * 2 + [str(n) for n in range(40)])[2] is None


@pytest.mark.parametrize(
    "texts",
    [
        ["K00000", "K00001", "K00002", "K00003", "K00004"],
        ["A12", "A13", "B14", "C15", "D16"],
        ["12A", "13B", "14C", "15D", "5"],
        ["536365", "C536379", "536366", "536367", "536368"],
        ["007", "012", "123", "456", "789"],
        ["192.168.1.1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"],
        ["1.2.3", "1.2.4", "1.2.5", "1.3.1", "2.0.0"],
        ["12:30", "13:30", "01:30", "02:30", "03:30"],
        ["1/2", "3/4", "5/6", "1/3", "1/4"],
        ["101/A", "102/A", "103/A", "104/A", "105/A"],
        ["101/A", "102", "103", "104/A", "105/A"],
        ["7/AB", "8/AB", "9/AB", "10/AB", "11/AB"],
        ["10-20", "20-30", "30-40", "40-50", "50-60"],
        ["$5", "€6", "$7", "€8", "$9"],
        ["5 kg", "6 m", "7 kg", "8 m", "9 kg"],
        ["red", "blue", "green", "5", "pink"],
        ["a", "A", "b", "B", "c"],
    ],
    ids=lambda texts: texts[0],
)
def test_codes_versions_ranges_and_mixed_units_stay_texts(texts: list[str]) -> None:
    assert read(texts) == texts


def test_a_point_or_a_comma_before_three_digits_is_read_as_the_columns_beside_it_are() -> None:
    points, commas = ["1.234", "2.345", "12.500", "1.000", "900"], ["1,234", "2,345", "12,500", "1,000", "3,100"]
    german, plain = ["1,5", "2,25", "3,5", "4,0", "5,1"], ["1.5", "2.5", "3.5", "4.5", "5.5"]
    assert read(points, german) == [1234, 2345, 12500, 1000, 900]
    assert read(points, plain) == points
    assert read(commas, german) == [1.234, 2.345, 12.5, 1, 3.1]
    assert read(commas, plain) == [1234, 2345, 12500, 1000, 3100]


def test_true_and_false_in_several_words_are_two_values_and_capitals_make_no_class() -> None:
    assert read(["y", "1", "No", "0", "TRUE", "f"]) == ["true", "true", "false", "false", "true", "false"]
    assert read(["yes", "Yes", " YES", "no"]) == ["yes", "yes", "yes", "no"]
    assert read(["yes", "no"]) == ["yes", "no"]


DATES = [
    (
        ["11/23/2024", "2024-06-24", "9 Mar 2024", "06/17/2024"],
        ["2024-11-23", "2024-06-24", "2024-03-09", "2024-06-17"],
    ),
    (["03/29/2024 12:00:00 AM", "03/29/2024 1:05:00 PM"], ["2024-03-29 00:00", "2024-03-29 13:05"]),
    (["23.11.2024", "24.11.24"], ["2024-11-23", "2024-11-24"]),
    (["March 5, 2024", "June 17, 2024"], ["2024-03-05", "2024-06-17"]),
    (["23/11/2024 08:30", "24/11/2024", "?"], ["2024-11-23 08:30", "2024-11-24", None]),
    (["2024-03", "2023-11", "1999-12"], ["2024-03-01", "2023-11-01", "1999-12-01"]),
    (["Mar-2024", "Nov-2023"], ["2024-03-01", "2023-11-01"]),
    (
        [f"{m}/{y}" for y, last in ((2022, 12), (2023, 11), (2024, 12), (2025, 4)) for m in range(1, last + 1)],
        [f"{y}-{m}-1" for y, last in ((2022, 12), (2023, 11), (2024, 12), (2025, 4)) for m in range(1, last + 1)],
    ),
    (
        [f"{m}/{y}" for y in (2023, 2024) for m in range(4, 11)],
        [f"{y}-{m}-1" for y in (2023, 2024) for m in range(4, 11)],
    ),
    (["5. März 2024", "23. Mai 2024", "1. Dezember 2023"], ["2024-03-05", "2024-05-23", "2023-12-01"]),
    (["5. Mär. 2024", "23. Okt. 2024", "1. Mai 2023"], ["2024-03-05", "2024-10-23", "2023-05-01"]),
    (["5 août 2024", "23 févr. 2024", "1 juil. 2023"], ["2024-08-05", "2024-02-23", "2023-07-01"]),
    (["5 de marzo de 2024", "23 de enero de 2024"], ["2024-03-05", "2024-01-23"]),
    (["5th March 2024", "23rd May 2024", "1st Sept 2023"], ["2024-03-05", "2024-05-23", "2023-09-01"]),
    (["Sept. 5, 2024", "Dec. 23, 2024"], ["2024-09-05", "2024-12-23"]),
    (["20240305T102030Z", "20231123T000000Z"], ["2024-03-05 10:20:30", "2023-11-23"]),
    (["2024-W10", "2023-W47", "2020-W53"], ["2024-03-04", "2023-11-20", "2020-12-28"]),
    (["2024-Q1", "2023-Q4", "2023-Q2"], ["2024-01-01", "2023-10-01", "2023-04-01"]),
    (["Q1 2024", "Q4 2023"], ["2024-01-01", "2023-10-01"]),
    (["2024年3月5日", "2023年11月23日"], ["2024-03-05", "2023-11-23"]),
    (["Tue, 05 Mar 2024", "Sat, 23 Nov 2024"], ["2024-03-05", "2024-11-23"]),
    (["Tuesday, March 05, 2024", "Saturday, November 23, 2024"], ["2024-03-05", "2024-11-23"]),
    (["Tue Mar 05 10:20:30 2024", "Sat Nov 23 00:00:00 2024"], ["2024-03-05 10:20:30", "2024-11-23"]),
    (["2024-03-05 10:20:30 UTC", "2024-11-23 00:00:00 UTC"], ["2024-03-05 10:20:30", "2024-11-23"]),
    (["Tue, 05 Mar 2024 10:20:30 +0100", "Sat, 23 Nov 2024 01:00:00 +0100"], ["2024-03-05 09:20:30", "2024-11-23"]),
    ([f"202403{day}" for day in range(10, 30)], [f"2024-03-{day}" for day in range(10, 30)]),
    (
        [f"{y}{m:02}" for y in (2023, 2024) for m in range(1, 13)],
        [f"{y}-{m}-1" for y in (2023, 2024) for m in range(1, 13)],
    ),
]


@pytest.mark.parametrize(("texts", "moments"), DATES, ids=lambda case: str(case[0]))
def test_dates_in_several_forms_are_read_each_in_its_own(texts: list[str], moments: list[str | None]) -> None:
    column, _ = as_written(pd.DataFrame({"c": pd.Series(texts * 5, dtype=object)}))
    assert column["c"].head(len(texts)).tolist() == [pd.NaT if m is None else pd.Timestamp(m) for m in moments]


NO_DATES = {
    "numbers after a Q": [f"{year}-Q{number}" for year in range(2000, 2012) for number in range(1, 6)],
    "seasons": [f"{year}/{(year + 1) % 100:02}" for year in range(2000, 2012)],
    "seasons with a hyphen": [f"{year}-{(year + 1) % 100:02}" for year in range(2000, 2012)],
    "numbers of files": [f"{number}/{year}" for year in (1200, 1801, 4500, 9321) for number in range(1, 10)],
    "numbers of files of nine": [f"{number}/{year}" for year in range(2010, 2014) for number in range(1, 10)],
    "numbers of as many files as came": [
        f"{number:02}/{year}"
        for year, last in ((2010, 9), (2011, 12), (2012, 7), (2013, 11))
        for number in range(1, last + 1)
    ],
    "quarters": [f"{year}-{quarter}" for year in range(2010, 2014) for quarter in range(1, 5)],
    "quarters of which some lack": [
        f"{year}-{quarter:02}" for year in range(2001, 2021) for quarter in range(1, 5) if (year, quarter) != (2007, 2)
    ],
    "numbers of files of digits alone": [f"{year}{number:02}" for year in range(2010, 2014) for number in range(1, 10)],
    "two texts": ["3/2010", "4/2011"],
    "names of models": [f"May {year}" for year in range(1000, 1040)],
    "things with a year": [f"Set {year}" for year in range(2000, 2020)],
    "prices of six digits": [f"{year}{month:02}" for year in (1901, 2001) for month in range(1, 10)],
}


@pytest.mark.parametrize("texts", NO_DATES.values(), ids=NO_DATES)
def test_seasons_numbers_of_files_and_names_with_numbers_are_no_months(texts: list[str]) -> None:
    assert as_written(pd.DataFrame({"c": pd.Series(texts * 5, dtype=object)}))[1] == {}


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("store", [f"202403{day}" for day in range(10, 30)] * 5),
        ("invoice_no", [f"202403{day}" for day in range(10, 30)]),
        ("invoice_no", [f"{month}/{year}" for year in (2010, 2011) for month in range(1, 13)]),
        ("invoice", [f"{month}/{year}" for year in range(1901, 2000, 9) for month in (1, 2)]),
    ],
)
def test_codes_by_the_name_and_numbers_of_rows_are_no_dates(name: str, texts: list[str]) -> None:
    assert as_written(pd.DataFrame({name: pd.Series(texts, dtype=object)}))[1] == {}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("form", "kind"), [("%Y%m", "date"), ("%Y%m%d", "date"), ("%d%m%Y", "numeric")])
def test_a_parquet_file_of_whole_numbers_has_the_draft_of_its_csv(
    tmp_path: Path, form: str, kind: str, missing: bool
) -> None:
    (tmp_path / "conf").mkdir()
    months = pd.Series(pd.date_range("2020-01-01", periods=48, freq="MS").strftime(form).astype(int).tolist() * 5)
    if missing:
        months = months.where(months.index % 7 != 0)
    whole = pa.array([None if pd.isna(month) else int(month) for month in months], pa.int64())
    rows = pa.table({"salary_month": whole, "x": np.arange(240) / 7, "y": [0, 1] * 120})
    pq.write_table(rows, tmp_path / "p.parquet")
    rows.to_pandas().astype({"salary_month": "Int64"}).to_csv(tmp_path / "c.csv", index=False)
    projects = []
    for file in ("c.csv", "p.parquet"):
        draft(file, "y", None, tmp_path)
        projects.append(project := load_project(file[0], tmp_path))
        assert project.data.features["salary_month"] == kind
        opened = open_table(project.data, project.task, tmp_path)
        chunk = next(opened.chunks(columns=["salary_month"], rows=9)).batch
        if kind == "date":
            first = [None if pd.isna(m) else pd.to_datetime(str(int(m)), format=form) for m in months.head(9)]
            assert chunk.column(0).to_pylist() == first
    csv, parquet = projects
    assert (csv.data.features, csv.data.written) == (parquet.data.features, parquet.data.written)


def test_a_stated_type_overrules_a_guessed_form_of_dates(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    months = [f"{year}{month:02}" for year in range(2015, 2025) for month in range(1, 13)]
    ambiguous = [f"0{1 + n % 9}/0{1 + n % 8}/2024 0{1 + n % 9}:00 PM" for n in range(120)]
    columns = {"month": months, "when": ambiguous, "x": np.arange(120) / 7, "y": [0, 1] * 60}
    pd.DataFrame(columns).to_csv(tmp_path / "d.csv", index=False)
    for kind, value in (("numeric", 201501.0), ("categorical", "201501"), ("date", pd.Timestamp("2015-01-01"))):
        settings = (f"data.features.month={kind}", "data.features.when=categorical")
        draft("d.csv", "y", kind, tmp_path, Choices(settings=settings))
        project = load_project(kind, tmp_path)
        assert project.data.features["month"] == kind
        assert set(project.data.written) == ({"month"} if kind == "date" else set())
        opened = open_table(project.data, project.task, tmp_path)
        (row,) = next(opened.chunks(columns=["month", "when"], rows=1)).batch.to_pylist()
        assert row == {"month": value, "when": ambiguous[0]}


@pytest.mark.parametrize(("unit", "a_second"), [("seconds", 1), ("milliseconds", 1000), ("nanoseconds", 10**9)])
@pytest.mark.parametrize(("name", "step"), [("recorded", 3600), ("timestamp", 1)])
def test_numbers_that_count_since_1970_are_moments_by_their_name_or_their_steps(
    tmp_path: Path, unit: str, a_second: int, name: str, step: int
) -> None:
    (tmp_path / "conf").mkdir()
    moments = pd.date_range("2024-01-01", periods=300, freq=f"{step}s")
    counts = 1_704_067_200 * a_second + np.arange(300) * step * a_second
    load = np.sin(np.arange(300) / 24 * 2 * np.pi) + np.arange(300) % 7 / 9
    pd.DataFrame({name: counts, "load": load.round(4)}).to_csv(tmp_path / "d.csv", index=False)
    draft("d.csv", "load", None, tmp_path)
    project = load_project("d", tmp_path)
    assert project.data.written == {name: Written(dates=(unit,))}
    assert project.data.series is not None
    assert (project.split.by, project.split.column) == ("time", name)
    rows = open_table(project.data, project.task, tmp_path)
    read = [one for chunk in rows.chunks(columns=[name]) for one in chunk.batch.column(0).to_pylist()]
    assert read == moments.to_pydatetime().tolist()


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("phone", range(600_000_000, 700_000_000, 333_333)),
        ("customer_id", range(1_700_000_000, 1_700_000_300)),
        ("number", range(1_700_000_000, 1_700_000_300)),
        ("timestamp", range(1000, 1300)),
        ("step", range(1_700_000_000, 1_700_030_000, 100)),
        ("population", range(700_000_000, 2_000_000_000, 100_000_000)),
    ],
)
def test_other_numbers_of_that_size_are_no_moments(name: str, numbers: range) -> None:
    shuffled = random.Random(0).sample(list(numbers), len(numbers))
    ends = [n + n % 7 for n in shuffled] if name == "phone" else shuffled
    assert as_written(pd.DataFrame({name: ends}))[1] == {}
    assert as_written(pd.DataFrame({name: pd.Series([str(n) for n in ends], dtype=object)}))[1] == {}


def test_dates_that_may_be_two_days_are_a_question_and_no_guess(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    days = [f"0{1 + n % 9}/0{1 + n % 8}/2024 0{1 + n % 9}:00 PM" for n in range(90)]
    pd.DataFrame({"when": days, "x": np.arange(90) / 7, "y": [0, 1] * 45}).to_csv(tmp_path / "d.csv", index=False)
    decisions = draft("d.csv", "y", None, tmp_path).decisions
    assert any("dates that may be %d/%m/%Y %I:%M %p or %m/%d/%Y %I:%M %p" in line for line in decisions)


def table(rows: int = 300) -> pd.DataFrame:
    """A table as a shop in Germany would export it."""
    rng = random.Random(0)
    price = [round(rng.uniform(0, 4000), 2) for _ in range(rows)]
    return pd.DataFrame(
        {
            "price": [f"{p:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".") + " €" for p in price],
            "rate": ["?" if n % 10 == 0 else f"{n % 97}%" for n in range(rows)],
            "open": [rng.choice(["yes", "Y", "no", "0"]) for _ in range(rows)],
            "size": [rng.choice(["Big", "big ", "small"]) for _ in range(rows)],
            "day": [rng.choice(["23.11.2024", "2024-11-24"]) for _ in range(rows)],
            "y": [int(p + rng.gauss(0, 1000) > 2000) for p in price],
        }
    )


def test_what_init_writes_passes_check_and_rows_to_predict_are_read_as_the_training_was(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    table().to_csv(tmp_path / "shop.csv", index=False, sep=";")
    lines = draft("shop.csv", "y", None, tmp_path).decisions
    (rate,) = (line for line in lines if line.startswith("rate: "))
    assert re.search(r"numeric, .*; (\d+)% is read as \1; \? is read as missing", rate)
    stages.check("shop", tmp_path, [], Silent())
    project = load_project("shop", tmp_path)
    assert project.data.written["price"] == Written(decimal=",", thousands=".", units={"€": 1})
    opened = open_table(project.data, project.task, tmp_path)
    preparation = fit(opened, np.full(300, TRAIN), project.data, project.prepare)
    preparation = type(preparation).from_json(json.loads(json.dumps(preparation.to_json())))
    trained = next(opened.chunks(columns=list(preparation.kinds), rows=20)).batch
    raw = table().head(20)
    typed = raw.assign(price=trained.column("price").to_pylist(), rate=trained.column("rate").to_pylist())
    limits, names = ServeConfig(), tuple(preparation.kinds)
    body = raw.to_csv(index=False).encode()
    records = [
        {k: v for k, v in row.items() if k != "y"}
        for row in typed.astype(object).where(typed.notna(), None).to_dict("records")
    ]
    ways = [
        raw,
        typed,
        pa.RecordBatch.from_pandas(raw, preserve_index=False),
        pa.RecordBatch.from_pandas(typed, preserve_index=False),
        read_body(body, CSV, names, True, limits).rows,
        read_body(json.dumps({"inputs": raw.to_dict("records")}).encode(), JSON, names, True, limits, {"price"}).rows,
        read_body(json.dumps({"inputs": records}).encode(), JSON, names, True, limits, {"price"}).rows,
    ]
    for rows in ways:
        assert canonical_rows(preparation, rows).to_pydict() == trained.to_pydict()


def test_a_number_of_json_has_a_point_also_where_the_column_has_commas(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    table().to_csv(tmp_path / "shop.csv", index=False, sep=";")
    draft("shop.csv", "y", None, tmp_path)
    project = load_project("shop", tmp_path)
    (tmp_path / "new.jsonl").write_text('{"price": 1.234}\n{"price": "1.234"}\n')
    (input_file,) = find_inputs(project.data, str(tmp_path / "new.jsonl"), tmp_path)
    _, batch = next(input_file.batches(["price"], 10))
    assert batch.column("price").to_pylist() == ["1,234", "1.234"]


def test_a_row_that_is_written_otherwise_is_refused_by_itself(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    table().to_parquet(tmp_path / "shop.parquet")
    draft("shop.parquet", "y", None, tmp_path)
    project = load_project("shop", tmp_path)
    opened = open_table(project.data, project.task, tmp_path)
    preparation = fit(opened, np.full(300, TRAIN), project.data, project.prepare)
    rows = table().head(3)
    rows.loc[1, "price"] = "12 $"
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), tmp_path / "new.parquet")
    batch = pq.read_table(tmp_path / "new.parquet").combine_chunks().to_batches()[0]
    assert sift(preparation, batch) == {1: "price must be numeric, in the form of data.written, but is '12 $'"}


def test_settings_of_two_kinds_of_values_are_one_line() -> None:
    from headway.errors import ConfigError

    with pytest.raises(ConfigError, match="a column is of one kind, but its settings are for numbers and texts"):
        Written.parse({"decimal": ",", "fold": True}, "data.written.x")
