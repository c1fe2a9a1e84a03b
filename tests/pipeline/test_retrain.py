"""The main job, end to end: a table becomes a registered model that a fresh process predicts with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from headway.data.store import Store
from headway.errors import DamagedError
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import read_json
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from tests.pipeline.retraining import retrained

CONF = Path(__file__).parents[2] / "conf"
FEW = ["train.epochs=4", "train.patience=4", "evaluate.resamples=100", "train.threads=1"]

FRESH = """
import sys, mlflow, numpy as np, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
frame = pd.read_parquet(sys.argv[2])
found = mlflow.pyfunc.load_model(sys.argv[3]).predict(frame)
np.save(sys.argv[4], found["probability_bad"].to_numpy())
print(list(found.columns), found["prediction"].iloc[0])
"""


def retrain(root: Path, name: str, *settings: str) -> RunDirectory:
    return retrained(root, name, *FEW, *settings)


def evaluation_of(run: RunDirectory) -> Evaluation:
    return Evaluation.read(run.path / "evaluation.json")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(CONF, root / "conf")
    return root


@pytest.fixture(scope="module")
def first(root: Path, datasets: Path) -> RunDirectory:
    return retrain(root, "german-credit", "model.name=mlp")


@pytest.fixture(scope="module")
def second(root: Path, first: RunDirectory) -> RunDirectory:
    return retrain(root, "german-credit", "model.name=mlp")


def test_a_first_retraining_ends_with_a_champion_and_every_finding_as_a_file(root: Path, first: RunDirectory) -> None:
    from headway import tracking

    summary = runs.summary(first).to_json()
    champion = tracking.champion(root, "german-credit")
    assert champion is not None
    assert champion.version == "1"
    assert summary["model"] == {"name": "german-credit", "version": "1"}
    assert summary["decision"] == {"promoted": True, "reason": read_json(first.path / "decision.json")["reason"]}
    names = {path.name for path in first.path.iterdir()}
    files = {
        "data.json",
        "profile.json",
        "validation.json",
        "validation.html",
        "store.json",
        "journal.jsonl",
        "result.json",
    }
    assert files | {"evaluation.json", "decision.json", "stages.json", "tracking.json", "bundle", "plots"} <= names
    assert {"importance.csv", "plots/importance.png"} <= names | {
        f"plots/{path.name}" for path in (first.path / "plots").iterdir()
    }
    assert not [path for path in first.bundle.rglob("*") if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".bin")]


def test_what_is_reported_is_what_scikit_learn_finds_in_the_predictions(first: RunDirectory) -> None:
    target = np.asarray(Store(first.store).arrays("test")["target"])
    auc = roc_auc_score(target, np.load(first.predictions("test"))[:, 1])
    assert evaluation_of(first).metrics["auc"].value == pytest.approx(auc)
    assert 150 < len(target) < 250, "about a fifth of a thousand rows"


def test_every_column_that_the_model_sees_has_its_importance_and_the_run_says_what_drives_it(
    first: RunDirectory,
) -> None:
    evaluation = evaluation_of(first)
    importance = evaluation.importance
    assert importance is not None
    assert {one.column for one in importance.columns} == set(Store(first.store).preparation.kinds)
    assert (importance.metric, importance.rows, importance.shuffles) == ("auc", evaluation.rows, 5)
    assert importance.columns[0].column == "checking_account", "known as the strongest of this data set"
    assert importance.text.startswith("what drives it: checking_account")
    assert importance.text in evaluation.remarks


def test_the_bundle_keeps_some_test_rows_to_compare_others_with(first: RunDirectory) -> None:
    background, test = pd.read_parquet(first.bundle / "background.parquet"), Store(first.store).raw_test().to_pandas()
    assert len(background) == 100
    assert len(background.merge(test[list(background.columns)].drop_duplicates())) == 100
    assert set(background.columns) == set(Store(first.store).preparation.kinds)


def test_a_fresh_process_predicts_raw_rows_as_the_run_did(root: Path, first: RunDirectory, tmp_path: Path) -> None:
    raw = tmp_path / "raw.parquet"
    Store(first.store).raw_test().to_pandas().to_parquet(raw)
    uri, out = f"sqlite:///{root}/mlruns/mlflow.db", tmp_path / "found.npy"
    words = [sys.executable, "-c", FRESH, uri, str(raw), "models:/german-credit@champion", str(out)]
    outcome = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("['prediction', 'probability_good', 'probability_bad']")
    np.testing.assert_allclose(np.load(out), np.load(first.predictions("test"))[:, 1], atol=1e-5)


def test_a_trained_bundle_that_was_damaged_since_is_not_signed_as_whole(first: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "data" / "runs" / first.path.name)
    shutil.copytree(first.path, run.path)
    sealed = (run.bundle / "checksums.json").read_bytes()
    weights = bytearray((run.bundle / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (run.bundle / "weights.safetensors").write_bytes(weights)
    with pytest.raises(DamagedError, match=r"weights\.safetensors must be what Headway wrote"):
        stages.train(run, tmp_path, Silent())
    assert (run.bundle / "checksums.json").read_bytes() == sealed


def test_a_second_run_reuses_the_prepared_rows_repeats_the_weights_and_meets_the_champion(
    first: RunDirectory, second: RunDirectory
) -> None:
    assert read_json(first.path / "store.json")["reused"] is False
    assert read_json(second.path / "store.json")["reused"] is True
    weights = [(run.bundle / "weights.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1], "two runs with one seed give the same weights, bit for bit"
    decision = read_json(second.path / "decision.json")
    assert (decision["difference"], decision["promoted"]) == (0.0, True)
    assert "against version 1's" in decision["reason"]


def test_a_worse_model_does_not_take_charge_and_becomes_the_challenger(root: Path, second: RunDirectory) -> None:
    from headway import tracking

    settings = ["train.epochs=1", "train.optimizer=sgd", "train.learning_rate=0.000001", "train.seed=3"]
    worse = retrain(root, "german-credit", "model.name=mlp", *settings)
    decision = read_json(worse.path / "decision.json")
    assert decision["promoted"] is False
    aliases = {v.version: set(v.aliases) for v in tracking.versions(root, "german-credit")}
    assert aliases["3"] == {"challenger"}
    assert aliases["2"] == {"champion"}
    assert aliases["1"] == {"previous"}


def test_mlflow_holds_what_a_person_needs_to_compare_runs(root: Path, first: RunDirectory) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    run_id = read_json(first.path / "tracking.json")["run_id"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["model.name"] == "mlp"
    assert run.data.params["train.seed"] == "0"
    assert run.data.metrics["test/auc"] == pytest.approx(evaluation_of(first).metrics["auc"].value)
    history = client.get_metric_history(run_id, "validation/loss")
    losses = [(e.step, e.metrics["validation/loss"]) for e in first.events() if "validation/loss" in e.metrics]
    assert [(m.step, m.value) for m in history] == losses
    assert run.inputs.dataset_inputs[0].dataset.digest == read_json(first.path / "data.json")["digest"][:12]
    files = {f.path for f in client.list_artifacts(run_id)}
    assert {"profile.json", "validation.html", "validation.json", "evaluation.json", "plots", "project.yaml"} <= files
    assert {f.path for f in client.list_artifacts(run_id, "plots")} >= {"plots/roc.png", "plots/calibration.png"}
    from headway import tracking

    decision = next(one for one in tracking.history(root, "german-credit") if one.version == "1")
    assert f"promoted: {decision.why}" == read_json(first.path / "decision.json")["reason"]


def test_boosting_is_trained_gated_and_registered_like_the_others(root: Path, second: RunDirectory) -> None:
    run = retrain(root, "german-credit", "model.name=boosting")
    assert (run.bundle / "model.txt").read_text().startswith("tree")
    assert read_json(run.path / "decision.json")["version"] is not None
    assert set(evaluation_of(run).baselines) == {"trivial", "linear", "boosting"}


def test_a_regression_with_tabm_goes_all_the_way(root: Path, datasets: Path) -> None:
    settings = ["model.members=4", "model.width=32", "train.epochs=3", "train.batch_size=512"]
    run = retrain(root, "california-housing", *settings, "gate.first=beat_trivial")
    evaluation, decision = evaluation_of(run), Decision.read(run.path / "decision.json")
    assert set(evaluation.metrics) == {"rmse", "mae", "r2", "mape"}
    own, trivial = evaluation.metrics["rmse"].value, evaluation.baselines["trivial"].metrics["rmse"].value
    assert own is not None
    assert trivial is not None
    assert own < 0.8 * trivial
    assert decision.promoted
    assert "though the baseline boosting is better" in decision.reason
    assert (run.path / "plots" / "residuals.png").exists()
    assert evaluation.coverage is not None
    assert evaluation.coverage.text in evaluation.remarks
    quarters = evaluation.coverage.quarters
    assert all(abs(rows.covered - 0.9) < 0.05 for rows in quarters), "one width for all held 98 % and 80 %"
    assert quarters[-1].width > 1.5 * quarters[0].width


def test_the_loan_books_broken_month_stops_the_run_before_training(root: Path) -> None:
    from headway.errors import DataError

    few = ["data.options.rows_per_month=300", "data.options.months=6"]
    run = runs.start(load_project("loans", root, [*few, "data.options.broken=true"]), root)
    runs.track(run, root)
    with pytest.raises(DataError, match=r"interest_rate must be between 1 and 40, but .* rows are not \(row") as error:
        stages.validate(run, root, Silent())
    runs.conclude(run, root, error.value)
    assert not (run.path / "store.json").exists()
    assert (run.path / "validation.html").exists()
    good = runs.start(load_project("loans", root, few), root)
    stages.validate(good, root, Silent())


def test_the_command_line_runs_a_project_and_ends_with_one_json_object(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    shutil.copy(CONF / "breast-cancer.yaml", tmp_path / "conf")
    words = [sys.executable, "-m", "headway.cli", "run", "breast-cancer", "--json"]
    for setting in FEW:
        words += ["--set", setting]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "MLFLOW"))}
    outcome = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert outcome.returncode == 0, outcome.stderr
    report: dict[str, Any] = json.loads(outcome.stdout.splitlines()[-1])
    assert outcome.stdout.count("\n") == 1, "everything for people goes to standard error"
    assert set(report) >= {"project", "run_id", "stages", "metrics", "baselines", "decision", "model", "train"}
    assert set(report["stages"]) == {"validate", "prepare", "train", "evaluate", "register"}
    assert set(report["metrics"]["auc"]) == {"value", "low", "high"}
    assert set(report["train"]) >= {"precision", "epochs", "rows_per_second", "peak_memory_bytes", "seconds"}
    assert report["decision"]["promoted"] is True
    assert report["model"] == {"name": "breast-cancer", "version": "1"}
    assert "✓ register" in outcome.stderr
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    same = {"project": "breast-cancer", "up_to_date": True, "version": "1", "run_directory": report["run_directory"]}
    answer = json.loads(again.stdout)
    assert {name: answer[name] for name in same} == same
    assert "up to date: version 1 of " in again.stderr
    assert "✓ validate" not in again.stderr
    assert [str(path) for path in (tmp_path / "data" / "runs").iterdir()] == [report["run_directory"]]
