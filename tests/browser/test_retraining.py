"""The way of a user through both pages: start a retraining, read its decision, compare it with another in MLflow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.browser.garden import MARKS, Up, experiment, finished, open_decision, picture, retraining

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = MARKS


def start(page: Page, up: Up, epochs: int) -> None:
    """Find the deployment in the list, and start it from its form."""
    page.goto(f"{up.prefect}/deployments")
    page.get_by_role("link", name="retrain tulips").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    page.get_by_text("The most passes over the training rows").wait_for()
    page.locator("input[type=number]").first.fill(str(epochs))
    picture(page, "prefect-form")
    page.get_by_role("button", name="Submit").click()


def read_decision(page: Page, up: Up, run: str) -> None:
    """From the run's page to its decision, and from there to the run in MLflow."""
    page.goto(f"{up.prefect}/runs/flow-run/{run}")
    page.get_by_text("Promoted").first.wait_for()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("tulips-mlflow").first.wait_for()
    picture(page, "prefect-run")
    open_decision(page, up, "tulips")
    address = page.get_by_role("link", name="The run in MLflow").get_attribute("href")
    assert address is not None
    assert address.startswith(f"{up.mlflow}/#/experiments/{experiment(up, 'tulips')}/runs/")
    page.goto(address)
    page.get_by_text(re.compile(r"^#\d+ mlp s\d+ · ")).first.wait_for()


def compare(page: Page, up: Up) -> None:
    """Select both runs in MLflow, and see the comparison with its chart."""
    page.goto(f"{up.mlflow}/#/experiments/{experiment(up, 'tulips')}/runs")
    page.get_by_role("link", name=re.compile(r"^#\d+ mlp s7 · ")).wait_for()
    page.get_by_role("checkbox", name="Select all runs").check()
    page.get_by_role("button", name="Compare").first.click()
    page.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment").wait_for()
    page.locator(".js-plotly-plot").get_by_text("train.seed").wait_for()
    picture(page, "mlflow-compare")
    see_curves(page, up)


def see_curves(page: Page, up: Up) -> None:
    """The metrics of both runs by step, in the chart view of MLflow's list of runs."""
    page.goto(f"{up.mlflow}/#/experiments/{experiment(up, 'tulips')}/runs?compareRunsMode=CHART")
    page.get_by_placeholder("Search metric charts").fill("train/loss")
    page.locator(".js-plotly-plot .scatterlayer .trace").nth(1).wait_for()
    picture(page, "mlflow-curves")


def test_a_user_starts_a_retraining_reads_its_decision_and_compares_it_with_another(up: Up, page: Page) -> None:
    deployment = retraining(up, "tulips")
    start(page, up, epochs=12)
    run = finished(up, deployment)
    assert (run["state_type"], run["parameters"]["epochs"]) == ("COMPLETED", 12), run["state"]
    read_decision(page, up, run["id"])

    created = up.ask(f"deployments/{deployment}/create_flow_run", {"parameters": {"epochs": 12, "seed": 7}})
    second = finished(up, deployment, created["id"])
    assert second["state_type"] == "COMPLETED", second["state"]
    compare(page, up)
