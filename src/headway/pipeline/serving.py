"""A registered bundle behind HTTP, on this machine alone: `headway serve PROJECT`. The process that answers is `headway.serve.app`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from headway import tracking
from headway.errors import ConfigError
from headway.files import checksums
from headway.machine.processes import Child, await_answer, is_free, spawn, stop
from headway.project import load_project
from headway.server import access
from headway.server.local import environment, logs

HOST = "127.0.0.1"
START_SECONDS = 180.0
WATCH_SECONDS = 1.0
RESTARTS = 5
RESTARTS_WITHIN_SECONDS = 600.0


@dataclass
class ServerProcess:
    """The server's process; one that ends is restarted, at most RESTARTS times within RESTARTS_WITHIN_SECONDS."""

    start: Callable[[], Child]
    address: str
    say: Callable[[str], None]
    facts: dict[str, str] = field(default_factory=dict)
    child: Child = field(init=False)
    _again: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.child = self.start()

    def ready(self) -> None:
        """Wait until it answers. Raises ConfigError when it ends or stays silent."""
        await_answer(self.child, f"{self.address}/ping", START_SECONDS)

    def look(self) -> None:
        """Restart it if it has ended. Raises ConfigError when it ended too often."""
        if self.child.guard.poll() is None:
            return
        now = time.monotonic()
        self._again = [then for then in self._again if now - then < RESTARTS_WITHIN_SECONDS]
        if len(self._again) >= RESTARTS:
            self.child.check()  # raises
        self._again.append(now)
        self.say(f"{self.child.name} ended; started again ({len(self._again)} of {RESTARTS}), see {self.child.log}.1")
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # a killed guard leaves its server running, and the port taken
            os.killpg(self.child.guard.pid, signal.SIGKILL)
        self.child = self.start()


def serve(
    name: str,
    root: Path,
    port: int,
    version: str,
    say: Callable[[str], None],
    ready: Callable[[dict[str, str]], None] = lambda _: None,
) -> None:
    """Answer until interrupted; ``ready`` gets project, version, address and log once it answers.

    Raises ConfigError without such a version, on a taken port, or when the server keeps ending.
    """
    with serving(name, root, port, version, say) as server:
        ready(server.facts)
        while True:
            time.sleep(WATCH_SECONDS)
            server.look()


@contextlib.contextmanager
def serving(name: str, root: Path, port: int, version: str, say: Callable[[str], None]) -> Iterator[ServerProcess]:
    """Start the server, wait until it answers, show its address; stop it at the end."""
    project = load_project(name, root)
    served_version = tracking.version_of(root, project.name, version)
    if not is_free(port):
        raise ConfigError(f"the port {port} must be free, but is taken; stop what listens there, or give --port")
    checksums.check(served_version.bundle)
    access.named_hosts(os.environ)
    limits = project.serve.model_dump(mode="json")
    settings = json.dumps({"bundle": str(served_version.bundle), "host": HOST, "port": port, "limits": limits})
    command = [sys.executable, "-m", "headway.serve.app", settings]
    variables = {**environment(root), "PYTHONUNBUFFERED": "1"}
    log = logs(root) / f"serve-{port}.log"
    say(f"starting {project.name} version {served_version.version}")
    address, number = f"http://{HOST}:{port}", served_version.version
    facts = {"project": project.name, "version": number, "address": f"{address}/invocations", "log": str(log)}
    server = ServerProcess(partial(spawn, "the scoring server", command, log, variables, root), address, say, facts)
    try:
        server.ready()
        say(f"{project.name} version {number} answers at {facts['address']}")
        say(f"log {log}; Ctrl-C stops it. A later champion is served after a restart.")
        yield server
    finally:
        stop(server.child)
