"""The variants of a study in MLflow: under it, comparable, once."""

from __future__ import annotations

from pathlib import Path

from headway import tracking
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from tests.tracking.tracked import run_id_of

TIME = {"value": 0.8, "low": 0.7, "high": 0.9, "p": 0.001}
ROW = {"sentence": "It is fast.", "reference": "Nobody 2026", "reason": None, "to_target": TIME, "quality": None}
FOUND = {
    "baseline": {"residence": "loader", "precision": "fp32"},
    "techniques": [
        {**ROW, "name": "fused optimizer", "verdict": "helps", "edit": {"optimizer_kernel": "fused"}, "time": TIME},
        {**ROW, "name": "tf32", "verdict": "unsupported here", "edit": {}, "time": None, "to_target": None},
    ],
    "curves": {"baseline": [{"quality": [0.5, 0.7]}, {"quality": [0.7, 0.9]}]},
    "stack": {"names": ["fused optimizer", "kept memory"], "time": TIME},
    "with": [{"name": "bf16", "time": TIME, "verdict": "helps"}],
    "without": [],
    "recommended": {
        "names": ["fused optimizer"],
        "fields": {"optimizer_kernel": "fused"},
        "time": TIME,
        "to_target": TIME,
        "quality": None,
    },
    "summary": "1 helps.",
}


def test_each_variant_is_a_run_under_the_study_delivered_once(run: RunDirectory, tmp_path: Path) -> None:
    tracking.begin(run, tmp_path, {}, "effect", "a: 1\n")
    write_json(run.path / "effect.json", FOUND)
    (run.path / "effect.html").write_text("<html></html>")
    assert tracking.conclude(run, tmp_path, "FINISHED", {}) is None
    client = tracking.open_store(tmp_path)
    parent = client.get_run(run_id_of(run))
    half = {"mlflow.parentRunId": parent.info.run_id}
    client.create_run(parent.info.experiment_id, tags=half, run_name="half")  # of a delivery that was killed
    tracking.sync(run, tmp_path)  # again, as after a server that was away
    assert len(client.get_metric_history(parent.info.run_id, "effect/time_to_target")) == 1

    assert parent.data.metrics["effect/time_to_target"] == 0.8
    assert "1 helps." in parent.data.tags["mlflow.note.content"]
    assert "Report.html" in {entry.path for entry in client.list_artifacts(parent.info.run_id)}
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    children = {r.info.run_name: r for r in client.search_runs([parent.info.experiment_id], query)}
    assert set(children) == {"baseline", "fused optimizer", "tf32", "stack", "stack with bf16", "recommended"}
    assert children["stack"].data.params == {"techniques": "fused optimizer, kept memory"}
    assert children["stack with bf16"].data.metrics["effect/step_time_over_the_stacks"] == 0.8
    assert "effect/step_time" not in children["stack with bf16"].data.metrics, "that is over the baseline's"
    assert children["recommended"].data.params["train.optimizer_kernel"] == "fused"
    fused = children["fused optimizer"]
    assert fused.data.params == {"train.optimizer_kernel": "fused"}
    assert fused.data.metrics == {
        "effect/step_time": 0.8,
        "effect/time_to_target": 0.8,
    }
    assert fused.data.tags["step_time"] == "0.8 [0.7, 0.9]", "an interval is no chart"
    assert fused.data.tags["verdict"] == "helps"
    assert children["baseline"].data.metrics["validation/quality"] == 0.8
    assert [r.name for r in tracking.list_runs(tmp_path, "loans")] == ["effect"], "variants are no retrainings"
