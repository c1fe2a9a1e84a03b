"""What both pages show of a project's runs: from "Start here" to the list of runs in MLflow, without a call to another host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.browser.garden import MARKS, YAML, Up, finished, picture, retraining
from tests.support import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = MARKS


@pytest.fixture
def lilies(up: Up) -> Iterator[str]:
    """A project that was retrained in the terminal, and whose expectation the next data break."""
    (up.root / "conf" / "lilies.yaml").write_text(YAML)
    yield "lilies"
    (up.root / "conf" / "lilies.yaml").unlink()


def terminal(up: Up, *words: str) -> str:
    """What a command of the terminal says, while `up` runs."""
    command = [sys.executable, "-m", "headway.cli", *words]
    process = subprocess.run(command, cwd=up.root, env=serving.outside(), capture_output=True, text=True, check=False)
    return process.stdout + process.stderr


def flow_run(up: Up, project: str) -> dict[str, Any]:
    """The newest run of a project."""
    runs = up.ask("flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 50})
    return next(run for run in runs if project in str(run["parameters"].get("project")))


def test_from_start_here_to_the_list_of_runs(up: Up, page: Page, lilies: str) -> None:
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    deployment = retraining(up, "flowers")
    page.goto(up.start)
    page.get_by_role("heading", name="Start here").wait_for()
    link = page.locator("tr", has_text="flowers").get_by_role("link", name="in MLflow").get_attribute("href")
    picture(page, "prefect-start-here")

    form = page.locator("tr", has_text="flowers").get_by_role("link", name="open the form")
    assert str(form.get_attribute("href")).endswith(f"/deployments/deployment/{deployment}/run")
    page.goto(f"{up.prefect}/deployments/deployment/{deployment}/run")
    page.get_by_text("from 1 to 100,000").wait_for()
    body = {"name": "With fewer epochs", "parameters": {"epochs": 9, "seed": 3}}
    flow = up.ask(f"deployments/{deployment}/create_flow_run", body)
    run = finished(up, deployment, flow["id"])
    assert run["name"] == "With fewer epochs", "the form's name stays"
    assert run["state_name"] in ("Promoted", "Not promoted"), run["state"]
    page.goto(f"{up.prefect}/runs")
    page.get_by_text("With fewer epochs").first.wait_for()
    page.get_by_text(str(run["state_name"])).first.wait_for()
    picture(page, "prefect-runs")

    assert link is not None
    page.goto(f"{up.mlflow}/")
    page.get_by_role("link", name="flowers", exact=True).first.click()
    page.get_by_text("matching runs").wait_for()
    assert "/runs" in page.url, "not the page about traces"
    assert not page.get_by_placeholder("Ask a question").count(), "the panel of MLflow's assistant is closed"
    picture(page, "mlflow-experiment")
    page.goto(link)
    for column in ("decision", "champion", "auc", "rows", "Duration"):
        page.get_by_role("columnheader", name=column, exact=True).first.wait_for()
    page.get_by_role("gridcell", name="600", exact=True).first.wait_for()
    page.get_by_role("gridcell", name=str(run["state_name"]), exact=True).first.wait_for()
    picture(page, "mlflow-list")
    hosts = {urlsplit(url).hostname for url in outside if url.startswith("http")}
    assert hosts == {"127.0.0.1"}, hosts


def test_what_the_terminal_starts_is_in_prefects_list(up: Up, lilies: str) -> None:
    terminal(up, "run", lilies, "--set", "train.epochs=12")
    run = flow_run(up, lilies)
    assert set(run["tags"]) == {"headway", "classification", "terminal"}
    assert run["state_name"] == "Promoted", run["state"]
    assert up.ask("deployments/filter", {"deployments": {"id": {"any_": [run["deployment_id"]]}}})[0]["name"] == (
        f"retrain {lilies}"
    )
    artifacts = up.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    keys = {one["key"] for one in artifacts}
    assert {"lilies-mlflow", "lilies-progress", "lilies-validation", "lilies-decision"} <= keys

    assert "nothing new" in terminal(up, "watch", lilies)
    assert flow_run(up, lilies)["state_name"] == "Nothing new"
    assert "600 rows: 600 scored" in terminal(up, "score", lilies)
    assert flow_run(up, lilies)["state_name"] == "Completed"
    assert "no previous champion" in terminal(up, "rollback", lilies)
    refusal = flow_run(up, lilies)
    assert refusal["state_type"] == "FAILED"
    assert "no previous champion" in refusal["state"]["message"]

    yaml = up.root / "conf" / "lilies.yaml"
    rule = "{expect: column_values_to_be_between, column: height, min_value: 19}"
    yaml.write_text(f"{YAML}\nvalidation: {{expectations: [{rule}]}}\n")
    assert "height must be at least 19" in terminal(up, "run", lilies)
    run = flow_run(up, lilies)
    assert (run["state_type"], run["state_name"]) == ("FAILED", "Refused")
    assert run["state"]["message"].startswith("lilies: height must be at least 19")
    logs = up.ask("logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200})
    assert not [one for one in logs if "Traceback" in one["message"]]
