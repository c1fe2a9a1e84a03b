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
from typing import Any, Protocol

from headway.errors import ConfigError
from headway.files.atomic import read_or_empty
from headway.files.database import (
    Database,
    database,
    holds_anything,
    keep_private,
    make_databases,
    own_database,
    sqlite_file,
)
from headway.files.disk import require_room
from headway.files.versions import check_versions
from headway.machine.processes import GRACE_SECONDS, Child, await_answer, await_truth, is_free, spawn, stop
from headway.server import access, peers
from headway.server.credentials import auth
from headway.server.local import MLFLOW_PAGE, Servers, environment, logs, running, state_file, write_servers
from headway.server.news import News
from headway.server.owner import PARTS, owner, owning, refusal
from headway.server.prefect_api import crash_unfinished

START_SECONDS = 180.0
WATCH_SECONDS = 1.0
RESTARTS = 5
RESTARTS_WITHIN_SECONDS = 600.0
ZOMBIE_SECONDS = 30.0
RUNNER = "the runner"
MOST_LISTS = 3
"""Projects whose list of runs in MLflow is printed; "Start here" has all."""


class CloseDead(Protocol):
    """Closes the runs of a folder whose process was killed, with a reason; one line for each."""

    def __call__(self, root: Path, problem: str = ...) -> list[str]: ...


@dataclass(frozen=True)
class UpOptions:
    """The options of `headway up`: the address to bind to, the two ports, and ``only``, one server alone."""

    prefect_port: int
    mlflow_port: int
    host: str = "127.0.0.1"
    only: str | None = None

    @property
    def open(self) -> bool:
        """Whether other machines can reach it."""
        return not access.is_loopback(self.host)

    @property
    def servers(self) -> Servers:
        """The addresses by which this machine reaches them."""
        here = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        host = f"[{here}]" if ":" in here else here
        return Servers(os.getpid(), f"http://{host}:{self.prefect_port}", f"http://{host}:{self.mlflow_port}")


def up(
    root: Path,
    options: UpOptions,
    say: Callable[[str], None],
    close_dead: CloseDead,
    ready: Callable[[dict[str, object]], None] = lambda _: None,
) -> None:
    """Serve until interrupted. A part that ends is restarted, at most RESTARTS times within RESTARTS_WITHIN_SECONDS.

    ``say`` gets lines for people, also one for each run that starts or ends; ``ready`` gets the addresses once all parts answer.
    Raises ConfigError when a port is taken, a database is unusable or in use, a server does not start or keeps ending, other
    machines could reach it without a password, or the disk is full. ``close_dead`` is called regularly.
    """
    _refuse_open(options)
    require_room(root)
    _refuse_taken(root, options)
    parts = (options.only,) if options.only else PARTS
    with owning(root, parts, options.only), contextlib.ExitStack() as stack:
        if options.only is None:
            state_file(root).unlink(missing_ok=True)  # of one that was killed
        setting = database()
        if setting is not None:
            make_databases(setting)
        check_versions(root, setting)
        for part in parts:
            stack.enter_context(own_database(setting, part))
        news = None if options.only else News(options.servers.prefect)
        with serving(root, options, say, close_dead, setting) as running_parts:
            ready(_facts(root, options))
            _watch(root, running_parts, say, close_dead, news)


@dataclass
class _Part:
    """One kept process: how it is started, and the times at which it had to be started again."""

    start: Callable[[], Child]
    ready: Callable[[Child], None]
    child: Child
    again: list[float]


def _watch(
    root: Path, parts: list[_Part], say: Callable[[str], None], close_dead: CloseDead, news: News | None
) -> None:
    looked = 0.0
    while True:
        for part in parts:
            if part.child.guard.poll() is not None:
                _restart(part, say)
        if time.monotonic() - looked >= ZOMBIE_SECONDS:
            for text in close_dead(root):
                say(text)
            looked = time.monotonic()
        for text in () if news is None else news.lines():
            say(text)
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
    ):  # a killed guard leaves its server running, and the port taken
        os.killpg(part.child.guard.pid, signal.SIGKILL)
    part.child = part.start()
    with contextlib.suppress(ConfigError):  # noticed and counted at the next look
        part.ready(part.child)


@contextlib.contextmanager
def serving(
    root: Path, options: UpOptions, say: Callable[[str], None], close_dead: CloseDead, setting: Database | None = None
) -> Iterator[list[_Part]]:
    """Start all parts, wait until each answers, show their addresses; at the end stop all, the runner first."""
    parts: list[_Part] = []
    keep_private(root)
    say("starting Prefect and MLflow; the first time takes half a minute")
    try:
        for start, ready in _starts(root, options, setting):
            parts.append(_Part(start, ready, start(), []))
            if options.only is None and parts[-1].child.name == "MLflow":
                parts[0].ready(parts[0].child)  # the runner, which comes next, needs Prefect
                _serving_file(root).unlink(missing_ok=True)
        for part in parts:
            part.ready(part.child)
        if options.only is None:
            write_servers(root, options.servers)
        for text in _greeting(root, options, setting):
            say(text)
        yield parts
    finally:
        if options.only is None:
            state_file(root).unlink(missing_ok=True)
        for part in reversed(parts):  # the runner is the last in the list, and stops first: its runs end with it
            stop(part.child)
            if part.child.name == RUNNER:
                for text in _close_runs(root, options, close_dead):
                    say(text)


STOPPED = "headway up was stopped while it ran"


def _close_runs(root: Path, options: UpOptions, close_dead: CloseDead) -> list[str]:
    """Close the runs that ended with the runner in Prefect and MLflow; one line for each. They can be resumed from disk."""
    lines = close_dead(root, STOPPED)
    with contextlib.suppress(ConfigError):  # Prefect has ended: the next `headway up` closes its runs
        crash_unfinished(f"{options.servers.prefect}/api", STOPPED)
    return lines


def _starts(
    root: Path, options: UpOptions, setting: Database | None
) -> Iterator[tuple[Callable[[], Child], Callable[[Child], None]]]:
    """For each part, the function that starts it and the one that waits until it is ready."""
    servers, settings, folder = options.servers, _environment(root, options), logs(root)

    def answering(address: str) -> Callable[[Child], None]:
        return lambda child: await_answer(child, address, START_SECONDS)

    if options.only in (None, "prefect"):
        command = access.command("prefect.server.api.server:create_app", options.host, options.prefect_port, "app")
        start = partial(spawn, "Prefect", command, folder / "prefect.log", settings, root)
        yield start, answering(f"{servers.prefect}/api/health")
    if options.only in (None, "mlflow"):
        _make_store(root, setting)
        command = access.command("headway.tracking.server:tracking_app", options.host, options.mlflow_port, "all")
        store_settings = {**settings, **_store(root, setting)}
        start = partial(spawn, "MLflow", command, folder / "mlflow.log", store_settings, root)
        yield start, answering(f"{servers.mlflow}/health")
    if options.only is None:
        runner = {**settings, "PREFECT_API_URL": f"{servers.prefect}/api", MLFLOW_PAGE: servers.mlflow}
        command = [sys.executable, "-m", "flows.serve"]
        start = partial(spawn, RUNNER, command, folder / "runner.log", runner, root)
        yield start, lambda child: await_truth(child, _serving_file(root).exists, START_SECONDS)


def _serving_file(root: Path) -> Path:
    """The file in which the runner notes the projects that it serves."""
    return root / ".prefect" / "serving.json"


def _facts(root: Path, options: UpOptions) -> dict[str, object]:
    """What is served, for programs."""
    servers, state = options.servers, read_or_empty(_serving_file(root)) if options.only is None else {}
    return {
        "prefect": servers.prefect if options.only in (None, "prefect") else None,
        "mlflow": servers.mlflow if options.only in (None, "mlflow") else None,
        "projects": state.get("names", []),
        "problems": state.get("problems", []),
        "logs": str(logs(root)),
    }


def _greeting(root: Path, options: UpOptions, setting: Database | None) -> list[str]:
    servers = options.servers
    serving_state: Mapping[str, Any] = {"problems": [], "names": [], "start": None, "lists": {}}
    if options.only is None:
        serving_state = {**serving_state, **read_or_empty(_serving_file(root))}
    lines = [f"left out: {text}" for text in serving_state["problems"]]
    names = ", ".join(serving_state["names"])
    names = names or "no project yet: headway init --data FILE --target COLUMN"
    if serving_state["start"]:
        lines.append(f"start    {serving_state['start']}  a page with links to each project's form and runs")
    if options.only in (None, "prefect"):
        lines.append(f"Prefect  {servers.prefect}  start and schedule retrainings: {names}")
    if options.only in (None, "mlflow"):
        lists = list(serving_state["lists"].items())[:MOST_LISTS]
        lines += [f"MLflow   {address}  compare the runs of {name}" for name, address in lists]
        lines += [] if lists else [f"MLflow   {servers.mlflow}  compare runs, look at models"]
    if setting is not None:
        lines.append(f"database {setting.address('prefect')} and {setting.database('mlflow')}")
    if auth() is None:
        lines += peers.notice()
    return [*lines, f"logs     {logs(root)}", "Ctrl-C stops all of it."]


def _environment(root: Path, options: UpOptions) -> dict[str, str]:
    """The children's environment. Secrets are only passed here: everybody can read a command line."""
    servers, settings = options.servers, environment(root)
    settings.update(
        PREFECT_UI_URL=servers.prefect,
        PREFECT_SERVER_UI_API_URL="/api",  # otherwise the page calls port 4200, whatever port serves it
        PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT="false",
        PREFECT_SERVER_UI_V2_ENABLED="false",  # links of Prefect lead to the older pages, so the first page is one of these, too
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO",  # it goes to a log file here
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        PYTHONUNBUFFERED="1",
    )
    settings["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = servers.prefect
    settings["MLFLOW_SERVER_ALLOWED_HOSTS"] = "*"  # headway.server.access checks Host for all servers
    settings.pop("PREFECT_API_URL", None)
    return settings


def _make_store(root: Path, setting: Database | None) -> None:
    """Create MLflow's database where it is missing: MLflow's own first start would race with a run, and must not be killed."""
    if setting is not None or not holds_anything(sqlite_file(root, "mlflow")):
        from headway.tracking.store import open_store

        open_store(root)


def _store(root: Path, setting: Database | None) -> dict[str, str]:
    """The settings of MLflow's server for its store."""
    folder = root / "mlruns"
    url = f"sqlite:///{folder / 'mlflow.db'}" if setting is None else setting.url("psycopg2", "mlflow")
    return {"MLFLOW_BACKEND_STORE_URI": url, "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts")}


def _refuse_open(options: UpOptions) -> None:
    """Raises ConfigError when other machines could reach the servers without a password, or HEADWAY_HOSTS is wrong."""
    access.named_hosts(os.environ)
    if options.open and auth() is None:
        fix = "set HEADWAY_AUTH=user:password in the environment, or leave --host out"
        raise ConfigError(
            f"servers that other machines reach must ask for a password, but --host is {options.host} and "
            f"HEADWAY_AUTH is not set; {fix}"
        )


def _refuse_taken(root: Path, options: UpOptions) -> None:
    """Raises ConfigError when a port is taken, or this folder is served already."""
    ports = {"Prefect": options.prefect_port, "MLflow": options.mlflow_port}
    other = owner(root, (options.only,) if options.only else PARTS)
    if other is not None:
        servers = running(root)
        raise refusal(other, f": {servers.prefect} and {servers.mlflow}" if servers else "")
    if len(set(ports.values())) < len(ports):
        raise ConfigError(f"the two ports must differ, but both are {ports['Prefect']}")
    for name, port in ports.items():
        if options.only in (None, name.lower()) and not _becomes_free(root, port, options.host):
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
