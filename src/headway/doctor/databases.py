"""The two SQLite databases: damaged ones are saved row by row, otherwise taken from the newest backup, otherwise made anew.

Databases on PostgreSQL are not examined.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headway.doctor.finding import Finding, keep_aside, link
from headway.errors import ConfigError
from headway.files.atomic import sync
from headway.files.database import PARTS, database, disk_problem, place_database, sqlite_file
from headway.files.disk import full_disk
from headway.files.locks import is_held, working_folder
from headway.run.lifetime import lives
from headway.server.owner import owning
from headway.server.temporary import kept_away
from headway.tracking.store import begin_anew, is_missed, let_go

BESIDE = ("-wal", "-shm", "-journal")
"""The endings of the files that SQLite keeps beside a database."""

ANEW = {
    "prefect": "or begin a new one where none can be",
    "mlflow": "or begin a new one where none can be, and deliver the runs in data/runs/ to it: versions, aliases and decisions that "
    "cannot be read are lost, unless you put a backup into backups/ first",
}
"""The fix where there is no backup, and what is lost by it."""


def examine(root: Path) -> Iterator[Finding]:
    """Databases that SQLite cannot read whole, or that lost all their rows. Raises ConfigError for an error of the disk."""
    if database() is not None:
        return
    for part in PARTS:
        path = sqlite_file(root, part)
        problem = problem_of(path) if path.exists() else None
        if problem is None and part == "mlflow" and not _tables(path) and is_missed(root, path.resolve()):
            problem = f"it is {'empty' if path.exists() else 'missing'}, but had runs of this folder"
        if problem is not None:
            yield _finding(root, part, path, problem)


def _finding(root: Path, part: str, path: Path, problem: str) -> Finding:
    what = f"{PARTS[part]}'s database is damaged: {problem}"
    if _is_used(root):
        return Finding(what, path, "end headway up (headway down) and all runs, then: headway doctor --apply")
    fix = f"save the rows that can be read, {'the others from the newest whole backup' if _backups(root, part) else ANEW[part]}"
    aside = f"; the damaged file stays as {path.name}.damaged" if path.exists() else ""
    return Finding(what, path, fix + aside, partial(mend, root, part, path), is_first=True)


def _is_used(root: Path) -> bool:
    """Whether `headway up`, a part of it, a temporary server or a run works here, in any container."""
    locks = [*(root / ".prefect").glob("up*.lock"), root / ".prefect" / "temporary.server"]
    return any(map(is_held, locks)) or any(map(lives, (root / "data" / "runs").glob("*")))


def problem_of(path: Path) -> str | None:
    """Why SQLite cannot read a database whole; None where it can, or where it is in use.

    Raises ConfigError where the disk is full or the file may not be read, which are no damage.
    """
    try:
        with contextlib.closing(_open(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            return None
        _refuse_disk(error, path)
        return str(error)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return str(error)
    return None if verdict == "ok" else str(verdict).splitlines()[-1]  # the first may be a heading


def _refuse_disk(error: Exception, path: Path) -> None:
    """Raises ConfigError for an error that comes from the disk."""
    problem = disk_problem(error, path)
    if problem is not None:
        raise problem from None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=20)


def _tables(path: Path) -> list[str]:
    if not path.exists():
        return []
    with contextlib.closing(_open(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def mend(root: Path, part: str, path: Path) -> None:
    """Put a whole database in a damaged one's place. Raises ConfigError where not even a backup can be read."""
    full = full_disk(path.parent)
    if full is not None:
        raise full
    if _is_used(root):
        raise ConfigError("no headway up and no run may work here, but one does; end it (headway down)")
    with (
        owning(root, tuple(PARTS), None),  # saving rows may take minutes: no server uses the damaged file meanwhile
        kept_away(root),
        working_folder(path.parent, "doctor") as folder,  # this process's own; gc removes it after a kill
    ):
        repaired_copy, copy = folder / f"{path.name}.mended", folder / f"{path.name}.backup"
        backups = _backups(root, part)
        is_copied = any(_extract(backup, part, copy) for backup in backups)
        if not path.exists() or not save(path, repaired_copy, copy if is_copied else None):
            repaired_copy.unlink(missing_ok=True)
            if is_copied:
                copy.replace(repaired_copy)
            elif backups:
                rule = "no row of it can be saved, and no file in backups/ holds a whole database"
                raise ConfigError(f"{rule}; put a whole one there")
        let_go(root)
        _put(repaired_copy, path)
        if part == "mlflow" and not path.exists():
            begin_anew(root)


def _put(copy: Path, path: Path) -> None:
    """Replace the damaged database by the repaired one in one step: after a kill, the path has one of the two.

    Where nothing could be repaired, the path stays free: Prefect makes a new database at its next start.
    """
    aside = keep_aside(path) if path.exists() else None
    for ending in BESIDE:
        beside = path.with_name(path.name + ending)
        if aside is not None and beside.exists():
            link(beside, aside.with_name(aside.name + ending))
    sync(path.parent)
    if copy.exists():
        place_database(copy, path)
        return
    for ending in (*BESIDE, ""):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    sync(path.parent)


def save(path: Path, target: Path, backup: Path | None = None) -> bool:
    """Copy the schema and every row that can be read, and the others from a backup.

    Returns whether the schema and its version were read, without which the copy is useless. Raises ConfigError for a full disk.
    """
    target.unlink(missing_ok=True)
    try:
        with (
            _lengthened(path, target.parent) as whole,
            contextlib.closing(_open(whole)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.text_factory = bytes  # a changed byte may not be UTF-8
            entries = old.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            tables = [(name.decode(), sql.decode()) for kind, name, sql in entries if kind == b"table"]
            incomplete = []
            for name, sql in tables:
                if not name.startswith("sqlite_"):
                    new.execute(sql)
                    if not _copy_rows(old, new, name):
                        incomplete.append(name)
            for sql in (sql.decode() for kind, _, sql in entries if kind != b"table"):
                try:
                    new.execute(sql)
                except sqlite3.Error as error:  # a unique index on damaged rows
                    _refuse_disk(error, target)
            if backup is not None:
                _fill(new, backup, incomplete)
            new.commit()
            return bool(new.execute("SELECT count(*) FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, UnicodeDecodeError) as error:
        _refuse_disk(error, target)
        return False


def _fill(new: sqlite3.Connection, backup: Path, tables: list[str]) -> None:
    """Rows of tables that could not be read whole, from a backup of the same version."""
    with contextlib.closing(_open(backup)) as old:
        version = "SELECT version_num FROM alembic_version"
        is_same = old.execute(version).fetchall() == new.execute(version).fetchall()
        old.text_factory = bytes
        if is_same:
            for name in tables:
                _copy_rows(old, new, name)


@contextlib.contextmanager
def _lengthened(path: Path, folder: Path) -> Iterator[Path]:
    """A copy of a truncated database in ``folder``, of the length in its header, as SQLite reads no shorter one."""
    with open(path, "rb") as file:
        header = file.read(100)
    pages, size = int.from_bytes(header[28:32], "big"), int.from_bytes(header[16:18], "big")
    length = pages * (65_536 if size == 1 else size)
    if not header.startswith(b"SQLite format 3") or not path.stat().st_size < length < 1 << 40:
        yield path
        return
    copy = folder / f"{path.name}.whole"
    try:
        shutil.copyfile(path, copy)
        os.truncate(copy, length)
        yield copy
    finally:
        for ending in ("", *BESIDE):
            copy.with_name(copy.name + ending).unlink(missing_ok=True)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> bool:
    """Copy a table's rows from either end up to a damaged page; existing rows stay. Returns whether all could be read."""
    described = [(name.decode(), kind) for _, name, kind, *_ in old.execute(f'PRAGMA table_info("{table}")')]
    names, marks = ", ".join(f'"{name}"' for name, _ in described), ", ".join("?" * len(described))
    insert = f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})'
    for order in ("", " ORDER BY rowid DESC"):
        with contextlib.suppress(_UnreadableError):  # the rest in this direction cannot be read
            for row in _rows(old, f'SELECT {names} FROM "{table}"{order}'):
                values = [_decoded(value, kind) for value, (_, kind) in zip(row, described, strict=True)]
                with contextlib.suppress(sqlite3.IntegrityError):  # a damaged row that breaks the table's constraints
                    new.execute(insert, values)
            return True
    return False


class _UnreadableError(Exception):
    """The damaged database cannot be read any further; errors of writing the new one are others."""


def _rows(old: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    try:
        yield from old.execute(query)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _UnreadableError from error


def _decoded(value: object, kind: bytes) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) and b"BLOB" not in kind.upper() else value


def _backups(root: Path, part: str) -> list[Path]:
    """The files in backups/ that hold this part's database, the newest first."""
    paths = sorted((root / "backups").glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path for path in paths if _holds(path, part)]


def _holds(backup: Path, part: str) -> bool:
    with contextlib.suppress(OSError, tarfile.TarError, KeyError), tarfile.open(backup, "r:") as tar:
        return tar.getmember(f"databases/{part}.db").isfile()
    return False


def _extract(backup: Path, part: str, target: Path) -> bool:
    """Copy a part's database out of a backup; returns whether it is whole. Raises ConfigError for a full disk."""
    try:
        with tarfile.open(backup, "r:") as tar, open(target, "wb") as file:
            content = tar.extractfile(f"databases/{part}.db")
            assert content is not None
            shutil.copyfileobj(content, file)
    except (OSError, tarfile.TarError, KeyError) as error:
        _refuse_disk(error, target)
        return False
    return problem_of(target) is None
