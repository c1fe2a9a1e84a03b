"""One training at a time on a GPU: the turns, on GPUs that need not be there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from headway.errors import ConfigError
from headway.machine import gpus
from headway.train import turn as turns
from headway.train.turn import turn

HOLDER = """
import sys, time
from pathlib import Path
from headway.train.turn import turn
with turn(["0"], print, Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_trainings_on_one_gpu_take_turns_and_the_second_says_what_it_waits_for(tmp_path: Path) -> None:
    messages: list[str] = []
    inside: list[str] = []

    def second() -> None:
        with turn(["0"], messages.append, tmp_path):
            inside.append("second")

    with turn(["0"], messages.append, tmp_path) as gpu:
        assert gpu == "0"
        other = threading.Thread(target=second)
        other.start()
        while not messages:
            time.sleep(0.01)
        inside.append("first")
    other.join(30)
    assert inside == ["first", "second"]
    assert messages == ["waiting for the GPU: another training is at work on it"]


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


TAKE = """
import os, sys
os.umask(0o077)
from pathlib import Path
from headway.train.turn import turn
if sys.argv[2] != "root":
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
with turn(["0"], lambda text: sys.exit("waits"), Path(sys.argv[1])) as gpu:
    print(gpu)
"""


def took(folder: Path, user: str) -> subprocess.CompletedProcess[str]:
    """What a process of another user prints that takes the turn."""
    return subprocess.run([sys.executable, "-c", TAKE, str(folder), user], capture_output=True, text=True)


@pytest.mark.skipif(os.getuid() != 0, reason="skipped: only root can become two other users")
@pytest.mark.parametrize("users", [("1234", "4321"), ("root", "1234")])
def test_two_users_of_one_machine_take_turns(tmp_path: Path, users: tuple[str, str]) -> None:
    shared = Path(tempfile.mkdtemp(dir="/tmp"))  # a folder that others may enter, sticky as /tmp is
    shared.chmod(0o1777)
    try:
        for user in users:
            outcome = took(shared, user)
            assert (outcome.stdout, outcome.stderr) == ("0\n", "")
        lock = shared / "headway-gpu-0.lock"
        assert (lock.stat().st_uid, lock.stat().st_mode & 0o777) == (0 if users[0] == "root" else 1234, 0o666)
        with turn(["0"], pytest.fail, shared):
            assert took(shared, users[1]).stderr == "waits\n"
    finally:
        shutil.rmtree(shared)


def test_a_planted_link_pipe_or_folder_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    lock, target = tmp_path / "headway-gpu-0.lock", tmp_path / "target"
    for plant in (lambda: lock.symlink_to(target), lambda: os.mkfifo(lock), lock.mkdir):
        plant()
        with pytest.raises(ConfigError, match="headway-gpu-0.lock must be a") as error, turn(["0"], print, tmp_path):
            pass
        assert len(str(error.value).splitlines()) == 1
        assert not target.exists()
        lock.rmdir() if lock.is_dir() else lock.unlink()


def test_a_lock_file_that_is_removed_while_it_is_awaited_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "headway-gpu-0.lock"
    opened = turns._opened

    def clear_up(place: Path) -> int:
        lock = opened(place)
        if clearing.pop():
            place.unlink()
        return lock

    clearing = [False, True]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "_opened", clear_up)
        with turn(["0"], pytest.fail, tmp_path):
            assert path.exists(), "locked what others will open, not the file that is gone"
    assert not clearing


UUIDS = ["GPU-1a2b", "GPU-1a3c", "GPU-77ff"]


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (None, UUIDS),
        ("1", ["GPU-1a3c"]),
        ("2,0", ["GPU-77ff", "GPU-1a2b"]),
        ("GPU-77", ["GPU-77ff"]),
        ("GPU-1a3c,GPU-1a2b", ["GPU-1a3c", "GPU-1a2b"]),
        ("0,GPU-1a2b", ["GPU-1a2b"]),
        ("GPU-1a", []),  # of two
        ("0,7,1", ["GPU-1a2b"]),
        ("MIG-5", ["MIG-5"]),
        ("", []),
        ("-1", []),
    ],
)
def test_a_gpu_has_one_name_however_a_process_is_told_of_it(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, names: list[str]
) -> None:
    monkeypatch.setattr(gpus, "installed", lambda: list(UUIDS))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if setting is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)
    assert gpus.visible() == names


def test_a_gpu_that_two_processes_number_differently_is_held_by_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "installed", lambda: list(UUIDS))
    texts: list[str] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    with turn(gpus.visible(), pytest.fail, tmp_path):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-77ff")
        waiting = threading.Thread(target=lambda: turn(gpus.visible(), texts.append, tmp_path).__enter__())
        waiting.start()
        while not texts:
            time.sleep(0.01)
    waiting.join(30)
    assert texts == ["waiting for the GPU: another training is at work on it"]


def test_without_a_gpu_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "installed", list)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpus.visible() == []
    with turn(gpus.visible(), pytest.fail) as gpu:
        assert gpu is None
