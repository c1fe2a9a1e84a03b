"""One deciding process at a time for each model, by locks that end with their process.

| the store of runs and models | what keeps others out |
|---|---|
| an SQLite file | a kernel lock beside the file: every process of this machine, from whichever project folder |
| PostgreSQL | besides the project folder's kernel lock an advisory lock of the database: every machine |
| a server by http, another database | besides the project folder's kernel lock numbered tickets (`tracking.tickets`): every machine |

The kernel drops its lock with the process that held it, PostgreSQL drops its own with the connection. A ticket that nobody renews
is deleted by the next process that waits for the model.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError
from headway.files import locks
from headway.files.database import WAIT_SECONDS, connect, database
from headway.tracking import tickets
from headway.tracking.addresses import database_file, is_file, tracking_uri

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SPACE = 48_130  # the first of the two numbers of an advisory lock; the second is made of the model's name
QUIET_SECONDS = 2.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Lock:
    """A model's lock in this process. ``check`` raises ConfigError where it was lost, for example by a restart of the database."""

    check: Callable[[], Any]


@contextlib.contextmanager
def hold(root: Path, name: str, seconds: float = math.inf) -> Iterator[Lock | None]:
    """Hold the model for the block; None where another process still has it after ``seconds``. A longer wait prints one line."""
    uri, wait = tracking_uri(root), _Wait(name, seconds)
    file = _file(root, uri, name)
    with _kernel(file, wait) as is_locked:
        if not is_locked:
            yield None
        elif is_file(uri):
            yield Lock(lambda: None)
        elif uri.startswith("postgresql"):
            with contextlib.closing(_connect(uri, name)) as connection:
                yield _advisory(connection, name, wait)
        else:
            with tickets.hold(uri, name, file, wait.until) as check:
                yield None if check is None else Lock(check)


@dataclass
class _Wait:
    """A wait for a model, of ``seconds`` at most for all of its locks."""

    name: str
    seconds: float
    start: float = field(default_factory=time.monotonic)
    is_said: bool = False

    def until(
        self, is_taken: Callable[[], bool], may_end: Callable[[], bool] = lambda: True, pause: float = LOOK_SECONDS
    ) -> bool:
        """Try repeatedly; False where the time is up and the wait may end."""
        while not is_taken():
            seconds_so_far = time.monotonic() - self.start
            if seconds_so_far >= self.seconds and may_end():
                return False
            if seconds_so_far >= QUIET_SECONDS and not self.is_said:
                self.is_said = True
                print(f"headway: another process decides about {self.name}; waiting", file=sys.stderr, flush=True)
            time.sleep(pause)
        return True


def _file(root: Path, uri: str, name: str) -> Path:
    folder = database_file(uri).parent if is_file(uri) else root / "data" / "registry"
    return folder / f".{name}.deciding.lock"


@contextlib.contextmanager
def _kernel(path: Path, wait: _Wait) -> Iterator[bool]:
    descriptor: int | None = None

    def is_taken() -> bool:
        nonlocal descriptor
        descriptor = locks.take(path, seconds=0)
        return descriptor is not None

    try:
        yield wait.until(is_taken)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _connect(uri: str, name: str) -> Connection:
    """A separate connection for the lock, which must outlast every transaction."""
    import psycopg2

    purpose = f"headway: deciding about {name}"
    setting = database()
    if setting is not None and uri == setting.url("psycopg2", "mlflow"):
        return connect(setting, setting.database("mlflow"), purpose)
    scheme, _, rest = uri.partition("://")
    try:
        return psycopg2.connect(
            f"{scheme.partition('+')[0]}://{rest}", connect_timeout=WAIT_SECONDS, application_name=purpose
        )
    except psycopg2.OperationalError as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"MLFLOW_TRACKING_URI: PostgreSQL must answer, but: {first}; start it") from None


def _advisory(connection: Connection, name: str, wait: _Wait) -> Lock | None:
    connection.autocommit = True  # a lock of the session: it ends with the connection
    number = zlib.crc32(name.encode()) - 2**31  # a signed 32-bit integer
    if not wait.until(lambda: bool(_ask(connection, name, "SELECT pg_try_advisory_lock(%s, %s)", SPACE, number))):
        return None
    return Lock(lambda: _ask(connection, name, "SELECT 1"))


def _ask(connection: Connection, name: str, query: str, *values: int) -> Any:
    import psycopg2

    try:
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            row = cursor.fetchone()
    except psycopg2.Error:
        raise ConfigError(
            f"the database must stay up during a decision about {name}, but the connection was lost; repeat the command"
        ) from None
    return row[0] if row else None
