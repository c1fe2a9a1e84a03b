"""Columns in the names of folders: month=1/part-0.parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.data.arriving import find_inputs
from headway.data.config import CsvOptions
from headway.data.file_profiles import profile_by_file
from headway.data.formats import read_batches
from headway.data.opening import open_table
from headway.draft.drafting import draft
from headway.pipeline import stages
from headway.project import load_project
from headway.run.report import Silent

RNG = np.random.default_rng(2)
ROWS = 100


def write(place: Path, month: str, suffix: str, frame: pd.DataFrame) -> None:
    folder = place / f"shop=a%20b/month={month}"
    folder.mkdir(parents=True)
    path = folder / f"part-0{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)


def frame() -> pd.DataFrame:
    x = RNG.normal(size=ROWS)
    return pd.DataFrame({"x": x, "y": np.where(x + RNG.normal(size=ROWS) > 0, "yes", "no")})


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_names_of_folders_are_columns_in_training_and_for_one_file_to_score(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "conf").mkdir()
    for month in ("1", "2", "10", "__HIVE_DEFAULT_PARTITION__"):
        write(tmp_path / "rows", month, suffix, frame())
    result = draft("rows", "y", None, tmp_path)
    project = load_project("rows", tmp_path)
    assert project.data.features == {"x": "numeric", "month": "numeric"}
    assert project.data.ignore == {"shop": "always a b"}
    assert "read from the names of folders: month, shop" in result.decisions
    assert stages.check("rows", tmp_path, [], Silent()).passed
    months = pa.chunked_array(
        [c.batch.column("month") for c in open_table(project.data, project.task, tmp_path).chunks(["month"])]
    )
    assert sorted(months.value_counts().to_pylist(), key=str) == [
        {"values": value, "counts": ROWS} for value in (1.0, 10.0, 2.0, None)
    ]
    one = tmp_path / "rows" / "shop=a%20b" / "month=10" / f"part-0{suffix}"
    (item,) = find_inputs(project.data, str(one), tmp_path)
    assert "month" in item.schema().names
    ((_, batch),) = item.batches(["month", "x"], 1000)
    assert batch.schema.names == ["month", "x"]
    assert set(batch.column("month").to_pylist()) == {"10"}


def test_the_same_rows_in_another_folder_are_other_rows(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    rows = frame()
    for month in ("0", "1", "2"):
        write(tmp_path / "rows", month, ".parquet", rows)
    draft("rows", "y", None, tmp_path)
    project = load_project("rows", tmp_path)
    table = open_table(project.data, project.task, tmp_path)
    months = profile_by_file(table, tmp_path, tmp_path / "profiles").columns["month"]
    assert (months.min, months.max) == (0, 2)
    before = table.digest
    (tmp_path / "rows" / "shop=a%20b" / "month=2").rename(tmp_path / "rows" / "shop=a%20b" / "month=3")
    table = open_table(project.data, project.task, tmp_path)
    assert table.digest != before
    assert profile_by_file(table, tmp_path, tmp_path / "profiles").columns["month"].max == 3


def test_a_column_of_the_file_is_read_rather_than_the_folder_and_far_folders_are_no_columns(tmp_path: Path) -> None:
    folder = tmp_path / "run=7" / "rows" / "x=9"
    folder.mkdir(parents=True)
    pd.DataFrame({"x": [1.0], "y": ["no"]}).to_parquet(folder / "a.parquet")
    (batch,) = read_batches(str(folder / "a.parquet"), "parquet", CsvOptions(), None, 10)
    assert batch.to_pylist() == [{"x": 1.0, "y": "no"}]
