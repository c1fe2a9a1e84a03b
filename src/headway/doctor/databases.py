"""The two SQLite databases: damaged ones are saved row by row, else taken from the newest backup, else made anew.

A database on PostgreSQL is PostgreSQL's to look after.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headway.base import ConfigError, read_or_empty
from headway.checksums import sync
from headway.database import PARTS, database, sqlite_file
from headway.doctor.finding import Finding, set_aside
from headway.local import running
from headway.zombies import lives

MENDED = ".mended"
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
        if problem is None and part == "mlflow" and not _tables(path) and _is_missed(root):
            problem = "it is empty, but runs of this folder were kept in it"
        if problem is not None:
            yield _finding(root, part, path, problem)


def _finding(root: Path, part: str, path: Path, problem: str) -> Finding:
    what = f"{PARTS[part]}'s database is damaged: {problem}"
    if running(root) is not None or any(lives(run) for run in (root / "data" / "runs").glob("*")):
        return Finding(what, path, "end headway up (headway down) and all runs, then: headway doctor --apply")
    backup = newest_backup(root, part)
    fix = "save the rows that can be read"
    other = f"else take it from {backup.name}" if backup else "else begin a new one"
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
    return None if verdict == "ok" else str(verdict).splitlines()[0]


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=20)


def _tables(path: Path) -> list[str]:
    with contextlib.closing(_opened(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _is_missed(root: Path) -> bool:
    """Whether runs of this folder name themselves by an id in the database."""
    return any(read_or_empty(path).get("run_id") for path in (root / "data" / "runs").glob("*/tracking.json"))


def mend(root: Path, part: str, path: Path) -> None:
    """Put a whole database in a damaged one's place. Raises ConfigError where not even a backup can be read."""
    mended = path.with_name(f".{path.name}{MENDED}")
    mended.unlink(missing_ok=True)
    try:
        backup = newest_backup(root, part)
        saved = save(path, mended)
        if not saved.is_enough:
            mended.unlink(missing_ok=True)
            if backup is not None:
                _extract(backup, part, mended)
        if mended.exists():
            sync(mended)
        aside = set_aside(path)
        for ending in BESIDE:
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
        if mended.exists():
            mended.replace(path)
        sync(path.parent)
    finally:
        mended.unlink(missing_ok=True)


@dataclass(frozen=True)
class Saved:
    """What could be read of a damaged database: ``is_enough`` where the schema and its version are among it."""

    rows: int
    is_enough: bool


def save(path: Path, copy: Path) -> Saved:
    """Copy the schema and every row that can be read."""
    rows = 0
    try:
        with contextlib.closing(_opened(path)) as old, contextlib.closing(sqlite3.connect(copy)) as new:
            old.text_factory = bytes  # a flipped byte may be no UTF-8
            entries = old.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            tables = [(name.decode(), sql.decode()) for kind, name, sql in entries if kind == b"table"]
            others = [sql.decode() for kind, _, sql in entries if kind != b"table"]
            for name, sql in tables:
                if not name.startswith("sqlite_"):
                    new.execute(sql)
                    rows += _copy_rows(old, new, name)
            for sql in others:
                with contextlib.suppress(sqlite3.Error):  # a unique index over rows that were damaged
                    new.execute(sql)
            new.commit()
            versions = new.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
            return Saved(rows, versions > 0)
    except (sqlite3.Error, UnicodeDecodeError):
        return Saved(rows, False)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> int:
    """The rows of a table: in order up to a damaged page, from the other end up to it, and then one by one in between."""
    columns = [name.decode() for _, name, *_ in old.execute(f'PRAGMA table_info("{table}")')]
    texts = {name.decode() for _, name, kind, *_ in old.execute(f'PRAGMA table_info("{table}")') if b"BLOB" not in kind}
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
    insert = f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})'
    copied = 0
    for order in ("", " ORDER BY rowid DESC"):
        cursor = None
        try:
            cursor = old.execute(f'SELECT {names} FROM "{table}"{order}')
            for row in cursor:
                copied += new.execute(insert, _decoded(row, columns, texts)).rowcount > 0
            return copied
        except (sqlite3.Error, UnicodeDecodeError):  # the rest of this direction cannot be read
            continue
    return copied


def _decoded(row: tuple[object, ...], columns: list[str], texts: set[str]) -> list[object]:
    return [
        value.decode(errors="replace") if isinstance(value, bytes) and name in texts else value
        for name, value in zip(columns, row, strict=True)
    ]


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
