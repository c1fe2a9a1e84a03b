"""Restoring is all or nothing: killed at any write it is done again or undone, and each damaged archive is one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.cli import commands as cli
from headway.errors import ConfigError
from headway.files import locks
from headway.files.database import making_lock, sqlite_file
from headway.files.leftovers import leftovers
from headway.files.versions import revisions_of
from headway.server import archive, placing
from headway.server.backup import backup
from headway.server.owner import lock_file, owning
from headway.server.placing import PENDING
from headway.server.restore import restore

ODD = ("a b", "a#b", "a%20b", "a?b", "ä'\"b")
ROWS = 500


def make_project(root: Path) -> Path:
    """Databases of the newest versions, an artifact, a YAML."""
    (root / "conf").mkdir(parents=True)
    (root / "conf" / "flowers.yaml").write_text("task: classification\n")
    for part in ("prefect", "mlflow"):
        path = sqlite_file(root, part)
        path.parent.mkdir(exist_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES (?)", (min(revisions_of(part, "sqlite")[1]),))
            for table, columns in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("model_versions", "source, storage_location"),
                ("logged_models", "artifact_location"),
            ):
                database.execute(f"CREATE TABLE {table} ({columns})")
            places = [(str(root / "mlruns" / "artifacts" / str(n)),) for n in range(ROWS)]
            database.executemany("INSERT INTO experiments VALUES (?)", places)
    artifact = root / "mlruns" / "artifacts" / "1" / "note.txt"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("hello")
    return root


def content(root: Path) -> dict[str, Any]:
    """What a project holds; nothing for an empty one."""
    contents_by_name: dict[str, Any] = {}
    for part in ("prefect", "mlflow"):
        path = sqlite_file(root, part)
        if path.exists():
            with contextlib.closing(sqlite3.connect(path)) as database:
                contents_by_name[part] = len(database.execute("SELECT * FROM experiments").fetchall())
    for path in [*root.glob("conf/*"), *root.glob("mlruns/artifacts/*/*")]:
        contents_by_name[str(path.relative_to(root))] = path.read_text()
    return contents_by_name


WHOLE = {
    "prefect": ROWS,
    "mlflow": ROWS,
    "conf/flowers.yaml": "task: classification\n",
    "mlruns/artifacts/1/note.txt": "hello",
}


@pytest.fixture
def backup_file(tmp_path: Path) -> Path:
    archive_made = backup(make_project(tmp_path / "from"), str(tmp_path / "kept.tar"))
    return Path(archive_made.file)


def empty(tmp_path: Path) -> Path:
    shutil.rmtree(tmp_path / "to", ignore_errors=True)
    (tmp_path / "to").mkdir(parents=True)
    return tmp_path / "to"


@pytest.mark.parametrize("name", ODD)
def test_a_backup_from_and_to_a_folder_of_any_name_holds_every_row(name: str, tmp_path: Path) -> None:
    archive_made = backup(make_project(tmp_path / name), str(tmp_path / f"{name}.tar"))
    assert archive_made.rows == 2 * (ROWS + 1)
    root = tmp_path / f"{name} again"
    root.mkdir()
    restore(archive_made.file, root)
    assert content(root) == WHOLE
    with contextlib.closing(sqlite3.connect(sqlite_file(root, "mlflow"))) as database:
        assert database.execute("SELECT min(artifact_location) FROM experiments").fetchone() == (
            str(root / "mlruns" / "artifacts" / "0"),
        )


Step = tuple[Any, str]
"""A function of a module, which a kill comes right before."""

CHANGES: tuple[Step, ...] = tuple((os, name) for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync"))


def killed_at(number: int, work: Callable[[], object], steps: Sequence[Step] = CHANGES) -> bool:
    """Whether ``work``, in a process of its own, was killed right before its ``number``-th step: a change of a file."""
    child = os.fork()
    if child == 0:
        count = 0

        def counting(change: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*values: Any, **named: Any) -> Any:
                nonlocal count
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*values, **named)

            return counted

        for module, name in steps:
            setattr(module, name, counting(getattr(module, name)))
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"step {number}: the command failed"
    return status != 0


def test_a_restore_killed_at_any_change_is_nothing_or_finished_when_repeated(backup_file: Path, tmp_path: Path) -> None:
    number = finished = 0
    while True:
        number += 1
        root = empty(tmp_path)
        if not killed_at(number, lambda root=root: restore(str(backup_file), root)):
            break
        is_pending = (root / PENDING).is_dir()
        assert is_pending or content(root) in ({}, WHOLE), f"change {number}"
        if is_pending:  # killed again on the way, then done by whoever comes next
            killed_at(number % 3 + 1, lambda root=root: restore(str(backup_file), root))
            finished += 1
        if content(root) != WHOLE or (root / PENDING).is_dir():
            restore(str(backup_file), root)
        assert content(root) == WHOLE, f"change {number}"
        for path in leftovers(root, time.time()):
            shutil.rmtree(path)
        assert not [path.name for path in root.iterdir() if path.name.startswith(".headway")], f"change {number}"
    assert number > 15
    assert finished > 5


def test_the_databases_of_a_restore_that_was_killed_are_for_its_user_alone(backup_file: Path, tmp_path: Path) -> None:
    number, root = 1, empty(tmp_path)
    while not (root / PENDING).is_dir():
        number, root = number + 1, empty(tmp_path)
        assert killed_at(number, lambda root=root: restore(str(backup_file), root))
        for path in root.glob(".headway-restore*/**/*.db*"):
            assert path.stat().st_mode & 0o777 == 0o600, f"change {number}: {path.name}"
    assert (root / PENDING).stat().st_mode & 0o777 == 0o700
    restore(str(backup_file), root)
    assert (root / "conf" / "flowers.yaml").stat().st_mode & 0o444 == 0o444  # which others may read


def test_the_next_command_finishes_a_restore(
    backup_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number, root = 1, empty(tmp_path)
    while not (root / "conf").is_dir() or not (root / PENDING).is_dir():  # from there on it is found as a project
        number, root = number + 1, empty(tmp_path)
        assert killed_at(number, lambda root=root: restore(str(backup_file), root))
    monkeypatch.chdir(root)
    assert cli.main(["status"]) == 0
    assert "headway: a restore that was interrupted is finished now\n" in capsys.readouterr().err
    assert content(root) == WHOLE


def test_a_backup_killed_at_any_change_leaves_no_file_that_passes_for_one(tmp_path: Path) -> None:
    root, number = make_project(tmp_path / "from"), 0
    while True:
        number += 1
        (tmp_path / "to").mkdir(exist_ok=True)
        if not killed_at(number, lambda: backup(root, str(tmp_path / "to" / "b.tar"))):
            break
        hidden = {path for path in (tmp_path / "to").iterdir() if path.name.startswith(".")}
        assert hidden <= set(leftovers(root, time.time()))  # gc clears them, though they lie outside the project
        whole = tmp_path / "to" / "b.tar"
        if whole.exists():
            restore(str(whole), empty(tmp_path / "x"))
            whole.unlink()
    (file,) = (tmp_path / "to").iterdir()  # what the kills left went with the next backup
    assert file.name == "b.tar"
    assert number > 3


def rewritten(backup_file: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> bytes:
    """The archive with each of its files changed, or left out."""
    buffer = io.BytesIO()
    with tarfile.open(backup_file) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for entry in old:
            file = old.extractfile(entry)
            assert file is not None
            changed_bytes = change(entry.name, file.read())
            if changed_bytes is not None:
                entry.name, data = changed_bytes
                entry.size = len(data)
                new.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def with_entry(backup_file: Path, **fields: Any) -> bytes:
    """The archive with one more entry."""
    buffer = io.BytesIO(backup_file.read_bytes())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        entry = tarfile.TarInfo()
        for name, value in fields.items():
            setattr(entry, name, value)
        tar.addfile(entry, io.BytesIO(b"x" * entry.size))
    return buffer.getvalue()


def without(backup_file: Path, name: str) -> bytes:
    return rewritten(backup_file, lambda one, data: None if one == name else (one, data))


def edited(backup_file: Path, name: str, edit: Callable[[bytes], bytes]) -> bytes:
    return rewritten(backup_file, lambda one, data: (one, edit(data) if one == name else data))


def manifest(backup_file: Path, **fields: Any) -> bytes:
    return edited(backup_file, "manifest.json", lambda data: json.dumps({**json.loads(data), **fields}).encode())


def contents(backup_file: Path, **fields: Any) -> bytes:
    return edited(backup_file, "contents.json", lambda data: json.dumps({**json.loads(data), **fields}).encode())


def middle(data: bytes) -> bytes:
    """Damaged in the middle, as a bad sector does."""
    half = len(data) // 2
    return data[:half] + bytes(64) + data[half + 64 :]


DAMAGES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda backup_file: b"",
    "no tar": lambda backup_file: b"hello",
    "zeros": lambda backup_file: bytes(10240),
    "cut at the begin": lambda backup_file: backup_file.read_bytes()[:700],
    "cut in a database": lambda backup_file: backup_file.read_bytes()[:20_000],
    "cut at the end": lambda backup_file: backup_file.read_bytes()[:-20_000],
    "a header overwritten": lambda backup_file: backup_file.read_bytes().replace(
        b"databases/mlflow.db\0", b"databases/mlflow.dx\0"
    ),
    "no manifest": lambda backup_file: without(backup_file, "manifest.json"),
    "manifest is no JSON": lambda backup_file: edited(backup_file, "manifest.json", lambda data: data[:9]),
    "manifest is a list": lambda backup_file: edited(backup_file, "manifest.json", lambda data: b"[1]"),
    "manifest is nested": lambda backup_file: edited(backup_file, "manifest.json", lambda data: b"[" * 100_000),
    "manifest without a folder": lambda backup_file: manifest(backup_file, root=None),
    "manifest of a later format": lambda backup_file: manifest(backup_file, format=99),
    "manifest of no kind": lambda backup_file: manifest(backup_file, database="oracle"),
    "of PostgreSQL": lambda backup_file: manifest(backup_file, database="postgresql"),
    "manifest of a format in words": lambda backup_file: manifest(backup_file, format="two"),
    "manifest with a list of versions": lambda backup_file: manifest(backup_file, versions=[1]),
    "manifest with a version that is a number": lambda backup_file: manifest(backup_file, versions={"headway\n": 1}),
    "manifest of no time": lambda backup_file: manifest(backup_file, time=float("nan")),
    "contents are a list": lambda backup_file: edited(backup_file, "contents.json", lambda data: b"[1]"),
    "contents with a list of files": lambda backup_file: contents(backup_file, files=[1]),
    "contents with files of no size": lambda backup_file: contents(backup_file, files={"conf/flowers.yaml": ["x"]}),
    "contents with a list of rows": lambda backup_file: contents(backup_file, rows=[1]),
    "contents with a list of tables": lambda backup_file: contents(backup_file, rows={"mlflow.db": [1]}),
    "a name of two lines": lambda backup_file: with_entry(backup_file, name="src/a\nb", size=1),
    "no contents": lambda backup_file: without(backup_file, "contents.json"),
    "no database": lambda backup_file: without(backup_file, "databases/mlflow.db"),
    "a damaged database": lambda backup_file: edited(backup_file, "databases/mlflow.db", middle),
    "an empty database": lambda backup_file: edited(backup_file, "databases/mlflow.db", lambda data: b""),
    "an artifact is missing": lambda backup_file: without(backup_file, "artifacts/1/note.txt"),
    "an artifact is another": lambda backup_file: edited(backup_file, "artifacts/1/note.txt", lambda data: b"hellO"),
    "a name that leads out": lambda backup_file: with_entry(backup_file, name="conf/../../out", size=1),
    "an absolute name": lambda backup_file: with_entry(backup_file, name="/tmp/headway-out", size=1),
    "a link": lambda backup_file: with_entry(
        backup_file, name="conf/a.yaml", type=tarfile.SYMTYPE, linkname="/etc/passwd"
    ),
    "a device": lambda backup_file: with_entry(backup_file, name="conf/a.yaml", type=tarfile.CHRTYPE),
    "a file twice": lambda backup_file: with_entry(backup_file, name="conf/flowers.yaml", size=1),
    "a file of another folder": lambda backup_file: with_entry(backup_file, name="src/evil.py", size=1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_one_line_and_leaves_the_good_one_its_place(
    damage: str, backup_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, bad = empty(tmp_path), tmp_path / "bad.tar"
    bad.write_bytes(DAMAGES[damage](backup_file))
    monkeypatch.chdir(root)
    assert cli.main(["restore", str(bad)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert str(bad) in err
    assert list(root.iterdir()) == []
    restore(str(backup_file), root)
    assert content(root) == WHOLE


def test_a_damaged_database_of_an_older_format_is_found_by_opening_it(backup_file: Path, tmp_path: Path) -> None:
    plain = without(backup_file, "contents.json")
    old = tmp_path / "old.tar"
    old.write_bytes(plain)
    old.write_bytes(manifest(old, format=1))
    root = empty(tmp_path)
    bad = tmp_path / "bad.tar"
    bad.write_bytes(edited(old, "databases/mlflow.db", lambda data: data[: len(data) // 2]))
    with pytest.raises(ConfigError, match=r"mlflow.db must be a whole database, but: .*; nothing was restored"):
        restore(str(bad), root)
    assert list(root.iterdir()) == []
    restore(str(old), root)
    assert content(root) == WHOLE


def test_a_damaged_database_is_not_kept(tmp_path: Path) -> None:
    root = make_project(tmp_path / "from")
    path = sqlite_file(root, "mlflow")
    path.write_bytes(middle(path.read_bytes()))
    with pytest.raises(ConfigError, match=r"mlflow.db must be"):
        backup(root, str(tmp_path / "b.tar"))
    assert not (tmp_path / "b.tar").exists()


def begin_up(root: Path) -> contextlib.AbstractContextManager[object]:
    return owning(root, ("prefect", "mlflow"), None)


def begin_temporary_server(root: Path) -> contextlib.AbstractContextManager[object]:
    return locks.hold(root / ".prefect" / "temporary.server")


def begin_run(root: Path) -> contextlib.AbstractContextManager[object]:
    return locks.hold(root / "data" / "runs" / "flowers-1" / "owner.lock")


@contextlib.contextmanager
def make_database(root: Path) -> Iterator[None]:
    sqlite_file(root, "mlflow").parent.mkdir(exist_ok=True)
    shutil.copyfile(sqlite_file(root.parent / "from", "prefect"), sqlite_file(root, "mlflow"))
    yield


@pytest.mark.parametrize("begin", [begin_up, begin_temporary_server, begin_run, make_database])
def test_what_begins_in_the_project_while_a_backup_is_unpacked_is_left_alone(
    begin: Callable[[Path], contextlib.AbstractContextManager[object]],
    backup_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = empty(tmp_path)
    with contextlib.ExitStack() as stack:
        unpack = archive.unpack

        def slowly(path: Path, folder: Path | None) -> archive.Rows:
            stack.enter_context(begin(root))
            return unpack(path, folder)

        monkeypatch.setattr(archive, "unpack", slowly)
        with pytest.raises(ConfigError, match=r"^(headway up|no run|a backup) m[^\n]*$"):
            restore(str(backup_file), root)
        assert {path.suffix for path in root.rglob("*") if path.is_file()} <= {".lock", ".server", ".start", ".db"}
        assert content(root) == ({"mlflow": ROWS} if begin is make_database else {})
        assert not list(root.glob(".headway*"))


def test_nothing_that_writes_to_the_databases_begins_while_they_come_to_their_places(
    backup_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, states = empty(tmp_path), []
    place = placing.place_database

    def looking(database: Path, path: Path) -> None:
        files = (lock_file(root), root / ".prefect" / "temporary.start", making_lock(sqlite_file(root, "mlflow")))
        states.append([locks.is_held(file) for file in files])
        place(database, path)

    monkeypatch.setattr(placing, "place_database", looking)
    restore(str(backup_file), root)
    assert states == [[True] * 3] * 2


def test_no_command_goes_on_in_a_project_whose_restore_cannot_be_finished(
    backup_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number, root = 1, empty(tmp_path)
    while not (root / "conf").is_dir() or not (root / PENDING).is_dir():
        number, root = number + 1, empty(tmp_path)
        assert killed_at(number, lambda root=root: restore(str(backup_file), root))
    monkeypatch.chdir(root)
    with make_database(root):
        for command in (["list"], ["gc"], ["backup"], ["deploy"]):
            assert cli.main(command) == 2
            assert "mlflow.db must not exist before the restore is finished, but it does" in capsys.readouterr().err
        assert cli.main(["status"]) == 0
        assert cli.main(["down"]) == 0
        assert "could not be finished" in capsys.readouterr().err
    sqlite_file(root, "mlflow").unlink()
    assert cli.main(["list"]) == 0
    assert content(root) == WHOLE


def test_a_half_restored_backup_does_not_replace_a_database_that_came_meanwhile(
    backup_file: Path, tmp_path: Path
) -> None:
    number, root = 1, empty(tmp_path)
    while not (root / PENDING).is_dir():
        number, root = number + 1, empty(tmp_path)
        assert killed_at(number, lambda root=root: restore(str(backup_file), root))
    with (
        make_database(root),
        pytest.raises(ConfigError, match=r"mlflow.db must not exist before .*, but it does; move"),
    ):
        restore(str(backup_file), root)
    assert content(root) == {"mlflow": ROWS}
    sqlite_file(root, "mlflow").unlink()
    restore(str(backup_file), root)
    assert content(root) == WHOLE
