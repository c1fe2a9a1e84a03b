"""Whether a database suits the Prefect and the MLflow that are installed here, by the version that alembic wrote into it.

The versions that exist are read from the packages' migrations as text, in 0.02 s. alembic's own ScriptDirectory imports prefect and
mlflow, which takes 3 s.
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


def check_versions(root: Path, setting: Database | None) -> None:
    """Raises ConfigError when a database was made by a newer version, is half-migrated, or holds something else."""
    for part in PARTS:
        if setting is None:
            check_file(part, sqlite_file(root, part))
        else:
            _check_postgres(part, setting)


def check_file(part: str, path: Path) -> None:
    """As check_versions, for one SQLite file."""
    try:
        if not holds_anything(path):  # not created yet: the next server creates it
            return
        with contextlib.closing(reading(path, 20)) as connection:
            state = _state(connection.cursor(), "SELECT name FROM sqlite_master WHERE type = 'table'")
    except sqlite3.Error as error:
        raise disk_problem(error, path) or ConfigError(
            f"{path} must be {PARTS[part]}'s database, but: {error}; headway doctor --apply, or restore a backup"
        ) from None
    _judge(part, "sqlite", str(path), f"sqlite:///{path}", *state)


def _check_postgres(part: str, setting: Database) -> None:
    with contextlib.closing(connect(setting, setting.database(part))) as connection, connection.cursor() as cursor:
        state = _state(cursor, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    _judge(part, "postgresql", setting.address(part), setting.url("psycopg2", part), *state)


def _state(cursor: Any, query: str) -> tuple[set[str], set[str]]:
    """The tables, and the versions that alembic wrote down."""
    cursor.execute(query)
    tables = {str(name) for (name,) in cursor.fetchall()}
    if "alembic_version" not in tables:
        return tables, set()
    cursor.execute("SELECT version_num FROM alembic_version")
    return tables, {str(version) for (version,) in cursor.fetchall()}


def _judge(part: str, kind: str, where: str, url: str, tables: set[str], revisions: set[str]) -> None:
    """Prefect upgrades an older database when it starts; MLflow needs a command of its own."""
    name = PARTS[part]
    if not tables - {"alembic_version"}:
        return
    if not revisions:
        fact = f"it has {len(tables)} tables and no version: half-migrated, or another program's"
        raise ConfigError(f"{where} must be {name}'s database, but {fact}; restore a backup, or name another")
    known_revisions, newest = revisions_of(part, kind)
    strangers = sorted(revisions - known_revisions)
    if strangers:
        fact = f"its version {strangers[0]} is unknown to the {name} installed here"
        raise ConfigError(f"{where} must suit this {name}, but {fact}; install the newer {name}, or restore a backup")
    if part == "mlflow" and not revisions & newest:
        fact = f"its version {sorted(revisions)[0]} is older"
        raise ConfigError(f"{where} must suit this {name}, but {fact}; headway backup, then: mlflow db upgrade {url}")


def revisions_of(part: str, kind: str) -> tuple[set[str], set[str]]:
    """All versions of the installed package's migrations, and those that no other follows."""
    package, folder = MIGRATIONS[part, kind]
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    revisions, predecessors = set(), set()
    for path in (Path(next(iter(spec.submodule_search_locations))) / folder).glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for target, variable in ((revisions, "revision"), (predecessors, "down_revision")):
            values = re.search(rf"^{variable}\b[^=\n]*=\s*(.*)$", text, re.MULTILINE)
            target.update(re.findall(r"[\"'](\w+)[\"']", values[1]) if values else ())
    return revisions, revisions - predecessors
