"""Of time series the change since an earlier value: learnt where that forecasts better, and added up again wherever rows are predicted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.data.store import Store
from headway.draft.drafting import draft
from headway.errors import ConfigError
from headway.files.atomic import write_json
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.explain import Explainer
from headway.tasks import Target
from headway.tasks.reference import Reference
from headway.train.main import train

REFERENCE = Reference("y 1 day before", place=1, center=50.0, spread=4.0, marker=2)


def _rows(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Prepared numbers (N, 3), and the target."""
    chance = np.random.default_rng(0)
    before = 50 + 4 * chance.normal(size=count).round(3)
    is_unknown = np.arange(count) < 5
    filled = np.where(is_unknown, 50.0, before)
    numeric = np.column_stack([chance.normal(size=count), (filled - 50) / 4, is_unknown])
    return numeric.astype(np.float32), before + chance.normal(size=count)


def test_a_change_and_its_level_are_each_others_inverse() -> None:
    numeric, target = _rows()
    changes = REFERENCE.changes(target, numeric)
    np.testing.assert_allclose(REFERENCE.levels(changes, numeric)[5:], target[5:], atol=1e-5)
    assert not changes[:5].any(), "nothing is known of the value before"


def test_the_share_of_the_change_is_that_of_least_squares() -> None:
    """A line through the origin, by numpy, where its slope is between 0 and 1; else the nearer end."""
    numeric, target = _rows()
    actual = target - REFERENCE.values(numeric)
    for forecast in (0.5 * actual + 3, -actual, 0.1 * actual):
        (slope,) = np.linalg.lstsq(forecast[:, None], actual, rcond=None)[0]
        assert REFERENCE.shrunk(forecast, target, numeric).share == pytest.approx(np.clip(slope, 0, 1))
    assert REFERENCE.shrunk(np.zeros(200), target, numeric).share == 0


def test_a_target_keeps_its_reference_as_json_and_earlier_ones_have_none() -> None:
    target = Target("y", "regression", (), 0.1, 2.0, reference=REFERENCE)
    assert Target.from_json(target.to_json()) == target
    assert "reference" not in Target("y", "regression").to_json()


def _trained(root: Path, values: np.ndarray, *settings: str) -> RunDirectory:
    """A run of the drafted project of a daily series, with its bundle."""
    (root / "conf").mkdir(exist_ok=True)
    days = pd.date_range("2021-01-01", periods=len(values)).strftime("%Y-%m-%d")
    pd.DataFrame({"day": days, "y": values}).to_csv(root / "rows.csv", index=False)
    if not (root / "conf" / "rows.yaml").exists():
        draft("rows.csv", "y", None, root)
    project = load_project("rows", root, [*settings, "train.threads=1", "train.epochs=20"])
    run = runs.start(project, root)
    stages.validate(run, root, Silent())
    stages.prepare(run, root, Silent())
    train(run)
    stages._complete(run, project, Silent())
    return run


def _rmse(run: RunDirectory) -> float:
    truth = np.asarray(Store(run.store).arrays("test")["target"])
    return float(np.sqrt(np.mean((np.load(run.predictions("test")) - truth) ** 2)))


@pytest.mark.parametrize("model", ["ensemble", "boosting", "linear", "mlp"])
def test_a_series_that_leaves_its_range_is_forecast_by_its_change_in_the_run_the_bundle_and_the_reasons(
    model: str, tmp_path: Path
) -> None:
    values = np.arange(400) * 0.5 + np.random.default_rng(0).normal(0, 1, 400)
    run = _trained(tmp_path, values, f"model={model}")
    predictor = Predictor.load(run.bundle)
    assert predictor.preparation.target.reference is not None
    assert _rmse(run) < 2
    if model in ("boosting", "mlp"):
        assert _rmse(_trained(tmp_path, values, f"model={model}", "train.change_since=none")) > 3
    reference = np.load(run.predictions("test"))
    np.testing.assert_allclose(predictor.test_predictions(run.store), reference, atol=1e-4)
    answers = predictor.with_interval(next(Store(run.store).raw_test_batches()))
    truth = np.asarray(Store(run.store).arrays("test")["target"])
    assert np.mean((answers[:, 1] <= truth) & (truth <= answers[:, 2])) > 0.75
    batch = next(Store(run.store).raw_test_batches())
    reasons = Explainer.load(run.bundle).reasons(batch, reference)
    np.testing.assert_allclose(reasons.contributions.sum(1) + reasons.base, reference, atol=1e-2)
    assert reasons.columns[int(np.abs(reasons.contributions).mean(0).argmax())].startswith("y ")


@pytest.mark.parametrize("model", ["boosting", "mlp"])
def test_each_of_many_seeds_forecasts_as_much_of_its_change_as_the_run_alone(model: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 1, 300).cumsum()
    alone = _trained(tmp_path, values, f"model={model}", "train.change_since=newest", "train.precision=fp32")
    reference = Predictor.load(alone.bundle).preparation.target.reference
    assert reference is not None
    assert reference.share < 0.9
    many = RunDirectory.create(tmp_path, "rows", alone.plan)
    variant = {name: alone.plan["project"]["train"][name] for name in ("learning_rate", "weight_decay")}
    write_json(many.path / "run.json", {**many.plan, "variants": [{"seed": seed, **variant} for seed in (0, 1)]})
    shutil.copy(alone.path / "store.json", many.path / "store.json")
    train(RunDirectory(many.path))
    truth = np.load(alone.predictions("test"))
    np.testing.assert_allclose(np.load(many.predictions("test-0")), truth, atol=2e-3)


def test_a_wave_without_a_trend_may_stay_a_level_and_what_is_stated_is_done(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100, 5, 400)
    run = _trained(tmp_path, values)
    assert Predictor.load(run.bundle).preparation.target.reference is None
    stated = Predictor.load(_trained(tmp_path, values, "train.change_since=season").bundle)
    assert stated.preparation.target.reference is not None
    assert stated.preparation.target.reference.column == "y 7 days before"
    with pytest.raises(ConfigError, match="change_since newest needs"):
        _trained(tmp_path, values, "train.change_since=newest", "data.series.lags=[2]")
