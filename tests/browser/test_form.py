"""A retraining started from the form of Prefect's page, found again in both pages by a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.browser.garden import MARKS, Up, experiment, finished, open_decision, picture, retraining

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = MARKS


def test_a_retraining_started_from_the_form_is_found_in_both_pages(up: Up, page: Page) -> None:
    deployment = retraining(up, "flowers")
    page.goto(f"{up.prefect}/deployments/deployment/{deployment}/run")
    page.get_by_text("The most passes over the training rows").wait_for()
    epochs = page.locator("input[type=number]").first
    assert epochs.input_value() == "30"
    epochs.fill("12")
    picture(page, "prefect-form")
    page.get_by_role("button", name="Submit").click()

    run = finished(up, deployment)
    assert (run["state_type"], run["parameters"]["epochs"]) == ("COMPLETED", 12), run["state"]
    page.goto(f"{up.prefect}/runs/flow-run/{run['id']}")
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("flowers-decision").first.wait_for()
    picture(page, "prefect-run")

    open_decision(page, up, "flowers")

    page.goto(f"{up.mlflow}/#/models/flowers")
    page.get_by_text("champion").first.wait_for()
    picture(page, "mlflow-model")
    page.goto(f"{up.mlflow}/#/experiments/{experiment(up, 'flowers')}/runs")
    page.get_by_role("link", name=re.compile(r"#\d+ mlp s0 · ")).first.wait_for()
    picture(page, "mlflow-runs")
