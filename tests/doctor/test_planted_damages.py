"""Every planted damage of the list is found and named, got around, repaired, and then nothing is wrong any more."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from headway import tracking
from headway.data.ready import is_ready
from headway.data.store import Store
from headway.doctor import main as doctor
from headway.errors import DamagedError, HeadwayError
from headway.pipeline import retention, runs, stages, zombies
from headway.pipeline.incremental import up_to_date
from headway.pipeline.resuming import unfinished
from headway.project import load_project
from headway.run.report import Silent
from headway.serve.bundle import load_predictor
from headway.server import status
from headway.server.backup import backup
from headway.train.checkpoint import load_newest
from tests.doctor.mending import assert_mended, lines_of, settled
from tests.doctor.planted import (
    AROUND_CHAMPIONS,
    CHAMPIONS,
    CHECKPOINTS,
    DATABASES,
    DEAD_RUNS,
    PAGES,
    PLANTED,
    PREFECT,
    STORES,
    Kind,
    Planted,
)
from tests.support.whole_project import WholeProject

pytestmark = pytest.mark.slow


@pytest.fixture
def holder(case: Planted, request: pytest.FixtureRequest) -> WholeProject:
    """The case's project, in the folder that it shares with others."""
    whole: WholeProject = request.getfixturevalue("built" if case.project == "rows" else "built_others")
    return whole.of(case.project)


def refusal(call: Callable[[], object]) -> str:
    """The one line by which Headway refuses."""
    with pytest.raises(HeadwayError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("case", DEAD_RUNS, ids=str)
def test_a_damaged_file_of_a_dead_run_ends_no_command(killed: WholeProject, case: Planted) -> None:
    root, run, name = killed.root, killed.run("dead"), killed.name
    path = run.path / case.file
    if not path.exists():  # pictures are of finished runs
        path.parent.mkdir()
        shutil.copy(next((killed.run("finished").path / path.parent.name).glob("*.png")), path)
    case.plant(path)
    where = path.name if path.parent.name != "bundle" else f"{run.path.name}/bundle"
    assert any(where in line for line in lines_of(killed)), lines_of(killed)
    assert run.result is None
    assert isinstance(list(run.events()), list)
    assert runs.summary(run).to_json()["run_directory"] == str(run.path)
    assert status.status(root).runs
    assert retention.collect(root, [], False).applied is False
    up_to_date(load_project(name, root), root)
    closed_runs = zombies.close_dead(root)
    assert any(line.startswith(f"{name}-later: its process was killed; closed as killed") for line in closed_runs), (
        closed_runs
    )
    assert zombies.close_dead(root) == [], "no run comes up again and again"
    assert killed.status("later") == "KILLED"
    with contextlib.suppress(HeadwayError):  # it can go on, or one line says why not
        unfinished(run.path.name, root)
    report = doctor.mend(root)
    assert report.left == (), [one.line(root) for one in report.left]
    assert killed.status("dead") == "KILLED"


JOURNALS = [case for case in DEAD_RUNS if case.project == "rows" and case.file == "journal.jsonl"]


@pytest.mark.parametrize("case", JOURNALS, ids=str)
def test_a_damaged_journal_is_read_and_continued_behind_its_last_whole_event(
    project: WholeProject, case: Planted
) -> None:
    run = project.run("dead")
    before = {event.n: event for event in run.events()}
    case.plant(run.path / case.file)
    left = list(run.events())
    assert all(before[event.n] == event for event in left)
    journal = run.journal()
    journal.write("stage", name="resumed")
    journal.close()
    after = list(run.events())
    assert after[:-1] == left
    assert after[-1].n == max((event.n for event in left), default=0) + 1


@pytest.mark.parametrize("case", CHECKPOINTS, ids=str)
def test_a_training_goes_on_from_the_checkpoint_before_a_damaged_one(project: WholeProject, case: Planted) -> None:
    run, count = project.run("dead"), int(case.file)
    checkpoints = sorted(run.checkpoints.glob("step-*.safetensors"), reverse=True)
    for path in checkpoints[:count]:
        case.plant(path)
    messages: list[str] = []
    checkpoint = load_newest(run.checkpoints, messages.append)
    assert len(messages) == count
    assert checkpoints[0].name in messages[0]
    assert (checkpoint is None) == (count == len(checkpoints))
    assert_mended(project, checkpoints[0].name)


@pytest.mark.parametrize("case", CHAMPIONS, ids=str)
def test_a_damaged_champion_is_refused_in_one_line_and_taken_again_from_its_run(
    project: WholeProject, case: Planted
) -> None:
    root, name, bundle = project.root, project.name, project.bundle
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    case.plant(bundle / case.file)
    version = refusal(lambda: tracking.version_of(root, name))
    assert case.file in version
    assert version.endswith(
        f"headway doctor --apply repairs it from a copy, if there is one; otherwise: headway rollback {name} --to 1"
    )
    assert case.file in refusal(lambda: load_predictor(bundle))
    assert_mended(project, case.file)
    assert {path.name: path.read_bytes() for path in project.bundle.iterdir()} == before
    assert tracking.version_of(root, name).version == "2"


@pytest.mark.parametrize("case", AROUND_CHAMPIONS, ids=str)
def test_what_mlflow_needs_around_a_bundle_is_made_anew(project: WholeProject, case: Planted) -> None:
    case.plant(project.model / case.file)
    assert tracking.version_of(project.root, project.name).version == "2", "Headway itself needs the bundle alone"
    assert_mended(project, case.file)
    assert (project.model / case.file).exists()
    assert load_predictor(project.bundle)


@pytest.mark.parametrize("case", STORES, ids=str)
def test_a_damaged_store_is_not_used_but_made_again(project: WholeProject, case: Planted) -> None:
    path, file = project.store, Path(case.file).name
    case.plant(path / case.file)
    if file != "store.json":
        with pytest.raises(DamagedError, match=file):
            _use(path, case.project)
    assert any(path.name in line and file in line for line in lines_of(project)), lines_of(project)
    texts: list[str] = []
    assert is_ready(path, texts.append) is False
    assert len(texts) == 1
    assert file in texts[0]
    assert not path.exists()
    run = runs.start(load_project(project.name, project.root), project.root)
    assert stages.prepare(run, project.root, Silent()).reused is False
    assert _use(path, case.project)
    shutil.rmtree(run.path)
    assert lines_of(project) == []


def _use(path: Path, project: str) -> bool:
    """Read all that a store holds."""
    store = Store(path)
    for split in ("train", "validation", "test"):
        if project == "little":
            assert len(store.tokens(split))
        else:
            store.arrays(split)
    if project != "little":
        store.units("test")
    return bool(store.raw_test().num_rows and store.rows and store.preparation and store.learnt)


@pytest.mark.parametrize("case", DATABASES, ids=str)
def test_a_damaged_mlflow_database_is_named_and_replaced_by_the_newest_backup(
    project: WholeProject, case: Planted
) -> None:
    backup(project.root, str(project.root / "backups") + "/")
    path = settled(project)
    case.plant(path)
    assert "mlflow.db" in refusal(lambda: tracking.version_of(project.root, project.name))
    assert_mended(project, "mlflow.db")
    assert tracking.version_of(project.root, project.name).version == "2"


@pytest.mark.parametrize("case", PREFECT, ids=str)
def test_a_lost_prefect_database_makes_room_for_a_new_one(project: WholeProject, case: Planted) -> None:
    path = project.root / case.file
    case.plant(path)
    assert_mended(project, "prefect.db")
    assert not path.exists()
    assert path.with_name("prefect.db.damaged").exists()


@pytest.mark.parametrize("case", PAGES, ids=str)
def test_the_rows_that_can_be_read_of_a_damaged_database_are_saved(project: WholeProject, case: Planted) -> None:
    path = project.root / case.file
    case.plant(path)
    assert_mended(project, "prefect.db")
    with sqlite3.connect(path) as database:
        numbers = {n for (n,) in database.execute("SELECT id FROM flow_run")}
    database.close()
    assert 400 < len(numbers) < 500
    assert {0, 499} <= numbers


TESTS = (
    test_a_damaged_file_of_a_dead_run_ends_no_command,
    test_a_training_goes_on_from_the_checkpoint_before_a_damaged_one,
    test_a_damaged_champion_is_refused_in_one_line_and_taken_again_from_its_run,
    test_what_mlflow_needs_around_a_bundle_is_made_anew,
    test_a_damaged_store_is_not_used_but_made_again,
    test_a_damaged_mlflow_database_is_named_and_replaced_by_the_newest_backup,
    test_a_lost_prefect_database_makes_room_for_a_new_one,
    test_the_rows_that_can_be_read_of_a_damaged_database_are_saved,
)


def test_the_list_holds_a_hundred_different_damages_of_all_five_kinds_and_each_is_tested_once() -> None:
    tested = [case for test in TESTS for mark in test.pytestmark for case in mark.args[1]]  # type: ignore[attr-defined]
    assert Counter(tested) == Counter(PLANTED)
    assert len(set(PLANTED)) == len(PLANTED) >= 100
    kinds = Counter(case.kind for case in PLANTED)
    assert set(kinds) == set(get_args(Kind))
    assert min(kinds.values()) >= 10, kinds
    assert {case.project for case in CHAMPIONS} == {case.project for case in STORES} == {"rows", "trees", "little"}
