"""`headway init` on the tables that people really have: what it drafts passes `headway check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.draft.drafting import draft
from headway.errors import DataError
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.report import Silent


@pytest.fixture
def project_root(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    return tmp_path


def frame(rows: int = 400, **more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    a = rng.normal(size=rows)
    y = np.where(a + rng.normal(size=rows) > 0, "yes", "no")
    return pd.DataFrame({"a": a, "c": rng.choice(list("xyz"), rows), "y": y}).assign(**more)


def drafted(root: Path, table: pd.DataFrame) -> dict[str, Any]:
    table.to_csv(root / "rows.csv", index=False)
    draft("rows.csv", "y", None, root)
    stages.check("rows", root, [], Silent())
    return load_project("rows", root).data.model_dump()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_folder_of_files_with_classes_in_words(project_root: Path, suffix: str) -> None:
    folder = project_root / "rows"
    folder.mkdir()
    for n in range(2):
        table = frame().iloc[n * 200 : (n + 1) * 200]
        (table.to_csv if suffix == "csv" else table.to_parquet)(folder / f"{n}.{suffix}", index=False)
    (folder / "SOURCE.txt").write_text("where these came from\n")
    draft("rows", "y", None, project_root)
    judgement = stages.check("rows", project_root, [], Silent())
    assert judgement.source.rows == 400
    assert load_project("rows", project_root).data.positive == "yes"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"d.csv": "a,y\n1,2\n", "h.csv": "a,hr,y\n1,2,3\n"}, "h.csv and d.csv differ in hr; give --data one of them"),
    ],
)
def test_what_is_no_table_is_one_line(project_root: Path, content: dict[str, str], line: str) -> None:
    (project_root / "rows").mkdir()
    for name, text in content.items():
        (project_root / "rows" / name).write_text(text)
    with pytest.raises(DataError, match=line):
        draft("rows", "y", None, project_root)
    assert not list((project_root / "conf").iterdir())


def test_a_name_that_occurs_twice_in_parquet_is_one_line(project_root: Path) -> None:
    pq.write_table(pa.table([[1.5, 2], [2, 3], ["yes", "no"]], names=["a", "a", "y"]), project_root / "d.parquet")
    with pytest.raises(DataError, match=r"d.parquet: column names must differ, but a occurs more than once"):
        draft("d.parquet", "y", None, project_root)


def test_a_date_that_only_the_event_writes_down_is_a_leak(project_root: Path) -> None:
    table = frame()
    days = pd.Series(pd.date_range("2024-01-01", periods=400)).dt.strftime("%d/%m/%Y")
    data = drafted(project_root, table.assign(cancelled=days.where(table.y == "yes"), signed=days))
    assert data["ignore"]["cancelled"] == "leak: each of its values stands for one class of y"


def test_codes_with_leading_zeros_are_no_numbers_and_separated_numbers_are(project_root: Path) -> None:
    rng = np.random.default_rng(1)
    zips = [f"{n:05}" for n in rng.choice([1011, 90210, 60601, 10115], 400)]
    income = [f"{n:,.2f}" for n in rng.normal(30_000, 5_000, 400)]
    data = drafted(project_root, frame(zip=zips, income=income))
    assert data["features"]["zip"] == "categorical"
    assert data["features"]["income"] == "numeric"
    assert data["written"]["income"]["thousands"] == ","


def test_infinities_and_rows_without_a_target_are_left_out(project_root: Path) -> None:
    table = frame(b=[np.inf, *range(399)])
    table.loc[:29, "y"] = None
    data = drafted(project_root, table)
    assert "infinite" in data["ignore"]["b"]
    assert data["unlabelled"] == "drop"
    judgement = stages.check("rows", project_root, [], Silent())
    assert judgement.source.rows == 370
    with pytest.raises(
        DataError, match="the target y must be given in every row, but 30 of 400 lack it; data.unlabelled: drop"
    ):
        stages.check("rows", project_root, ["data.unlabelled=stop"], Silent())


def test_a_tiny_table_trains_as_drafted(project_root: Path) -> None:
    drafted(project_root, frame(24))
    run = runs.start(load_project("rows", project_root, ["train.epochs=2", "train.threads=1"]), project_root)
    for stage in (stages.validate, stages.prepare, stages.train):
        stage(run, project_root, Silent())
    assert run.result is not None
