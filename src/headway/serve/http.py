"""A registered bundle behind HTTP: MLflow's own scoring server, on this machine alone. `headway serve PROJECT`."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headway import tracking
from headway.base import ConfigError
from headway.local import environment, logs
from headway.processes import Child, await_answer, is_free, spawn, stop
from headway.project import load_project

START_SECONDS = 180.0
WATCH_SECONDS = 1.0


def serve(name: str, root: Path, port: int, version: str, say: Callable[[str], None]) -> None:
    """Answer until interrupted. Raises ConfigError without such a version, on a taken port, or when the server ends."""
    with serving(name, root, port, version, say) as server:
        while True:
            time.sleep(WATCH_SECONDS)
            server.check()


@contextlib.contextmanager
def serving(name: str, root: Path, port: int, version: str, say: Callable[[str], None]) -> Iterator[Child]:
    """Start the server, wait until it answers, say where; stop it in the end."""
    project = load_project(name, root)
    found = tracking.version_of(root, project.name, version)
    if not is_free(port):
        raise ConfigError(f"the port {port} must be free, however it is taken; stop what listens there, or give --port")
    model = found.bundle.parent.parent
    # A store elsewhere keeps the whole model; only its bundle was fetched.
    address = str(model) if (model / "MLmodel").exists() else f"models:/{project.name}/{found.version}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", address, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    settings = {**environment(root), "MLFLOW_TRACKING_URI": tracking.tracking_uri(root), "PYTHONUNBUFFERED": "1"}
    settings.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    log = logs(root) / f"serve-{port}.log"
    say(f"starting {project.name} version {found.version}")
    server = spawn("the scoring server", command, log, {**settings, "PATH": _path()}, root)
    try:
        await_answer(server, f"http://127.0.0.1:{port}/ping", START_SECONDS)
        say(f"{project.name} version {found.version} answers at http://127.0.0.1:{port}/invocations")
        say(f"log {log}; Ctrl-C stops it. A later champion is served after a new start.")
        yield server
    finally:
        stop(server)


def _path() -> str:
    """With our interpreter's folder first: MLflow starts its server by the name of its program."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
