"""The two SQLite databases: damaged ones are saved row by row, else taken from the newest backup, else made anew.

A database on PostgreSQL is PostgreSQL's to look after.
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

from headway.base import ConfigError
from headway.checksums import sync
from headway.database import PARTS, database, sqlite_file
from headway.doctor.finding import Finding, set_aside
from headway.local import running
from headway.tracking.store import is_missed, let_go
from headway.zombies import lives

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it belongs to that very file."""


def examine(root: Path) -> Iterator[Finding]:
    """Databases that SQLite cannot read whole, or that lost all they held."""
    if database() is not None:
        return
    for part in PARTS:
        path = sqlite_file(root, part)
        if not path.exists():
            continue
        problem = problem_of(path)
        if problem is None and part == "mlflow" and not _tables(path) and is_missed(root):
            problem = "it is empty, but runs of this folder were kept in it"
        if problem is not None:
            yield _finding(root, part, path, problem)


def _finding(root: Path, part: str, path: Path, problem: str) -> Finding:
    what = f"{PARTS[part]}'s database is damaged: {problem}"
    if running(root) is not None or any(lives(run) for run in (root / "data" / "runs").glob("*")):
        return Finding(what, path, "end headway up (headway down) and all runs, then: headway doctor --apply")
    backup = newest_backup(root, part)
    fix = "save the rows that can be read"
    other = f"the others from {backup.name}" if backup else "else begin a new one"
    aside = f"the damaged file stays as {path.name}.damaged"
    return Finding(what, path, f"{fix}, {other}; {aside}", partial(mend, root, part, path))


def problem_of(path: Path) -> str | None:
    """Why SQLite cannot read a database whole; None where it can, or where it is in use."""
    try:
        with contextlib.closing(_opened(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        return None if "locked" in str(error) or "busy" in str(error) else str(error)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return str(error)
    return None if verdict == "ok" else str(verdict).splitlines()[-1]  # the first may be a heading


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=20)


def _tables(path: Path) -> list[str]:
    with contextlib.closing(_opened(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def mend(root: Path, part: str, path: Path) -> None:
    """Put a whole database in a damaged one's place. Raises ConfigError where not even a backup can be read."""
    mended, copy = (path.with_name(f".{path.name}.{kind}") for kind in ("mended", "backup"))
    try:
        backup = newest_backup(root, part)
        if backup is not None:
            _extract(backup, part, copy)
        if not save(path, mended, copy if backup else None):
            mended.unlink(missing_ok=True)
            if backup is not None:
                copy.replace(mended)
        if mended.exists():
            sync(mended)
        let_go(root)
        aside = set_aside(path)
        for ending in BESIDE:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
        if mended.exists():
            mended.replace(path)
        sync(path.parent)
    finally:
        for left in (mended, copy):
            left.unlink(missing_ok=True)


def save(path: Path, target: Path, backup: Path | None = None) -> bool:
    """Copy the schema and every row that can be read; where some cannot, those of a backup that are missing.

    Whether the schema and its version are among it, without which the copy is of no use.
    """
    target.unlink(missing_ok=True)
    try:
        with (
            _lengthened(path) as whole,
            contextlib.closing(_opened(whole)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.text_factory = bytes  # a flipped byte may be no UTF-8
            entries = old.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            tables = [(name.decode(), sql.decode()) for kind, name, sql in entries if kind == b"table"]
            incomplete = []
            for name, sql in tables:
                if not name.startswith("sqlite_"):
                    new.execute(sql)
                    if not _copy_rows(old, new, name):
                        incomplete.append(name)
            for sql in (sql.decode() for kind, _, sql in entries if kind != b"table"):
                with contextlib.suppress(sqlite3.Error):  # a unique index over rows that were damaged
                    new.execute(sql)
            if backup is not None:
                _fill(new, backup, incomplete)
            new.commit()
            return bool(new.execute("SELECT count(*) FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, UnicodeDecodeError):
        return False


def _fill(new: sqlite3.Connection, backup: Path, tables: list[str]) -> None:
    """Rows of tables that could not be read whole, from a backup of the same version."""
    with contextlib.closing(_opened(backup)) as old:
        version = "SELECT version_num FROM alembic_version"
        is_same = old.execute(version).fetchall() == new.execute(version).fetchall()
        old.text_factory = bytes
        if is_same:
            for name in tables:
                _copy_rows(old, new, name)


@contextlib.contextmanager
def _lengthened(path: Path) -> Iterator[Path]:
    """A database that was cut, at the length that its header tells: SQLite refuses a shorter one as a whole."""
    with open(path, "rb") as file:
        header = file.read(100)
    pages, size = int.from_bytes(header[28:32], "big"), int.from_bytes(header[16:18], "big")
    length = pages * (65_536 if size == 1 else size)
    if not header.startswith(b"SQLite format 3") or not path.stat().st_size < length < 1 << 40:
        yield path
        return
    copy = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        shutil.copyfile(path, copy)
        os.truncate(copy, length)
        yield copy
    finally:
        for ending in ("", *BESIDE):
            copy.with_name(copy.name + ending).unlink(missing_ok=True)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> bool:
    """The rows of a table: up to a damaged page from either end. Whether all could be read; rows that are there stay."""
    described = [(name.decode(), kind) for _, name, kind, *_ in old.execute(f'PRAGMA table_info("{table}")')]
    names, marks = ", ".join(f'"{name}"' for name, _ in described), ", ".join("?" * len(described))
    insert = f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})'
    for order in ("", " ORDER BY rowid DESC"):
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):  # the rest of this direction cannot be read
            for row in old.execute(f'SELECT {names} FROM "{table}"{order}'):
                new.execute(insert, [_decoded(value, kind) for value, (_, kind) in zip(row, described, strict=True)])
            return True
    return False


def _decoded(value: object, kind: bytes) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) and b"BLOB" not in kind.upper() else value


def newest_backup(root: Path, part: str) -> Path | None:
    """The newest file in backups/ that holds this part's database."""
    for path in sorted((root / "backups").glob("*.tar"), key=lambda p: p.stat().st_mtime, reverse=True):
        with contextlib.suppress(OSError, tarfile.TarError, KeyError), tarfile.open(path, "r:") as tar:
            tar.getmember(f"databases/{part}.db")
            return path
    return None


def _extract(backup: Path, part: str, target: Path) -> None:
    with tarfile.open(backup, "r:") as tar:
        content = tar.extractfile(f"databases/{part}.db")
        assert content is not None
        with open(target, "wb") as file:
            shutil.copyfileobj(content, file)
    problem = problem_of(target)
    if problem is not None:
        raise ConfigError(f"{backup} must hold a whole database, but: {problem}; headway restore another backup")
