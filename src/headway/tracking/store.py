"""Where MLflow keeps runs and models, and how to speak to it without waiting long for a server that is away."""

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
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from headway.data.credentials import refuse_credentials
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
    sqlite_file,
)
from headway.files.disk import disk_error, full_disk
from headway.files.locks import held, working_folder
from headway.files.versions import check_versions
from headway.run.places import settle, settle_shared

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    # A server that is away must cost a training seconds, not MLflow's default of minutes; sync delivers later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}

TABLES_LOCK = 4_813_070_002  # beside headway.files.database.LOCK
_made: set[str] = set()


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, else HEADWAY_DATABASE's, else the project's own SQLite database.

    Raises ConfigError for an address that holds credentials.
    """
    asked = os.environ.get("MLFLOW_TRACKING_URI")
    if asked:
        fix = (
            "PGPASSWORD" if asked.startswith("postgresql") else "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
        refuse_credentials(asked, "MLFLOW_TRACKING_URI", fix)  # it is written down with each run
        return asked
    found = database()
    return _own(root) if found is None else found.url("psycopg2", "mlflow")


OWN = "mlruns/mlflow.db"


def kept_uri(root: Path) -> str:
    """The store's address as a run directory keeps it: the project's own database is named from its folder, wherever that goes."""
    uri = tracking_uri(root)
    return OWN if uri == _own(root) else uri


def uri_of(kept: str, root: Path) -> str:
    """The address that ``kept_uri`` kept."""
    return _own(root) if kept == OWN else kept


def _own(root: Path) -> str:
    return f"sqlite:///{sqlite_file(root.resolve(), 'mlflow')}"


def is_file(uri: str) -> bool:
    """Whether the store is an SQLite file."""
    return uri.startswith("sqlite:")


def is_local(uri: str) -> bool:
    """Whether we write to the store's database ourselves and keep the artifacts in mlruns/, with no server between."""
    return is_file(uri) or uri.startswith("postgresql")


def database_file(uri: str) -> Path:
    """The file of an SQLite store."""
    return Path(uri.removeprefix("sqlite:///"))


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
    """Without the warnings that MLflow causes itself while it is imported: they tell a user nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_store(root: Path) -> MlflowClient:
    """The client of the project's store, which is made when it is not there yet. Raises ConfigError if it cannot be."""
    uri = tracking_uri(root)
    if uri.startswith("file:") or ("://" not in uri and not uri.startswith("sqlite:")):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI must be a database or a server, but is {uri}; files are no longer kept up"
        )
    if is_local(uri):
        _refuse_misread(root.resolve())
    if is_file(uri):
        _refuse_file_store(database_file(uri).parent)
        _refuse_emptied(root, database_file(uri))
        _make_database(uri)
        settle(root)
    elif is_local(uri) and uri not in _made:
        _make_postgres(root, uri)
        _made.add(uri)
    return client_of(uri)


def let_go(root: Path) -> None:
    """Close what this process has open of the project's database: its file is about to be replaced."""
    kinds = [sys.modules.get(f"mlflow.store.{part}.sqlalchemy_store") for part in ("tracking", "model_registry")]
    for kind in kinds:
        engines = {} if kind is None else kind.SqlAlchemyStore._engine_map
        if tracking_uri(root) in engines:
            engines[tracking_uri(root)].dispose()


def problems() -> tuple[type[Exception], ...]:
    """What MLflow raises when the store is away, locked, full or refuses; nothing that a bug of ours would raise."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, SQLAlchemyError, OSError)


def explain(error: BaseException) -> str:
    """The first line of an error, short enough for one line."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300]


@contextlib.contextmanager
def needing(uri: str) -> Iterator[None]:
    """For what cannot wait until MLflow is back. Raises ConfigError for whatever MLflow raises."""
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
    """Raises ConfigError for a folder that MLflow reads as another one: it would keep runs and artifacts there, without a word."""
    if "?" in str(root) or unquote(str(root)) != str(root):
        raise ConfigError(
            f"a project's folder must have no ? in its path, and no % before two hexadecimal digits, but is {root}: MLflow would "
            "write elsewhere; rename it"
        )


def _refuse_file_store(folder: Path) -> None:
    for found in folder.glob("[0-9]*/meta.yaml"):
        name = found.relative_to(folder)
        raise ConfigError(f"{folder} must not hold MLflow's old file store, but {name} is there; move it away")


def is_there(root: Path) -> bool:
    """Whether there is a store: looking makes none. Raises DamagedError where there was one that is gone or emptied."""
    uri = tracking_uri(root)
    if not is_file(uri):
        return True
    _refuse_emptied(root, database_file(uri))
    return database_file(uri).exists()


def is_missed(root: Path, path: Path) -> bool:
    """Whether runs of this folder name themselves by an id that this SQLite file should hold."""
    kept = (read_or_empty(one) for one in (root / "data" / "runs").glob("*/tracking.json"))
    return any(one.get("run_id") and uri_of(str(one.get("uri")), root) == f"sqlite:///{path}" for one in kept)


def _refuse_emptied(root: Path, path: Path) -> None:
    """Raises DamagedError for a database that was emptied or removed: made anew, it would hide that every model is lost."""
    if path.exists() and path.stat().st_size:
        return
    if is_missed(root, path):
        fact = "is empty" if path.exists() else "is gone"
        raise DamagedError(f"{path} must hold the runs and models of this folder, but {fact}; headway doctor --apply")


def begin_anew(root: Path) -> None:
    """Make the project's own database in the place of one that is lost."""
    _make_database(_own(root))


def _make_database(uri: str) -> None:
    """Create the tables once, however many processes ask at the same time; readers never block the writer (WAL)."""
    path = database_file(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(making_lock(path)):
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
    """Make the database in a folder of its own, and rename it when it is whole: MLflow's tables come one by one, in many transactions,
    and it takes up no database of which some are missing."""
    with working_folder(path.parent, "mlflow") as folder:
        made = folder / path.name
        uri = f"sqlite:///{made}"
        client_of(uri).search_experiments(max_results=1)
        _forget(uri)
        with contextlib.closing(sqlite3.connect(made)) as database:
            database.execute("PRAGMA journal_mode=WAL")
        place_database(made, path)


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
    found = database()
    if found is None:  # MLFLOW_TRACKING_URI names a database of its own: the user's to look after
        return
    make_databases(found)
    check_versions(root, found)
    with contextlib.closing(connect(found, found.database("mlflow"), "headway: making tables")) as connection:
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


def experiment_of(client: MlflowClient, root: Path, project: str) -> str:
    """The id of the project's experiment, created with an artifact folder that direct access and the server share."""
    from mlflow.exceptions import MlflowException

    found: Any = client.get_experiment_by_name(project)
    if found is None:
        local = is_local(tracking_uri(root))
        location = str(root.resolve() / "mlruns" / "artifacts" / project) if local else None
        try:
            return client.create_experiment(project, artifact_location=location)
        except MlflowException:  # another process was quicker
            found = client.get_experiment_by_name(project)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)
