"""The servers of this project's folder: those that `headway up` keeps, or a temporary one for a single run.

    .prefect/            PREFECT_HOME: Prefect's database, its logs
    .prefect/up.json     {"pid", "prefect", "mlflow"}: who runs `headway up` here, and the two addresses
    .prefect/logs/       one file for each child process

Nothing here imports prefect: its settings are environment variables, read when it is first imported.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from headway.base import ConfigError, write_json
from headway.processes import await_answer, free_port, spawn, stop

START_SECONDS = 120.0


@dataclass(frozen=True)
class Servers:
    """A running `headway up`: its process and the addresses of the two web pages."""

    pid: int
    prefect: str
    mlflow: str


def state_file(root: Path) -> Path:
    """Where `headway up` says that it runs."""
    return root / ".prefect" / "up.json"


def write_servers(root: Path, servers: Servers) -> None:
    """Say that `headway up` runs."""
    write_json(state_file(root), asdict(servers))


def running(root: Path) -> Servers | None:
    """The `headway up` of this folder; None when there is none, or when it died without saying so."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        servers = Servers(**json.loads(state_file(root).read_text(encoding="utf-8")))
        os.kill(servers.pid, 0)
        if "headway" in _command_of(servers.pid):
            return servers
    return None


def _command_of(pid: int) -> str:
    """A process's command line: a number alone may by now belong to somebody else's process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return "headway"  # no /proc on this system: the number must do


def environment(root: Path) -> dict[str, str]:
    """Prefect's settings for this folder. Variables that the user has set are left as they are."""
    defaults = {
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # Our own lines are for people; Prefect's go to its web page, and an unexpected error is raised to us anyway.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return {**defaults, **os.environ}


def reach_prefect(root: Path) -> Callable[[], None]:
    """Point Prefect at a server: the user's, that of `headway up`, or a temporary one that ends with this process.

    Call it once, from the main thread, before prefect is imported: the temporary server then outlives what Prefect
    still has to tell it at the end. Returns a function that waits until the server answers, so that the caller can
    do something useful meanwhile. The temporary server has no web page; what ran on it is shown by the next
    `headway up`, for they share the database.
    """
    os.environ.update(environment(root))
    servers = running(root)
    if os.environ.get("PREFECT_API_URL"):
        return lambda: None
    if servers is not None:
        os.environ["PREFECT_API_URL"] = f"{servers.prefect}/api"
        return lambda: None
    port = free_port()
    address = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    quiet = {**os.environ, "PREFECT_SERVER_UI_ENABLED": "false", "PREFECT__SERVER_EPHEMERAL": "1"}
    child = spawn("Prefect's temporary server", command, logs(root) / "temporary-server.log", quiet, root)
    atexit.register(stop, child)
    os.environ.update(PREFECT_API_URL=address, HEADWAY_TEMPORARY_SERVER="1")
    return lambda: await_answer(child, f"{address}/health", START_SECONDS)


def logs(root: Path) -> Path:
    """The folder of the child processes' output. Raises ConfigError when it cannot be written."""
    folder = root / ".prefect" / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} must be writable, however: {error.strerror}") from None
    return folder
