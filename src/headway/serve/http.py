"""A registered bundle behind HTTP: MLflow's own scoring server, on this machine alone. `headway serve PROJECT`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headway import access, checksums, tracking
from headway.base import ConfigError
from headway.local import environment, logs
from headway.processes import Child, await_answer, is_free, spawn, stop
from headway.project import load_project
from headway.tracking.server import MODEL

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
    checksums.check(model)
    # A store elsewhere keeps the whole model; only its bundle was fetched.
    address = str(model) if (model / "MLmodel").exists() else f"models:/{project.name}/{found.version}"
    access.named_hosts(os.environ)
    command = access.command("headway.tracking.server:scoring_app", "127.0.0.1", port, "others")
    settings = {**environment(root), "MLFLOW_TRACKING_URI": tracking.tracking_uri(root), MODEL: address}
    settings.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    log = logs(root) / f"serve-{port}.log"
    say(f"starting {project.name} version {found.version}")
    server = spawn("the scoring server", command, log, settings, root)
    try:
        await_answer(server, f"http://127.0.0.1:{port}/ping", START_SECONDS)
        say(f"{project.name} version {found.version} answers at http://127.0.0.1:{port}/invocations")
        say(f"log {log}; Ctrl-C stops it. A later champion is served after a new start.")
        yield server
    finally:
        stop(server)
