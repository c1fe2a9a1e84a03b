"""A real browser, and `headway up` in a project of two tiny tables, which all browser tests share."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.machine.processes import free_port
from tests.support import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ARGUMENTS += ["--disable-sync", "--no-first-run"]
FINISH_SECONDS = 240
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is missing (apt-get install chromium)"),
]

YAML = """
description: Whether a flower opens tomorrow.
task: classification
data:
  source: data/raw/flowers.csv
  target: opens
  positive: "yes"
  features: {height: numeric, sun: numeric, colour: categorical}
model: {name: mlp, width: 16, depth: 1}
train: {epochs: 30, batch_size: 64}
evaluate: {resamples: 100, baselines: [trivial, linear]}
"""


@dataclass(frozen=True)
class Up:
    root: Path
    prefect: str
    mlflow: str
    start: str
    """The page "Start here"."""

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Prefect's API."""
        return serving.ask(f"{self.prefect}/api/{path}", body)


def write_flowers(path: Path) -> None:
    """600 flowers that open when sun and height say so, with some noise."""
    chance = random.Random(0)
    path.parent.mkdir(parents=True)
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["height", "sun", "colour", "opens"])
        for _ in range(600):
            height, sun = chance.gauss(20, 5), chance.gauss(6, 2)
            opens = sun + height / 5 + chance.gauss(0, 1) > 10
            colour = chance.choice(["red", "white", "blue"])
            rows.writerow([f"{height:.2f}", f"{sun:.2f}", colour, "yes" if opens else "no"])


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    root = tmp_path_factory.mktemp("garden")
    (root / "conf").mkdir()
    for project in ("flowers", "tulips"):  # one for each test, so that none sees another's runs
        (root / "conf" / f"{project}.yaml").write_text(YAML)
    write_flowers(root / "data" / "raw" / "flowers.csv")
    ports = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "headway.cli",
        "up",
        "--prefect-port",
        str(ports[0]),
        "--mlflow-port",
        str(ports[1]),
    ]
    environment = serving.outside()
    with subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            assert child.stdout is not None
            lines = list(takewhile(lambda line: line != "Ctrl-C stops all of it.\n", child.stdout))
            assert child.poll() is None, lines
            (start,) = [line.split()[1] for line in lines if line.startswith("start ")]
            yield Up(root, f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", start)
        finally:
            child.terminate()
            child.wait(60)


@pytest.fixture
def page() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


def picture(page: Page, name: str) -> None:
    """Keep a screenshot where HEADWAY_SCREENSHOTS says."""
    folder = os.environ.get("HEADWAY_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(2500)  # charts move into place
        page.screenshot(path=Path(folder) / f"{name}.png")


def open_decision(page: Page, up: Up, project: str) -> None:
    """The page of a project's newest decision, which promoted a version."""
    query = {"key": {"any_": [f"{project}-decision"]}}
    artifact = up.ask("artifacts/filter", {"artifacts": query, "sort": "CREATED_DESC"})[0]["id"]
    page.goto(f"{up.prefect}/artifacts/artifact/{artifact}")
    page.get_by_role("heading", name=f"{project}: promoted to champion").wait_for()
    picture(page, "prefect-decision")


def retraining(up: Up, project: str) -> str:
    """The deployment that retrains ``project``."""
    deployments = up.ask("deployments/filter", {})
    return next(str(d["id"]) for d in deployments if d["name"] == f"retrain {project}")


def finished(up: Up, deployment: str, run: str | None = None) -> dict[str, Any]:
    """``run``, or else the deployment's newest run, once it has ended."""
    query: dict[str, Any] = {"deployments": {"id": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_DESC"}
    if run is not None:
        query["flow_runs"] = {"id": {"any_": [run]}}
    deadline = time.monotonic() + FINISH_SECONDS
    while time.monotonic() < deadline:
        runs = up.ask("flow_runs/filter", query)
        if runs and runs[0]["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return dict(runs[0])
        time.sleep(1)
    raise AssertionError(f"no run ended within {FINISH_SECONDS} s")


def experiment(up: Up, project: str) -> str:
    """The project's experiment in MLflow."""
    address = f"{up.mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name={project}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=30) as answer:
        return str(json.load(answer)["experiment"]["experiment_id"])
