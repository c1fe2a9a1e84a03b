"""The servers of this project's folder: those of `headway up`, or a temporary one for the runs.

    .prefect/            PREFECT_HOME: Prefect's database, its logs
    .prefect/up.json     {"pid", "prefect", "mlflow"}: the process of `headway up` and the two addresses; owner.py knows whether it lives
    .prefect/logs/       one file for each child process

Nothing here imports prefect: its settings are environment variables, read when it is first imported.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from headway.errors import ConfigError
from headway.files.atomic import read_json, write_json
from headway.files.database import database, keep_private, make_databases
from headway.files.disk import require_room
from headway.files.versions import check_versions
from headway.server.credentials import auth
from headway.server.owner import owner
from headway.server.prefect_api import check_reachable
from headway.server.temporary import share_server

START_SECONDS = 120.0
PREFECT_PORT, MLFLOW_PORT = 4200, 5000
"""Where `headway up` serves them, unless it is told otherwise."""
MLFLOW_PAGE = "HEADWAY_MLFLOW_PAGE"
"""Tells the runner of `headway up` the address of MLflow's server."""


@dataclass(frozen=True)
class Servers:
    """A running `headway up`: its process and the addresses of the two web pages."""

    pid: int
    prefect: str
    mlflow: str


def state_file(root: Path) -> Path:
    """The file in which `headway up` notes its process and addresses."""
    return root / ".prefect" / "up.json"


def write_servers(root: Path, servers: Servers) -> None:
    """Note that `headway up` runs."""
    write_json(state_file(root), asdict(servers))


def running(root: Path) -> Servers | None:
    """The `headway up` of this folder; None when there is none, or when it was killed."""
    holder = owner(root, parts=())  # a part that is served alone does not write its address
    if holder is None or not holder.is_here:  # in another container, its addresses are not ours either
        return None
    with contextlib.suppress(OSError, ValueError, TypeError):
        servers = Servers(**read_json(state_file(root)))
        return servers if servers.pid == holder.pid else None
    return None


def environment(root: Path) -> dict[str, str]:
    """Prefect's settings for this folder. Variables that the user has set are left as they are."""
    defaults = {
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # The terminal shows only our own lines; Prefect's are on its web page, and unexpected errors are raised anyway.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    setting = database()
    if setting is not None:
        defaults["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = setting.url("asyncpg", "prefect")
    credentials = auth()
    if credentials is not None:
        defaults["PREFECT_SERVER_API_AUTH_STRING"] = defaults["PREFECT_API_AUTH_STRING"] = ":".join(credentials)
        defaults["MLFLOW_TRACKING_USERNAME"], defaults["MLFLOW_TRACKING_PASSWORD"] = credentials
    return {**defaults, **os.environ}


def reach_prefect(root: Path) -> Callable[[], None]:
    """Point Prefect at a server: the user's, that of `headway up`, or a temporary one that ends with its last user.

    Call it once, before prefect is imported. The runs of this folder share the temporary server, which lives until the last of them has
    reported its end. Returns a function that waits until the server answers, so that the caller can do something useful meanwhile. The
    temporary server has no web page; the next `headway up` shows its runs, because they share the database. Raises ConfigError where no
    server starts, or the disk has no room for one.
    """
    os.environ.update(environment(root))
    servers = running(root)
    if servers is not None:
        os.environ.setdefault("PREFECT_API_URL", f"{servers.prefect}/api")
    if os.environ.get("PREFECT_API_URL"):
        address = os.environ["PREFECT_API_URL"]
        return lambda: check_reachable(address)
    require_room(root)
    setting = database()
    if setting is not None:
        make_databases(setting)
    check_versions(root, setting)
    logs(root)
    keep_private(root)
    address, ready = share_server(root, os.environ, START_SECONDS)
    os.environ.update(PREFECT_API_URL=address, HEADWAY_TEMPORARY_SERVER="1")
    return ready


def logs(root: Path) -> Path:
    """The folder of the child processes' output. Raises ConfigError when it cannot be written."""
    folder = root / ".prefect" / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} must be writable, but: {error.strerror}") from None
    return folder
