"""A project's experiments in MLflow: their names, descriptions, and the view of the list of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headway import tracking
from headway.evaluate.result import Estimate, Evaluation
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from headway.tracking import experiments
from tests.tracking.tracked import PLAN, run_id_of


def experiment(root: Path, run: RunDirectory) -> Any:
    client = tracking.open_store(root)
    return client.get_experiment(client.get_run(run_id_of(run)).info.experiment_id)


def view(root: Path, run: RunDirectory) -> dict[str, Any]:
    """What MLflow's page restores: it reads `state` of the tag's JSON as JSON."""
    envelope = json.loads(experiment(root, run).tags["mlflow.sharedViewState.headway"])
    assert set(envelope) == {"name", "createdAt", "updatedAt", "state"}
    return json.loads(envelope["state"])


def opened(root: Path, **more: Any) -> RunDirectory:
    run = RunDirectory.create(root, "loans", {**PLAN, **more})
    tracking.begin(run, root, {}, tracking.title(run, root, "mlp s0"), "")
    return run


def test_retrainings_studies_and_watches_have_experiments_of_their_own_each_described(
    run: RunDirectory, tmp_path: Path
) -> None:
    runs = [opened(tmp_path), opened(tmp_path, effect={}), opened(tmp_path, variants=[]), opened(tmp_path, watch={})]
    names = [experiment(tmp_path, one).name for one in runs]
    assert names == ["loans", "loans studies", "loans studies", "loans watches"]
    assert [experiments.project_of(name) for name in names] == ["loans"] * 4
    for one in runs:
        note = experiment(tmp_path, one).tags["mlflow.note.content"]
        assert note.startswith("Which loan is not paid back.")
    assert len(tracking.list_runs(tmp_path, "loans")) == 4
    assert [row.tags["kind"] for row in tracking.list_runs(tmp_path, "loans")] == [
        "watch",
        "seeds",
        "effect",
        "retrain",
    ]


def test_the_list_of_runs_shows_decision_champion_the_deciding_metric_rows_and_duration(
    run: RunDirectory, tmp_path: Path
) -> None:
    tracking.begin(run, tmp_path, {}, "mlp", "")
    assert view(tmp_path, run)["selectedColumns"] == ["tags.`decision`", "tags.`champion`", "tags.`rows`"]
    Evaluation(primary="auc", metrics={"auc": Estimate(0.9, 0.88, 0.92)}).write(run.path / "evaluation.json")
    write_json(run.path / "decision.json", {"promoted": False, "reason": "not promoted: worse"})
    tracking.conclude(run, tmp_path, "FINISHED", tracking.final_metrics(run))
    state = view(tmp_path, run)
    columns = ["tags.`decision`", "tags.`champion`", "metrics.`auc`", "tags.`rows`"]
    assert (state["selectedColumns"], state["columnOrder"]) == (columns, [*columns, "duration"])
    assert (state["searchFilter"], state["orderByKey"]) == ("tags.kind = 'retrain'", "attributes.start_time")
    (row,) = tracking.list_runs(tmp_path, "loans")
    assert (row.tags["decision"], row.tags["rows"]) == ("Not promoted", "1,000")
    assert row.tags["interval"] == "auc 0.8800 to 0.9200"
    assert list(row.metrics) == ["auc", "test/auc"], "the interval is no chart"


def test_a_view_and_a_description_that_people_saved_stay(run: RunDirectory, tmp_path: Path) -> None:
    tracking.begin(run, tmp_path, {}, "mlp", "")
    client, own = tracking.open_store(tmp_path), experiment(tmp_path, run)
    theirs = {**json.loads(own.tags["mlflow.sharedViewState.headway"]), "updatedAt": 2e12, "state": "{}"}
    client.set_experiment_tag(own.experiment_id, "mlflow.sharedViewState.headway", json.dumps(theirs))
    client.set_experiment_tag(own.experiment_id, "mlflow.note.content", "Ours")
    Evaluation(primary="auc", metrics={"auc": Estimate(0.9)}).write(run.path / "evaluation.json")
    tracking.conclude(run, tmp_path, "FINISHED", {})
    assert view(tmp_path, run) == {}
    assert experiment(tmp_path, run).tags["mlflow.note.content"] == "Ours"


def test_a_study_that_an_early_version_began_goes_on_in_the_projects_experiment(
    run: RunDirectory, tmp_path: Path
) -> None:
    tracking.begin(run, tmp_path, {}, "effect mlp", "")  # in the project's own, as then
    write_json(run.path / "run.json", {**run.plan, "effect": {}})
    tracking.begin(run, tmp_path, {}, "effect mlp", "")
    assert experiment(tmp_path, run).name == "loans"
    assert view(tmp_path, run)["searchFilter"] == "tags.kind = 'retrain'"


def test_names_of_runs_differ_within_sixteen_characters(run: RunDirectory, tmp_path: Path, monkeypatch: Any) -> None:
    titles = [tracking.title(RunDirectory.create(tmp_path, "loans", PLAN), tmp_path, "boosting s0") for _ in range(3)]
    assert len({title[:16] for title in titles}) == 3
    assert titles[0].startswith("#2 boosting s0 · ")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # of folders that number their runs separately
    assert tracking.title(run, tmp_path, "boosting s0", 0.0) == "01-01 00:00:00 UTC · boosting s0"


def test_the_environment_is_one_file_and_no_tag(run: RunDirectory, tmp_path: Path) -> None:
    tracking.begin(run, tmp_path, {}, "mlp", "")
    client = tracking.open_store(tmp_path)
    assert not [tag for tag in client.get_run(run_id_of(run)).data.tags if tag.startswith("environment")]
    path = client.download_artifacts(run_id_of(run), "environment.json", str(tmp_path))
    assert json.loads(Path(path).read_text()) == PLAN["environment"]
