"""One training at a time on a GPU: the turns, on GPUs that need not be there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headway.train import turn as turns
from headway.train.turn import gpus, turn

HOLDER = """
import sys, time
from pathlib import Path
from headway.train.turn import turn
with turn(["0"], print, Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_trainings_on_one_gpu_take_turns_and_the_second_says_what_it_waits_for(tmp_path: Path) -> None:
    told: list[str] = []
    inside: list[str] = []

    def second() -> None:
        with turn(["0"], told.append, tmp_path):
            inside.append("second")

    with turn(["0"], told.append, tmp_path) as gpu:
        assert gpu == "0"
        other = threading.Thread(target=second)
        other.start()
        while not told:
            time.sleep(0.01)
        inside.append("first")
    other.join(30)
    assert inside == ["first", "second"]
    assert told == ["waiting for the GPU: another training is at work on it"]


def test_two_gpus_are_held_by_two_trainings(tmp_path: Path) -> None:
    with turn(["2", "5"], pytest.fail, tmp_path) as one, turn(["2", "5"], pytest.fail, tmp_path) as other:
        assert (one, other) == ("2", "5")


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(30)
    with turn(["0"], pytest.fail, tmp_path) as gpu:
        assert gpu == "0"


def test_without_a_gpu_nobody_waits_and_visible_devices_are_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(turns, "gpu_names", list)
    assert gpus() == []
    with turn([], pytest.fail) as gpu:
        assert gpu is None
    monkeypatch.setattr(turns, "gpu_names", lambda: ["A", "B"])
    assert gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus() == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []
