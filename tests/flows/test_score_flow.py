"""Scoring from the form: its help, its page, its refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.states import State

from flows.deployments import deployments_of
from flows.score import score
from headway.errors import DataError
from headway.pipeline import scoring
from headway.project import load_project

pytestmark = pytest.mark.usefixtures("prefect_server")
FILE = scoring.ScoredFile("in/a.parquet", "a.parquet", "a.refused.parquet", 9, 7, 2, digest="d", done_before=False)
MANIFEST = scoring.Manifest("flowers", "3", "run", 9, 7, 2, None, seconds=1.8, rows_per_second=5.0, files=(FILE,))


def run(**parameters: Any) -> State[Any]:
    call: Any = score
    return call(return_state=True, **{"project": "flowers", **parameters})


def test_every_parameter_of_the_form_has_a_sentence() -> None:
    properties = score.parameters.model_dump()["properties"]
    assert all(field["description"].endswith(".") for field in properties.values())


def test_a_scoring_leaves_its_counts_as_a_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scored(name: str, folder: Path, report: Any, data: Any, out: Any, version: str) -> scoring.Manifest:
        assert (name, data, out, version) == ("flowers", "in", root / "there", "champion")
        return replace(MANIFEST, out=str(root))

    monkeypatch.setattr(scoring, "score", scored)
    state = run(data="in", out="there")
    assert state.message == "9 rows: 7 scored, 2 refused; flowers version 3"
    with get_client(sync_client=True) as client:
        pages = {a.key: a.data for a in client.read_artifacts()}
    assert "| a.parquet | 9 | 7 | 2 |" in str(pages["flowers-scored"])


def test_refused_data_ends_failed_with_exactly_its_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> dict[str, Any]:
        raise DataError("a.csv: rows to predict must have the column x, but they have y")

    monkeypatch.setattr(scoring, "score", refuse)
    state = run()
    assert (state.is_failed(), state.message) == (
        True,
        "a.csv: rows to predict must have the column x, but they have y",
    )


def test_every_project_on_a_table_can_be_scored_from_the_form(root: Path) -> None:
    assert "flows.score.score" in [one.entrypoint for one in deployments_of(load_project("flowers", root))]
