"""`headway up` for a team: a password on both servers, a server that dies, and people who ask for what is not there."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from headway.processes import free_port

USER = "team:a-password-of-a-team"
YAML = """
description: Whether a flower opens tomorrow.
task: classification
schedule: {cron: "30 6 2 * *", timezone: Europe/Berlin}
data: {source: flowers.csv, target: opens, features: {height: numeric}}
"""
SECONDS = 90


class Up:
    """`headway up` in a folder of its own, and both its addresses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        ports = free_port(), free_port()
        self.prefect, self.mlflow = (f"http://127.0.0.1:{port}" for port in ports)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        words = [sys.executable, "-m", "headway.cli", "up"]
        words += ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
        self.said = root / "said.txt"
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(
                words, cwd=root, env={**kept, "HEADWAY_AUTH": USER}, stdout=said, stderr=subprocess.STDOUT
            )

    def hears(self, text: str) -> None:
        """Wait until it says so."""
        until = time.monotonic() + SECONDS
        while text not in self.said.read_text():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < until, self.said.read_text()
            time.sleep(0.2)

    def ask(self, address: str, body: dict[str, Any] | None = None, user: str | None = USER) -> tuple[int, Any]:
        """The status and what was answered; 0 where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
        if user is not None:
            request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, None

    def deployment(self) -> str:
        """The id of what retrains flowers."""
        _, found = self.ask(f"{self.prefect}/api/deployments/name/retrain/flowers")
        return str(found["id"])

    def run(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Start a retraining as the form does; its state when it has ended."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        _, made = self.ask(f"{self.prefect}/api/deployments/{self.deployment()}/create_flow_run", body)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            _, found = self.ask(f"{self.prefect}/api/flow_runs/{made['id']}")
            if found["state_type"] in ("FAILED", "CRASHED", "COMPLETED"):
                return dict(found["state"])
            time.sleep(0.5)
        raise AssertionError("it did not end")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("team")
    (root / "conf").mkdir()
    (root / "conf" / "flowers.yaml").write_text(YAML)
    made = Up(root)
    try:
        made.hears("Ctrl-C")
        yield made
    finally:
        made.process.send_signal(signal.SIGINT)
        made.process.wait(60)


SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


def test_both_servers_ask_for_the_password_and_nobody_sees_it(up: Up) -> None:
    for address, body in ((f"{up.prefect}/api/deployments/filter", {}), (f"{up.mlflow}{SEARCH}", None)):
        assert up.ask(address, body, user=None)[0] == 401
        assert up.ask(address, body, user="team:another-password")[0] == 401
        assert up.ask(address, body)[0] == 200
    family = [up.process, *psutil.Process(up.process.pid).children(recursive=True)]
    shown = " ".join(" ".join(psutil.Process(one.pid).cmdline()) for one in family)
    assert USER.partition(":")[2] not in shown + up.said.read_text()


def test_prefect_plans_the_runs_of_the_schedule(up: Up) -> None:
    """By Prefect's own scheduler, which has failed for all schedules with a version of SQLAlchemy that it had not met."""
    body = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "sort": "EXPECTED_START_TIME_ASC"}
    until = time.monotonic() + SECONDS
    while not (planned := up.ask(f"{up.prefect}/api/flow_runs/filter", body)[1]) and time.monotonic() < until:
        time.sleep(0.5)
    assert len(planned) >= 3
    assert all(one["auto_scheduled"] and one["parameters"]["project"] == "flowers" for one in planned)
    zone = ZoneInfo("Europe/Berlin")
    local = [datetime.fromisoformat(one["expected_start_time"]).astimezone(zone) for one in planned]
    assert {(one.day, one.hour, one.minute) for one in local} == {(2, 6, 30)}


def test_a_server_that_is_killed_is_started_again_with_its_password(up: Up) -> None:
    family = psutil.Process(up.process.pid).children(recursive=True)
    killed = [one for one in family if "mlflow server" in " ".join(one.cmdline())]
    assert killed
    for one in killed:
        one.kill()
    up.hears("MLflow ended; started again (1 of 5)")
    until = time.monotonic() + SECONDS
    while (status := up.ask(f"{up.mlflow}{SEARCH}")[0]) != 200 and time.monotonic() < until:
        time.sleep(0.5)
    assert status == 200
    assert up.ask(f"{up.mlflow}{SEARCH}", user=None)[0] == 401


def test_an_unknown_project_in_the_form_is_one_line(up: Up) -> None:
    state = up.run({"project": "tulips"})
    assert state["type"] == "FAILED"
    assert "tulips" in state["message"]
    assert len(state["message"].splitlines()) == 1


def test_a_value_that_the_form_would_not_take_starts_nothing(up: Up) -> None:
    body = {"parameters": {"epochs": "many"}, "state": {"type": "SCHEDULED"}}
    status, told = up.ask(f"{up.prefect}/api/deployments/{up.deployment()}/create_flow_run", body)
    assert status == 409
    assert "epochs" in told


def test_a_deployment_whose_yaml_was_deleted_says_so(up: Up) -> None:
    (up.root / "conf" / "flowers.yaml").unlink()
    state = up.run({})
    assert state["type"] == "FAILED"
    assert "flowers" in state["message"]
    assert "conf" in state["message"]
    assert len(state["message"].splitlines()) == 1
    assert not (up.root / "data").exists()
