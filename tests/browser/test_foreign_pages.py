"""Pages of others, and names that are made to point here, read and write nothing: Prefect's, MLflow's and the scoring server."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headway import peers
from headway.base import ConfigError
from headway.prefect_api import check_reachable
from headway.processes import answers, free_port
from tests import serving
from tests.browser.garden import ARGUMENTS, CHROMIUM, MARKS, Up
from tests.serve.bundles import registered

NAMES = ("prefect", "mlflow", "scoring")
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
            return answer.status, answer.read().decode(errors="replace"), {k.lower(): v for k, v in answer.getheaders()}


@dataclass(frozen=True)
class Sites:
    root: Path
    by_name: dict[str, Site]

    def written(self) -> set[str]:
        """What stands in both stores under the names that the requests write."""
        prefect, mlflow = self.by_name["prefect"], self.by_name["mlflow"]
        _, variables, _ = prefect.ask(("POST", "/api/variables/filter", {}), {})
        _, experiments, _ = mlflow.ask(("GET", "/api/2.0/mlflow/experiments/search?max_results=1000", None), {})
        found = [one["name"] for one in json.loads(variables)] + [
            one["name"] for one in json.loads(experiments)["experiments"]
        ]
        return {name for name in found if name.startswith("written")}


@pytest.fixture(scope="module")
def sites(up: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    root = tmp_path_factory.mktemp("scored")
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
            made = Sites(up.root, _by_name(_port(up.prefect), _port(up.mlflow), port))
            own = made.by_name["prefect"].ask(("POST", "/api/variables/", {"name": "read_me", "value": SECRET}), {})
            assert own[0] == 201, own
            yield made
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(60)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _by_name(prefect: int, mlflow: int, scoring: int) -> dict[str, Site]:
    rows = {"inputs": [{"x": 1.0, "k": "p"}]}
    return {
        "prefect": Site(
            prefect,
            ("POST", "/api/variables/filter", {}),
            SECRET,
            ("POST", "/api/variables/", {"name": "written_by_others", "value": "1"}),
        ),
        "mlflow": Site(
            mlflow,
            ("GET", "/api/2.0/mlflow/experiments/search?max_results=10", None),
            "experiment_id",
            ("POST", "/api/2.0/mlflow/experiments/create", {"name": "written_by_others"}),
        ),
        "scoring": Site(scoring, ("POST", "/invocations", rows), "predictions", ("POST", "/invocations", rows)),
    }


FOREIGN: dict[str, tuple[str, dict[str, Any]]] = {
    "another site's page reads": ("reads", {"Origin": "https://evil.example"}),
    "a page without an origin reads": ("reads", {"Origin": "null"}),
    "a page of another port reads": ("reads", {"Origin": "http://127.0.0.1:1"}),
    "a page of this port under another name reads": ("reads", {"Origin": "http://localhost:{port}"}),
    "a page whose name begins like ours reads": ("reads", {"Origin": "http://127.0.0.1:{port}.evil.example"}),
    "a page with our name as its user reads": ("reads", {"Origin": "http://127.0.0.1:{port}@evil.example"}),
    "a page with two origins reads": ("reads", {"Origin": ["http://127.0.0.1:{port}", "https://evil.example"]}),
    "another site's page writes": ("writes", {"Origin": "https://evil.example"}),
    "a form of a page without an origin writes": ("writes", {"Origin": "null", "Content-Type": "text/plain"}),
    "a page that hides its origin writes": ("writes", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
    "a page of another port hides its origin and reads": (
        "reads",
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ),
    "a frame within another site's page reads": (
        "reads",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ),
    "another site's page asks whether it may": (
        "asks",
        {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    ),
    "a name made to point here reads": (
        "reads",
        {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    ),
    "a name made to point here writes": (
        "writes",
        {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"},
    ),
    "a name made to point here hides its origin": ("reads", {"Host": "evil.example:{port}"}),
    "a name that begins like our address reads": ("reads", {"Host": "127.0.0.1.evil.example:{port}"}),
    "a name made to point here says that a proxy has renamed it": (
        "reads",
        {"Host": "evil.example:{port}", "X-Forwarded-Host": "127.0.0.1:{port}", "Forwarded": "host=127.0.0.1"},
    ),
    "a request with two names writes": ("writes", {"Host": ["127.0.0.1:{port}", "evil.example:{port}"]}),
    "the address that means every address writes": (
        "writes",
        {"Host": "0.0.0.0:{port}", "Origin": "http://0.0.0.0:{port}"},
    ),
}


def _filled(value: Any, port: int) -> Any:
    return [_filled(one, port) for one in value] if isinstance(value, list) else value.replace("{port}", str(port))


@pytest.mark.parametrize("way", list(FOREIGN))
@pytest.mark.parametrize("name", NAMES)
def test_neither_read_nor_written(sites: Sites, name: str, way: str) -> None:
    site = sites.by_name[name]
    kind, headers = FOREIGN[way]
    request = ("OPTIONS", site.writes[1], None) if kind == "asks" else getattr(site, kind)
    status, body, answered = site.ask(request, {key: _filled(value, site.port) for key, value in headers.items()})
    assert status in (400, 403), body
    assert site.shown not in body
    assert not [header for header in answered if header.startswith("access-control-allow")]
    assert not sites.written()


@pytest.mark.parametrize("name", NAMES)
def test_its_own_page_and_a_program_of_its_user_read(sites: Sites, name: str) -> None:
    site = sites.by_name[name]
    own = {"Origin": f"http://127.0.0.1:{site.port}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    renamed = {"Host": f"localhost:{site.port}", "Origin": f"http://localhost:{site.port}"}
    for headers in ({}, own, renamed):
        status, body, _ = site.ask(site.reads, headers)
        assert status == 200
        assert site.shown in body


@pytest.mark.skipif(os.geteuid() != 0, reason="skipped: becomes another user, which only root may")
@pytest.mark.skipif(not peers.are_known(), reason="skipped: this system does not say who is connected")
def test_another_user_of_the_machine_is_kept_out(sites: Sites) -> None:
    """Also one who says that the request comes through a proxy, from whoever started the server."""
    program = (
        "import encodings.idna, http.client, os, sys\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "for port in sys.argv[1:]:\n"
        "    for headers in ({}, {'X-Forwarded-For': '127.0.0.1'}):\n"
        "        connection = http.client.HTTPConnection('127.0.0.1', int(port))\n"
        "        connection.request('GET', '/version', headers=headers)\n"
        "        print(connection.getresponse().status)\n"
    )
    ports = [str(site.port) for site in sites.by_name.values()]
    done = subprocess.run([sys.executable, "-I", "-c", program, *ports], capture_output=True, text=True)
    assert done.stdout.split() == ["403"] * 6, done.stderr


def test_a_foreign_page_opens_no_web_socket(sites: Sites) -> None:
    port = sites.by_name["prefect"].port

    def opened(host: str, origin: str) -> str:
        words = f"GET /api/events/out HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        words += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: prefect\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(words.encode())
            return connection.recv(100).split()[1].decode()

    own = f"127.0.0.1:{port}"
    assert opened(own, f"http://{own}") == "101"
    assert opened(own, "https://evil.example") == "403"
    assert opened(f"evil.example:{port}", f"http://evil.example:{port}") == "403"


def test_a_command_that_is_refused_for_the_name_that_it_uses_says_which_names_it_may_use(sites: Sites) -> None:
    with pytest.raises(ConfigError, match="must let us in, but says: Host must name this server.*HEADWAY_HOSTS="):
        check_reachable(f"http://0.0.0.0:{sites.by_name['prefect'].port}/api")


def test_the_databases_are_for_their_user_alone(sites: Sites) -> None:
    files = [*sites.root.glob("mlruns/mlflow.db*"), *sites.root.glob(".prefect/prefect.db*")]
    assert {"mlflow.db", "prefect.db"} <= {path.name for path in files}
    assert {stat.filemode(path.stat().st_mode) for path in files} == {"-rw-------"}


ATTACK = """
async ({address, reads, writes, shown}) => {
  const told = [];
  const json = {headers: {"content-type": "application/json"}};
  const send = ([method, path, body], how) =>
    fetch(address + path, {method, body: body ? JSON.stringify(body) : undefined, ...how});
  const tries = [
    () => send(reads, json),
    () => send(reads, {}),
    () => send(reads, {credentials: "include"}),
    () => send(writes, json),
    () => send(writes, {mode: "no-cors"}),
  ];
  for (const one of tries) {
    try {
      const answer = await one();
      const text = await answer.text();
      told.push(text.includes(shown) ? "read" : answer.type == "opaque" ? "opaque" : String(answer.status));
    } catch (error) { told.push("refused"); }
  }
  return told;
}
"""


class _Page(http.server.BaseHTTPRequestHandler):
    """A foreign site: one empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>evil</title>")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """The port of a foreign site."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@MARKS[0]
@MARKS[1]
def test_in_a_browser_foreign_pages_and_foreign_names_neither_read_nor_write(sites: Sites, elsewhere: int) -> None:
    from playwright.sync_api import sync_playwright

    rules = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, rules])
        page = browser.new_page()
        for site in sites.by_name.values():
            own = f"http://127.0.0.1:{site.port}"
            case = {"address": own, "reads": site.reads, "writes": site.writes, "shown": site.shown}
            page.goto(f"http://evil.test:{elsewhere}/")
            assert page.title() == "evil"
            told = page.evaluate(ATTACK, case)
            assert "read" not in told, told
            answer = page.goto(f"http://evil.test:{site.port}/health")  # the name now points at the server
            assert answer is not None
            assert answer.status == 403
            told = page.evaluate(ATTACK, {**case, "address": f"http://evil.test:{site.port}"})
            assert set(told) == {"403"}, told
            page.goto(f"{own}/health")
            harmless = {**case, "writes": site.reads if site.reads[0] == "POST" else ("POST", "/nothing", {})}
            assert page.evaluate(ATTACK, harmless)[0] == "read"  # the same script, from the server's own page
        browser.close()
    assert not sites.written()
