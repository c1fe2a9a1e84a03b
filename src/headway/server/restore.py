"""`headway restore`: a backup into an empty project, all of it or nothing, whatever is killed or damaged meanwhile.

.headway-restore-….working/   being unpacked and checked; a kill leaves this and no project
.headway-restore/             whole and checked, on its way to its places: the next command of the folder goes on with that
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway.config import find_root
from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json, sync
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
from headway.files.records import Record
from headway.files.versions import check_file
from headway.run import lifetime
from headway.run.places import rename
from headway.server import archive, temporary
from headway.server.archive import Manifest
from headway.server.backup import run_postgres
from headway.server.owner import owner, owning

PENDING = ".headway-restore"


def empty_root() -> Path:
    """The project to restore into: the folder that has conf/, else the current one."""
    with contextlib.suppress(ConfigError):
        return find_root()
    return Path.cwd()


@dataclass(frozen=True)
class Restored(Record):
    """What a backup brought into which folder, and when it was made."""

    root: str
    what: str
    made: float


def restore(file: str, root: Path) -> Restored:
    """Bring a backup back into a project where nothing is yet. Raises ConfigError when something is, and changes nothing.

    Repeated after a kill, it goes on where it was.
    """
    path, found = Path(file), database()
    _refuse_used(root)
    with archive.reading_archive(path) as tar:
        manifest = archive.manifest_of(tar, path)
    _refuse_unlike(manifest, found, path)
    if not _is_pending(root, manifest):
        _refuse_taken(root, path, found)
        with contextlib.ExitStack() as stack:
            with locks.working_folder(root, PENDING.removeprefix(".")) as folder:
                whole = folder / "whole"
                _unpack(path, manifest, whole, root)
                stack.enter_context(locks.held(whole))  # the lock goes with the folder to its new name
                stack.enter_context(_alone(root))
                _refuse_taken(root, path, found)  # unpacking may take minutes: somebody may have begun here
                whole.rename(root / PENDING)  # from here on it is done, now or by whoever comes next
            done = _place(root / PENDING, root)
        shutil.rmtree(done, ignore_errors=True)
    else:
        finish(root)
    kinds = f"{manifest.database} databases, artifacts, conf/"
    return Restored(str(root), kinds, manifest.time)


def _unpack(path: Path, manifest: Manifest, whole: Path, root: Path) -> None:
    """Unpack and check a backup, so that nothing but its way to its places is left."""
    whole.mkdir(mode=0o700)  # it holds databases, and lies in the project from its renaming on
    rows = archive.unpack(path, whole)
    _check(whole, rows, path)
    if manifest.database == "sqlite":
        _settle_sqlite(whole, manifest.root, str(root))
    _sync(whole)


def _refuse_used(root: Path) -> None:
    """Raises ConfigError where something is at work in the project that writes to its databases."""
    running = owner(root)
    if running is not None:
        raise ConfigError(f"headway up must not run while restoring, but process {running.pid} does; headway down")
    if going := lifetime.others(root):
        raise ConfigError(f"no run may go on while restoring, but {going[0]} does; wait for its end")


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Nobody makes, serves or writes the folder's databases during the block. Raises ConfigError where somebody does already.

    Those of PostgreSQL need no such lock: pg_restore makes tables, and is refused as a whole where they are there.
    """
    _refuse_used(root)
    with contextlib.ExitStack() as stack:
        stack.enter_context(owning(root, tuple(PARTS), None))
        stack.enter_context(temporary.kept_away(root))
        stack.enter_context(locks.held(making_lock(sqlite_file(root, "mlflow"))))
        yield


def _is_pending(root: Path, manifest: Manifest) -> bool:
    """Whether this very backup is half restored. Raises ConfigError where another one is."""
    folder = root / PENDING
    if not folder.is_dir():
        return False
    other = read_json(folder / archive.MANIFEST)
    if (other.get("root"), other.get("time")) != (manifest.root, manifest.time):
        raise ConfigError(
            f"{root} must be an empty project, but another backup is half restored; headway status finishes it"
        )
    return True


def _refuse_unlike(manifest: Manifest, found: Database | None, path: Path) -> None:
    here = "sqlite" if found is None else "postgresql"
    if manifest.database != here:
        fix = "set HEADWAY_DATABASE" if found is None else "unset HEADWAY_DATABASE"
        raise ConfigError(f"{path} must be restored into {manifest.database}, but this is {here}; {fix}")


def _refuse_taken(root: Path, archived: Path, found: Database | None) -> None:
    """Raises ConfigError when restoring would overwrite anything; a YAML that is the same already is no obstacle."""
    taken = [sqlite_file(root, part) for part in PARTS] if found is None else []
    for path in (*taken, root / "mlruns" / "artifacts"):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise ConfigError(f"a backup must be restored into an empty project, but {path} is there")
    with archive.reading_archive(archived) as tar:
        for entry in archive.entries(tar, archived):
            path = root / entry.name
            content = tar.extractfile(entry) if entry.name.startswith("conf/") else None
            if content is not None and path.exists() and path.read_bytes() != content.read():
                raise ConfigError(f"a backup must be restored into an empty project, but {path} is another one")
    if found is None:
        return
    make_databases(found)
    for part in PARTS:
        if tables := _tables(found, part):
            fact = f"it has {tables} tables"
            raise ConfigError(f"{found.shown(part)} must be empty before a backup is restored, but {fact}")


def _tables(found: Database, part: str) -> int:
    with contextlib.closing(connect(found, found.database(part))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        row = cursor.fetchone()
        return 0 if row is None else int(row[0])


def _check(folder: Path, rows: archive.Rows, path: Path) -> None:
    """Open what was unpacked. Raises ConfigError where a database is damaged, a newer version's, or has other rows than were kept."""
    for database_file in sorted((folder / "databases").glob("*")):
        part = database_file.stem
        if part not in PARTS or database_file.suffix not in (".db", ".dump"):
            raise archive.broken(path, f"databases/{database_file.name} does not belong there")
        try:
            if database_file.suffix == ".dump":
                run_postgres("pg_restore", None, part, "--list", str(database_file))
            else:
                archive.refuse_other_rows(database_file, rows.get(database_file.name, {}))
                check_file(part, database_file)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}; nothing was restored") from None


def _settle_sqlite(folder: Path, old: str, new: str) -> None:
    """Put the new places into MLflow's database before it goes to its own."""
    path = folder / "databases" / "mlflow.db"
    if path.exists():
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            with connection:
                rename(connection.cursor(), old, new, "?")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _sync(folder: Path) -> None:
    """Bring the folders themselves to the disk; their files are there already."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync(path)


def finish(root: Path) -> bool:
    """Bring what a restore has made ready to its places; whether there was anything. Each step can be killed and repeated.

    Raises ConfigError where something else has come to lie in its place.
    """
    folder = root / PENDING
    if not folder.is_dir():
        return False
    with locks.held(folder):
        if not folder.is_dir():  # another process was quicker
            return False
        found, kind = database(), str(read_json(folder / archive.MANIFEST).get("database"))
        if (found is None) != (kind == "sqlite"):
            fix = "set HEADWAY_DATABASE" if found is None else "unset HEADWAY_DATABASE"
            raise ConfigError(f"{folder} must be restored into {kind}, but this is another; {fix}")
        with _alone(root):
            done = _place(folder, root)
    shutil.rmtree(done, ignore_errors=True)
    return True


def _place(folder: Path, root: Path) -> Path:
    """Bring all to its places; the folder that it came in, under the name of a leftover."""
    found = database()
    if found is None:
        _refuse_databases(folder, root)
    _place_files(folder, root)
    if found is None:
        _place_sqlite(folder, root)
    else:
        _place_postgres(folder, root, found, str(read_json(folder / archive.MANIFEST)["root"]))
    done = folder.with_name(f"{PENDING}-{os.getpid()}{locks.WORKING}")
    folder.rename(done)  # one step: it is either to be finished, or to be cleared away
    return done


def _refuse_databases(folder: Path, root: Path) -> None:
    """Raises ConfigError where a database lies in the place of one that has not come to it yet."""
    for path in sorted((folder / "databases").glob("*.db")):
        target = sqlite_file(root, path.stem)
        if target.exists():
            fix = f"move it away, or remove {PENDING}/ to give the restore up"
            raise ConfigError(f"{target} must not be there until a restore is finished, but it is; {fix}")


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
        raise ConfigError(f"{target} must be empty until a restore is finished, but: {error.strerror}; {fix}") from None


def _place_sqlite(folder: Path, root: Path) -> None:
    for path in sorted((folder / "databases").glob("*.db")):
        target = sqlite_file(root, path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        place_database(path, target)


def _await_tool(found: Database, part: str) -> None:
    """Wait for a pg_restore that goes on although the command that started it was killed: with its end, its tables are there or not."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore'"
    )
    with contextlib.closing(connect(found, found.database(part))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute(others)
            row = cursor.fetchone()
            if row is None or not row[0]:
                return
            time.sleep(locks.LOOK_SECONDS)


def _place_postgres(folder: Path, root: Path, found: Database, old: str) -> None:
    """Each database in one transaction. One that was empty, and is not any more, was filled before a kill."""
    make_databases(found)
    for part in PARTS:
        _await_tool(found, part)
        if not _tables(found, part):
            dump = str(folder / "databases" / f"{part}.dump")
            run_postgres("pg_restore", found, part, "--no-owner", "--exit-on-error", "--single-transaction", dump)
    with contextlib.closing(connect(found, found.database("mlflow"))) as connection, connection:
        rename(connection.cursor(), old, str(root), "%s")
