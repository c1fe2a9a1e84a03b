"""The form of a retraining in Prefect's newer page, which Prefect serves beside the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.browser.garden import MARKS, Up, picture, retraining

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = MARKS


def test_the_newer_page_has_the_same_form_and_starts_what_it_says(up: Up, page: Page) -> None:
    deployment = retraining(up, "flowers")
    page.goto(f"{up.prefect}/v2/deployments/deployment/{deployment}/run")
    page.get_by_text("The most passes over the training rows").wait_for()
    epochs = page.locator("input[type=number]").first
    assert epochs.input_value() == "30"
    picture(page, "prefect-v2-form")
    epochs.fill("0")
    page.get_by_role("button", name="Submit").click()
    assert "greater than or equal to 1" in epochs.evaluate("field => field.validationMessage")
    assert 0 not in started(up, deployment)
    epochs.fill("11")
    page.get_by_role("button", name="Submit").click()
    until = time.monotonic() + 30
    while 11 not in started(up, deployment):
        assert time.monotonic() < until
        time.sleep(0.5)


def started(up: Up, deployment: str) -> list[Any]:
    """The epochs of the deployment's runs."""
    flow_runs = up.ask("flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
    return [run["parameters"].get("epochs") for run in flow_runs]
