"""The scoring server under requests that are wrong, too large, too slow or malicious: one line for each, and it goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from headway.machine.processes import free_port
from headway.pipeline.serving import ServerProcess, serving
from headway.serve import app
from tests.serve.bundles import registered

GOOD = b'{"inputs": [{"x": 1, "k": "p"}, {"x": null, "k": "never seen"}]}'
LIMITS = "serve: {body_megabytes: 1, rows: 5000, seconds: 2, connections: 64}\n"


class Server:
    """A server under test, and one way to ask it."""

    def __init__(self, process: ServerProcess, port: int) -> None:
        self.process, self.port = process, port

    def ask(
        self, body: bytes, headers: Mapping[str, str], path: str = "/invocations", method: str = "POST"
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    @property
    def root(self) -> Path:
        return self.process.child.log.parents[2]

    def json(self, body: bytes) -> tuple[int, str]:
        return self.ask(body, {"Content-Type": "application/json"})

    def works(self) -> bool:
        status, text = self.json(GOOD)
        return status == 200 and len(json.loads(text)["predictions"]) == 2

    def connect(self, head: bytes = b"") -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        one.sendall(head)
        return one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registered(root, "values")
        conf = root / "conf" / "values.yaml"
        conf.write_text(conf.read_text() + LIMITS)
        port = free_port()
        with serving("values", root, port, "champion", lambda _: None) as process:
            yield Server(process, port)


def one(x: str = "1", k: str = '"p"') -> bytes:
    return f'{{"inputs": [{{"x": {x}, "k": {k}}}]}}'.encode()


BAD: dict[str, tuple[bytes, str]] = {
    "deep lists": (b'{"inputs": ' + b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "nested too deeply"),
    "a deep value": (one(x="[" * 300 + "]" * 300), "column x must hold single values"),
    "5,000 digits": (one(x="1" * 5000), "column x must be finite, but 1 value is not"),
    "1e999": (one(x="1e999"), "column x must be finite, but 1 value is not"),
    "inf": (one(x='"inf"'), "column x must be finite, but 1 value is not"),
    "Infinity": (one(x="Infinity"), "column x must be finite, but row 1 has Infinity; write null for a missing value"),
    "NaN": (one(x="NaN"), "column x must be finite, but row 1 has NaN; write null for a missing value"),
    "beyond what is computed": (one(x="1e300"), "row 1: the prediction must be a finite number"),
    "a word": (one(x='"six"'), "column x must be numeric, but 1 value is not (row 1: 'six')"),
    "an object": (one(k="{}"), "column k must hold single values"),
    "no column": (b'{"inputs": [{"x": 1}]}', "rows to predict must have the column k"),
    "no columns": (b'{"inputs": [{"a": 1}]}', "rows to predict must have the columns x, k, but they have a"),
    "a row with a column less": (GOOD[:-2] + b', {"x": 2}]}', "row 3 must have the column k; write null"),
    "a bad row": (GOOD[:-2] + b', {"x": "six", "k": "p"}]}', "1 value is not (row 3: 'six')"),
    "latin-1": (one(k='"é"').decode().encode("latin-1"), "the body must be UTF-8 text"),
    "not JSON": (b"\x00\x01", "the body must be JSON"),
    "nothing": (b"", "the body must hold rows"),
}


def error_of(status: int, text: str) -> str:
    """The one line of a refusal."""
    assert text.count("\n") == 1, text
    assert text.endswith("\n"), text
    report: dict[str, Any] = json.loads(text)
    assert set(report) == {"error_code", "message"}
    assert "\n" not in report["message"]
    assert "Traceback" not in text
    assert len(report["message"]) < 400, status
    return str(report["message"])


def whole(connection: socket.socket) -> bytes:
    """All of an answer, which may come in parts, up to the end of its line."""
    answer = b""
    while not (b"\r\n\r\n" in answer and answer.endswith(b"}\n")):
        part = connection.recv(1 << 16)
        assert part, answer
        answer += part
    return answer


def test_each_bad_request_gets_400_with_its_line_and_the_next_one_is_answered(server: Server) -> None:
    for name, (body, line) in BAD.items():
        status, text = server.json(body)
        assert status == 400, (name, text)
        assert line in error_of(status, text), name
        assert str(server.root) not in text, name
    assert server.works()
    assert server.process.child.log.read_text() == "", "what a client did wrong is not in the log"
    assert server.json(one(k="1" * 5000))[0] == 200, "as a category it is one that was never seen"


def test_wrong_headers_methods_and_paths_get_one_line(server: Server) -> None:
    for headers in (
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        status, text = server.ask(GOOD, headers)
        assert (status, bool(error_of(status, text))) == (400, True), headers
    for method, path, code in (("GET", "/invocations", 405), ("POST", "/elsewhere", 404), ("DELETE", "/ping", 405)):
        status, text = server.ask(b"", {}, path, method)
        line = f"a request must be POST /invocations, or GET /ping, /health or /version, but is {method} {path}"
        assert (status, error_of(status, text)) == (code, line)
    for raw in (b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000):
        with server.connect(raw) as connection:
            answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Traceback" not in answer
    assert server.works()


def test_bodies_beyond_the_yamls_limit_get_413(server: Server) -> None:
    for body in (b'{"inputs": "' + b"x" * 5_000_000 + b'"}', b"x" * 1_000_001):
        status, text = server.json(body)
        assert status == 413
        assert error_of(status, text) == "the body must have at most 1 MB, but it has more; `headway score` takes files"
    head = b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with server.connect(head + b"Content-Length: 100000000\r\n\r\n") as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    with server.connect(head + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        with contextlib.suppress(ConnectionError):  # it is cut off on the way
            for _ in range(30):
                connection.sendall(b"%x\r\n" % 1_000_000 + b"x" * 1_000_000 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1 << 16)[:13] in (b"HTTP/1.1 413 ", b"")
    status, text = server.json(b'{"inputs": [' + b",".join([b'{"x":1,"k":"p"}'] * 5001) + b"]}")
    assert (status, "at most 5,000 rows, but it has 5,001" in error_of(status, text)) == (413, True)
    assert server.works()


def test_idle_and_slow_connections_are_ended_while_others_are_answered(server: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 65\r\n"
    with contextlib.ExitStack() as opened:
        idle = [opened.enter_context(server.connect()) for _ in range(40)]
        slow_heads = [opened.enter_context(server.connect(head)) for _ in range(5)]
        slow_bodies = [opened.enter_context(server.connect(head + b"\r\n" + GOOD[:10])) for _ in range(5)]
        assert server.works()
        for connection in slow_bodies:
            answer = whole(connection)
            assert answer.startswith(b"HTTP/1.1 408 ")
            line = answer.partition(b"\r\n\r\n")[2].decode()
            assert error_of(408, line) == "a request must arrive within 2 s, but only 10 bytes did"
        for connection in (*idle, *slow_heads):
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        assert server.works()


class Clock:
    """A loop and a connection in one, whose time is set by hand; what is on its way is in a real socket."""

    def __init__(self, near: socket.socket) -> None:
        self.near, self.now, self.is_over = near, 0.0, False
        self.later: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, what: Any) -> None:
        self.later.append((self.now + seconds, what))

    def get_write_buffer_size(self) -> int:
        return 1_000_000  # it stands still while the kernel has megabytes to send

    def get_extra_info(self, _name: str) -> socket.socket:
        return self.near

    def abort(self) -> None:
        self.is_over = True

    def until(self, moment: float) -> None:
        while self.later and self.later[0][0] <= moment:
            self.now, what = self.later.pop(0)
            what()
        self.now = moment


def test_an_answer_that_is_taken_slowly_is_not_cut_off_and_one_that_nobody_takes_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as far:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        far.connect(server.getsockname())
        near, _ = server.accept()
        with near:
            near.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    near.send(bytes(1 << 16))
            clock = Clock(near)
            connection: Any = app._Patient.__new__(app._Patient)
            connection.loop, connection.transport, connection.cycle, connection.seconds = clock, clock, None, 2.0
            connection._since = 0.0
            connection._look()
            for second in range(1, 11):
                count = app._in_kernel(near)
                while app._in_kernel(near) == count:
                    far.recv(1 << 14)
                clock.until(second)
                assert not clock.is_over
            time.sleep(0.5)  # what is on its way to the other end arrives
            clock.until(15)
            assert clock.is_over, "nothing was taken for two seconds"


def test_a_killed_process_is_started_again(server: Server) -> None:
    before = server.process.child.guard.pid
    os.killpg(before, signal.SIGKILL)
    server.process.child.guard.wait()
    server.process.look()
    server.process.ready()
    assert server.process.child.guard.pid != before
    assert server.works()


def test_a_limit_that_is_none_is_said_before_anything_starts(server: Server, tmp_path: Path) -> None:
    from headway.errors import ConfigError
    from headway.project import load_project

    (tmp_path / "conf").mkdir()
    text = (server.root / "conf" / "values.yaml").read_text().replace("rows: 5000", "rows: 0")
    (tmp_path / "conf" / "values.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"serve.rows must be at least 1, but is 0"):
        load_project("values", tmp_path)
