"""A project's folder that was moved or copied: everything goes on there, and a copy leaves the original alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway import tracking
from headway.cli import commands as cli
from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json, write_json
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.places import PLACES, elsewhere, rename, settle
from headway.run.report import Silent
from headway.tracking.experiments import experiment_of
from headway.tracking.store import open_store
from tests.support.whole import make, retrain

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion; its folder's name holds what paths and addresses trip over."""
    root = tmp_path_factory.mktemp("projects") / "loans 50%_a+b"
    root.mkdir()
    make(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("HEADWAY_DATABASE", raising=False)
        retrain(root, "model=linear")
    return root


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """As if the folder had been moved elsewhere."""
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    try:
        yield
    finally:
        assert not folder.exists(), "what was moved away is made again"
        hidden.rename(folder)


def content(root: Path) -> dict[str, str]:
    """Every file with its time and the digest of what it holds."""
    return {
        str(path.relative_to(root)): f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def naming(root: Path, folder: Path) -> list[str]:
    """The places in MLflow's database of ``root`` that lie in ``folder``."""
    with contextlib.closing(sqlite3.connect(root / "mlruns" / "mlflow.db")) as database:
        return [
            place
            for table, columns in PLACES.items()
            for column in columns
            for (place,) in database.execute(f"SELECT {column} FROM {table}")
            if place and (place == str(folder) or f"{folder}/" in place)
        ]


def first_words(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the first command in a new place says beside its answer."""
    monkeypatch.chdir(root)
    capsys.readouterr()
    assert cli.main(["show", "rows", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1])["champion"]["version"] == "1"
    assert cli.main(["list"]) == 0
    assert "headway: " not in capsys.readouterr().err, "said once"
    return [line for line in output.err.splitlines() if line.startswith("headway: ")]


def test_a_moved_project_trains_compares_scores_and_rolls_back_at_once(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "moved, here"
    shutil.copytree(original, here)
    assert naming(here, original)
    with away(original):
        output = first_words(here, monkeypatch, capsys)
        assert output == [f"headway: this folder was {original} before; its runs and models now name {here}"]
        assert naming(here, original) == []
        second = retrain(here, "model=linear", "train.seed=1")
        evaluation = read_json(second.path / "evaluation.json")
        assert (evaluation["champion"]["version"], evaluation["champion_problem"]) == ("1", None)
        assert second.store.is_relative_to(here)
        assert cli.main(["score", "rows"]) == 0
        assert read_json(here / "data" / "scored" / "rows" / "manifest.json")["scored"] == 3000
        champion = tracking.champion(here, "rows")
        assert champion is not None
        other = "2" if champion.version == "1" else "1"
        assert cli.main(["rollback", "rows", "--to", other]) == 0
        after = tracking.champion(here, "rows")
        assert after is not None
        assert after.version == other
        assert [one.kind for one in tracking.history(here, "rows")][::2] == ["first", "rollback"]


def test_a_copy_says_so_and_leaves_the_original_as_it_was(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    history = tracking.history(original, "rows")
    before = content(original)
    (line,) = first_words(copy, monkeypatch, capsys)
    assert line.startswith(f"headway: this folder is a copy of {original}; ")
    run = runs.start(load_project("rows", copy), copy)
    runs.track(run, copy)
    stages.validate(run, copy, Silent())
    stages.prepare(run, copy, Silent())
    runs.conclude(run, copy, ConfigError("enough"))
    assert cli.main(["score", "rows"]) == 0
    assert cli.main(["gc", "--apply"]) == 0
    assert content(original) == before
    assert naming(copy, original) == []
    assert (copy / "mlruns" / "artifacts" / "rows" / str(runs.summary(run).run_id)).is_dir()
    assert tracking.history(copy, "rows") == history
    for root in (original, copy):
        champion = tracking.champion(root, "rows")
        assert champion is not None
        assert champion.bundle.is_relative_to(root)


def test_a_run_that_was_under_way_is_delivered_by_the_copy_to_its_own_store(original: Path, tmp_path: Path) -> None:
    """The address of the store in tracking.json was absolute in earlier versions, and so was the place of the prepared data."""
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    before = content(original)
    (path,) = (copy / "data" / "runs").glob("rows-*")
    run, tracking_state, store = RunDirectory(path), read_json(path / "tracking.json"), read_json(path / "store.json")
    assert str(original) not in json.dumps([tracking_state, store])
    write_json(path / "tracking.json", {**tracking_state, "uri": f"sqlite:///{original}/mlruns/mlflow.db"})
    write_json(path / "store.json", {**store, "path": str(original / run.store.relative_to(copy))})
    assert run.store == copy / store["path"]
    journal = run.journal()
    journal.write("metric", step=99, values={"late": 1.0})
    journal.close()
    command = [sys.executable, "-m", "headway.cli", "sync", path.name]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    assert content(original) == before
    (row,) = tracking.list_runs(copy, "rows")
    assert row.metrics["late"] == 1.0


def experiment(root: Path, name: str, artifact: bool = True) -> None:
    client = open_store(root)
    run = client.create_run(experiment_of(client, root, name)).info.run_id
    if artifact:
        client.log_text(run, "hello", "note.txt")


def test_what_lies_elsewhere_on_purpose_stays_there(tmp_path: Path) -> None:
    root, other = tmp_path / "a", tmp_path / "b"
    for folder in (root, other):
        (folder / "conf").mkdir(parents=True)
    client = open_store(root)
    client.create_experiment("bucket", artifact_location="s3://bucket/mlruns/artifacts/bucket")
    client.create_experiment("disk", artifact_location=str(tmp_path / "big" / "disk"))
    # Another folder that uses this database keeps its artifacts itself.
    shared = other / "mlruns" / "artifacts" / "shared"
    shared.mkdir(parents=True)
    client.create_experiment("shared", artifact_location=str(shared))
    assert settle(root) == []
    assert naming(root, shared)


def test_a_second_move_and_one_back_are_followed(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("one", "two", "one two"))
    first.mkdir()
    experiment(first, "rows")
    experiment(first, "empty", artifact=False)
    for before, after in ((first, second), (second, third), (third, first)):
        before.rename(after)
        assert settle(after) == [f"this folder was {before} before; its runs and models now name {after}"]
        assert naming(after, before) == []
        assert len(naming(after, after)) == 4  # two experiments, two runs
        assert settle(after) == []


def test_a_folder_under_another_path_waits_for_the_runs_that_are_at_work_under_the_first(tmp_path: Path) -> None:
    """A container sees the folder under another path, and both see each other's locks."""
    before, root = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    experiment(before, "rows")
    (before / "data" / "runs" / "rows-1").mkdir(parents=True)
    before.rename(root)
    lock = locks.take(root / "data" / "runs" / "rows-1" / "owner.lock")
    assert lock is not None
    with pytest.raises(ConfigError, match=f"rows-1 works in {root} by its path {before}"):
        settle(root)
    assert naming(root, before)
    os.close(lock)
    assert len(settle(root)) == 1
    assert naming(root, before) == []


def test_what_an_earlier_mlflow_did_not_have_yet_is_no_obstacle(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE experiments (artifact_location TEXT)")
        database.execute("CREATE TABLE model_versions (source TEXT)")
        database.execute("INSERT INTO experiments VALUES ('/old/mlruns/artifacts/a')")
        database.execute("INSERT INTO model_versions VALUES ('file:///old/mlruns/artifacts/a/m')")
        rename(database.cursor(), "/old", "/new", "?")
        assert database.execute("SELECT * FROM experiments").fetchone()[0] == "/new/mlruns/artifacts/a"
        assert database.execute("SELECT * FROM model_versions").fetchone()[0] == "file:///new/mlruns/artifacts/a/m"


def test_a_death_between_the_two_databases_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, root = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    experiment(before, "rows")
    (before / ".prefect").mkdir()
    steps = [{"prefect.deployments.steps.set_working_directory": {"directory": str(before)}}]
    with contextlib.closing(sqlite3.connect(before / ".prefect" / "prefect.db")) as database, database:
        database.execute("CREATE TABLE deployment (id TEXT, path TEXT, pull_steps JSON)")
        database.execute("INSERT INTO deployment VALUES ('1', ?, ?)", (f"{before}/flows", json.dumps(steps)))
        database.execute("INSERT INTO deployment VALUES ('2', '.', NULL)")
    before.rename(root)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("headway.run.places.rename", die)
        with pytest.raises(KeyboardInterrupt):
            settle(root)
    assert naming(root, before), "nothing by halves"
    assert len(settle(root)) == 1
    assert naming(root, before) == []
    with contextlib.closing(sqlite3.connect(root / ".prefect" / "prefect.db")) as database:
        rows = database.execute("SELECT id, path, pull_steps FROM deployment ORDER BY id").fetchall()
    assert rows[0][1] == f"{root}/flows"
    assert json.loads(rows[0][2]) == [{"prefect.deployments.steps.set_working_directory": {"directory": str(root)}}]
    assert rows[1] == ("2", ".", None)


@pytest.mark.usefixtures("setting")
def test_a_moved_project_on_postgresql_is_followed_and_a_copy_is_refused(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    experiment(before, "rows")
    shutil.copytree(before, after)
    from headway.tracking import store

    store._made_uris.clear()  # as in a new process
    with pytest.raises(ConfigError, match=f"{after} is a copy of {before} and HEADWAY_DATABASE names") as error:
        open_store(after)
    assert len(str(error.value).splitlines()) == 1
    shutil.rmtree(before)
    (run,) = (client := open_store(after)).search_runs([experiment_of(client, after, "rows")])
    assert run.info.artifact_uri.startswith(str(after))
    assert Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text() == "hello"
    assert not before.exists()


def test_places_below_a_longer_name_are_left_alone(tmp_path: Path) -> None:
    """`/a_b` is not `/a-b`, nor `/a_b2`: names may hold what LIKE takes for a pattern."""
    root = tmp_path / "root"
    experiment(root, "rows")
    with contextlib.closing(sqlite3.connect(root / "mlruns" / "mlflow.db")) as database, database:
        address = database.execute("SELECT artifact_uri FROM runs").fetchone()[0]
        twin = address.replace("/rows/", "/rows2/")
        database.execute("UPDATE runs SET artifact_uri = ?", (twin,))
    moved = tmp_path / "moved"
    root.rename(moved)
    settle(moved)
    with contextlib.closing(sqlite3.connect(moved / "mlruns" / "mlflow.db")) as database:
        assert database.execute("SELECT artifact_uri FROM runs").fetchone()[0] == twin
        assert elsewhere(database.cursor(), moved.resolve()) == []
