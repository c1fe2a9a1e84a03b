"""The client of MLflow's store, which is created where it is missing. A server that does not answer costs only seconds."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from headway.errors import ConfigError, DamagedError
from headway.files.atomic import read_or_empty
from headway.files.database import (
    SETTING,
    connect,
    database,
    holds_anything,
    make_databases,
    making_lock,
    place_database,
)
from headway.files.disk import disk_error, full_disk
from headway.files.locks import hold, working_folder
from headway.files.versions import check_versions
from headway.run.places import settle, settle_shared
from headway.tracking.addresses import database_file, is_file, is_local, own_uri, tracking_uri, uri_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server that does not answer must cost a training seconds, not MLflow's default of minutes; sync sends everything later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}

TABLES_LOCK = 4_813_070_002  # beside headway.files.database.LOCK
_made_uris: set[str] = set()


def client_of(uri: str) -> MlflowClient:
    """A client of a store that exists. Explicit address and run ids: MLflow's active run is a trap for threads."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with quietly():  # the first client of a database imports its tables
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # after the import, which sets them
            logging.getLogger(name).setLevel(logging.ERROR)
        # It writes each error of the database with its traceback, and raises it as well: of a full disk, one line is enough.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of MLflow's own import, which mean nothing to a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_store(root: Path) -> MlflowClient:
    """The client of the project's store, which is created where it is missing. Raises ConfigError if that fails."""
    uri = tracking_uri(root)
    if uri.startswith("file:") or ("://" not in uri and not uri.startswith("sqlite:")):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI must be a database or a server, but is {uri}; MLflow no longer supports file stores"
        )
    if is_local(uri):
        _refuse_misread(root.resolve())
    if is_file(uri):
        _refuse_file_store(database_file(uri).parent)
        _refuse_emptied(root, database_file(uri))
        _make_database(uri)
        settle(root)
    elif is_local(uri) and uri not in _made_uris:
        _make_postgres(root, uri)
        _made_uris.add(uri)
    return client_of(uri)


def let_go(root: Path) -> None:
    """Close this process's connections to the project's database, whose file is about to be replaced."""
    kinds = [sys.modules.get(f"mlflow.store.{part}.sqlalchemy_store") for part in ("tracking", "model_registry")]
    for kind in kinds:
        engines = {} if kind is None else kind.SqlAlchemyStore._engine_map
        if tracking_uri(root) in engines:
            engines[tracking_uri(root)].dispose()


def problems() -> tuple[type[Exception], ...]:
    """MLflow's errors when the store does not answer, is locked, full or refuses; none that a bug of ours would raise."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)


def explain(error: BaseException) -> str:
    """The first line of an error, short enough for one line."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300]


@contextlib.contextmanager
def needing(uri: str) -> Iterator[None]:
    """For work that needs MLflow now: MLflow's errors in the block become ConfigErrors."""
    try:
        yield
    except problems() as error:
        fix = (
            "look at its folder"
            if is_file(uri)
            else f"start it, or unset {SETTING if is_local(uri) else 'MLFLOW_TRACKING_URI'}"
        )
        full = disk_error(error, database_file(uri)) if is_file(uri) else None
        raise full or ConfigError(f"MLflow at {uri} must answer, but: {explain(error)}; {fix}") from None


def _refuse_misread(root: Path) -> None:
    """Raises ConfigError for a folder whose path MLflow decodes to another one: it would write runs and artifacts there."""
    if "?" in str(root) or unquote(str(root)) != str(root):
        raise ConfigError(
            f"a project's folder must have no ? in its path, and no % before two hexadecimal digits, but is {root}: MLflow would "
            "write elsewhere; rename it"
        )


def _refuse_file_store(folder: Path) -> None:
    for path in folder.glob("[0-9]*/meta.yaml"):
        name = path.relative_to(folder)
        raise ConfigError(f"{folder} must not hold MLflow's old file store, but holds {name}; move it away")


def is_there(root: Path) -> bool:
    """Whether there is a store. Creates none. Raises DamagedError where the store is missing or empty, although runs refer to it."""
    uri = tracking_uri(root)
    if not is_file(uri):
        return True
    _refuse_emptied(root, database_file(uri))
    return database_file(uri).exists()


def is_missed(root: Path, path: Path) -> bool:
    """Whether runs of this folder have an id that this SQLite file should hold."""
    records = (read_or_empty(one) for one in (root / "data" / "runs").glob("*/tracking.json"))
    return any(one.get("run_id") and uri_of(str(one.get("uri")), root) == f"sqlite:///{path}" for one in records)


def _refuse_emptied(root: Path, path: Path) -> None:
    """Raises DamagedError for a database that was emptied or removed: a new one would hide that every model is lost."""
    if path.exists() and path.stat().st_size:
        return
    if is_missed(root, path):
        fact = "is empty" if path.exists() else "is missing"
        raise DamagedError(f"{path} must hold the runs and models of this folder, but {fact}; headway doctor --apply")


def begin_anew(root: Path) -> None:
    """Create the project's own database in place of a lost one."""
    _make_database(own_uri(root))


def _make_database(uri: str) -> None:
    """Create the tables once, also where many processes do so at the same time; readers never block the writer (WAL)."""
    path = database_file(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold(making_lock(path)):
            if not holds_anything(path):
                _make_elsewhere(path)
            with contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("BEGIN IMMEDIATE")  # fails on a database that can only be read
                database.rollback()
            client_of(uri).search_experiments(max_results=1)
    except Exception as error:
        if not isinstance(error, (sqlite3.Error, *problems())):
            raise
        full = full_disk(path.parent)
        raise full or ConfigError(f"{path.parent} must be writable, but: {_reason(error)}") from None


def _make_elsewhere(path: Path) -> None:
    """Create the database in a working folder, and rename it when it is complete: MLflow creates its tables in many transactions, and
    does not complete a database of which some are missing."""
    with working_folder(path.parent, "mlflow") as folder:
        _make_tables(folder / path.name)
        place_database(folder / path.name, path)


def _make_tables(path: Path) -> None:
    """Let MLflow create its tables, and its first experiment, in a new SQLite file."""
    uri = f"sqlite:///{path}"
    client_of(uri).search_experiments(max_results=1)
    _forget(uri)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")


def _forget(uri: str) -> None:
    """Close MLflow's connections to a database, which it keeps for the life of the process."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    for store in (Tracking, Registry):
        engine = store._engine_map.pop(uri, None)
        if engine is not None:
            engine.dispose()


def _make_postgres(root: Path, uri: str) -> None:
    """Create both databases and MLflow's tables once for all machines. Raises ConfigError when that is not possible."""
    setting = database()
    if setting is None:  # MLFLOW_TRACKING_URI names a database that the user manages
        return
    make_databases(setting)
    check_versions(root, setting)
    with contextlib.closing(connect(setting, setting.database("mlflow"), "headway: making tables")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (TABLES_LOCK,))
        client_of(uri).search_experiments(max_results=1)
        settle_shared(connection, root)


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)}{'; free some space' if error.errno == errno.ENOSPC else ''}"
    if "disk is full" in text:
        return "the disk is full; free some space"
    if "not a database" in text or "malformed" in text:
        return "mlflow.db is damaged; headway doctor --apply saves what can be read"
    return explain(error)
