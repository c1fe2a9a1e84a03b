"""One decider at a time on an MLflow server that several folders and machines reach by HTTP."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from headway import tracking
from headway.errors import ConfigError
from headway.evaluate.decision import Decision
from headway.run.directory import RunDirectory
from headway.tracking import intent, lock, tickets
from tests.tracking.test_deciding import BETTER


class Machines:
    """Two machines with one store, and a model with three versions of which the first is the champion.

    The store is an SQLite file, but what is asked takes it for a server: no lock of one machine reaches the other.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlruns' / 'mlflow.db'}")
        monkeypatch.setattr(lock, "is_file", lambda uri: False)
        monkeypatch.setattr(tickets, "LOOK_SECONDS", 0.02)
        self.here, self.there = root / "here", root / "there"
        self.client = tracking.open_store(root)
        self.client.create_registered_model("loans")
        for _ in range(3):
            self.client.create_model_version("loans", str(root / "without files"), "0" * 32)
        self.settle(self.here, "1", None)
        self.monkeypatch = monkeypatch

    def settle(self, root: Path, version: str, compared: str | None) -> list[str | None]:
        """Promote a version; the versions with which it had to be compared again."""
        met: list[str | None] = []

        def again(holder: tracking.Holder | None) -> Decision:
            met.append(None if holder is None else holder.version)
            return Decision(**BETTER)

        tracking.settle(root, "loans", version, compared, Decision(**BETTER), again)
        return met

    def champion(self) -> str:
        return str(self.client.get_model_version_by_alias("loans", "champion").version)

    def is_clean(self) -> bool:
        tags = self.client.get_registered_model("loans").tags
        return intent.TAG not in tags and not [key for key in tags if key.startswith("deciding.")]


@pytest.fixture
def machines(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """``run``: for its store."""
    return Machines(tmp_path, monkeypatch)


class Stop:
    """Stops the thread that promotes version 2 before or after one of its writes, until it may go on."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, method: str, is_meant: Callable[..., bool], after: bool
    ) -> None:
        self.reached, self.go_on, self.thread = threading.Event(), threading.Event(), 0
        real = getattr(MlflowClient, method)

        def stopping(client: MlflowClient, *values: Any) -> Any:
            stops = threading.get_ident() == self.thread and not self.reached.is_set() and is_meant(*values)
            if stops and not after:
                self._wait()
            answer = real(client, *values)
            if stops and after:
                self._wait()
            return answer

        monkeypatch.setattr(MlflowClient, method, stopping)

    def _wait(self) -> None:
        self.reached.set()
        assert self.go_on.wait(60)

    def begin(self, pool: ThreadPoolExecutor, machines: Machines) -> Future[list[str | None]]:
        def settle() -> list[str | None]:
            self.thread = threading.get_ident()
            return machines.settle(machines.here, "2", "1")

        started = pool.submit(settle)
        assert self.reached.wait(60)
        return started


POINTS = {
    "after the intent": ("set_registered_model_tag", lambda name, key, value: key == intent.TAG, True),
    "before the alias champion": ("set_registered_model_alias", lambda name, alias, number: alias == "champion", False),
    "before the alias previous": ("set_registered_model_alias", lambda name, alias, number: alias == "previous", False),
    "before the end": ("delete_registered_model_tag", lambda name, key: key == intent.TAG, False),
}


@pytest.mark.parametrize("point", ["after the intent", "before the alias previous"])
def test_a_decision_in_progress_on_one_machine_is_neither_finished_nor_overtaken_by_another(
    machines: Machines, point: str
) -> None:
    machines.monkeypatch.setattr(tickets, "RENEWAL_SECONDS", 0.05)
    stop = Stop(machines.monkeypatch, *POINTS[point])
    with ThreadPoolExecutor(2) as pool:
        second = stop.begin(pool, machines)
        versions = [one.version for one in tracking.history(machines.there, "loans")]  # as `headway list` looks
        assert machines.client.get_registered_model("loans").tags[intent.TAG], "left to the one at work"
        third = pool.submit(machines.settle, machines.there, "3", "1")
        while len(tickets.tickets_of(machines.client.get_registered_model("loans").tags)) < 2:
            time.sleep(0.01)
        stop.go_on.set()
        assert second.result() == []
        assert third.result() == ["2"], "compared again, with the one that took charge"
    assert versions in (["1"], ["1", "2"])
    assert machines.champion() == "3"
    assert [one.after for one in tracking.history(machines.here, "loans")] == ["1", "2", "3"]
    assert machines.is_clean()


@pytest.mark.parametrize("point", POINTS)
def test_a_machine_that_stands_still_in_its_decision_is_overtaken_and_changes_nothing_when_it_goes_on(
    machines: Machines, point: str
) -> None:
    machines.monkeypatch.setattr(tickets, "RENEWAL_SECONDS", 1000)
    machines.monkeypatch.setattr(tickets, "LOOKS", 3)
    stop = Stop(machines.monkeypatch, *POINTS[point])
    with ThreadPoolExecutor(2) as pool:
        second = stop.begin(pool, machines)
        assert machines.settle(machines.there, "3", "1") == ["2"], "the decision was finished by the other machine"
        stop.go_on.set()
        assert second.result() == [], "its model was promoted, as it had decided: that is no failure"
    assert machines.champion() == "3"
    aliases = machines.client.get_registered_model("loans").aliases
    assert point == "before the alias previous" or str(aliases["previous"]) == "2"
    assert [one.after for one in tracking.history(machines.here, "loans")] == ["1", "2", "3"]
    assert machines.is_clean()


def test_a_machine_that_lost_its_turn_before_it_decided_decides_nothing(machines: Machines) -> None:
    machines.monkeypatch.setattr(tickets, "RENEWAL_SECONDS", 1000)
    machines.monkeypatch.setattr(tickets, "LOOKS", 3)
    with lock.hold(machines.here, "loans") as is_held:
        assert is_held is not None
        is_held.check()
        assert machines.settle(machines.there, "3", "1") == []
        with pytest.raises(ConfigError, match="another one took its turn; repeat the command"):
            is_held.check()
    assert machines.is_clean()


def test_many_deciders_have_the_model_one_after_another(machines: Machines) -> None:
    inside = threading.Semaphore(1)

    def decide(number: int) -> None:
        with lock.hold(machines.here.with_name(f"machine-{number}"), "loans") as is_held:
            assert is_held is not None
            assert inside.acquire(blocking=False), "two have the model at the same moment"
            time.sleep(0.02)
            is_held.check()
            inside.release()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(decide, range(12)))
    assert machines.is_clean()


HOLD = """
import sys
from pathlib import Path
from headway.tracking import lock
with lock.hold(Path(sys.argv[1]), "loans"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = tmp_path / "server.db"
    store.write_bytes(empty_store.read_bytes())
    command = ["-m", "uvicorn", "--factory", "headway.tracking.server:tracking_app", "--port", str(port)]
    places = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{store}", "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "kept")}
    with subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **places}, stderr=subprocess.DEVNULL
    ) as served:
        address = f"http://127.0.0.1:{port}"
        while served.poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{address}/health"):
                break
            time.sleep(0.1)
        yield address
        served.terminate()


def test_by_http_a_killed_process_holds_its_own_folder_no_longer_and_other_machines_until_they_have_looked_on(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setattr(tickets, "LOOK_SECONDS", 0.02)
    client = tracking.open_store(tmp_path)
    client.create_registered_model("loans")
    here, there = tmp_path / "here", tmp_path / "there"
    for root, looks in ((here, 10**9), (there, 5)):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(here)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            (ticket,) = tickets.tickets_of(client.get_registered_model("loans").tags)
            assert re.fullmatch(r"1 \d+", ticket.state)
            other.send_signal(signal.SIGKILL)
        monkeypatch.setattr(tickets, "LOOKS", looks)
        with lock.hold(root, "loans", seconds=0) as is_held:
            assert is_held is not None
            is_held.check()
    assert not client.get_registered_model("loans").tags
