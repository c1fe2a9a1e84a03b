"""The temporary Prefect server of a run: killed, it is there again for as long as somebody needs it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import write_json
from headway.machine.processes import answers, free_port
from headway.server import temporary
from tests.support.serving import outside

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


class Keepers:
    """Keepers without a server: each holds the lock, and has written its address. ``ports``: where each was started."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.dies_at_once = False
        self._locks: list[int] = []

    def start(self, root: Path, port: int, _environment: Mapping[str, str], lock: int) -> temporary.Keeper:
        self.ports.append(port)
        one = temporary.Keeper(len(self.ports), f"http://127.0.0.1:{port}/api")
        write_json(root / ".prefect" / "temporary.json", asdict(one))
        if not self.dies_at_once:
            self._locks.append(os.dup(lock))
        return one

    def kill(self) -> None:
        while self._locks:
            os.close(self._locks.pop())


@pytest.fixture
def keepers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keepers]:
    every = Keepers()
    ports = itertools.cycle([free_port(), free_port()])
    monkeypatch.setattr(temporary, "_keep_apart", every.start)
    monkeypatch.setattr(temporary, "free_port", lambda: next(ports))
    monkeypatch.setattr(temporary, "_user_locks", [])
    monkeypatch.setattr(temporary, "LOOK_SECONDS", 0.01)
    yield every
    every.kill()
    monkeypatch.setattr(temporary, "REVIVALS", 0)  # ends the threads
    for thread in threading.enumerate():
        if thread.name == "temporary server":
            thread.join()
    users_leave()


def users_leave() -> None:
    while temporary._user_locks:
        os.close(temporary._user_locks.pop())


def test_a_run_that_begins_starts_a_killed_server_where_those_that_use_it_look_for_it(
    root: Path, keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [temporary.share_server(root, {}, 1)[0]]
    for _ in range(2):
        keepers.kill()
        addresses.append(temporary.share_server(root, {}, 1)[0])
    assert len(set(addresses)) == 1
    keepers.kill()
    monkeypatch.setattr(temporary, "GRACE_SECONDS", 0)
    with socket.create_server(("127.0.0.1", keepers.ports[0])):  # another program's now
        temporary.share_server(root, {}, 1)
        keepers.kill()
        users_leave()
    temporary.share_server(root, {}, 1)  # nobody looks for the last one
    assert keepers.ports == [keepers.ports[0]] * 3 + [keepers.ports[3], keepers.ports[0]]
    assert keepers.ports[3] != keepers.ports[0]


def reviving(root: Path, port: int) -> threading.Thread:
    """A run that uses the server at ``port``, and starts it again."""
    (root / ".prefect").mkdir(exist_ok=True)
    users = locks.take(root / ".prefect" / "temporary.users", shared=True)
    assert users is not None
    temporary._user_locks.append(users)
    thread = threading.Thread(target=temporary._revive, args=(root, {}, port, users), name="temporary server")
    thread.daemon = True
    thread.start()
    return thread


@pytest.mark.parametrize("what", [".", ".prefect"])
@pytest.mark.parametrize("is_made_anew", [False, True])
def test_no_server_is_started_where_the_folder_of_a_run_was_moved(
    tmp_path: Path, keepers: Keepers, monkeypatch: pytest.MonkeyPatch, what: str, is_made_anew: bool
) -> None:
    root = tmp_path / "project"
    root.mkdir()
    port, missing, looks = free_port(), temporary._is_missing, itertools.count()
    monkeypatch.setattr(temporary, "_is_missing", lambda *of: next(looks) < 0 or missing(*of))
    reviving(root, port)
    until(lambda: temporary.keeper(root / ".prefect") is not None)
    (root / what).rename(tmp_path / "moved")
    if is_made_anew:
        (root / ".prefect").mkdir(parents=True)
        (root / ".prefect" / "temporary.users").touch()
    before = sorted(tmp_path.rglob("*"))
    keepers.kill()
    look = next(looks)
    until(lambda: next(looks) > look + 20)
    assert keepers.ports == [port]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_starts_the_server_again_for_as_long_as_it_does_not_end_too_often_within_a_while(
    root: Path, keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    keepers.dies_at_once = True
    monkeypatch.setattr(temporary, "REVIVALS_WITHIN_SECONDS", 0)
    thread = reviving(root, free_port())
    until(lambda: len(keepers.ports) > 2 * temporary.REVIVALS)
    monkeypatch.setattr(temporary, "REVIVALS_WITHIN_SECONDS", 600)
    before = len(keepers.ports)
    until(lambda: not thread.is_alive())
    assert len(keepers.ports) - before <= temporary.REVIVALS


@pytest.mark.parametrize(
    ("answers", "is_first", "goes_on"),
    [
        ([(2, "here")], True, True),
        ([None, (2, "here")], False, True),
        ([None, (2, "here")], True, False),
        ([(2, "elsewhere")], False, False),
    ],
    ids=["started again", "being started again", "ended", "elsewhere"],
)
def test_a_run_that_waits_for_a_server_goes_by_its_address(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[tuple[int, str] | None],
    is_first: bool,
    goes_on: bool,
) -> None:
    """The keeper is another where the first was killed, and none for a moment."""
    left = iter([None if one is None else temporary.Keeper(*one) for one in answers])
    monkeypatch.setattr(temporary, "keeper", lambda *_: next(left))
    answered = iter([*[False] * len(answers), True])
    monkeypatch.setattr(temporary, "answers", lambda _address: next(answered))
    patience = 0.0 if is_first else temporary.REVIVING_SECONDS

    def wait() -> None:
        temporary._await(tmp_path, temporary.Keeper(1, "here"), patience, 60)

    if goes_on:
        wait()
    else:
        with pytest.raises(ConfigError, match="must keep running, but it ended; see"):
            wait()


@pytest.mark.slow
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
            until(lambda old=before: temporary.keeper(folder) not in (None, old))
            until(lambda: answers(f"{first.address}/health"))
            after = temporary.keeper(folder)
            assert after is not None
            assert after.address == first.address
        user.send_signal(signal.SIGSTOP)  # a newcomer is the first to see that nobody keeps it any more
        psutil.Process(after.pid).kill()
        with subprocess.Popen(
            [sys.executable, "-c", USER], cwd=tmp_path, env=outside(), text=True, stdin=-1, stdout=-1
        ) as newcomer:
            assert newcomer.stdout is not None
            assert newcomer.stdout.readline() == "ready\n"
            last = temporary.keeper(folder)
            assert last is not None
            assert (last.address, last.pid != after.pid) == (first.address, True)
            user.send_signal(signal.SIGCONT)
            newcomer.communicate("")
        user.communicate("")
    until(lambda: not locks.is_held(folder / "temporary.server"))
    assert not answers(f"{first.address}/health")
    assert temporary.keeper(folder) is None
