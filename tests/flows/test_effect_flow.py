"""The study from the form: its help, its refusals, its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.states import State

from flows.deployments import deployments_of
from flows.effect import effect
from headway.effect.results import Effect, Row, StudyResult, Unsettled
from headway.errors import TrainingError
from headway.pipeline import effects
from headway.project import load_project
from headway.run.directory import RunDirectory

pytestmark = pytest.mark.usefixtures("prefect_server")
FOUND = StudyResult(
    (Row("bf16", "hurts", changes="rounding", bound=0.4, time=Effect(2.2, 2.1, 2.3, 0.0)),),
    open=(Unsettled("EMA", "there was no time to begin", None),),
    summary="1 hurts.",
)


def run(**parameters: Any) -> State[Any]:
    call: Any = effect
    return call(return_state=True, **{"project": "flowers", **parameters})


def test_every_parameter_of_the_form_has_a_sentence() -> None:
    properties = effect.parameters.model_dump()["properties"]
    assert all(field["description"].endswith(".") for field in properties.values())


def test_a_study_leaves_its_verdicts_as_a_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(directory: RunDirectory, folder: Path, report: Any) -> StudyResult:
        report.progress(0.5, "technique/bf16")
        assert directory.plan["effect"]["budget"] == 90
        assert directory.plan["effect"]["techniques"] == ["bf16"]
        return FOUND

    monkeypatch.setattr(effects, "measure", measured)
    state = run(budget="90s", techniques=["bf16"])
    assert state.is_completed()
    assert "effect.html" in str(state.message)
    with get_client(sync_client=True) as client:
        pages = {one.key: one.data for one in client.read_artifacts(limit=200)}
    page = str(pages["flowers-effects"])
    assert "| bf16 | hurts | 2.20 [2.10, 2.30]" in page
    assert "not settled: EMA: there was no time to begin" in page
    assert "flowers-study" in pages, "a bar that moves while it measures"


def test_a_mistake_ends_failed_with_exactly_its_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no technique 'bf61'" in str(run(techniques=["bf61"]).message)
    assert "--budget must be a time" in str(run(budget="soon").message)

    def fails(*_: Any) -> None:
        raise TrainingError("--target must be a quality that the baseline reaches")

    monkeypatch.setattr(effects, "measure", fails)
    state = run(target=0.99)
    assert (state.is_failed(), state.message) == (True, "--target must be a quality that the baseline reaches")


def test_a_project_is_retrained_and_studied_unless_it_has_no_network(root: Path) -> None:
    names = [one.entrypoint for one in deployments_of(load_project("flowers", root))]
    assert {"flows.retrain.retrain", "flows.effect.effect"} <= {str(name) for name in names}
    without = [one.entrypoint for one in deployments_of(load_project("flowers", root, ["model=boosting"]))]
    assert "flows.effect.effect" not in without
