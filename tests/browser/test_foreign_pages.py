"""Pages of others, and names that are made to point here, read and write nothing: Prefect's, MLflow's and the scoring server.

So, too, the temporary Prefect server that `headway run` starts where there is no `headway up`.
"""

from __future__ import annotations

import http.server
import stat
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headway.errors import ConfigError
from headway.server.prefect_api import check_reachable
from tests.browser.garden import ARGUMENTS, CHROMIUM, MARKS
from tests.browser.sites import NAMES, Sites

pytestmark = pytest.mark.slow

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
    "a form of another site that opens a page writes": (
        "writes",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ),
    "another site's page asks for another protocol": (
        "reads",
        {
            "Origin": "https://evil.example",
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AAMAAABk",
        },
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
    "a name that ends in a dot reads": ("reads", {"Host": "localhost.:{port}"}),
    "a name with our address as its user reads": ("reads", {"Host": "127.0.0.1:{port}@evil.example"}),
    "a request without a name writes": ("writes", {"Host": []}),
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


def test_a_command_that_is_refused_for_the_name_that_it_uses_says_which_names_it_may_use(sites: Sites) -> None:
    with pytest.raises(
        ConfigError, match="must accept this user, but answers: Host must name this server.*HEADWAY_HOSTS="
    ):
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
            answers = page.evaluate(ATTACK, case)
            assert "read" not in answers, answers
            answer = page.goto(f"http://evil.test:{site.port}/health")  # the name now points at the server
            assert answer is not None
            assert answer.status == 403
            answers = page.evaluate(ATTACK, {**case, "address": f"http://evil.test:{site.port}"})
            assert set(answers) == {"403"}, answers
            page.goto(f"{own}/health")
            harmless = {**case, "writes": site.reads if site.reads[0] == "POST" else ("POST", "/nothing", {})}
            assert page.evaluate(ATTACK, harmless)[0] == "read"  # the same script, from the server's own page
        browser.close()
    assert not sites.written()
