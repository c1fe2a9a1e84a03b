"""A damaged database is told from a full disk, is never without its name, and is repaired from whatever is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.doctor import databases
from headway.doctor.finding import is_array
from headway.errors import ConfigError
from headway.files import locks
from headway.files.leftovers import leftovers


@pytest.fixture(autouse=True)
def own_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Prefect's database of a project, with 500 rows."""
    path = tmp_path / ".prefect" / "prefect.db"
    path.parent.mkdir()
    return make(path)


def make(path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('a')")
        database.execute("CREATE TABLE flow_run (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO flow_run VALUES (?, ?)", [(n, f"run {n}" * 20) for n in range(500)])
    return path


def beside(path: Path) -> list[Path]:
    """What else is in the database's folder, but locks."""
    return [one for one in path.parent.iterdir() if one.suffix not in (".lock", ".start") and one != path]


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM flow_run").fetchone()[0])


def overwrite(path: Path, start: int, length: int) -> None:
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\0" * length)


def page_of_zeros(path: Path) -> None:
    overwrite(path, path.stat().st_size // 4096 // 2 * 4096, 4096)


def back_up(database: Path, root: Path, name: str, time: int) -> Path:
    backup = root / "backups" / f"{name}.tar"
    backup.parent.mkdir(exist_ok=True)
    with tarfile.open(backup, "w") as tar:
        tar.add(database, "databases/prefect.db")
    os.utime(backup, (time, time))
    return backup


def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_an_error_of_reading_on_a_full_disk_is_no_damage(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(databases, "_open", fail)
    (finding,) = databases.examine(tmp_path)  # with room, it is
    assert finding.what.endswith("is damaged: disk I/O error")
    no_room(monkeypatch)
    with pytest.raises(ConfigError, match="^the disk must have room left"):
        list(databases.examine(tmp_path))
    with pytest.raises(ConfigError, match="^the disk must have room left"):
        databases.mend(tmp_path, "prefect", path)
    assert beside(path) == []


def test_a_disk_that_becomes_full_while_rows_are_saved_leaves_the_damaged_database_in_place(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_of_zeros(path)
    before = path.read_bytes()
    connect = sqlite3.connect

    def limited(place: Any, **settings: Any) -> sqlite3.Connection:
        connection = connect(place, **settings)
        if str(place).endswith(".mended"):
            connection.execute("PRAGMA max_page_count = 4")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", limited)
        with pytest.raises(ConfigError, match="^the disk must have room left"):
            databases.mend(tmp_path, "prefect", path)
    assert beside(path) == []
    assert path.read_bytes() == before
    databases.mend(tmp_path, "prefect", path)
    assert 400 < rows(path) < 500


def test_a_kill_while_a_database_is_replaced_leaves_the_damaged_one_under_its_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_of_zeros(path)
    before = path.read_bytes()

    def die(*_: object) -> None:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(databases, "place_database", die)
        with pytest.raises(InterruptedError):
            databases.mend(tmp_path, "prefect", path)
    assert path.read_bytes() == before
    databases.mend(tmp_path, "prefect", path)
    assert 400 < rows(path) < 500
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("prefect.db.damaged").read_bytes() == before


def test_what_is_beside_a_damaged_database_stays_with_it(path: Path, tmp_path: Path) -> None:
    overwrite(path, 0, path.stat().st_size)
    path.with_name("prefect.db-wal").write_bytes(b"of the damaged one")
    databases.mend(tmp_path, "prefect", path)
    assert path.with_name("prefect.db.damaged-wal").read_bytes() == b"of the damaged one"
    assert all(one.name.startswith("prefect.db.damaged") for one in beside(path))


def test_a_damaged_backup_is_passed_over_for_an_older_one(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path, "old", 1_000)
    overwrite(path, 0, 100)
    back_up(path, tmp_path, "new", 2_000)
    os.truncate(back_up(path, tmp_path, "cut", 3_000), 2_000)
    databases.mend(tmp_path, "prefect", path)
    assert rows(path) == 500


def test_where_every_backup_is_damaged_the_rows_that_can_be_read_are_saved(path: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other.db")
    overwrite(other, 0, 100)
    back_up(other, tmp_path, "damaged", 1_000)
    page_of_zeros(path)
    databases.mend(tmp_path, "prefect", path)
    assert 400 < rows(path) < 500


def test_where_nothing_is_whole_the_damaged_database_stays_in_place(path: Path, tmp_path: Path) -> None:
    overwrite(path, 0, 100)
    before = path.read_bytes()
    back_up(path, tmp_path, "damaged", 1_000)
    with pytest.raises(ConfigError, match="no file in backups/ holds a whole database"):
        databases.mend(tmp_path, "prefect", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["up.lock", "up.prefect.lock"])
def test_no_database_is_mended_while_a_part_of_headway_up_is_at_work(path: Path, tmp_path: Path, name: str) -> None:
    page_of_zeros(path)
    lock = locks.take(path.with_name(name))
    assert lock is not None
    try:
        (finding,) = databases.examine(tmp_path)
        with pytest.raises(ConfigError, match="headway down"):
            databases.mend(tmp_path, "prefect", path)
    finally:
        os.close(lock)
    assert finding.mend is None
    assert next(databases.examine(tmp_path)).mend is not None


def test_an_array_with_any_flipped_bit_in_its_header_is_judged_without_an_error(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    np.save(path, np.zeros((3, 2)))
    assert is_array(path)
    content = path.read_bytes()
    verdicts = set()
    for position in range(128):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            verdicts.add(is_array(path))
    assert False in verdicts


def test_what_a_kill_leaves_of_mending_is_for_its_user_alone_and_cleared(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path, "whole", 1)
    page_of_zeros(path)
    os.truncate(path, path.stat().st_size - 4096)  # so that a copy of it is made, too

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            setattr(databases, "_fill", die)  # noqa: B010 - the rows of the backup come last
            databases.mend(tmp_path, "prefect", path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (left,) = beside(path)
    assert {one.suffix for one in left.iterdir()} >= {".mended", ".backup", ".whole"}
    assert left.stat().st_mode & 0o777 == 0o700
    assert list(leftovers(tmp_path, time.time())) == [left]


def test_nobody_serves_a_database_while_it_is_mended(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page_of_zeros(path)
    is_held: list[bool] = []
    save = databases.save

    def looking(*files: Any) -> bool:
        is_held.extend(locks.is_held(path.with_name(name)) for name in ("up.lock", "temporary.start"))
        return save(*files)

    monkeypatch.setattr(databases, "save", looking)
    databases.mend(tmp_path, "prefect", path)
    assert is_held == [True, True]
