"""Files that were validated before are not read again but for the target, and the findings are those of a validation from nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway.data import checks, source
from headway.data.alone import SAMPLE
from headway.pipeline.runs import table_of
from headway.pipeline.validation import examine
from headway.project import Project
from headway.run.report import Silent
from tests.support.months import visits

ROWS = 400
EXPECTATIONS: list[dict[str, Any]] = [
    {"expect": "column_values_to_be_between", "column": "age", "min_value": 20, "max_value": 55},
    {"expect": "column_values_to_be_between", "column": "seen", "min_value": "2024-01-03", "max_value": "2024-03-20"},
    {"expect": "column_values_to_not_be_null", "column": "age"},
    {"expect": "column_values_to_be_in_set", "column": "town", "value_set": ["Ulm", "Köln"]},
    {"expect": "column_values_to_match_regex", "column": "note", "regex": "^note 1"},
    {"expect": "column_value_lengths_to_be_between", "column": "note", "min_value": 7, "max_value": 8},
    {"expect": "column_values_to_be_unique", "column": "id"},
    {"expect": "column_unique_value_count_to_be_between", "column": "note", "min_value": 1, "max_value": 10},
    {"expect": "column_median_to_be_between", "column": "age", "min_value": 0, "max_value": 1},
    {"expect": "column_mean_to_be_between", "column": "age", "min_value": 0, "max_value": 1},
    {"expect": "column_stdev_to_be_between", "column": "age", "min_value": 0, "max_value": 1},
    {"expect": "column_sum_to_be_between", "column": "age", "min_value": 0, "max_value": 1},
    {"expect": "column_max_to_be_between", "column": "age", "min_value": 0, "max_value": 1},
    {"expect": "column_most_common_value_to_be_in_set", "column": "town", "value_set": ["Rom"]},
    {"expect": "column_distinct_values_to_be_in_set", "column": "town", "value_set": ["Rom"]},
    {"expect": "column_pair_values_a_to_be_greater_than_b", "column_A": "age", "column_B": "id"},
    {"expect": "table_row_count_to_be_between", "min_value": 1, "max_value": 10},
]


def project(
    expectations: list[dict[str, Any]] = EXPECTATIONS, split: Mapping[str, str] = MappingProxyType({})
) -> Project:
    features = {"age": "numeric", "town": "categorical", "note": "text", "seen": "date", "id": "numeric"}
    values = {
        "name": "months",
        "task": "classification",
        "data": {"source": "rows", "target": "paid", "features": features},
        "split": {"by": "random", **split},
        "validation": {"expectations": [{**one, "severity": "warn"} for one in expectations]},
    }
    return Project.parse(values, "months.yaml")


def write(root: Path, month: int) -> None:
    random = np.random.default_rng(month)
    frame = visits(random, month, ROWS)
    frame["id"] = random.integers(0, 3_000, ROWS)
    frame["paid"] = random.choice(["yes", "no"], ROWS)
    frame.loc[frame.index[:3], :] = frame.iloc[3:6].to_numpy()  # equal rows
    (root / "rows").mkdir(parents=True, exist_ok=True)
    frame.astype({"id": "int64", "age": "float64", "seen": "datetime64[us]"}).to_parquet(
        root / "rows" / f"2024-{month:02}.parquet"
    )


def findings(own: Project, root: Path) -> dict[str, Any]:
    examined = examine(own, table_of(own, root), Silent(), root)
    assert len(examined.warnings) >= 10, "expectations must fail for their counts and examples to be compared"
    columns = {name: column.to_json() for name, column in examined.profile.columns.items()}
    return {**examined.validation.to_json(), "profile": columns}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of which the target and other columns are read together; the target alone is looked at for what training refuses."""
    names: list[str] = []
    inner = source.read_batches

    def counted(file: str, form: str, csv: Any, columns: Any, *rest: Any, **more: Any) -> Iterator[Any]:
        if {"age", "paid"} <= set(columns):
            names.append(Path(file).name)
        return inner(file, form, csv, columns, *rest, **more)

    monkeypatch.setattr(source, "read_batches", counted)
    return names


@pytest.mark.parametrize("sample", [100, SAMPLE], ids=["some", "all"])
@pytest.mark.parametrize("split", [{}, {"by": "stratified"}, {"by": "group", "column": "town"}], ids=str)
def test_a_new_file_alone_is_read(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch, sample: int, split: dict[str, str]
) -> None:
    monkeypatch.setattr("headway.pipeline.validation.sample_rows", lambda _: sample)
    monkeypatch.setattr(checks, "sample_rows", lambda _: sample)
    root, other, own = tmp_path / "root", tmp_path / "other", project(split=split)
    for month in (1, 2):
        write(root, month)
    findings(own, root)
    write(root, 3)
    reads.clear()
    findings_grown = findings(own, root)
    assert set(reads) == {"2024-03.parquet"}
    shutil.copytree(root / "rows", other / "rows")
    assert findings_grown == findings(own, other)
    reads.clear()
    assert findings(own, root) == findings_grown
    assert not reads


def test_a_new_expectation_is_measured_in_all_files(tmp_path: Path, reads: list[str]) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    for month in (1, 2):
        write(root, month)
    findings(project(EXPECTATIONS[:-1]), root)
    reads.clear()
    further = {
        "expect": "column_min_to_be_between",
        "column": "seen",
        "min_value": "2025-01-01",
        "max_value": "2025-01-02",
    }
    findings_grown = findings(project([*EXPECTATIONS, further]), root)
    assert not reads, "of all columns"
    shutil.copytree(root / "rows", other / "rows")
    assert findings_grown == findings(project([*EXPECTATIONS, further]), other)


def test_a_file_before_the_others_begins_anew(tmp_path: Path) -> None:
    root, other, own = tmp_path / "root", tmp_path / "other", project()
    for month in (2, 3):
        write(root, month)
    findings(own, root)
    write(root, 1)
    shutil.copytree(root / "rows", other / "rows")
    findings_grown, nothing = findings(own, root), findings(own, other)
    findings_grown.pop("profile"), nothing.pop("profile")  # of which moments are the same to rounding
    assert findings_grown == nothing


def test_a_grown_table_is_divided_as_one_that_is_new(tmp_path: Path) -> None:
    own = project(split={"by": "stratified"})
    write(tmp_path, 1)
    examine(own, table_of(own, tmp_path), Silent(), tmp_path)
    with_class = pd.read_parquet(tmp_path / "rows" / "2024-01.parquet")
    with_class.loc[5, "paid"] = "perhaps"
    with_class.to_parquet(tmp_path / "rows" / "2024-02.parquet")
    examined = examine(own, table_of(own, tmp_path), Silent(), tmp_path)
    assert not any("perhaps" in text for text in examined.failures)
