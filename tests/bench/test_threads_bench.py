"""What the benchmark of threads starts ends with it, even when it is killed: its busy loops would slow whatever runs next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

SCRIPT = """
from bench import threads
class Forgotten:
    def __init__(self, *_, **__): ...
    def of(self, label): return ()
    def add(self, label, value): ...
threads.Samples = Forgotten  # so that the real samples stay as they are
threads.main()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_benchmark_leaves_no_process_behind(how: signal.Signals) -> None:
    words = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL) as bench:
        started = children_of(bench.pid, 5)  # four loops, and the training that is measured
        os.kill(bench.pid, how)
    dead, alive = psutil.wait_procs(started, timeout=10)
    for process in alive:
        process.kill()
    assert (len(dead), alive) == (5, [])


def children_of(pid: int, count: int) -> list[psutil.Process]:
    """All processes below ``pid``, once there are so many."""
    deadline = time.monotonic() + 30
    while True:
        children = psutil.Process(pid).children(recursive=True)
        if len(children) >= count or time.monotonic() > deadline:
            return children
        time.sleep(0.05)
