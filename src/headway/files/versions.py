"""Whether a database suits the Prefect and the MLflow that are installed here, by the version that alembic wrote into it.

Which versions there are is read from the packages' migrations as text. alembic's own ScriptDirectory runs them, and so imports prefect and
mlflow: 3 seconds against 0.02.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sqlite3
from pathlib import Path
from typing import Any

from headway.errors import ConfigError
from headway.files.database import PARTS, Database, connect, disk_problem, holds_anything, reading, sqlite_file

MIGRATIONS = {
    ("prefect", "postgresql"): ("prefect", "server/database/_migrations/versions/postgresql"),
    ("prefect", "sqlite"): ("prefect", "server/database/_migrations/versions/sqlite"),
    ("mlflow", "postgresql"): ("mlflow", "store/db_migrations/versions"),
    ("mlflow", "sqlite"): ("mlflow", "store/db_migrations/versions"),
}


def check_versions(root: Path, found: Database | None) -> None:
    """Raises ConfigError when a database was made by a newer version, is half-migrated, or holds something else."""
    for part in PARTS:
        if found is None:
            check_file(part, sqlite_file(root, part))
        else:
            _check_postgres(part, found)


def check_file(part: str, path: Path) -> None:
    """As check_versions, for one SQLite file."""
    try:
        if not holds_anything(path):  # not made yet: who comes next makes it
            return
        with contextlib.closing(reading(path, 20)) as connection:
            state = _state(connection.cursor(), "SELECT name FROM sqlite_master WHERE type = 'table'")
    except sqlite3.Error as error:
        raise disk_problem(error, path) or ConfigError(
            f"{path} must be {PARTS[part]}'s database, but: {error}; headway doctor --apply, or restore a backup"
        ) from None
    _judge(part, "sqlite", str(path), f"sqlite:///{path}", *state)


def _check_postgres(part: str, found: Database) -> None:
    with contextlib.closing(connect(found, found.database(part))) as connection, connection.cursor() as cursor:
        state = _state(cursor, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    _judge(part, "postgresql", found.shown(part), found.url("psycopg2", part), *state)


def _state(cursor: Any, query: str) -> tuple[set[str], set[str]]:
    """The tables, and the versions that alembic wrote down."""
    cursor.execute(query)
    tables = {str(name) for (name,) in cursor.fetchall()}
    if "alembic_version" not in tables:
        return tables, set()
    cursor.execute("SELECT version_num FROM alembic_version")
    return tables, {str(version) for (version,) in cursor.fetchall()}


def _judge(part: str, kind: str, where: str, url: str, tables: set[str], revisions: set[str]) -> None:
    """Prefect brings an older database up to date when it starts; MLflow wants to be asked."""
    name = PARTS[part]
    if not tables - {"alembic_version"}:
        return
    if not revisions:
        fact = f"it has {len(tables)} tables and no version: half-migrated, or another program's"
        raise ConfigError(f"{where} must be {name}'s database, but {fact}; restore a backup, or name another")
    known, newest = revisions_of(part, kind)
    unknown = sorted(revisions - known)
    if unknown:
        fact = f"its version {unknown[0]} is unknown to the {name} installed here"
        raise ConfigError(f"{where} must suit this {name}, but {fact}; install the newer {name}, or restore a backup")
    if part == "mlflow" and not revisions & newest:
        fact = f"its version {sorted(revisions)[0]} is older"
        raise ConfigError(f"{where} must suit this {name}, but {fact}; headway backup, then: mlflow db upgrade {url}")


def revisions_of(part: str, kind: str) -> tuple[set[str], set[str]]:
    """All versions that the installed package's migrations know, and the newest (which none comes after)."""
    package, folder = MIGRATIONS[part, kind]
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    known, passed = set(), set()
    for path in (Path(next(iter(spec.submodule_search_locations))) / folder).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for target, variable in ((known, "revision"), (passed, "down_revision")):
            found = re.search(rf"^{variable}\b[^=\n]*=\s*(.*)$", text, re.MULTILINE)
            target.update(re.findall(r"[\"'](\w+)[\"']", found[1]) if found else ())
    return known, known - passed
