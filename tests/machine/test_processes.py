"""Child processes never outlive whoever started them."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headway.errors import ConfigError
from headway.machine.processes import Child, await_answer, free_port, is_free, spawn, stop

FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
time.sleep(600)
"""
PARENT = """
import os, sys, time
from pathlib import Path
from headway.machine.processes import spawn
child = spawn("family", [sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]), os.environ, Path.cwd())
print(child.guard.pid, flush=True)
time.sleep(600)
"""


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all below it, once there are three: guard, child, grandchild."""
    deadline = time.monotonic() + 20
    while True:
        members = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        if len(members) >= 3 or time.monotonic() > deadline:
            return members
        time.sleep(0.05)


def are_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=20)[1]


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Child]:
    child = spawn("family", [sys.executable, "-c", FAMILY], tmp_path / "log", os.environ, tmp_path)
    yield child
    stop(child)


def test_stopping_a_child_ends_what_it_started(family: Child) -> None:
    processes = family_of(family.guard.pid)
    assert len(processes) == 3
    stop(family)
    assert are_gone(processes)


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, FAMILY, str(tmp_path / "log")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent, parent.stdout:
        processes = family_of(int(parent.stdout.readline()))
        assert len(processes) == 3
        os.kill(parent.pid, signal.SIGKILL)
    assert are_gone(processes)


def test_a_guard_that_is_killed_leaves_nothing_behind(family: Child) -> None:
    processes = family_of(family.guard.pid)
    assert len(processes) == 3
    os.kill(family.guard.pid, signal.SIGKILL)
    assert are_gone(processes[1:2])  # without anybody's help
    stop(family)
    assert are_gone(processes)


def test_a_child_that_ends_by_itself_is_an_error_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = spawn("The server", [sys.executable, "-c", "raise SystemExit('no room')"], log, os.environ, tmp_path)
    with pytest.raises(ConfigError, match=r"The server must keep running, but it ended: no room; see .*log"):
        await_answer(child, f"http://127.0.0.1:{free_port()}", 30)
    stop(child)


def test_a_server_that_stays_silent_is_an_error_that_names_its_log(family: Child) -> None:
    with pytest.raises(ConfigError, match=r"family must answer within 0 s, but it does not; see .*log"):
        await_answer(family, f"http://127.0.0.1:{free_port()}", 0.2)


def test_a_server_that_answers_is_waited_for_no_longer(family: Child) -> None:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        await_answer(family, f"http://127.0.0.1:{server.server_port}/", 10)
        assert not is_free(server.server_port)
        server.shutdown()
