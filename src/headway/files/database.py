"""HEADWAY_DATABASE=postgresql://user:password@host:port/name: one setting that puts both servers on PostgreSQL.

Prefect and MLflow each get a database of their own, `name_prefect` and `name_mlflow`, made where they are missing. The
password goes to every driver through PGPASSWORD, so that no address, command line or log that is shown holds it.

The address is read by the standard library: SQLAlchemy's make_url ends a password at an @ in it, and its errors show the rest as the host.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from headway.errors import ConfigError
from headway.files.atomic import put_in_place
from headway.files.disk import disk_error, full_disk

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SETTING = "HEADWAY_DATABASE"
EXAMPLE = "postgresql://user:password@host:5432/headway"
WAIT_SECONDS = 10
LOCK = 4_813_070_001  # any number that no other program takes for an advisory lock
PARTS = {"prefect": "Prefect", "mlflow": "MLflow"}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server's two databases. Holds no password: that is in PGPASSWORD."""

    user: str
    host: str
    port: int
    name: str

    def database(self, part: str) -> str:
        """The name of a part's database; the parts are prefect and mlflow."""
        return f"{self.name}_{part}"

    def address(self, part: str = "") -> str:
        """The address without user and password, for messages."""
        return f"postgresql://{self.host}:{self.port}/{self.database(part) if part else self.name}"

    def url(self, driver: str, part: str) -> str:
        """SQLAlchemy's address of a part's database, without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        return f"postgresql+{driver}://{user}{host}:{self.port}/{quote(self.database(part), safe='')}"


def database() -> Database | None:
    """The databases of HEADWAY_DATABASE; None without it, which means SQLite. Raises ConfigError when it is no such address.

    The password and sslmode go into the environment, where all drivers read them.
    """
    text = os.environ.get(SETTING, "")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port or 5432
    except ValueError:
        raise _setting_error(
            "it cannot be read; characters such as / @ : in a password are written as %2F %40 %3A"
        ) from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise _setting_error(
            f"it begins with {parts.scheme or 'no scheme'}:// and names host {parts.hostname or '(none)'}"
        )
    name = unquote(parts.path.strip("/")) or "headway"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,50}", name):
        raise _setting_error(f"the database is called {name!r}; use letters, digits and _, at most 51")
    options = dict(parse_qsl(parts.query))
    if set(options) - {"sslmode"}:
        raise _setting_error(f"it has ?{', '.join(sorted(set(options) - {'sslmode'}))}; only sslmode is known")
    if "sslmode" in options:
        os.environ["PGSSLMODE"] = options["sslmode"]
    if parts.password is not None:
        os.environ["PGPASSWORD"] = unquote(parts.password)
    return Database(unquote(parts.username or ""), parts.hostname, port, name)


def _setting_error(fact: str) -> ConfigError:
    return ConfigError(f"{SETTING} must be like {EXAMPLE}, but {fact}")


def make_databases(setting: Database) -> None:
    """Create the two databases where they are missing. Raises ConfigError when that is not possible."""
    import psycopg2

    missing = []
    for part in PARTS:
        try:
            connect(setting, setting.database(part)).close()
        except MissingDatabase:
            missing.append(setting.database(part))
    if not missing:
        return
    with contextlib.closing(_entrance(setting)) as connection:
        connection.autocommit = True
        for name in missing:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f'CREATE DATABASE "{name}"')
            except psycopg2.errors.DuplicateDatabase:
                pass  # another process was quicker
            except psycopg2.errors.UniqueViolation:
                pass  # so quick that it was not seen yet
            except psycopg2.Error as error:
                fix = f'as an administrator: CREATE DATABASE "{name}" OWNER "{setting.user}"'
                raise ConfigError(
                    f"{setting.address()}: database {name} must exist, but: {_first(error)}; {fix}"
                ) from None


class MissingDatabase(ConfigError):
    """The server has no database of that name."""


def _entrance(setting: Database) -> Connection:
    """A connection to a database that exists: the one of the setting, otherwise PostgreSQL's own."""
    for name in (setting.name, "postgres"):
        with contextlib.suppress(MissingDatabase):
            return connect(setting, name)
    raise ConfigError(f"{setting.address()}: a database {setting.name} or postgres must exist, but neither does")


def connect(setting: Database, name: str, purpose: str = "headway") -> Connection:
    """Connect to one database. Raises MissingDatabase, or ConfigError where the server is unreachable or refuses."""
    import psycopg2

    try:
        return psycopg2.connect(
            host=setting.host,
            port=setting.port,
            user=setting.user or None,
            dbname=name,
            connect_timeout=WAIT_SECONDS,
            application_name=purpose,
        )
    except psycopg2.OperationalError as error:
        text = str(error)
        where = f"{SETTING}: PostgreSQL at {setting.host}:{setting.port}"
        if f'database "{name}" does not exist' in text:
            raise MissingDatabase(f"{where} must have a database {name}, but it has none") from None
        if "authentication failed" in text or "no password supplied" in text or "pg_hba.conf" in text:
            raise ConfigError(
                f"{where} must accept user {setting.user or '(none)'}, but it refuses; correct the user and password"
            ) from None
        raise ConfigError(f"{where} must answer, but: {_first(error)}; start it, or correct the address") from None


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


@contextlib.contextmanager
def own_database(setting: Database | None, part: str) -> Iterator[None]:
    """Hold a part's database as its only server; PostgreSQL releases it when this process ends.

    Raises ConfigError, naming the holder, when another process holds it.
    """
    if setting is None:
        yield
        return
    purpose = f"headway up on {socket.gethostname()} process {os.getpid()}"
    with contextlib.closing(connect(setting, setting.database(part), purpose)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
            if not _row(cursor)[0]:
                cursor.execute(
                    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                    "WHERE l.locktype = 'advisory' AND l.granted AND l.database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1"
                )
                owner = cursor.fetchone()
                raise ConfigError(
                    f"{setting.address(part)} must have one {PARTS[part]} server, but "
                    f"{owner[0] if owner else 'another headway up'} holds it; stop that one first"
                )
        yield


def _row(cursor: Any) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return tuple(row)


def sqlite_file(root: Path, part: str) -> Path:
    """Where a part's SQLite database lies."""
    return root / "mlruns" / "mlflow.db" if part == "mlflow" else root / ".prefect" / "prefect.db"


def making_lock(path: Path) -> Path:
    """The lock of a process that creates or replaces this SQLite database."""
    return path.with_name(f".{path.name}.lock")


def keep_private(root: Path) -> None:
    """Make the databases' files private to their user; the servers create new ones privately.

    MLflow's own users and passwords, which earlier versions kept, are removed: HEADWAY_AUTH alone counts.
    """
    for path in (sqlite_file(root, part) for part in PARTS):
        for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            with contextlib.suppress(OSError):  # not there, or another user's
                file.chmod(0o600)
    for name in ("mlflow-users.db", "mlflow-auth.ini"):
        with contextlib.suppress(OSError):
            (root / ".prefect" / name).unlink()


def reading(path: Path, seconds: float = 60.0) -> sqlite3.Connection:
    """Open an existing SQLite file for reading; the path is quoted, as ? # and % have a meaning in a URI.

    In a read-only folder SQLite cannot create the index of its log. Without a log no process writes, so the file is opened as immutable.
    """
    can_write, log = os.access(path.parent, os.W_OK), path.with_name(f"{path.name}-wal")
    still = "" if can_write or log.exists() else "&immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{still}", uri=True, timeout=seconds)


def disk_problem(error: Exception, path: Path) -> ConfigError | None:
    """The message for an SQLite error that comes from the disk: on a full one even reading fails, with a disk I/O error."""
    full = full_disk(path.parent) if isinstance(error, sqlite3.OperationalError) else None
    return full or disk_error(error, path)


def holds_anything(path: Path) -> bool:
    """Whether an SQLite file has a row in any table; a process that was killed early leaves one without rows.

    Raises sqlite3.Error where it is no database.
    """
    if not path.exists() or not path.stat().st_size:
        return False
    with contextlib.closing(reading(path)) as connection:
        tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = {"experiments"} & tables or tables - {
            "alembic_version"
        }  # MLflow's first experiment is what it makes last
        return any(connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in rows)


def place_database(source: Path, path: Path) -> None:
    """Move a whole SQLite file to its path in one step, for its user alone; logs of an earlier file there are removed."""
    source.chmod(0o600)
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    put_in_place(source, path)
