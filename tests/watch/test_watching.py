"""A champion trained on quiet months of the loan book, then further months: quiet ones, drifting ones, spoilt ones."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from headway import tracking
from headway.cli import commands as cli
from headway.data.datasets.loans import Options, generate
from headway.errors import ConfigError, DataError
from headway.files.atomic import read_json, write_json
from headway.pipeline import runs, stages, watching, zombies
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.watch.result import WatchResult

CONF = Path(__file__).parents[2] / "conf" / "loans.yaml"
FEW = [
    "train.epochs=3",
    "evaluate.baselines=[trivial]",
    "train.threads=1",
    "evaluate.resamples=100",
    "model.name=boosting",
]
QUIET, TRAINED = 6, 5
"""So few rows may not tell a third of the drift from chance; half of it they do.

Months without drift, and how many of them the champion sees. Twelve are made: the last six drift."""


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return generate(Options(rows_per_month=2000, months=12), tmp_path_factory.mktemp("loans"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, months: tuple[Path, ...]) -> Path:
    """A project on a folder of the first months, with its champion."""
    root = tmp_path_factory.mktemp("project")
    project = yaml.safe_load(CONF.read_text())
    project["data"] = {k: v for k, v in project["data"].items() if k not in ("dataset", "options")}
    project["data"]["source"] = "arriving"
    (root / "conf").mkdir()
    (root / "conf" / "loans.yaml").write_text(yaml.safe_dump(project))
    (root / "conf" / "none.yaml").write_text(yaml.safe_dump(project))
    (root / "arriving").mkdir()
    for month in months[:TRAINED]:
        shutil.copy(month, root / "arriving")
    run = runs.start(load_project("loans", root, FEW), root)
    runs.track(run, root)
    for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register):
        stage(run, root, Silent())
    runs.conclude(run, root)
    return root


def watched(root: Path, data: Path | None = None) -> tuple[RunDirectory, WatchResult]:
    run = watching.open_watch("loans", root, None if data is None else str(data))
    assert isinstance(run, RunDirectory)
    return run, watching.watch(run, root, Silent())


def test_a_quiet_month_is_no_drift_and_drifting_months_are(root: Path, months: tuple[Path, ...]) -> None:
    assert not watched(root, months[QUIET - 1])[1].drifted
    for month in (months[QUIET + 2], months[-1]):
        drift = watched(root, month)[1]
        assert drift.drifted
        assert "interest_rate" in drift.drifted_columns
    assert "predictions" in drift.drifted_columns


def test_the_files_that_training_did_not_see_are_looked_at_and_the_run_is_in_mlflow(
    root: Path, months: tuple[Path, ...]
) -> None:
    arrived = shutil.copy(months[-1], root / "arriving")
    try:
        run, drift = watched(root)
    finally:
        Path(arrived).unlink()
    assert drift.files == (months[-1].name,)
    page = (run.path / "watch.md").read_text()
    assert page.startswith("# Drift")
    count = pq.read_table(months[-1])["issued"].cast(pa.date32()).combine_chunks().unique()
    assert f"2,000 rows in {len(count)} days of {months[-1].name}" in page
    assert "Rows of one day are more alike" in page
    assert drift.summary.endswith(f"(2,000 rows in {len(count)} days)")
    newest = tracking.list_runs(root, "loans")[0]
    assert newest.tags["kind"] == "watch"
    psi = {c.column: c.psi for c in drift.columns}
    assert newest.metrics["psi/interest_rate"] == pytest.approx(psi["interest_rate"])
    assert len(newest.metrics) <= 100


def test_a_finished_watch_is_no_dead_run(root: Path, months: tuple[Path, ...]) -> None:
    run, _ = watched(root, months[QUIET - 1])
    assert not (run.path / "owner.lock").exists()
    assert zombies.close_dead(root) == []


@contextlib.contextmanager
def of_an_older_version(bundle: Path, tmp_path: Path) -> Iterator[None]:
    """The bundle may be changed in the block: it has no checksums, as those of older versions."""
    shutil.copytree(bundle, tmp_path / "bundle")
    (bundle / "checksums.json").unlink()
    try:
        yield
    finally:
        shutil.copytree(tmp_path / "bundle", bundle, dirs_exist_ok=True)


def test_a_champion_that_says_nothing_of_units_is_watched_row_by_row_and_that_is_told(
    root: Path, months: tuple[Path, ...], tmp_path: Path
) -> None:
    champion = tracking.champion(root, "loans")
    assert champion is not None
    path = champion.bundle / "reference.json"
    with of_an_older_version(champion.bundle, tmp_path):
        older = read_json(path)
        del older["together"]
        for column in (*older["columns"].values(), older["prediction"]):
            del column["correlation"]
        write_json(path, older)
        run, drift = watched(root, months[QUIET - 1])
    assert {column.effect for column in drift.columns} == {1.0}
    assert "does not say which rows belong together" in (run.path / "watch.md").read_text()


def test_files_that_training_saw_are_nothing_new_and_get_no_verdict(
    root: Path, months: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((root / "data" / "runs").iterdir())
    monkeypatch.chdir(root)
    for words, files in (([], "all 5 files"), (["--data", str(months[0])], "the one file")):
        assert cli.main(["watch", "loans", "--json", *words]) == 0
        printed = capsys.readouterr()
        answer = json.loads(printed.out.splitlines()[-1])
        assert (answer["drifted"], answer["run_directory"]) == (None, None)
        assert answer["summary"] in " ".join(printed.err.split())
        assert answer["summary"].startswith("nothing new: the champion of loans, version 1, was trained on")
        assert files in answer["summary"]
        assert "no drift" not in printed.err
    assert sorted((root / "data" / "runs").iterdir()) == before
    arrived = shutil.copy(months[QUIET - 1], root / "arriving")
    try:
        assert watched(root, root / "arriving")[1].why == "as asked; the champion was trained on 5 of the 6 files"
    finally:
        Path(arrived).unlink()


def test_more_nulls_and_new_categories_are_told_by_great_expectations(
    root: Path, months: tuple[Path, ...], tmp_path: Path
) -> None:
    table = pq.read_table(months[QUIET - 1])
    half = pa.array([n % 2 == 0 for n in range(table.num_rows)])
    amount = pa.compute.if_else(half, None, table["amount"])  # pyrefly: ignore
    home = pa.compute.if_else(half, "houseboat", table["home"])  # pyrefly: ignore
    for name, column in (("amount", amount), ("home", home)):
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, tmp_path / "spoilt.parquet")
    drift = watched(root, tmp_path / "spoilt.parquet")[1]
    assert drift.drifted
    broken = {(r.name, r.column) for r in drift.expectations if not r.passed}
    assert broken == {("column_values_to_not_be_null", "amount"), ("column_values_to_be_in_set", "home")}


def test_rows_that_have_no_target_yet_are_watched_and_a_column_that_is_gone_is_told(
    root: Path, months: tuple[Path, ...], tmp_path: Path
) -> None:
    pq.write_table(pq.read_table(months[QUIET - 1]).drop_columns(["defaulted"]), tmp_path / "unlabelled.parquet")
    assert not watched(root, tmp_path / "unlabelled.parquet")[1].drifted
    pq.write_table(pq.read_table(months[QUIET - 1]).drop_columns(["income"]), tmp_path / "gone.parquet")
    before = sorted((root / "data" / "runs").iterdir())
    with pytest.raises(DataError, match=r"gone\.parquet: rows must have every column .* income is missing"):
        watching.open_watch("loans", root, str(tmp_path / "gone.parquet"))
    assert sorted((root / "data" / "runs").iterdir()) == before


def test_without_a_champion_its_profile_or_rows_there_is_one_clear_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none has no champion to watch yet"):
        watching.open_watch("none", root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds none"):
        watching.open_watch("loans", root, str(tmp_path / "empty"))
    champion = tracking.champion(root, "loans")
    assert champion is not None
    with of_an_older_version(champion.bundle, tmp_path):
        (champion.bundle / "reference.json").unlink()
        with pytest.raises(ConfigError, match=r"version 1 has no reference\.json; retrain"):
            watching.open_watch("loans", root)


def test_the_command_says_drift_plainly_and_ends_with_0(
    root: Path, months: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert cli.main(["watch", "loans", "--data", str(months[-1]), "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out.splitlines()[-1])
    assert report["drifted"] is True
    assert "drift: " in printed.err
    assert read_json(Path(report["run_directory"]) / "watch.json")["summary"] == report["summary"]
