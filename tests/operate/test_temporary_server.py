"""The temporary Prefect server of a run: killed, it is there again for as long as somebody needs it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from headway.files import locks
from headway.machine.processes import answers
from headway.server import temporary
from tests.serving import outside

pytestmark = pytest.mark.slow

USER = """
import sys, time
from pathlib import Path
from headway.server.local import reach_prefect
reach_prefect(Path.cwd())()
print("ready", flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_server_or_keeper_is_started_again_at_the_same_address_and_ends_with_its_last_user(
    tmp_path: Path,
) -> None:
    (tmp_path / "conf").mkdir()
    folder = tmp_path / ".prefect"
    with subprocess.Popen(
        [sys.executable, "-c", USER],
        cwd=tmp_path,
        env=outside(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as user:
        assert user.stdout is not None
        assert user.stdout.readline() == "ready\n"
        first = temporary.keeper(folder)
        assert first is not None
        killed = psutil.Process(first.pid)
        for victim in (killed.children(recursive=True)[-1], None):  # the server itself, then whoever keeps it
            before = temporary.keeper(folder)
            assert before is not None
            (victim or psutil.Process(before.pid)).kill()
            until(lambda gone=before: temporary.keeper(folder) not in (None, gone))
            until(lambda: answers(f"{first.address}/health"))
            after = temporary.keeper(folder)
            assert after is not None
            assert after.address == first.address
        user.communicate("")
    until(lambda: not locks.is_held(folder / "temporary.server"))
    assert not answers(f"{first.address}/health")
    assert temporary.keeper(folder) is None
