"""Production: prefect.yaml deployed to a work pool, and a worker that retrains from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flows
from bench.crowd import champions_missing, make_projects
from headway.processes import free_port

pytestmark = pytest.mark.slow
SECONDS = 120


class Site:
    """A project folder with Prefect's server alone, as a production machine has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        port = free_port()
        self.api = f"http://127.0.0.1:{port}/api"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
        self.environment = {**kept, "PREFECT_HOME": str(root / ".prefect"), "PREFECT_API_URL": self.api}
        words = [sys.executable, "-m", "headway.cli", "up", "--only", "prefect", "--prefect-port", str(port)]
        with open(root / "up.txt", "wb") as said:
            self.up = subprocess.Popen(words, cwd=root, env=kept, stdout=said, stderr=said)

    def say(self, *words: str) -> str:
        """A command that must succeed; what it said."""
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Prefect's API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.loads(answer.read())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "flows").symlink_to(Path(str(flows.__file__)).parent)
    make_projects(tmp_path, 1)
    made = Site(tmp_path)
    try:
        until = time.monotonic() + SECONDS
        while "Ctrl-C" not in (tmp_path / "up.txt").read_text():
            assert time.monotonic() < until, (tmp_path / "up.txt").read_text()
            assert made.up.poll() is None, (tmp_path / "up.txt").read_text()
            time.sleep(0.2)
        yield made
    finally:
        made.up.send_signal(signal.SIGINT)
        made.up.wait(60)


def test_a_worker_retrains_what_prefect_yaml_deploys(site: Site) -> None:
    name = "crowd0"
    site.say("headway.cli", "deploy")
    site.say("prefect", "--no-prompt", "work-pool", "create", "--type", "process", "headway")
    site.say("prefect", "--no-prompt", "deploy", "--all")
    deployment = site.ask(f"deployments/name/retrain/{name}")
    assert (deployment["work_pool_name"], deployment["parameters"]["project"]) == ("headway", name)
    run = site.ask(f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    site.say("prefect", "worker", "start", "--pool", "headway", "--run-once", "--limit", "1")
    until = time.monotonic() + SECONDS
    while (state := site.ask(f"flow_runs/{run['id']}")["state"])["type"] not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert state["type"] == "COMPLETED", state
    assert champions_missing(site.root, [name]) == 0
