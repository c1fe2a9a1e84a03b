"""Moving an unpacked and checked backup to its places. Each step can be killed and repeated."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json
from headway.files.database import (
    PARTS,
    Database,
    connect,
    database,
    make_databases,
    making_lock,
    place_database,
    sqlite_file,
)
from headway.run import lifetime
from headway.run.places import rename
from headway.server import archive, temporary
from headway.server.backup import run_postgres
from headway.server.owner import owner, owning

PENDING = ".headway-restore"


def refuse_used(root: Path) -> None:
    """Raises ConfigError where `headway up` or a run of this project may write to its databases."""
    running = owner(root)
    if running is not None:
        raise ConfigError(f"headway up must not run while restoring, but process {running.pid} does; headway down")
    if runs := lifetime.others(root):
        raise ConfigError(f"no run may be active while restoring, but {runs[0]} is; wait for its end")


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """No other process creates, serves or writes the folder's databases during the block. Raises ConfigError where one does already.

    PostgreSQL needs no such lock: pg_restore creates tables, and fails as a whole where they exist.
    """
    refuse_used(root)
    with contextlib.ExitStack() as stack:
        stack.enter_context(owning(root, tuple(PARTS), None))
        stack.enter_context(temporary.kept_away(root))
        stack.enter_context(locks.hold(making_lock(sqlite_file(root, "mlflow"))))
        yield


def tables_of(setting: Database, part: str) -> int:
    with contextlib.closing(connect(setting, setting.database(part))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        row = cursor.fetchone()
        return 0 if row is None else int(row[0])


def finish(root: Path) -> bool:
    """Complete a restore that was killed; whether there was one. Each step can be killed and repeated.

    Raises ConfigError where another file is in the way.
    """
    folder = root / PENDING
    if not folder.is_dir():
        return False
    with locks.hold(folder):
        if not folder.is_dir():  # another process was quicker
            return False
        setting, kind = database(), str(read_json(folder / archive.MANIFEST).get("database"))
        if (setting is None) != (kind == "sqlite"):
            fix = "set HEADWAY_DATABASE" if setting is None else "unset HEADWAY_DATABASE"
            raise ConfigError(f"{folder} must be restored into {kind}, but this is another; {fix}")
        with alone(root):
            leftover = place(folder, root)
    shutil.rmtree(leftover, ignore_errors=True)
    return True


def place(folder: Path, root: Path) -> Path:
    """Move everything to its place. Returns the emptied folder, renamed so that it counts as a leftover."""
    setting = database()
    if setting is None:
        _refuse_databases(folder, root)
    _place_files(folder, root)
    if setting is None:
        _place_sqlite(folder, root)
    else:
        _place_postgres(folder, root, setting, str(read_json(folder / archive.MANIFEST)["root"]))
    leftover = folder.with_name(f"{PENDING}-{os.getpid()}{locks.WORKING}")
    folder.rename(leftover)  # one step: before it, the restore is to be finished; after it, the folder is to be removed
    return leftover


def _refuse_databases(folder: Path, root: Path) -> None:
    """Raises ConfigError where a database exists in the place of one that is still to be moved there."""
    for path in sorted((folder / "databases").glob("*.db")):
        target = sqlite_file(root, path.stem)
        if target.exists():
            fix = f"move it away, or remove {PENDING}/ to give the restore up"
            raise ConfigError(f"{target} must not exist before the restore is finished, but it does; {fix}")


def _place_files(folder: Path, root: Path) -> None:
    artifacts, target = folder / "artifacts", root / "mlruns" / "artifacts"
    if artifacts.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _remove_empty(target)
        artifacts.rename(target)
    for path in sorted((folder / "conf").rglob("*")):
        target = root / "conf" / path.relative_to(folder / "conf")
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def _remove_empty(target: Path) -> None:
    try:
        target.rmdir()
    except FileNotFoundError:
        raise
    except OSError as error:
        fix = f"move it away, or remove {PENDING}/ to give the restore up"
        raise ConfigError(
            f"{target} must be empty before the restore is finished, but: {error.strerror}; {fix}"
        ) from None


def _place_sqlite(folder: Path, root: Path) -> None:
    for path in sorted((folder / "databases").glob("*.db")):
        target = sqlite_file(root, path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        place_database(path, target)


def _await_tool(setting: Database, part: str) -> None:
    """Wait for a pg_restore that still runs although its command was killed. After its end, its tables exist or not."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore'"
    )
    with contextlib.closing(connect(setting, setting.database(part))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute(others)
            row = cursor.fetchone()
            if row is None or not row[0]:
                return
            time.sleep(locks.LOOK_SECONDS)


def _place_postgres(folder: Path, root: Path, setting: Database, old: str) -> None:
    """Each database in one transaction. A database that is no longer empty was restored before a kill."""
    make_databases(setting)
    for part in PARTS:
        _await_tool(setting, part)
        if not tables_of(setting, part):
            dump = str(folder / "databases" / f"{part}.dump")
            run_postgres("pg_restore", setting, part, "--no-owner", "--exit-on-error", "--single-transaction", dump)
    with contextlib.closing(connect(setting, setting.database("mlflow"))) as connection, connection:
        rename(connection.cursor(), old, str(root), "%s")
