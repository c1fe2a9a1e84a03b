"""A retraining that would make a version again is not done; anything that differs, or cannot be known, is retrained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headway import tracking
from headway.files.atomic import write_json
from headway.machine.environment import code_version
from headway.pipeline.incremental import up_to_date
from headway.pipeline.runs import start, table_of
from headway.project import load_project
from headway.run.directory import RunDirectory

PROJECT = """task: classification
data: {source: rows, target: paid, features: {age: numeric}}
"""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[tracking.VersionRow]:
    """What MLflow would say of the versions, newest first."""
    rows: list[tracking.VersionRow] = []
    monkeypatch.setattr(tracking, "versions", lambda _root, _name: list(rows))
    return rows


@pytest.fixture
def make(tmp_path: Path, registry: list[tracking.VersionRow]) -> Callable[..., RunDirectory]:
    """Leaves what a finished run leaves, and its version."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "people.yaml").write_text(PROJECT)
    (tmp_path / "rows").mkdir()
    pd.DataFrame({"age": [20.0, 30.0], "paid": ["yes", "no"]}).to_parquet(tmp_path / "rows" / "a.parquet")

    def make(*settings: str, **tags: Any) -> RunDirectory:
        run = start(load_project("people", tmp_path, settings), tmp_path)
        table = table_of(load_project("people", tmp_path, settings), tmp_path)
        version = str(len(registry) + 1)
        write_json(run.path / "data.json", {"digest": table.digest})
        write_json(run.path / "tracking.json", {"run_id": f"run{version}"})
        write_json(run.path / "decision.json", {"version": version})
        registry.insert(0, tracking.VersionRow(version, f"run{version}", 0.0, (), tags))
        return run

    return make


def test_the_same_inputs_are_up_to_date_and_each_change_is_not(
    tmp_path: Path, make: Callable[..., RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert up_to_date(load_project("people", tmp_path), tmp_path) is None
    run = make()
    earlier_run = up_to_date(load_project("people", tmp_path), tmp_path)
    assert earlier_run is not None
    assert earlier_run.to_json() == {
        "project": "people",
        "up_to_date": True,
        "version": "1",
        "run_directory": str(run.path),
    }
    assert earlier_run.text.startswith("up to date: version 1 of 1970-01-01 00:00 UTC")
    assert up_to_date(load_project("people", tmp_path, ["train.epochs=3"]), tmp_path) is None
    with monkeypatch.context() as patched:
        patched.setattr(
            "headway.pipeline.incremental.code_version", lambda root: replace(code_version(root), version="0")
        )
        assert up_to_date(load_project("people", tmp_path), tmp_path) is None
    shutil.copy(tmp_path / "rows" / "a.parquet", tmp_path / "rows" / "b.parquet")
    assert up_to_date(load_project("people", tmp_path), tmp_path) is None


def test_only_the_champion_and_the_newest_version_that_stands_count(
    tmp_path: Path, make: Callable[..., RunDirectory], registry: list[tracking.VersionRow]
) -> None:
    make()
    make("train.epochs=3")
    assert up_to_date(load_project("people", tmp_path), tmp_path) is None, "an older version that is not champion"
    registry[0] = replace(registry[0], tags={"decision": "rolled back"})
    assert up_to_date(load_project("people", tmp_path, ["train.epochs=3"]), tmp_path) is None
    assert up_to_date(load_project("people", tmp_path), tmp_path) is not None
    registry[0] = replace(registry[0], tags={})
    registry[1] = replace(registry[1], aliases=("champion",))
    assert up_to_date(load_project("people", tmp_path), tmp_path) is not None
    registry.clear()
    assert up_to_date(load_project("people", tmp_path), tmp_path) is None, "its version was deleted"


def test_without_the_run_directory_or_with_a_damaged_one_it_retrains(
    tmp_path: Path, make: Callable[..., RunDirectory]
) -> None:
    run = make()
    (run.path / "data.json").write_text("{")
    assert up_to_date(load_project("people", tmp_path), tmp_path) is None
    shutil.rmtree(run.path)
    assert up_to_date(load_project("people", tmp_path), tmp_path) is None
