"""The reports in a real browser: nothing is cut, every word is readable, the keyboard is enough, and nothing is asked of a network."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.effect.report import write_report
from headway.effect.results import Effect
from headway.evaluate.decision import Decision
from headway.pipeline import page as run_page
from headway.quality.page import Entry
from headway.quality.page import page as validation_page
from tests.browser.garden import MARKS
from tests.effect.studied import studied
from tests.pipeline.run_records import drawn_evaluation, write_run, write_validation

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = MARKS
WIDTHS = (400, 800, 1440)
PAGES = ("two classes", "four classes", "regression", "refused", "study", "validation")
LONG = "a_column_with_a_name_that_is_much_longer_than_any_screen_of_a_telephone_is_wide_and_has_no_space"

CUT, FAINT = (Path(__file__).with_name(name).read_text() for name in ("cut.js", "faint.js"))
FOCUS = "() => document.activeElement === document.body ? null : document.activeElement.dataset.place"
PLACES = """
() => {
  const all = [...document.querySelectorAll("a[href], summary, [tabindex='0']")].filter((e) => e.checkVisibility());
  all.forEach((e, n) => { e.dataset.place = String(n); });
  return all.length;
}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind."""
    root = tmp_path_factory.mktemp("reports")
    pages = {}
    for kind in ("two classes", "four classes", "regression"):
        run = write_run(root, project={"data": {"source": f"data/{LONG}.csv", "features": {LONG: "numeric"}}})
        evaluation = drawn_evaluation(kind, run.path / "plots", champion=kind != "regression")
        evaluation = replace(evaluation, slices={LONG: evaluation.slices["room"], **evaluation.slices})
        evaluation.write(run.path / "evaluation.json")
        reason = f"not promoted: {LONG} loses 0.02 against version 3"
        Decision(False, reason, evaluation.primary, -0.02, -0.03, -0.01, version="4").write(run.path / "decision.json")
        pages[kind] = run_page.write_page(run)
    run = write_run(root, stages={"validate": 1.0})
    write_validation(run, 12, f"{LONG} must be given, but 7 rows lack it")
    pages["refused"] = run_page.write_page(run, f"{LONG} must be given, but 7 rows lack it")
    pages["study"] = write_report(root / "effect.html", "loans", _study(), {"cpu": "a processor", "cores": 2})
    verdicts = [n % 3 > 0 for n in range(9)]
    entries = [Entry(one, "warn", f"{LONG} must be given", "column_values_to_not_be_null") for one in verdicts]
    pages["validation"] = root / "validation.html"
    pages["validation"].write_text(validation_page("Validation of loans", entries))
    return pages


def _study() -> Any:
    """A study, one of whose techniques has an interval that is much wider than all others."""
    result = studied()
    open_row = replace(result.techniques[0], name="a very uncertain technique", verdict="not settled", to_target=None)
    wide = replace(open_row, time=Effect(1.2, 0.02, 90.0))
    return replace(result, techniques=(*result.techniques, wide))


def _listen(page: Page) -> tuple[list[str], list[str]]:
    """What the console says, and every request."""
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    return messages, requests


def _unfold(page: Page) -> None:
    """Open everything that is folded."""
    page.evaluate("() => document.querySelectorAll('details').forEach((e) => { e.open = true; })")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_or_faint_or_fetched(name: str, files: dict[str, Path], page: Page, tmp_path: Path) -> None:
    page.set_default_timeout(120_000)
    messages, requests = _listen(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(files[name].as_uri())
            _unfold(page)
            assert page.evaluate(CUT) == [], f"{name} at {width} pixels"
            count, faint = page.evaluate(FAINT)
            assert count > 10
            assert faint == [], f"{name}, {scheme}"
            _keep(page, f"report-{name.replace(' ', '-')}-{width}-{scheme}")
    assert messages == []
    assert {url for url in requests if not url.startswith("data:")} == {files[name].as_uri()}
    sizes = page.evaluate("() => [...document.images].map((e) => e.naturalWidth)")
    assert all(size > 100 for size in sizes), "every picture is drawn"


def test_a_cut_and_a_faint_word_would_be_noticed(files: dict[str, Path], page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(files["two classes"].as_uri())
    page.evaluate(
        "() => { document.body.innerHTML += `<p style='overflow-wrap:normal;color:#999'>${'x'.repeat(200)}</p>`; }"
    )
    assert len(page.evaluate(CUT)) >= 2
    assert len(page.evaluate(FAINT)[1]) == 1


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_alone_is_enough(name: str, files: dict[str, Path], page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    page.goto(files[name].as_uri())
    count = page.evaluate(PLACES)
    assert count > 0
    for place in range(count):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == str(place), "everything that can be used is reached, in its order"
        assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid", "and seen"
    folded = page.locator("summary").first
    if folded.count():
        folded.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("() => document.querySelector('details').open")
    table = page.locator(".scroll:has(table)").first
    if table.count() and table.evaluate("e => e.scrollWidth > e.clientWidth"):
        table.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function("() => document.activeElement.scrollLeft > 0")


def _keep(page: Page, name: str) -> None:
    """A picture of the whole page, where HEADWAY_SCREENSHOTS says."""
    folder = os.environ.get("HEADWAY_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
