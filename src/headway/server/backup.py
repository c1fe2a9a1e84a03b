"""`headway backup`: both databases, the artifacts and conf/ in one plain tar file, which is verified before it is done.

archive.py describes the file; restore.py brings it back. Users and passwords are not in it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import sqlite3
import subprocess
import tarfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from headway import __version__
from headway.errors import ConfigError
from headway.files.atomic import naming, put_in_place
from headway.files.database import PARTS, Database, database, disk_problem, reading, sqlite_file
from headway.files.leftovers import note_place
from headway.files.locks import working_folder
from headway.files.records import Record
from headway.files.versions import check_versions
from headway.machine.clock import stamp
from headway.server import archive
from headway.server.archive import Manifest, Writer


@dataclass(frozen=True)
class Backup(Record):
    """A backup: its file, its size, its contents in words, and the number of database rows."""

    file: str
    bytes: int
    what: str
    rows: int


def backup(root: Path, to: str) -> Backup:
    """Write a backup while everything runs. Databases are copied first, so that every file that they name is inside.

    ``to``: a file, or a folder (one that exists, or ends in /). Raises ConfigError when there is nothing to keep, when
    PostgreSQL does not answer, when the file exists, or when what was written does not read back.
    """
    path = _target(root, to)
    setting = database()
    check_versions(root, setting)
    if setting is None and not any(sqlite_file(root, part).exists() for part in PARTS):
        raise ConfigError(f"{root} must have a database to keep, but nothing ran here yet; headway run NAME")
    note_place(root, path.parent)
    with working_folder(path.parent, "headway-backup") as folder:
        names, rows = _dump_databases(root, setting, folder)
        if not names:
            raise ConfigError(f"{root} must have a database to keep, but nothing ran here yet; headway run NAME")
        partial = folder / "backup.tar"
        with naming(path, partial), tarfile.open(partial, mode="w") as tar:
            writer = Writer(tar)
            writer.add_json(archive.MANIFEST, asdict(_manifest(root, setting)))
            for name in names:
                writer.add(folder / name, f"databases/{name}")
            _add_folder(writer, root / "mlruns" / "artifacts", "artifacts")
            _add_folder(writer, root / "conf", "conf")
            writer.finish(rows)
        archive.unpack(partial, None)  # every byte of it, against the list at its end
        partial.chmod(0o600)  # as private as the databases in it
        put_in_place(partial, path)
    what = f"{' and '.join(names)}, artifacts, conf/; not HEADWAY_AUTH, which stays in the environment"
    return Backup(str(path), path.stat().st_size, what, sum(map(_sum, rows.values())))


def _sum(counts: dict[str, int]) -> int:
    return sum(counts.values())


def _target(root: Path, to: str) -> Path:
    path = Path(to)
    if to.endswith("/") or path.is_dir():
        # The default folder is the project's, also when the command runs in a folder below it.
        base = root / path if to == "backups/" else path
        path = base / f"headway-{stamp()}.tar"
    if path.exists():
        raise ConfigError(f"--to must name a new file, but {path} exists")
    return path


def _manifest(root: Path, setting: Database | None) -> Manifest:
    packages = {name: importlib.metadata.version(name) for name in PARTS}
    kind = "sqlite" if setting is None else "postgresql"
    return Manifest(archive.FORMAT, kind, str(root), time.time(), {"headway": __version__, **packages})


def _add_folder(writer: Writer, folder: Path, name: str) -> None:
    """Add a folder's files. A file that disappears meanwhile is not registered yet, or is no longer."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.name.endswith(".partial"):
            with contextlib.suppress(FileNotFoundError):
                writer.add(path, f"{name}/{path.relative_to(folder)}")


def _dump_databases(root: Path, setting: Database | None, folder: Path) -> tuple[list[str], archive.Rows]:
    """Copies of the databases that exist, each opened and checked; their names, and the rows of the SQLite ones."""
    if setting is not None:
        names = [f"{part}.dump" for part in PARTS]
        for part, name in zip(PARTS, names, strict=True):
            run_postgres("pg_dump", setting, part, "-Fc", "--no-owner", "-f", str(folder / name))
            run_postgres("pg_restore", None, part, "--list", str(folder / name))
        return names, {}
    rows: archive.Rows = {}
    for part in PARTS:
        path = sqlite_file(root, part)
        if path.exists():
            _copy_sqlite(path, folder / f"{part}.db")
            rows[f"{part}.db"] = archive.rows_of(folder / f"{part}.db")
    return list(rows), rows


def _copy_sqlite(source: Path, copy: Path) -> None:
    """SQLite's online backup: whole and consistent, while others write."""
    try:
        with (
            contextlib.closing(reading(source)) as old,
            contextlib.closing(sqlite3.connect(copy)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as error:
        problem = disk_problem(error, copy)
        raise problem or ConfigError(f"{source} must be a whole database to be kept, but: {error}") from None


def run_postgres(tool: str, setting: Database | None, part: str, *words: str) -> None:
    """Run one of PostgreSQL's own tools; it reads the password from the environment. Raises ConfigError in one line."""
    program = shutil.which(tool) or next(
        iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{tool}"), reverse=True)), None
    )
    if program is None:
        raise ConfigError(f"{tool} must be installed, but is not; install PostgreSQL's client tools")
    place: list[str] = []
    if setting is not None:  # otherwise a file is looked at
        place = ["-h", setting.host, "-p", str(setting.port), "-d", setting.database(part), "--no-password"]
        place += ["-U", setting.user] if setting.user else []
    result = subprocess.run([str(program), *place, *words], capture_output=True, text=True)
    if result.returncode:
        message = next(iter(result.stderr.strip().splitlines()), f"exit code {result.returncode}")
        raise ConfigError(f"{tool} of {part}'s database must succeed, but: {message}")
