"""The servers that Headway starts, as whoever sends requests sees them: `up`, a scoring server, a temporary Prefect server."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headway.files.database import reading, sqlite_file
from headway.machine.processes import answers, free_port
from tests.browser.garden import Up
from tests.serve.bundles import registered
from tests.support import serving

NAMES = ("prefect", "mlflow", "scoring", "temporary")
PREFECTS = ("prefect", "temporary")
SOCKETS = ("/api/events/in", "/api/events/out", "/api/logs/out", "/api/task_runs/subscriptions/scheduled")
SOCKETS += ("/api/work_pools/any/workers/connect",)
SECRET = "only-for-its-own-page"


@dataclass(frozen=True)
class Site:
    """A server: how its own page reads from it and writes to it, and whether something was written."""

    port: int
    reads: tuple[str, str, Any]
    shown: str
    """What is in the answer to whoever may read."""
    writes: tuple[str, str, Any]

    def ask(self, request: tuple[str, str, Any], headers: dict[str, Any]) -> tuple[int, str, dict[str, str]]:
        """Status, body and headers. A header whose value is a list is sent that often; Host is the server's own unless given."""
        method, path, body = request
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = b"" if body is None else json.dumps(body).encode()
            own = {
                "Host": f"127.0.0.1:{self.port}",
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
            }
            for name, values in {**own, **headers}.items():
                for value in values if isinstance(values, list) else [values]:
                    connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            content = b""
            with contextlib.suppress(
                ConnectionResetError
            ):  # a server that refuses may close before it has read the body
                content = answer.read()
            return answer.status, content.decode(errors="replace"), {k.lower(): v for k, v in answer.getheaders()}

    def upgrade(self, **more: str) -> dict[str, str]:
        """The headers of its own page's request for a web socket, with others put over them; an empty one is left out."""
        key = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        own = {"Host": f"127.0.0.1:{self.port}", "Origin": f"http://127.0.0.1:{self.port}"}
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": "prefect", **key, **own}
        return {name: value for name, value in {**headers, **more}.items() if value}


@dataclass(frozen=True)
class Sites:
    root: Path
    by_name: dict[str, Site]

    def written(self) -> set[str]:
        """What stands in the stores under the names that the requests write."""
        search = ("GET", "/api/2.0/mlflow/experiments/search?max_results=1000", None)
        _, experiments, _ = self.by_name["mlflow"].ask(search, {})
        rows = json.loads(experiments)["experiments"]
        for name in PREFECTS:
            _, variables, _ = self.by_name[name].ask(("POST", "/api/variables/filter", {}), {})
            rows += json.loads(variables)
        return {row["name"] for row in rows if row["name"].startswith("written")}


@pytest.fixture(scope="session")
def sites(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with (
        _scoring(tmp_path_factory.mktemp("scored")) as scoring,
        _temporary(tmp_path_factory.mktemp("passing"), up) as temporary,
    ):
        every = Sites(up.root, _by_name(_port(up.prefect), _port(up.mlflow), scoring, temporary))
        for name in PREFECTS:
            own = every.by_name[name].ask(("POST", "/api/variables/", {"name": "read_me", "value": SECRET}), {})
            assert own[0] == 201, own
        yield every


@contextlib.contextmanager
def _scoring(root: Path) -> Iterator[int]:
    """The port of a scoring server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registered(root, "values")
    port = free_port()
    command = [sys.executable, "-m", "headway.cli", "serve", "values", "--port", str(port)]
    with subprocess.Popen(command, cwd=root, env=serving.outside(), stdout=subprocess.DEVNULL) as served:
        try:
            until = time.monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/ping"):
                assert served.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            yield port
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(60)


RUN = """
import os, sys
from pathlib import Path
from headway.server.local import reach_prefect
reach_prefect(Path.cwd())()
print(os.environ["PREFECT_API_URL"], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _temporary(root: Path, up: Up) -> Iterator[int]:
    """The port of the temporary Prefect server of a process that reaches Prefect as `headway run` does."""
    target = sqlite_file(root, "prefect")
    target.parent.mkdir()
    with (
        contextlib.closing(reading(sqlite_file(up.root, "prefect"))) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)  # whose tables take Prefect half a minute
    command, pipe = [sys.executable, "-c", RUN], subprocess.PIPE
    with subprocess.Popen(command, cwd=root, env=serving.outside(), stdin=pipe, stdout=pipe, text=True) as run:
        assert run.stdout is not None
        yield _port(run.stdout.readline().strip().removesuffix("/api"))
        run.communicate()  # with its end the server has no user any more


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _by_name(prefect: int, mlflow: int, scoring: int, temporary: int) -> dict[str, Site]:
    rows = {"inputs": [{"x": 1.0, "k": "p"}]}
    variables = ("POST", "/api/variables/filter", {})
    variable = ("POST", "/api/variables/", {"name": "written_by_others", "value": "1"})
    experiments = ("GET", "/api/2.0/mlflow/experiments/search?max_results=10", None)
    experiment = ("POST", "/api/2.0/mlflow/experiments/create", {"name": "written_by_others"})
    return {
        "prefect": Site(prefect, variables, SECRET, variable),
        "mlflow": Site(mlflow, experiments, "experiment_id", experiment),
        "scoring": Site(scoring, ("POST", "/invocations", rows), "predictions", ("POST", "/invocations", rows)),
        "temporary": Site(temporary, variables, SECRET, variable),
    }
