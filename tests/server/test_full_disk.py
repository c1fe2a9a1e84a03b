"""A disk without room, at every write: one line that names the file, nothing by halves, and with room again all goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy

from headway import tracking
from headway.cli import commands as cli
from headway.doctor import databases
from headway.errors import ConfigError, HeadwayError
from headway.files import atomic
from headway.files.database import sqlite_file
from headway.files.disk import disk_error, full_disk
from headway.files.versions import check_versions
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.server.local import reach_prefect
from tests.support.small_disk import mounted
from tests.support.whole import make

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
        monkeypatch.delenv(variable, raising=False)


class Full:
    """Lets the ``n``-th write fail as on a full disk: its bytes do not reach the disk, and the error names no file."""

    def __init__(self, n: int) -> None:
        self.left = n
        self.file = Path()

    def sync(self, number: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.file = Path(f"/proc/self/fd/{number}").readlink()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(number)


@contextlib.contextmanager
def full_at(n: int) -> Iterator[Full]:
    full = Full(n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full.sync)
        yield full


def fails_at_each_write(act: Callable[[], object], root: Path) -> int:
    """Do it with the first write failing, the second, ..., until it succeeds. Returns how often it failed."""
    for n in (*range(1, 25), *range(25, 1000, 19)):  # a package of two hundred files is synced file by file
        before = {path for path in root.rglob("*") if ".partial" in path.name}
        failure: object = None
        with full_at(n) as full:
            try:
                failure = act()
            except (OSError, HeadwayError) as error:
                line = disk_error(error) if isinstance(error, OSError) else error
                assert line is not None
                assert str(root) in str(line), line
                assert len(str(line).splitlines()) == 1
                assert "No space left on device" in str(line)
                failure = str(line)
        is_cache = bool({"profiles", ".cache"} & set(full.file.parts))  # made again by whoever misses it
        assert full.left > 0 or is_cache or isinstance(failure, str), (
            f"{full.file} was not written, and nobody was told"
        )
        assert {path for path in root.rglob("*") if ".partial" in path.name} == before
        if full.left > 0:
            return n - 1
    raise AssertionError("it never succeeds")


def test_every_write_of_a_retraining_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    opened: list[RunDirectory] = []
    failed = {
        "start": fails_at_each_write(
            lambda: opened.append(runs.start(load_project("rows", tmp_path, ["model=linear"]), tmp_path)), tmp_path
        )
    }
    run = opened[-1]
    assert [path for path in (tmp_path / "data" / "runs").iterdir() if not (path / "run.json").exists()] == []
    failed["track"] = fails_at_each_write(lambda: runs.track(run, tmp_path), tmp_path)
    for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register):
        if stage is stages.train:  # what the process itself writes fails in the tests of a small disk
            stage(run, tmp_path, Silent())
            monkeypatch.setattr("headway.train.launch.launch", lambda run, _: run.result)
        failed[stage.__name__] = fails_at_each_write(lambda stage=stage: stage(run, tmp_path, Silent()), tmp_path)
    failed["conclude"] = fails_at_each_write(lambda: runs.conclude(run, tmp_path), tmp_path)
    assert all(failed.values()), failed
    champion = tracking.champion(tmp_path, "rows")
    assert champion is not None
    assert [version.aliases for version in tracking.versions(tmp_path, "rows")] == [("champion",)]
    (row,) = tracking.list_runs(tmp_path, "rows")
    assert row.status == "FINISHED"


def test_a_database_that_cannot_grow_is_one_line_and_what_it_missed_is_delivered_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = {"project": {"name": "rows", "task": "classification", "model": {"name": "mlp"}}, "seed": 0}
    first, second = (RunDirectory.create(tmp_path, "rows", plan) for _ in range(2))
    assert tracking.begin(first, tmp_path, {}, "first", "") is None

    def shrink(connection: sqlalchemy.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    many = {f"p{number}": "x" * 5000 for number in range(99)}
    with listening(shrink):
        with pytest.raises(ConfigError, match="full") as error:
            tracking.begin(second, tmp_path, many, "second", "")
        assert (str(tmp_path) in str(error.value), len(str(error.value).splitlines())) == (True, 1)
        journal = first.journal()
        for step in range(3000):
            journal.write("metric", step=step, values={"train/loss": 0.5})
        journal.close()
        warning = tracking.conclude(first, tmp_path, "FINISHED", {})
        assert warning is not None
        assert len(warning.splitlines()) == 1
    assert "Traceback" not in capsys.readouterr().err, "MLflow says the same again"
    with listening(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1000000")):
        tracking.sync(first, tmp_path)
        assert tracking.begin(second, tmp_path, many, "second", "") is None
    client = tracking.open_store(tmp_path)
    history = client.get_metric_history(atomic.read_json(first.path / "tracking.json")["run_id"], "train/loss")
    assert len(history) == 3000


def test_a_database_is_not_called_damaged_where_the_disk_is_full(tmp_path: Path) -> None:
    """SQLite needs room even to read, and says `disk I/O error`."""
    with mounted(tmp_path / "disk") as remount:
        path = sqlite_file(tmp_path / "disk", "mlflow")
        path.parent.mkdir()
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES ('of another program')")
            database.execute("CREATE TABLE runs AS SELECT 1 AS run_uuid")
        remount(f"size={shutil.disk_usage(tmp_path / 'disk').used // 1024}k")
        with pytest.raises(ConfigError, match=r"^the disk must have room left, but that of .*mlruns has 0 kB"):
            check_versions(tmp_path / "disk", None)
        with pytest.raises(ConfigError, match=r"^the disk must have room left, but that of .*mlruns has 0 kB"):
            list(databases.examine(tmp_path / "disk"))
        remount("size=400m")
        with pytest.raises(ConfigError, match="version of another program is unknown"):
            check_versions(tmp_path / "disk", None)


@pytest.mark.parametrize("room_kb", [0, 40, 300, 700])
def test_a_backup_without_room_is_one_line_and_with_room_again_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], room_kb: int
) -> None:
    root = tmp_path / "disk"
    with mounted(root) as remount:
        make(root)
        tracking.open_store(root)
        (root / "mlruns" / "artifacts").mkdir(exist_ok=True)
        (root / "mlruns" / "artifacts" / "weights").write_bytes(bytes(400_000))
        monkeypatch.chdir(root)
        remount(f"size={shutil.disk_usage(root).used // 1024 + room_kb}k")
        assert cli.main(["backup"]) == 2
        (error_line,) = capfd.readouterr().err.splitlines()
        assert str(root) in error_line
        assert "room left" in error_line
        assert [*root.glob("backups/*"), *root.glob("backups/.*")] == []
        remount("size=400m")
        assert cli.main(["backup"]) == 0
        assert cli.main(["backup", "--to", str(tmp_path / "kept.tar")]) == 0


@contextlib.contextmanager
def listening(act: Callable[[sqlalchemy.Connection], object]) -> Iterator[None]:
    """Call ``act`` at the beginning of every transaction, of whatever database."""

    def on_begin(connection: sqlalchemy.Connection) -> None:
        act(connection)

    sqlalchemy.event.listen(sqlalchemy.Engine, "begin", on_begin)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "begin", on_begin)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/p/a", None, "/p/b"), "room left, but /p/b: No space"),
        (OSError("Not enough free disk space to write 80 bytes after offset 0"), "room left, but /p: No space"),
        (OSError("4096 requested and 1024 written"), "room left, but /p: No space"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "room left, but /p: No space"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), "room left, but /p: No space"),
        (RuntimeError("attempt to write a readonly database"), "folder must be writable, but /p: Read-only"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/p/a"), "quota must have room left, but /p/a"),
    ],
)
def test_what_libraries_say_of_a_full_or_locked_disk_is_known(error: Exception, line: str) -> None:
    assert line in str(disk_error(error, Path("/p")))


def _fail_for(reason: OSError) -> None:
    try:
        raise reason
    except OSError:
        raise RuntimeError("the server failed")  # noqa: B904 - as code does that does not think of it


def test_what_a_full_disk_led_to_is_a_full_disk_and_a_mistake_of_ours_stays_one(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as failed:
        _fail_for(OSError(errno.ENOSPC, "No space left on device", "/p/a"))
    assert "but /p/a: No space left" in str(disk_error(failed.value))
    with pytest.raises(RuntimeError) as failed:
        _fail_for(PermissionError(errno.EACCES, "Permission denied", "/p/a"))
    assert disk_error(failed.value) is None
    assert disk_error(ValueError("rooms")) is None
    assert full_disk(tmp_path) is None


def test_nothing_is_begun_on_a_disk_with_less_room_than_it_takes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=7_000_000))
    monkeypatch.setattr("headway.server.local.share_server", lambda *_: pytest.fail("a server is started"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("headway.server.local.environment", lambda _: {})
    with pytest.raises(ConfigError, match="room left, but that of .* has 7000 kB; free some space"):
        reach_prefect(root)
    assert not (root / ".prefect").exists()


def test_a_folder_that_can_only_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "disk", str(tmp_path / "scored")
    with mounted(root) as remount:
        make(root)
        words = "from headway import tracking; import pathlib; tracking.open_store(pathlib.Path.cwd())"
        subprocess.run(
            [sys.executable, "-c", words], cwd=root, check=True
        )  # a process that has it open keeps it writable
        run = runs.start(load_project("rows", root), root).path.name
        monkeypatch.chdir(root)
        remount("ro")
        backup = f"backup --to {tmp_path / 'kept.tar'}"  # wanted most where a disk fails
        for line in ("check rows", "status", backup):
            assert cli.main(line.split()) == 0, line
        commands = [
            "score rows",
            f"score rows --out {out}",
            "show rows",
            "rollback rows --to 1",
            "gc",
            "gc --apply",
            "watch rows",
            "backup",
            f"restore {tmp_path / 'kept.tar'}",
            "init --data data/raw/rows.csv --target y --name fresh",
            "effect rows",
            "seeds rows --set model=mlp",
            f"sync {run}",
        ]
        for line in commands:
            capsys.readouterr()
            assert cli.main(line.split()) == 2, line
            (error_line,) = capsys.readouterr().err.splitlines()
            assert str(root) in error_line
            assert ".partial" not in error_line
        assert cli.main(["list"]) == 0
        output = capsys.readouterr()
        assert ("rows" in output.out, str(root) in output.err, output.err.count("\n")) == (True, True, 1), output
        for process in [
            started(root, words) for words in (["run", "rows", "--force"], ["resume", run], ["deploy"], ["up"])
        ]:
            out, err = process.communicate(timeout=120)
            (line,) = [line for line in err.splitlines() if line.startswith("headway: ")]
            assert (process.returncode, str(root) in line, "Traceback" in out + err) == (2, True, False), line
        monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("folder", "line"),
    [("conf", "init --data data/raw/rows.csv --target y --name fresh"), ("backups", "backup"), ("data", "seeds rows")],
)
def test_one_folder_that_can_only_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str, line: str
) -> None:
    make(tmp_path)
    tracking.open_store(tmp_path)
    with mounted(tmp_path / folder) as remount:
        make(tmp_path)
        remount("ro")
        monkeypatch.chdir(tmp_path)
        assert cli.main(line.split()) == 2
        (error_line,) = capsys.readouterr().err.splitlines()
        assert f"{tmp_path / folder}" in error_line
        assert "Read-only" in error_line


def test_a_backup_is_restored_into_no_folder_that_can_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, empty = tmp_path / "project", tmp_path / "empty"
    make(root)
    tracking.open_store(root)
    monkeypatch.chdir(root)
    assert cli.main(["backup", "--to", str(tmp_path / "kept.tar")]) == 0
    with mounted(empty) as remount:
        (empty / "conf").mkdir()
        monkeypatch.chdir(empty)
        for options, reason in (("ro", "Read-only"), ("size=100k", "room")):
            remount(options)
            capsys.readouterr()
            assert cli.main(["restore", str(tmp_path / "kept.tar")]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert str(empty) in line
            assert reason in line
            assert [path.name for path in empty.rglob("*")] == ["conf"]
            remount("rw")
        remount("size=400m")
        assert cli.main(["restore", str(tmp_path / "kept.tar")]) == 0


def started(root: Path, words: Sequence[str]) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "HEADWAY_DATABASE"))}
    command = [sys.executable, "-m", "headway.cli", *words]
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
