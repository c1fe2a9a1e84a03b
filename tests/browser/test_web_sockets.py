"""No page but a server's own opens a web socket to it: whoever opens one to Prefect reads and writes events, and reads logs."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.browser.sites import PREFECTS, SOCKETS, Site, Sites


def _opened(site: Site, path: str, headers: dict[str, str]) -> int:
    """The status that a request for a web socket is answered with: 101 where it is open."""
    words = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        connection.sendall("\r\n".join(words).encode())
        return int(connection.recv(100).split()[1])


def _foreign_sockets(port: int) -> Iterator[dict[str, str]]:
    yield {"Origin": "https://evil.example"}
    yield {"Origin": "null"}
    yield {"Origin": "http://127.0.0.1:1"}
    yield {"Origin": f"http://localhost:{port}"}
    yield {"Origin": "https://evil.example", "Sec-WebSocket-Protocol": ""}  # an old client's
    yield {"Origin": "", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"}
    yield {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    yield {"Host": f"evil.example:{port}", "Origin": ""}


def test_the_web_sockets_are_all_that_prefect_has() -> None:
    from fastapi.routing import APIWebSocketRoute
    from prefect.server.api.server import API_ROUTERS
    from starlette.routing import WebSocketRoute

    routes = [route for router in API_ROUTERS for route in router.routes]
    routes_of_sockets = {f"/api{one.path}" for one in routes if isinstance(one, WebSocketRoute | APIWebSocketRoute)}
    assert {path.replace("{work_pool_name}", "any") for path in routes_of_sockets} == set(SOCKETS)


@pytest.mark.slow
@pytest.mark.parametrize("name", PREFECTS)
@pytest.mark.parametrize("path", SOCKETS)
def test_a_foreign_page_opens_no_web_socket(sites: Sites, name: str, path: str) -> None:
    site = sites.by_name[name]
    assert _opened(site, path, site.upgrade()) == 101
    for headers in _foreign_sockets(site.port):
        assert _opened(site, path, site.upgrade(**headers)) == 403, headers


@pytest.mark.parametrize("name", ["mlflow", "scoring"])
def test_the_other_servers_have_no_web_sockets(sites: Sites, name: str) -> None:
    site = sites.by_name[name]
    for path in ("/", "/invocations", "/api/2.0/mlflow/experiments/search", SOCKETS[0]):
        assert _opened(site, path, site.upgrade()) in (403, 404, 405)
        for headers in _foreign_sockets(site.port):
            assert _opened(site, path, site.upgrade(**headers)) == 403, headers
