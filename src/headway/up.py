"""`headway up`: the Prefect server, the MLflow server and the runner, started, watched and stopped together."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from headway.base import ConfigError, read_json
from headway.local import Servers, environment, logs, running, state_file, write_servers
from headway.processes import Child, await_answer, await_truth, is_free, spawn, stop

START_SECONDS = 180.0
WATCH_SECONDS = 1.0


def up(root: Path, prefect_port: int, mlflow_port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted. Raises ConfigError when a port is taken, or a server does not start or keep running."""
    _refuse_taken(root, {"Prefect": prefect_port, "MLflow": mlflow_port})
    with serving(root, prefect_port, mlflow_port, say) as children:
        while True:
            time.sleep(WATCH_SECONDS)
            for child in children:
                child.check()


@contextlib.contextmanager
def serving(root: Path, prefect_port: int, mlflow_port: int, say: Callable[[str], None]) -> Iterator[list[Child]]:
    """Start all, wait until each answers, say where they are; stop all in the end, the runner first."""
    servers = Servers(os.getpid(), f"http://127.0.0.1:{prefect_port}", f"http://127.0.0.1:{mlflow_port}")
    settings = _environment(root, servers)
    folder = logs(root)
    children: list[Child] = []
    say("starting Prefect and MLflow; the first time takes half a minute")
    try:
        children.append(spawn("Prefect", _prefect(prefect_port), folder / "prefect.log", settings, root))
        _make_store(root)
        children.append(spawn("MLflow", _mlflow(root, mlflow_port), folder / "mlflow.log", settings, root))
        await_answer(children[0], f"{servers.prefect}/api/health", START_SECONDS)
        served = root / ".prefect" / "serving.json"
        served.unlink(missing_ok=True)
        runner = {**settings, "PREFECT_API_URL": f"{servers.prefect}/api"}
        command = [sys.executable, "-m", "flows.serve"]
        children.append(spawn("the runner", command, folder / "runner.log", runner, root))
        await_answer(children[1], f"{servers.mlflow}/health", START_SECONDS)
        await_truth(children[2], served.exists, START_SECONDS)
        write_servers(root, servers)
        for text in _greeting(servers, read_json(served), folder):
            say(text)
        yield children
    finally:
        state_file(root).unlink(missing_ok=True)
        for child in reversed(children):
            stop(child)


def _greeting(servers: Servers, served: Mapping[str, list[str]], folder: Path) -> list[str]:
    lines = [f"left out: {text}" for text in served["problems"]]
    names = ", ".join(served["names"]) or "no project yet: headway init --data FILE --target COLUMN"
    return [
        *lines,
        f"Prefect  {servers.prefect}  start and schedule retrainings: {names}",
        f"MLflow   {servers.mlflow}  compare runs, look at models",
        f"logs     {folder}",
        "Ctrl-C stops all of it.",
    ]


def _environment(root: Path, servers: Servers) -> dict[str, str]:
    settings = environment(root)
    settings.update(
        PREFECT_UI_URL=servers.prefect,
        PREFECT_SERVER_UI_API_URL="/api",  # else the page calls port 4200, whatever port serves it
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO",  # it goes to a log file here
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        PYTHONUNBUFFERED="1",
    )
    settings.pop("PREFECT_API_URL", None)
    return settings


def _prefect(port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def _make_store(root: Path) -> None:
    """Make MLflow's database where it is missing: its own first start races with a run that starts now."""
    if not (root / "mlruns" / "mlflow.db").exists():
        from headway.tracking.store import open_store

        open_store(root)


def _mlflow(root: Path, port: int) -> list[str]:
    folder = root / "mlruns"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    return [*command, "--artifacts-destination", str(folder / "artifacts")]


def _refuse_taken(root: Path, ports: Mapping[str, int]) -> None:
    """Raises ConfigError when a port is taken, or this folder is served already."""
    servers = running(root)
    if servers is not None:
        where = f"process {servers.pid}: {servers.prefect} and {servers.mlflow}"
        raise ConfigError(f"headway up must run once for a folder, however it runs already ({where})")
    if len(set(ports.values())) < len(ports):
        raise ConfigError(f"the two ports must differ, however both are {ports['Prefect']}")
    for name, port in ports.items():
        if not is_free(port):
            fix = f"stop what listens there, or give --{name.lower()}-port"
            raise ConfigError(f"{name}'s port {port} must be free, however it is taken; {fix}")
