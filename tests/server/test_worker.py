"""Production: prefect.yaml deployed to a work pool, and a worker that retrains from it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flows
from bench.crowd import champions_missing, make_projects
from headway.machine.processes import free_port
from tests.support import serving

pytestmark = pytest.mark.slow
SECONDS = 120


class Site:
    """A project folder with Prefect's server alone, as a production machine has it."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.api = root, f"http://127.0.0.1:{port}/api"
        self.environment = {**serving.outside(), "PREFECT_HOME": str(root / ".prefect"), "PREFECT_API_URL": self.api}

    def say(self, *words: str) -> str:
        """A command that must succeed; what it said."""
        command = [sys.executable, "-m", *words]
        outcome = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout + outcome.stderr

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Prefect's API."""
        return serving.ask(f"{self.api}/{path}", body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "flows").symlink_to(Path(str(flows.__file__)).parent)
    make_projects(tmp_path, 1)
    port = free_port()
    with serving.headway_up(tmp_path, ["--only", "prefect", "--prefect-port", str(port)]):
        yield Site(tmp_path, port)


def test_a_worker_retrains_what_prefect_yaml_deploys(site: Site) -> None:
    name = "crowd0"
    site.say("headway.cli", "deploy")
    site.say("prefect", "--no-prompt", "work-pool", "create", "--type", "process", "headway")
    site.say("prefect", "--no-prompt", "deploy", "--all")
    deployment = site.ask(f"deployments/name/retrain/retrain%20{name}")
    assert (deployment["work_pool_name"], deployment["parameters"]["project"]) == ("headway", name)
    run = site.ask(f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    site.say("prefect", "worker", "start", "--pool", "headway", "--run-once", "--limit", "1")
    until = time.monotonic() + SECONDS
    while (state := site.ask(f"flow_runs/{run['id']}")["state"])["type"] not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert state["type"] == "COMPLETED", state
    assert champions_missing(site.root, [name]) == 0
