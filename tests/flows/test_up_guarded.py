"""`headway up` for a team: a password on both servers, a server that dies, and people who ask for what is not there."""

from __future__ import annotations

import subprocess
import time
import urllib.error
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest

from headway.machine.processes import free_port
from tests.support import serving

pytestmark = pytest.mark.slow

USER = "team:a-password-of-a-team"
EARLIER = "people:the-password-before"
YAML = """
description: Whether a flower opens tomorrow.
task: classification
schedule: {cron: "30 6 2 * *", timezone: Europe/Berlin}
data: {source: flowers.csv, target: opens, features: {height: numeric}}
"""
SECONDS = 90
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


class Up:
    """`headway up` with a password: its process, what it says, and both its addresses."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes], output: Path, ports: tuple[int, int]) -> None:
        self.root, self.process, self.output = root, process, output
        self.prefect, self.mlflow = (f"http://127.0.0.1:{port}" for port in ports)

    def ask(self, address: str, body: dict[str, Any] | None = None, user: str | None = USER) -> tuple[int, Any]:
        """The status and what was answered; 0 where nobody answers."""
        try:
            return 200, serving.ask(address, body, user)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, None

    def deployment(self) -> str:
        """The id of what retrains flowers."""
        _, result = self.ask(f"{self.prefect}/api/deployments/name/retrain/retrain%20flowers")
        return str(result["id"])

    def run(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Start a retraining as the form does; its state when it has ended."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        _, flow_run = self.ask(f"{self.prefect}/api/deployments/{self.deployment()}/create_flow_run", body)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            status, results = self.ask(f"{self.prefect}/api/flow_runs/{flow_run['id']}")
            if status == 200 and results["state_type"] in ("FAILED", "CRASHED", "COMPLETED"):
                return dict(results["state"])
            time.sleep(0.5)
        raise AssertionError("it did not end")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("team")
    (root / "conf").mkdir()
    (root / "conf" / "flowers.yaml").write_text(YAML)
    ports = free_port(), free_port()
    words = ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    with serving.headway_up(root, ["--only", "mlflow", *words], {"HEADWAY_AUTH": EARLIER}):
        assert serving.ask(f"http://127.0.0.1:{ports[1]}{SEARCH}", None, EARLIER)["experiments"]
    with serving.headway_up(root, words, {"HEADWAY_AUTH": USER}) as (process, text):
        yield Up(root, process, text, ports)


def test_both_servers_ask_for_the_password_and_nobody_sees_it(up: Up) -> None:
    for address, body in ((f"{up.prefect}/api/deployments/filter", {}), (f"{up.mlflow}{SEARCH}", None)):
        assert up.ask(address, body, user=None)[0] == 401
        assert up.ask(address, body, user="team:another-password")[0] == 401
        assert up.ask(address, body, user=EARLIER)[0] == 401  # it opened MLflow at an earlier start
        assert up.ask(address, body)[0] == 200
    family = [up.process, *psutil.Process(up.process.pid).children(recursive=True)]
    words = " ".join(" ".join(psutil.Process(one.pid).cmdline()) for one in family)
    assert USER.partition(":")[2] not in words + up.output.read_text()


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
    killed = [one for one in family if "tracking_app" in " ".join(one.cmdline())]
    assert killed
    for one in killed:
        one.kill()
    serving.hears(up.process, up.output, "MLflow ended; started again (1 of 5)")
    until = time.monotonic() + SECONDS
    while (status := up.ask(f"{up.mlflow}{SEARCH}")[0]) != 200 and time.monotonic() < until:
        time.sleep(0.5)
    assert status == 200
    assert up.ask(f"{up.mlflow}{SEARCH}", user=None)[0] == 401


def test_another_project_than_the_deployments_own_starts_nothing(up: Up) -> None:
    body = {"parameters": {"project": "tulips"}, "state": {"type": "SCHEDULED"}}
    status, report = up.ask(f"{up.prefect}/api/deployments/{up.deployment()}/create_flow_run", body)
    assert status == 409
    assert "project" in report


def test_a_value_that_the_form_would_not_take_starts_nothing(up: Up) -> None:
    body = {"parameters": {"epochs": "many"}, "state": {"type": "SCHEDULED"}}
    status, report = up.ask(f"{up.prefect}/api/deployments/{up.deployment()}/create_flow_run", body)
    assert status == 409
    assert "epochs" in report


def test_a_deployment_whose_yaml_was_deleted_says_so(up: Up) -> None:
    (up.root / "conf" / "flowers.yaml").unlink()
    state = up.run({})
    assert state["type"] == "FAILED"
    assert "flowers" in state["message"]
    assert "conf" in state["message"]
    assert len(state["message"].splitlines()) == 1
    assert not (up.root / "data").exists()
