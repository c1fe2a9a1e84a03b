"""The address of the store: MLFLOW_TRACKING_URI, HEADWAY_DATABASE, or the project's own SQLite database."""

from __future__ import annotations

import os
from pathlib import Path

from headway.data.credentials import refuse_credentials
from headway.files.database import database, sqlite_file


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI where it is set, otherwise HEADWAY_DATABASE's, otherwise the project's own SQLite database.

    Raises ConfigError for an address that holds credentials.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if address:
        fix = (
            "PGPASSWORD"
            if address.startswith("postgresql")
            else "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
        refuse_credentials(address, "MLFLOW_TRACKING_URI", fix)  # each run keeps the address
        return address
    setting = database()
    return own_uri(root) if setting is None else setting.url("psycopg2", "mlflow")


OWN = "mlruns/mlflow.db"


def kept_uri(root: Path) -> str:
    """The store's address in a run directory: the project's own database relative to its folder, which may be moved."""
    uri = tracking_uri(root)
    return OWN if uri == own_uri(root) else uri


def uri_of(address: str, root: Path) -> str:
    """The full address of one from ``kept_uri``."""
    return own_uri(root) if address == OWN else address


def own_uri(root: Path) -> str:
    return f"sqlite:///{sqlite_file(root.resolve(), 'mlflow')}"


TRAINING = "workflowType=machine_learning"
"""In an address of MLflow's pages. Without it, they show traces of language models."""


def page_of_run(experiment: str, run_id: str) -> str:
    """Where MLflow's pages show a run, below the address of its server."""
    return f"#/experiments/{experiment}/runs/{run_id}?{TRAINING}"


def page_of_artifact(page: str, name: str) -> str:
    """Where MLflow's pages show a file of the run that ``page`` shows."""
    path, mark, query = page.partition("?")
    return f"{path}/artifacts/{name}{mark}{query}"


def is_file(uri: str) -> bool:
    """Whether the store is an SQLite file."""
    return uri.startswith("sqlite:")


def is_local(uri: str) -> bool:
    """Whether this process writes to the store's database and to mlruns/ itself, without a server."""
    return is_file(uri) or uri.startswith("postgresql")


def database_file(uri: str) -> Path:
    """The file of an SQLite store."""
    return Path(uri.removeprefix("sqlite:///"))
