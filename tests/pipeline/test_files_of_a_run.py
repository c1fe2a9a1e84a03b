"""A run reads the files that its validation saw: one that arrives while it trains is for the next run, and a changed one is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from headway.data.digests import file_digests
from headway.data.learnt_rows import LearntRows
from headway.data.store import Store
from headway.errors import DataError
from headway.files import checksums
from headway.pipeline import runs, stages
from headway.pipeline.exam_of_rows import ExamOfRows
from headway.pipeline.other_columns import Reading, unlearnt_rows, write_test_rows
from headway.project import Project, load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.watch.reference import Reference

FEATURES = {"a": "numeric", "c": "categorical"}


def write_rows(root: Path, name: str, seed: int, count: int = 600) -> Path:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=count)
    frame = pd.DataFrame({"a": a, "c": rng.choice(list("xyz"), count), "y": a + rng.normal(size=count)})
    frame.to_csv(root / "rows" / name, index=False)
    return root / "rows" / name


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run that has validated two files."""
    for name in ("conf", "rows"):
        (tmp_path / name).mkdir()
    settings = {"task": "regression", "data": {"source": "rows", "target": "y", "features": FEATURES}}
    (tmp_path / "conf" / "w.yaml").write_text(yaml.safe_dump({**settings, "split": {"by": "random"}}))
    write_rows(tmp_path, "1.csv", 1)
    write_rows(tmp_path, "2.csv", 2)
    run = runs.start(load_project("w", tmp_path), tmp_path)
    stages.validate(run, tmp_path, Silent())
    return run


def project_of(run: RunDirectory) -> Project:
    project = runs.project_of(run)
    assert isinstance(project, Project)
    return project


def test_a_file_that_arrives_while_a_run_trains_is_no_part_of_it(run: RunDirectory) -> None:
    root, project = run.root, project_of(run)
    arrived = write_rows(root, "0.csv", 3)
    stages.prepare(run, root, Silent())
    store = Store(run.store)
    assert sum(store.rows.values()) == 1200
    arrived.write_text("not, even\nthe, same\n")
    run.bundle.mkdir()
    checksums.seal(run.bundle)
    run.predictions("test").parent.mkdir()
    np.save(run.predictions("test"), np.linspace(0, 1, store.rows["test"]))
    ExamOfRows(run, project, root).keep_reference()
    digests = file_digests([str(root / "rows" / name) for name in ("1.csv", "2.csv")], root)
    assert Reference.of(run.bundle, "1").files == tuple(sorted(digests.values()))


def test_the_rows_that_are_read_again_for_a_champion_are_those_of_the_store(run: RunDirectory) -> None:
    root, project = run.root, project_of(run)
    stages.prepare(run, root, Silent())
    store = Store(run.store)
    write_rows(root, "0.csv", 3)
    learnt = store.learnt
    assert learnt.identity is not None
    assert learnt.rule.reading is not None
    carried = LearntRows.of(learnt.rule, type(learnt.identity)("content", (("a", None),)), np.zeros(0, np.uint64))
    assert len(unlearnt_rows(store, project, lambda: runs.rows_of(run, project, root), carried)) == store.rows["test"]
    reading = Reading({"a": "numeric"}, learnt.rule.reading, (), False)
    test_rows = write_test_rows(run.path / "given", project, runs.rows_of(run, project, root), reading).raw_test()
    assert test_rows.column("a").equals(store.raw_test(["a"]).column("a"))


def test_a_validated_file_that_changes_or_goes_is_one_line(run: RunDirectory) -> None:
    root = run.root
    file = root / "rows" / "2.csv"
    content = file.read_bytes()
    write_rows(root, "2.csv", 4)
    fix = f"put it back and run: headway resume {run.path.name}; or start a new run: headway run w"
    stayed = f"rows/2.csv must stay as it was when {run.path.name} validated it, but it"
    with pytest.raises(DataError) as raised:
        stages.prepare(run, root, Silent())
    assert str(raised.value) == f"{stayed} has changed; {fix}"
    file.unlink()
    with pytest.raises(DataError) as raised:
        stages.prepare(run, root, Silent())
    assert str(raised.value) == f"{stayed} is missing; {fix}"
    file.write_bytes(content)
    stages.prepare(run, root, Silent())


def test_a_wide_table_whose_profile_is_an_outline_has_the_same_reference(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, project = run.root, project_of(run)
    stages.prepare(run, root, Silent())
    run.predictions("test").parent.mkdir()
    np.save(run.predictions("test"), np.linspace(0, 1, Store(run.store).rows["test"]))

    def reference() -> Reference:
        run.bundle.mkdir(exist_ok=True)
        checksums.seal(run.bundle)
        ExamOfRows(run, project, root).keep_reference()
        return Reference.of(run.bundle, "1")

    narrow = reference()
    monkeypatch.setattr("headway.data.profile.WIDE", 1)
    stages.validate(run, root, Silent())
    assert "hashes" not in (run.path / "profile.json").read_text()
    assert reference() == narrow
