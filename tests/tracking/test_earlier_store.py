"""A store that an earlier version wrote: one experiment for all kinds of runs, intervals as metrics, numbers as tags of versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headway import tracking
from headway.evaluate.result import Estimate, Evaluation
from headway.run.directory import RunDirectory
from headway.tracking import decisions
from headway.tracking.condition import runs as runs_of_store
from headway.tracking.run_files import tracked_runs
from tests.support.deciding import decide
from tests.tracking.tracked import PLAN, pretend_bundle, run_id_of

TAGS = {"project": "loans", "model": "mlp", "environment.python": "3.11", "environment.torch": "2.13.0"}
METRICS = {"test/auc": 0.78, "test/auc_low": 0.76, "test/auc_high": 0.8, "versus/linear/auc": 0.77}
DECISION = {
    "kind": "first",
    "version": "1",
    "from": None,
    "to": "1",
    "why": "AUC 0.78 against the trivial baseline's 0.5",
    "who": "ann",
    "when": "2026-01-31T06:30:00Z",
    "metric": "auc",
    "difference": 0.28,
    "low": 0.26,
    "high": 0.3,
    "number": 1,
}


@pytest.fixture
def early(run: RunDirectory, tmp_path: Path) -> dict[str, str]:
    """The runs by kind, with the tags and metrics of the version before, and a champion with its tags."""
    client = tracking.open_store(tmp_path)
    experiment = client.create_experiment("loans", str(tmp_path / "mlruns" / "artifacts" / "loans"))
    first = RunDirectory.create(tmp_path, "loans", PLAN)
    assert registered(first, tmp_path) == "1"
    ids = {"retrain": run_id_of(first)}
    for kind in ("effect", "watch"):
        ids[kind] = client.create_run(
            experiment, 1, {**TAGS, "kind": kind}, f"{kind} mlp · 01-31 06:30 UTC"
        ).info.run_id
    for name, value in METRICS.items():
        client.log_metric(ids["retrain"], name, value)
    for name in (tag for tag in client.get_experiment(experiment).tags if tag.startswith("mlflow.")):
        client.delete_experiment_tag(experiment, name)
    client.create_run(experiment, 4, {"mlflow.parentRunId": ids["effect"], "variant": "bf16"}, "bf16")
    numbers = {"metric": "auc", "difference": "0.28", "low": "0.26", "high": "0.3"}
    for key, text in {"decision": "promoted", "reason": str(DECISION["why"]), **numbers}.items():
        client.set_model_version_tag("loans", "1", key, text)
    client.set_registered_model_tag("loans", "decision.00001.abc", json.dumps(DECISION))
    client.set_registered_model_alias("loans", "champion", "1")
    return ids


def registered(run: RunDirectory, root: Path) -> str:
    """A version of a run that MLflow holds."""
    tracking.begin(run, root, {}, "mlp", "")
    pretend_bundle(run)
    return tracking.register(run, root, "loans", pd.DataFrame({"age": [30, 50], "job": ["cook", None]}))


def promote(root: Path, run: RunDirectory) -> str:
    """A retraining of today that replaces the champion; its version."""
    version = registered(run, root)
    Evaluation(primary="auc", metrics={"auc": Estimate(0.8, 0.78, 0.82)}).write(run.path / "evaluation.json")
    comparison: dict[str, Any] = {"metric": "auc", "difference": 0.02, "low": 0.01, "high": 0.03}
    decision = {"promoted": True, "reason": "promoted: better", "value": 0.8, "other": "version 1"}
    decide(root, "loans", version, {**decision, **comparison})
    tracking.conclude(run, root, "FINISHED", tracking.final_metrics(run))
    return version


def test_its_runs_are_listed_beside_those_of_today_and_compared_by_the_same_metric(
    run: RunDirectory, early: dict[str, str], tmp_path: Path
) -> None:
    promote(tmp_path, run)
    rows = {row.run_id: row for row in tracking.list_runs(tmp_path, "loans")}
    assert set(rows) == {run_id_of(run), *early.values()}, "without the study's variant"
    first, second = rows[early["retrain"]], rows[run_id_of(run)]
    assert (first.metrics["test/auc"], second.metrics["test/auc"]) == (0.78, 0.8), "one column holds both"
    study = RunDirectory.create(tmp_path, "loans", {**PLAN, "effect": {}})
    tracking.begin(study, tmp_path, {}, "effect mlp", "")
    projects = {project for project, _ in runs_of_store(tmp_path).values()}
    assert projects == {"loans"}, "a study of today is in another experiment of the same project"
    assert {one.project for one in tracked_runs(tmp_path).values()} == {"loans"}


def test_its_champion_is_replaced_and_rolled_back_to(run: RunDirectory, early: dict[str, str], tmp_path: Path) -> None:
    champion = tracking.champion(tmp_path, "loans")
    assert champion is not None
    assert champion.version == "1"
    second = promote(tmp_path, run)
    versions = {row.version: row for row in tracking.versions(tmp_path, "loans")}
    assert versions[second].tags["difference"] == "+0.0200 [+0.0100, +0.0300]"
    assert (versions[second].tags["auc"], versions[second].tags["against"]) == ("0.8000", "version 1")
    assert {"low", "high", "difference"}.isdisjoint(versions["1"].tags), "they were the numbers of an earlier decision"
    assert versions["1"].tags["decision"] == "replaced"
    tracking.rollback(tmp_path, "loans", "1", "complaints")
    champion = tracking.champion(tmp_path, "loans")
    assert champion is not None
    assert champion.version == "1"
    history = decisions.read(tracking.open_store(tmp_path), "loans")
    assert [(one.kind, one.difference) for one in history] == [("first", 0.28), ("promotion", 0.02), ("rollback", None)]
    client = tracking.open_store(tmp_path)
    assert client.get_run(early["retrain"]).data.tags["champion"] == "yes"
    assert client.get_run(run_id_of(run)).data.tags["champion"] == "rolled back to 1"
