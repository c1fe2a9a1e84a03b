"""What a kill leaves is brought to its end by the next command, whichever it is, and never twice."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headway import tracking
from headway.cli import commands as cli
from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import write_json
from headway.pipeline import zombies
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.server.restore import restore
from headway.tracking import store
from headway.tracking.runs import begin
from headway.tracking.store import open_store
from tests.support.dying import die


@pytest.fixture
def root(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(root)
    return root


def make(root: Path) -> RunDirectory:
    project = {"name": "flowers", "task": "classification", "model": {"name": "mlp"}, "train": {}, "gate": {}}
    return RunDirectory.create(root, "flowers", {"project": project})


def statuses(root: Path) -> list[str]:
    return sorted(one.status for one in tracking.list_runs(root, "flowers"))


def test_the_next_command_closes_a_dead_run_as_killed_and_one_that_was_decided_as_finished(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed, decided = make(root), make(root)
    for run in (killed, decided):
        begin(run, root, {}, "mlp", "")
        die(run)
    write_json(decided.path / "decision.json", {"promoted": True, "reason": "better", "name": "flowers", "version": 1})
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert set(lines) == {
        f"headway: {killed.path.name}: its process was killed; closed as killed",
        f"headway: {decided.path.name}: its process was killed; closed as finished",
    }
    assert statuses(root) == ["FINISHED", "KILLED"]
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["down", "status"])
def test_a_command_that_must_answer_while_mlflow_is_away_leaves_dead_runs_to_the_next(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = make(root)
    die(run)
    with monkeypatch.context() as away:
        away.setattr(zombies, "close_dead", never_called)
        assert cli.main([name]) == 0
    assert "closed" not in capsys.readouterr().err
    assert [one.path for one in lifetime.dead(root)] == [run.path]
    assert cli.main(["list"]) == 0
    assert list(lifetime.dead(root)) == []


LEAVE_THEM = {"status", "down", "up", "doctor", "restore"}


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
@pytest.mark.usefixtures("root")
def test_every_command_closes_dead_runs_first_but_those_that_do_it_later_or_must_not_wait(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    looks: list[Path] = []

    def look(root: Path, **_: object) -> list[str]:
        looks.append(root)
        return []

    monkeypatch.setattr(zombies, "close_dead", look)
    cli._after_kills(argparse.Namespace(do=cli.COMMANDS[name]))
    assert bool(looks) == (name not in LEAVE_THEM)


def test_a_backup_shows_no_dead_run_as_running_where_its_folder_is_not(
    root: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    run, archive, other = make(root), tmp_path_factory.mktemp("kept") / "b.tar", tmp_path_factory.mktemp("other")
    begin(run, root, {}, "mlp", "")
    die(run)
    assert cli.main(["backup", "--to", str(archive)]) == 0
    assert f"{run.path.name}: its process was killed; closed as killed" in capsys.readouterr().err
    restore(str(archive), other)
    assert not (other / "data").exists()
    assert statuses(other) == ["KILLED"]


def never_called(*_arguments: object, **_settings: object) -> list[str]:
    raise AssertionError("a dead run was closed")


def test_a_run_that_another_command_closes_meanwhile_is_not_closed_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(root)
    die(run)
    lock = locks.lock

    def late(descriptor: int, path: Path) -> bool:
        path.rename(run.path / "owner.gone")
        return lock(descriptor, path)

    monkeypatch.setattr(locks, "lock", late)
    assert list(lifetime.dead(root)) == []


def test_a_run_that_goes_on_is_running_again_without_the_problem_of_before(root: Path) -> None:
    run = make(root)
    begin(run, root, {}, "mlp", "")
    tracking.conclude(run, root, "KILLED", {}, "its process was killed")
    begin(run, root, {}, "mlp", "")
    (row,) = tracking.list_runs(root, "flowers")
    assert (row.status, "problem" in row.tags) == ("RUNNING", False)
    tracking.conclude(run, root, "FINISHED", {})
    assert statuses(root) == ["FINISHED"]


def test_however_often_a_run_is_delivered_it_is_one_run(root: Path) -> None:
    """Four at once; a second copy of the folder, which knows nothing of the first delivery; one that was deleted in MLflow."""
    run = make(root)
    journal = run.journal()
    journal.write("metric", step=1, values={"loss": 0.5})
    journal.close()
    shutil.copytree(run.path, root / "copy")
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(lambda _: tracking.sync(run, root), range(4)))
    shutil.rmtree(run.path)
    (root / "copy").rename(run.path)
    ids.add(tracking.sync(run, root))
    client = open_store(root)
    client.delete_run(next(iter(ids)))
    (run.path / "tracking.json").unlink()
    ids.add(tracking.sync(run, root))
    assert len(ids) == 1
    assert statuses(root) == ["KILLED"]
    assert len(client.get_metric_history(ids.pop(), "loss")) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from headway.tracking import store
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "half": SqlAlchemyStore._create_default_experiment = die
else: store.place_database = die
store.open_store(Path(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["half", "whole"])
def test_a_kill_while_the_database_is_made_blocks_nothing(where: str, root: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root), where], check=False)
    assert killed.returncode == -9
    path = root / "mlruns" / "mlflow.db"
    (left,) = path.parent.glob(".mlflow-*")
    assert not path.exists()
    if where == "half":  # earlier versions of this code made it in its place
        shutil.copy(left / "mlflow.db", path)
    begin(make(root), root, {}, "mlp", "")
    assert statuses(root) == ["RUNNING"]
    assert not left.exists()


def test_a_disk_that_is_full_while_the_database_is_made_blocks_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:

        def refuse(*_: object) -> None:
            raise OSError(28, os.strerror(28), "mlflow.db")

        full.setattr(store, "place_database", refuse)
        with pytest.raises(ConfigError, match="No space left on device; free some space"):
            open_store(root)
    assert not [path for path in (root / "mlruns").iterdir() if not path.name.endswith(".lock")]
    begin(make(root), root, {}, "mlp", "")
    assert statuses(root) == ["RUNNING"]


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_folder_that_mlflow_takes_for_another_is_refused(name: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"must have no \? in its path, and no % before two hexadecimal digits"):
        open_store(root / name)
    assert list(root.iterdir()) == [root / "conf"]


def test_a_dead_run_is_closed_in_a_folder_that_was_moved(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is looked at with its lock held, which is no sign that somebody is at work on it."""
    run = make(root)
    begin(run, root, {}, "mlp", "")
    die(run)
    moved = tmp_path_factory.mktemp("moved") / "project"
    root.rename(moved)
    assert zombies.close_dead(moved) == [f"{run.path.name}: its process was killed; closed as killed"]
    shutil.rmtree(root, ignore_errors=True)  # MLflow writes a run's artifacts where the run began
    moved.rename(root)
