"""A restore into PostgreSQL that is killed between its parts, or within one, and repeated: every row is there, once."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headway.files import database as db
from headway.files.versions import revisions_of
from headway.server import placing
from headway.server.backup import backup
from headway.server.placing import PENDING
from headway.server.restore import restore
from tests.server.test_restore import Step, killed_at

pytestmark = pytest.mark.slow

ROWS = 50
STEPS: tuple[Step, ...] = (
    (placing, "make_databases"),
    (placing, "run_postgres"),
    (placing, "connect"),
    (placing, "rename"),
    (os, "rename"),
)
"""What a restore does to the server and, last of all, to the folder that it takes the dumps from."""

PLACES = {"experiments": ["artifact_location"], "runs": ["artifact_uri"], "logged_models": ["artifact_location"]}


def rows(query: str, part: str = "mlflow") -> list[Any]:
    with connected(part) as cursor:
        cursor.execute(query)
        return cursor.fetchall()


@contextlib.contextmanager
def connected(part: str) -> Iterator[Any]:
    """A cursor in the database that HEADWAY_DATABASE names now; what it does is committed after the block."""
    databases = db.database()
    assert databases is not None
    with contextlib.closing(db.connect(databases, databases.database(part))) as connection:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()


@pytest.fixture
def archive(setting: str, tmp_path: Path) -> Path:
    """A backup of two small databases, an artifact and a YAML, made in the folder `from`."""
    root = tmp_path / "from"
    artifact = root / "mlruns" / "artifacts" / "1" / "note.txt"
    for path in (artifact, root / "conf" / "flowers.yaml"):
        path.parent.mkdir(parents=True)
        path.write_text("task: classification\n")
    both_databases = db.database()
    assert both_databases is not None
    db.make_databases(both_databases)
    for part in db.PARTS:
        with connected(part) as cursor:
            cursor.execute("CREATE TABLE alembic_version (version_num TEXT)")
            cursor.execute("INSERT INTO alembic_version VALUES (%s)", (min(revisions_of(part, "postgresql")[1]),))
            for table, (column,) in PLACES.items():
                cursor.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, {column} TEXT)")
                places = [(number, str(root / "mlruns" / "artifacts" / str(number))) for number in range(ROWS)]
                cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", places)
    return Path(backup(root, str(tmp_path / "kept.tar")).file)


def check(root: Path) -> None:
    """All that was kept is there once, and MLflow's places are those of the new folder."""
    first = [(str(root / "mlruns" / "artifacts" / "0"), ROWS)]
    assert rows("SELECT min(artifact_location), count(*) FROM experiments") == first
    assert rows("SELECT count(*) FROM experiments", "prefect") == [(ROWS,)]
    assert (root / "mlruns" / "artifacts" / "1" / "note.txt").exists()
    assert (root / "conf" / "flowers.yaml").exists()
    assert not list(root.glob(".headway*"))


def emptied(root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    return root


def test_a_restore_killed_between_its_parts_and_repeated_is_whole(
    archive: Path, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a folder within the one that the backup was made in: what was renamed already looks as if it was not."""
    number = between = 0
    while True:
        number += 1
        monkeypatch.setenv("HEADWAY_DATABASE", f"{setting}_{number}")  # an empty one each time
        root = emptied(tmp_path / "from" / "within")
        if not killed_at(number, lambda root=root: restore(str(archive), root), STEPS):
            break
        if (root / PENDING).is_dir():
            between += 1
            killed_at(between % 6 + 1, lambda root=root: restore(str(archive), root), STEPS)
        if (root / PENDING).is_dir() or not (root / "conf").is_dir():
            restore(str(archive), root)
        check(root)
    check(root)
    assert between >= 6


def forked(work: Callable[[], object]) -> int:
    """The process that does the work."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
        os._exit(1)
    return child


def sessions() -> list[str]:
    """Who is connected to MLflow's database, by their programs' names."""
    query = "SELECT application_name FROM pg_stat_activity WHERE datname LIKE '%_held_mlflow' ORDER BY 1"
    return [name for (name,) in rows(query, "prefect")]


def await_sessions(*names: str) -> None:
    until = time.monotonic() + 60
    while sessions() != [*names]:
        assert time.monotonic() < until, sessions()
        time.sleep(0.05)


def test_a_restore_repeated_while_the_tool_of_a_killed_one_still_writes_waits_for_that(
    archive: Path, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL ends the command alone: the pg_restore that it had started goes on, and would be in the way of the next one's."""
    monkeypatch.setenv("HEADWAY_DATABASE", f"{setting}_held")
    root, databases = emptied(tmp_path / "to"), db.database()
    assert databases is not None
    db.make_databases(databases)
    blocker = db.connect(databases, databases.database("mlflow"), "a test")
    with ThreadPoolExecutor(1) as pool, contextlib.closing(blocker):
        with blocker.cursor() as cursor:
            cursor.execute("CREATE TABLE experiments (id INT)")  # not committed: whoever makes that table waits for us
        killed = forked(lambda: restore(str(archive), root))
        await_sessions("a test", "pg_restore")
        os.kill(killed, signal.SIGKILL)
        os.waitpid(killed, 0)
        again = pool.submit(restore, str(archive), root)
        await_sessions("a test", "headway", "pg_restore")
        blocker.rollback()
        again.result()
    check(root)
