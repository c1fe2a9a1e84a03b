"""`headway up`: the Prefect server, the MLflow server and the runner, started, watched and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from headway.errors import ConfigError
from headway.files.atomic import read_or_empty
from headway.files.database import (
    Database,
    database,
    holds_anything,
    keep_private,
    make_databases,
    owned,
    sqlite_file,
)
from headway.files.disk import require_room
from headway.files.versions import check_versions
from headway.machine.processes import GRACE_SECONDS, Child, await_answer, await_truth, is_free, spawn, stop
from headway.server import access, peers
from headway.server.credentials import auth
from headway.server.local import Servers, environment, logs, running, state_file, write_servers
from headway.server.owner import PARTS, owner, owning, refusal
from headway.server.prefect_api import crash_unfinished

START_SECONDS = 180.0
WATCH_SECONDS = 1.0
RESTARTS = 5
RESTARTS_WITHIN_SECONDS = 600.0
ZOMBIE_SECONDS = 30.0
RUNNER = "the runner"


class CloseDead(Protocol):
    """Closes the runs of a folder whose process has died, for a reason; one line for each."""

    def __call__(self, root: Path, problem: str = ...) -> list[str]: ...


@dataclass(frozen=True)
class Asked:
    """What `headway up` is asked for: the address to bind to, the two ports, and one server alone where ``only`` says."""

    prefect_port: int
    mlflow_port: int
    host: str = "127.0.0.1"
    only: str | None = None

    @property
    def open(self) -> bool:
        """Whether other machines could reach it."""
        return not access.is_loopback(self.host)

    @property
    def servers(self) -> Servers:
        """Where this machine finds them."""
        here = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{here}]" if ":" in here else here
        return Servers(os.getpid(), f"http://{shown}:{self.prefect_port}", f"http://{shown}:{self.mlflow_port}")


def up(root: Path, asked: Asked, say: Callable[[str], None], close_dead: CloseDead) -> None:
    """Serve until interrupted. A part that ends is started again, RESTARTS times within RESTARTS_WITHIN_SECONDS.

    Raises ConfigError when a port is taken, a database is not fit or held, a server does not start, or keeps ending,
    when other machines could reach it without a password, or the disk has no room for what is begun.
    ``close_dead`` is asked again and again.
    """
    _refuse_open(asked)
    require_room(root)
    _refuse_taken(root, asked)
    parts = (asked.only,) if asked.only else PARTS
    with owning(root, parts, asked.only), contextlib.ExitStack() as held:
        if asked.only is None:
            state_file(root).unlink(missing_ok=True)  # of one that was killed
        found = database()
        if found is not None:
            make_databases(found)
        check_versions(root, found)
        for part in parts:
            held.enter_context(owned(found, part))
        with serving(root, asked, say, close_dead, found) as kept:
            _watch(root, kept, say, close_dead)


@dataclass
class _Part:
    """One kept process: how it is started, and the times at which it had to be started again."""

    start: Callable[[], Child]
    ready: Callable[[Child], None]
    child: Child
    again: list[float]


def _watch(root: Path, parts: list[_Part], say: Callable[[str], None], close_dead: CloseDead) -> None:
    looked = 0.0
    while True:
        for part in parts:
            if part.child.guard.poll() is not None:
                _restart(part, say)
        if time.monotonic() - looked >= ZOMBIE_SECONDS:
            for text in close_dead(root):
                say(text)
            looked = time.monotonic()
        time.sleep(WATCH_SECONDS)


def _restart(part: _Part, say: Callable[[str], None]) -> None:
    """Start a part again. Raises ConfigError when it ended too often."""
    now = time.monotonic()
    part.again = [then for then in part.again if now - then < RESTARTS_WITHIN_SECONDS]
    if len(part.again) >= RESTARTS:
        part.child.check()  # raises
    part.again.append(now)
    say(f"{part.child.name} ended; started again ({len(part.again)} of {RESTARTS}), see {part.child.log}.1")
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # a killed guard leaves its server, and the port taken
        os.killpg(part.child.guard.pid, signal.SIGKILL)
    part.child = part.start()
    with contextlib.suppress(ConfigError):  # seen again at the next look, and counted
        part.ready(part.child)


@contextlib.contextmanager
def serving(
    root: Path, asked: Asked, say: Callable[[str], None], close_dead: CloseDead, found: Database | None = None
) -> Iterator[list[_Part]]:
    """Start all, wait until each answers, say where they are; stop all in the end, the runner first."""
    parts: list[_Part] = []
    keep_private(root)
    say("starting Prefect and MLflow; the first time takes half a minute")
    try:
        for start, ready in _starts(root, asked, found):
            parts.append(_Part(start, ready, start(), []))
            if asked.only is None and parts[-1].child.name == "MLflow":
                parts[0].ready(parts[0].child)  # the runner, which comes next, needs Prefect
                _served(root).unlink(missing_ok=True)
        for part in parts:
            part.ready(part.child)
        if asked.only is None:
            write_servers(root, asked.servers)
        for text in _greeting(root, asked, found):
            say(text)
        yield parts
    finally:
        if asked.only is None:
            state_file(root).unlink(missing_ok=True)
        for part in reversed(parts):  # the runner is the last: with it, what it runs has ended
            stop(part.child)
            if part.child.name == RUNNER:
                for text in _close_runs(root, asked, close_dead):
                    say(text)


STOPPED = "headway up was stopped while it ran"


def _close_runs(root: Path, asked: Asked, close_dead: CloseDead) -> list[str]:
    """Close in both pages the runs that ended with the runner; one line for each. What is on disk can be resumed."""
    lines = close_dead(root, STOPPED)
    with contextlib.suppress(ConfigError):  # Prefect has died: the next `headway up` closes its runs
        crash_unfinished(f"{asked.servers.prefect}/api", STOPPED)
    return lines


def _starts(
    root: Path, asked: Asked, found: Database | None
) -> Iterator[tuple[Callable[[], Child], Callable[[Child], None]]]:
    """What starts each part, and what waits until it is ready."""
    servers, settings, folder = asked.servers, _environment(root, asked), logs(root)

    def answering(address: str) -> Callable[[Child], None]:
        return lambda child: await_answer(child, address, START_SECONDS)

    if asked.only in (None, "prefect"):
        command = access.command("prefect.server.api.server:create_app", asked.host, asked.prefect_port, "app")
        start = partial(spawn, "Prefect", command, folder / "prefect.log", settings, root)
        yield start, answering(f"{servers.prefect}/api/health")
    if asked.only in (None, "mlflow"):
        _make_store(root, found)
        command = access.command("headway.tracking.server:tracking_app", asked.host, asked.mlflow_port, "all")
        stored = {**settings, **_store(root, found)}
        start = partial(spawn, "MLflow", command, folder / "mlflow.log", stored, root)
        yield start, answering(f"{servers.mlflow}/health")
    if asked.only is None:
        runner = {**settings, "PREFECT_API_URL": f"{servers.prefect}/api"}
        command = [sys.executable, "-m", "flows.serve"]
        start = partial(spawn, RUNNER, command, folder / "runner.log", runner, root)
        yield start, lambda child: await_truth(child, _served(root).exists, START_SECONDS)


def _served(root: Path) -> Path:
    """Where the runner says what it serves."""
    return root / ".prefect" / "serving.json"


def _greeting(root: Path, asked: Asked, found: Database | None) -> list[str]:
    servers = asked.servers
    served: Mapping[str, list[str]] = {"problems": [], "names": []}
    if asked.only is None:
        served = {**served, **read_or_empty(_served(root))}
    lines = [f"left out: {text}" for text in served["problems"]]
    names = ", ".join(served["names"])
    names = names or "no project yet: headway init --data FILE --target COLUMN"
    if asked.only in (None, "prefect"):
        lines.append(f"Prefect  {servers.prefect}  start and schedule retrainings: {names}")
    if asked.only in (None, "mlflow"):
        lines.append(f"MLflow   {servers.mlflow}  compare runs, look at models")
    if found is not None:
        lines.append(f"database {found.shown('prefect')} and {found.database('mlflow')}")
    if auth() is None:
        lines += peers.notice()
    return [*lines, f"logs     {logs(root)}", "Ctrl-C stops all of it."]


def _environment(root: Path, asked: Asked) -> dict[str, str]:
    """The children's settings. Secrets go this way only: a command line is there for everybody to read."""
    servers, settings = asked.servers, environment(root)
    settings.update(
        PREFECT_UI_URL=servers.prefect,
        PREFECT_SERVER_UI_API_URL="/api",  # else the page calls port 4200, whatever port serves it
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO",  # it goes to a log file here
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        PYTHONUNBUFFERED="1",
    )
    settings["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = servers.prefect
    settings["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"  # headway.server.access looks at Host, for all servers alike
    settings.pop("PREFECT_API_URL", None)
    return settings


def _make_store(root: Path, found: Database | None) -> None:
    """Make MLflow's database where it is missing: its own first start races with a run that starts now, and is not to be killed."""
    if found is not None or not holds_anything(sqlite_file(root, "mlflow")):
        from headway.tracking.store import open_store

        open_store(root)


def _store(root: Path, found: Database | None) -> dict[str, str]:
    """What MLflow's server is told of its store."""
    folder = root / "mlruns"
    url = f"sqlite:///{folder / 'mlflow.db'}" if found is None else found.url("psycopg2", "mlflow")
    return {"MLFLOW_BACKEND_STORE_URI": url, "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts")}


def _refuse_open(asked: Asked) -> None:
    """Raises ConfigError when other machines could reach the servers without a password, or HEADWAY_HOSTS is wrong."""
    access.named_hosts(os.environ)
    if asked.open and auth() is None:
        fix = "set HEADWAY_AUTH=user:password in the environment, or leave --host out"
        raise ConfigError(
            f"servers that other machines reach must ask for a password, but --host is {asked.host} and "
            f"HEADWAY_AUTH is not set; {fix}"
        )


def _refuse_taken(root: Path, asked: Asked) -> None:
    """Raises ConfigError when a port is taken, or this folder is served already."""
    ports = {"Prefect": asked.prefect_port, "MLflow": asked.mlflow_port}
    other = owner(root, (asked.only,) if asked.only else PARTS)
    if other is not None:
        servers = running(root)
        raise refusal(other, f": {servers.prefect} and {servers.mlflow}" if servers else "")
    if len(set(ports.values())) < len(ports):
        raise ConfigError(f"the two ports must differ, but both are {ports['Prefect']}")
    for name, port in ports.items():
        if asked.only in (None, name.lower()) and not _becomes_free(root, port, asked.host):
            fix = f"stop what listens there, or give --{name.lower()}-port"
            raise ConfigError(f"{name}'s port {port} must be free, but is taken; {fix}")


def _becomes_free(root: Path, port: int, host: str) -> bool:
    """Whether a port is free; the servers of a `headway up` that was killed take some seconds to end."""
    deadline = time.monotonic() + (GRACE_SECONDS + 5 if state_file(root).exists() else 0)
    while not is_free(port, host):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True
