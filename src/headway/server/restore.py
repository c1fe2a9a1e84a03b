"""`headway restore`: a backup into an empty project, all of it or nothing, also when it is killed or something is damaged.

.headway-restore-….working/   being unpacked and checked; a kill leaves this and no project
.headway-restore/             whole and checked, being moved to its places: the next command in the folder continues with that
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from headway.config import find_root
from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json, sync
from headway.files.database import (
    PARTS,
    Database,
    database,
    make_databases,
    sqlite_file,
)
from headway.files.records import Record
from headway.files.versions import check_file
from headway.run.places import rename
from headway.server import archive
from headway.server.archive import Manifest
from headway.server.backup import run_postgres
from headway.server.placing import PENDING, alone, finish, place, refuse_used, tables_of


def empty_root() -> Path:
    """The project to restore into: the folder that has conf/, otherwise the current one."""
    with contextlib.suppress(ConfigError):
        return find_root()
    return Path.cwd()


@dataclass(frozen=True)
class Restored(Record):
    """A restored backup: into which folder, its contents, and when it was made."""

    root: str
    what: str
    made: float


def restore(file: str, root: Path) -> Restored:
    """Restore a backup into an empty project. Raises ConfigError, and changes nothing, when it is not empty.

    Repeated after a kill, it resumes.
    """
    path, setting = Path(file), database()
    refuse_used(root)
    with archive.reading_archive(path) as tar:
        manifest = archive.manifest_of(tar, path)
    _refuse_unlike(manifest, setting, path)
    if not _is_pending(root, manifest):
        _refuse_taken(root, path, setting)
        with contextlib.ExitStack() as stack:
            with locks.working_folder(root, PENDING.removeprefix(".")) as folder:
                whole = folder / "whole"
                _unpack(path, manifest, whole, root)
                stack.enter_context(locks.hold(whole))  # the lock goes with the folder to its new name
                stack.enter_context(alone(root))
                _refuse_taken(root, path, setting)  # unpacking may take minutes, in which a run may have started here
                whole.rename(root / PENDING)  # from here on it is completed, by this command or by the next
            leftover = place(root / PENDING, root)
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        finish(root)
    kinds = f"{manifest.database} databases, artifacts, conf/"
    return Restored(str(root), kinds, manifest.time)


def _unpack(path: Path, manifest: Manifest, whole: Path, root: Path) -> None:
    """Unpack and check a backup; only moving its files to their places remains."""
    whole.mkdir(mode=0o700)  # it holds databases, and is renamed into the project
    rows = archive.unpack(path, whole)
    _check(whole, rows, path)
    if manifest.database == "sqlite":
        _settle_sqlite(whole, manifest.root, str(root))
    _sync(whole)


def _is_pending(root: Path, manifest: Manifest) -> bool:
    """Whether this backup is half restored. Raises ConfigError where another one is."""
    folder = root / PENDING
    if not folder.is_dir():
        return False
    other = read_json(folder / archive.MANIFEST)
    if (other.get("root"), other.get("time")) != (manifest.root, manifest.time):
        raise ConfigError(
            f"{root} must be an empty project, but another backup is half restored; headway status finishes it"
        )
    return True


def _refuse_unlike(manifest: Manifest, setting: Database | None, path: Path) -> None:
    here = "sqlite" if setting is None else "postgresql"
    if manifest.database != here:
        fix = "set HEADWAY_DATABASE" if setting is None else "unset HEADWAY_DATABASE"
        raise ConfigError(f"{path} must be restored into {manifest.database}, but this is {here}; {fix}")


def _refuse_taken(root: Path, backup: Path, setting: Database | None) -> None:
    """Raises ConfigError when restoring would overwrite anything; a YAML that is the same already is no obstacle."""
    databases = [sqlite_file(root, part) for part in PARTS] if setting is None else []
    for path in (*databases, root / "mlruns" / "artifacts"):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise ConfigError(f"a backup must be restored into an empty project, but {path} exists")
    with archive.reading_archive(backup) as tar:
        for entry in archive.entries(tar, backup):
            path = root / entry.name
            content = tar.extractfile(entry) if entry.name.startswith("conf/") else None
            if content is not None and path.exists() and path.read_bytes() != content.read():
                raise ConfigError(
                    f"a backup must be restored into an empty project, but {path} differs from the backup's"
                )
    if setting is None:
        return
    make_databases(setting)
    for part in PARTS:
        if tables := tables_of(setting, part):
            fact = f"it has {tables} tables"
            raise ConfigError(f"{setting.address(part)} must be empty before a backup is restored, but {fact}")


def _check(folder: Path, rows: archive.Rows, path: Path) -> None:
    """Check the unpacked databases. Raises ConfigError where one is damaged, is of a newer version, or has other numbers of rows."""
    for database_file in sorted((folder / "databases").glob("*")):
        part = database_file.stem
        if part not in PARTS or database_file.suffix not in (".db", ".dump"):
            raise archive.damage_error(path, f"databases/{database_file.name} does not belong there")
        try:
            if database_file.suffix == ".dump":
                run_postgres("pg_restore", None, part, "--list", str(database_file))
            else:
                archive.refuse_other_rows(database_file, rows.get(database_file.name, {}))
                check_file(part, database_file)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}; nothing was restored") from None


def _settle_sqlite(folder: Path, old: str, new: str) -> None:
    """Write the new paths into MLflow's database before it is moved to its place."""
    path = folder / "databases" / "mlflow.db"
    if path.exists():
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            with connection:
                rename(connection.cursor(), old, new, "?")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _sync(folder: Path) -> None:
    """Sync the folders to disk; their files are synced already."""
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync(path)
