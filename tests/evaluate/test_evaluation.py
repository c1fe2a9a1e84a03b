"""Baselines, slices, calibration and the whole evaluation against scikit-learn, SciPy and known truths."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
from sklearn.calibration import calibration_curve
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from headway.evaluate.baselines import Budget, fit_baselines
from headway.evaluate.calibration import reliability
from headway.evaluate.config import GateConfig
from headway.evaluate.evaluation import Reference, beside, evaluate
from headway.evaluate.plots import draw
from headway.evaluate.resample import Units
from headway.evaluate.result import ChampionResult, Estimate, Evaluation
from headway.evaluate.slices import groups, measure_slices
from headway.files.atomic import write_json
from headway.models.linear import Linear
from headway.pipeline.tables import metric_rows


def make(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 3)).astype(np.float32)
    categorical = np.stack([rng.integers(0, 4, rows), rng.integers(0, 600, rows)], 1).astype(np.int32)
    logit = 1.5 * numeric[:, 0] - numeric[:, 1] + (categorical[:, 0] - 1.5)
    return {
        "numeric": numeric,
        "categorical": categorical,
        "target": (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64),
    }


@pytest.fixture(scope="module")
def fitted() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    train, test = make(4000, 0), make(2000, 1)
    result = fit_baselines(
        ("trivial", "linear", "boosting"), "classification", train, test, outputs=2, cardinalities=(4, 600), seed=0
    )
    return train, test, {name: b.prediction for name, b in result.items()}


def test_the_linear_baseline_is_scikit_learns_usual_pipeline(fitted: tuple[dict[str, np.ndarray], ...]) -> None:
    train, test, predictions = fitted
    columns = [np.concatenate([part["numeric"], part["categorical"]], 1) for part in (train, test)]
    prepare = ColumnTransformer(
        [("n", StandardScaler(), [0, 1, 2]), ("c", OneHotEncoder(handle_unknown="ignore"), [3, 4])]
    )
    pipeline = make_pipeline(prepare, LogisticRegression(max_iter=2000)).fit(columns[0], train["target"])
    np.testing.assert_allclose(predictions["linear"], pipeline.predict_proba(columns[1]), atol=0.01)


def test_the_baselines_order_as_they_must_on_a_linear_truth(fitted: tuple[dict[str, np.ndarray], ...]) -> None:
    _, test, predictions = fitted
    auc = {name: roc_auc_score(test["target"], p[:, 1]) for name, p in predictions.items()}
    assert auc["trivial"] == 0.5
    assert auc["linear"] > auc["boosting"] > 0.8


def test_baselines_of_numbers_are_in_the_targets_own_unit() -> None:
    train, test = make(3000, 2), make(1000, 3)
    for part in (train, test):
        part["target"] = 1000 + 300 * part["numeric"][:, 0].astype(float)
    baselines = fit_baselines(
        ("trivial", "linear", "boosting"), "regression", train, test, outputs=1, cardinalities=(4, 600), seed=0
    )
    assert baselines["trivial"].prediction[0] == pytest.approx(train["target"].mean())
    for name in ("linear", "boosting"):
        assert np.corrcoef(baselines[name].prediction, test["target"])[0, 1] > 0.98


def test_calibration_bins_and_their_intervals_equal_scikit_learns_and_scipys() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(3000)
    target = (rng.random(3000) < p).astype(int)
    table = reliability(target, p)
    observed, predicted = calibration_curve(target, p, n_bins=15, strategy="quantile")
    np.testing.assert_allclose([row.observed for row in table], observed, atol=0.01)
    np.testing.assert_allclose([row.predicted for row in table], predicted, atol=0.01)
    row = table[4]
    interval = scipy.stats.binomtest(round(row.observed * row.rows), row.rows).proportion_ci(method="wilson")
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_slices_cover_every_row_once_and_are_measured_on_their_own_rows() -> None:
    rng = np.random.default_rng(1)
    names = rng.choice(["a", "b", "c"], 1000, p=[0.6, 0.38, 0.02])
    numbers = np.where(rng.random(1000) < 0.1, np.nan, rng.normal(size=1000))
    for values in (names, numbers, rng.integers(0, 3, 1000).astype(float)):
        assert (np.sum(list(groups(values).values()), axis=0) == 1).all()
    assert set(groups(names)) == {"a", "b", "other"}
    target = rng.integers(0, 2, 1000)
    p = rng.random(1000)
    sliced = measure_slices("classification", target, np.stack([1 - p, p], 1), {"name": names}, 200, Units("row", 1000))
    assert sliced["name"]["a"].rows == (names == "a").sum()
    truth = roc_auc_score(target[names == "a"], p[names == "a"])
    assert sliced["name"]["a"].metrics["auc"].value == pytest.approx(truth)


def test_a_metric_without_a_value_says_why_for_the_model_a_baseline_and_a_slice() -> None:
    p = np.linspace(0.1, 0.9, 200)
    target = np.zeros(200, int)
    good, broken = np.stack([1 - p, p], 1), np.full((200, 2), np.nan)
    region = np.repeat(["north", "south"], 100)
    target[:50] = 1  # in the north alone
    sliced = evaluated("classification", ("no", "yes"), target, {"model": good, "linear": broken}, region)
    assert sliced.undefined["model"] == {}
    assert sliced.metrics["auc"].value == pytest.approx(roc_auc_score(target, p))
    assert sliced.gaps == [
        "undefined for linear: auc, average precision, log loss, brier, ece (a prediction is not a finite number)",
        "undefined: auc where region = south (no row has the class yes)",
    ]
    every = evaluated("classification", ("no", "yes"), target * 0, {"model": good, "trivial": good}, region)
    assert every.metrics["auc"].value is None
    assert every.gaps[0] == "undefined: auc, average precision, balanced accuracy (no row has the class yes)"
    assert len(every.gaps) == 2, "what is undefined for every model is said once, and once for the slices"

    constant = evaluated("regression", (), np.full(200, 3.0), {"model": p, "trivial": p}, region)
    assert constant.gaps[0] == "undefined: r2 (every row has the same target)"
    rows = {row["metric"]: row for row in metric_rows(constant)}
    assert "r2" not in rows, "what is undefined for all is said once, in the line above"
    assert not [name for row in rows.values() for name, cell in row.items() if not cell and name != "95 % interval"]


@pytest.mark.parametrize("counts", [(6, 3), (8, 1), (1, 1), (2,) * 40, (9, 9)])
def test_boosting_is_fitted_on_tables_of_few_rows_and_many_classes(counts: tuple[int, ...]) -> None:
    rng, target = np.random.default_rng(0), np.repeat(np.arange(len(counts)), counts)
    arrays = {
        "numeric": rng.normal(size=(len(target), 2)),
        "categorical": np.zeros((len(target), 0), int),
        "target": target,
    }
    options = {"outputs": len(counts), "cardinalities": (), "seed": 0}
    prediction = fit_baselines(("boosting",), "classification", arrays, arrays, **options)["boosting"].prediction
    np.testing.assert_allclose(prediction.sum(1), 1, atol=1e-5)


def test_few_rounds_of_many_classes_are_timed_before_all_are_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    fit = HistGradientBoostingClassifier.fit

    def noted(self: HistGradientBoostingClassifier, *values: Any) -> HistGradientBoostingClassifier:
        rounds.append(self.max_iter)
        return fit(self, *values)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", noted)
    target = np.repeat(np.arange(20), 2)
    arrays = {"numeric": np.arange(40.0)[:, None], "categorical": np.zeros((40, 0), int), "target": target}
    fit_baselines(("boosting",), "classification", arrays, arrays, outputs=20, cardinalities=(), seed=0)
    assert rounds == [2, 100]


def test_boosting_grows_as_many_rounds_as_its_budget_has_time_for_or_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(300, 3))
    arrays = {
        "numeric": numeric,
        "categorical": np.zeros((300, 0), int),
        "target": numeric[:, 0] + rng.normal(size=300),
    }

    def fitted(seconds: float) -> tuple[np.ndarray | None, str]:
        clock = itertools.count()
        monkeypatch.setattr(time, "process_time", lambda: next(clock))  # a trial of two rounds takes a second
        notes: dict[str, str] = {}
        budget = Budget(seconds, notes.__setitem__)
        options = {"outputs": 1, "cardinalities": (), "seed": 0, "budget": budget}
        result = fit_baselines(("boosting",), "regression", arrays, arrays, **options)
        return result["boosting"].prediction if result else None, notes.get("boosting", "")

    whole, quiet = fitted(1)
    assert quiet == ""  # of few rows, no round is timed
    monkeypatch.setattr("headway.evaluate.baselines.QUICK", 0)
    enough, quiet = fitted(200)
    assert quiet == ""
    np.testing.assert_array_equal(enough, whole)
    assert fitted(50)[1] == (
        "at most 100 rounds, not 400: a round of 1 tree takes 0.5 s, and there is no time for more in evaluate.boosting_seconds: 50"
    )
    assert fitted(10) == (
        None,
        "left out: a round of 1 tree takes 0.5 s, so that there is no time for 40 in evaluate.boosting_seconds: 10",
    )


def test_baselines_that_are_fitted_to_a_sample_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 300)
    arrays = {"numeric": rng.normal(size=(300, 2)), "categorical": np.zeros((300, 0), int), "target": target}
    texts = scipy.sparse.csr_matrix(rng.random((300, 5)), dtype=np.float32)
    notes: dict[str, str] = {}
    options = {"outputs": 2, "cardinalities": (), "seed": 0, "budget": Budget(note=notes.__setitem__)}

    def fit() -> None:
        fit_baselines(("linear", "boosting"), "classification", arrays, arrays, texts=(texts, texts), **options)

    fit()
    assert notes == {}
    monkeypatch.setattr("headway.evaluate.baselines.Linear", lambda: Linear(rows=200))
    monkeypatch.setattr("headway.evaluate.baselines.TEXT_ROWS", 100)
    fit()
    assert notes == {
        "linear": "fitted to 200 of 300 training rows, drawn at random",
        "boosting": "fitted to 100 of 300 training rows, drawn at random",
    }


def test_a_linear_model_stands_beside_other_baselines_than_itself() -> None:
    rng = np.random.default_rng(0)
    target, region = rng.normal(size=200), np.repeat("a", 200)
    near, far = target + rng.normal(0, 0.1, 200), target + rng.normal(0, 0.5, 200)
    both = {"model": near.astype(np.float32), "linear": near, "boosting": far}
    for name, best in (("linear", "boosting"), ("mlp", "linear")):
        standing = evaluated("regression", (), target, both, region, name).earns_its_keep
        assert standing is not None
        assert standing.baseline == best
    alone = {"model": near, "linear": near}
    assert evaluated("regression", (), target, alone, region, "linear").earns_its_keep is None


def evaluated(
    task: Literal["classification", "regression"],
    classes: tuple[str, ...],
    target: np.ndarray,
    predictions: dict[str, np.ndarray],
    region: np.ndarray,
    model_name: str = "mlp",
) -> Evaluation:
    return evaluate(
        task,
        GateConfig(),
        classes,
        target,
        predictions,
        units=Units("row", len(target)),
        seconds={},
        slice_values={"region": region},
        reference=None,
        model_name=model_name,
        resamples=100,
    )


@pytest.mark.parametrize(
    "values",
    [
        np.repeat(["other", "a", "b"], [400, 580, 20]),
        np.arange(1000) % 3,
        np.arange(1000) % 3 == 0,
        1_000_000 + np.random.default_rng(0).normal(size=1000),
        10_000_000.0 + np.arange(1000) % 4,
        np.where(np.arange(1000) % 5 == 0, np.inf, np.random.default_rng(1).normal(size=1000)),
        np.full(1000, np.nan),
        np.repeat([0.0, 1.0, 2.0, 7.5], [900, 40, 40, 20]),
    ],
    ids=["a value named other", "integers", "booleans", "close numbers", "few close numbers", "inf", "missing", "few"],
)
def test_no_row_is_lost_from_a_slice_whatever_its_values(values: np.ndarray) -> None:
    groups_of_values = groups(values)
    assert (np.sum(list(groups_of_values.values()), axis=0) == 1).all()
    assert all(rows.any() for rows in groups_of_values.values())
    assert len(groups_of_values) <= 13


def test_a_class_of_one_row_does_not_stop_the_baselines() -> None:
    train, test = make(500, 4), make(100, 5)
    train["target"][7] = 2
    baselines = fit_baselines(
        ("trivial", "linear", "boosting"), "classification", train, test, outputs=3, cardinalities=(4, 600), seed=0
    )
    for baseline in baselines.values():
        np.testing.assert_allclose(baseline.prediction.sum(1), 1, atol=1e-5)


def test_a_constant_column_does_not_move_the_linear_baseline() -> None:
    train, test = make(5000, 6), make(100, 7)
    train["numeric"][:, 2] = test["numeric"][:, 2] = 1234.567  # not a float32: its mean has a rounding error
    test["numeric"][0, 2] = 1300
    baselines = fit_baselines(("linear",), "classification", train, test, outputs=2, cardinalities=(4, 600), seed=0)
    test["numeric"][0, 2] = 1234.567
    same = fit_baselines(("linear",), "classification", train, test, outputs=2, cardinalities=(4, 600), seed=0)
    np.testing.assert_allclose(baselines["linear"].prediction, same["linear"].prediction, atol=1e-6)


def test_pictures_of_a_constant_target_and_of_a_loss_that_was_not_a_number_are_drawn(tmp_path: Path) -> None:
    five = np.full(100, 5.0)
    evaluation = Evaluation("regression", "rmse", metrics={"rmse": Estimate(0.0, 0.0, 0.0)})
    losses = [(0, {"validation/loss": float("nan")}), (1, {"validation/loss": 0.3})]
    drawn = draw(tmp_path, (), five, {"model": five}, evaluation, losses)
    assert {p.stem for p in drawn} == {"learning_curve", "metrics", "residuals"}


def test_the_evaluation_says_plainly_when_a_baseline_is_better(
    fitted: tuple[dict[str, np.ndarray], ...], tmp_path: Path
) -> None:
    _, test, baselines = fitted
    rng = np.random.default_rng(2)
    p = np.clip(baselines["linear"][:, 1] + 0.3 * rng.normal(size=2000), 0.01, 0.99)
    predictions = {"model": np.stack([1 - p, p], 1), **baselines}
    evaluation = evaluate(
        "classification",
        GateConfig(),
        ("no", "yes"),
        test["target"],
        predictions,
        units=Units("row", len(p)),
        seconds={"linear": 1.0},
        slice_values={"c": test["categorical"][:, 0].astype(str)},
        reference=Reference("old_score", baselines["linear"]),
        model_name="mlp",
        resamples=200,
    )
    standing, reference = evaluation.earns_its_keep, evaluation.reference
    assert standing is not None
    assert standing.verdict is False
    assert standing.text.startswith("mlp is worse than the baseline linear (AUC")
    assert reference is not None
    assert "old_score reaches AUC" in reference.text
    assert set(evaluation.baselines) == {"trivial", "linear", "boosting"}
    evaluation.write(tmp_path / "evaluation.json")
    assert Evaluation.read(tmp_path / "evaluation.json") == evaluation
    losses = [(step, {"train/loss": 1 / (1 + step), "validation/loss": 1.1 / (1 + step)}) for step in range(50)]
    pictures = draw(tmp_path, ("no", "yes"), test["target"], predictions, evaluation, losses)
    assert {p.stem for p in pictures} == {
        "learning_curve",
        "metrics",
        "confusion",
        "roc",
        "precision_recall",
        "calibration",
    }
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert 5_000 < picture.stat().st_size < 100_000


def test_a_champion_is_measured_on_the_rows_that_it_has_not_learnt_from() -> None:
    rng = np.random.default_rng(3)
    target, rows = rng.integers(0, 2, 2000), np.arange(2000) < 900
    noise = rng.random(2000)
    p = np.where(rows, noise, target)  # what it learnt it knows by heart
    evaluation = evaluate(
        "classification",
        GateConfig(),
        ("no", "yes"),
        target,
        {"model": np.stack([1 - noise, noise], 1)},
        units=Units("row", 2000),
        seconds={},
        slice_values={},
        reference=None,
        model_name="mlp",
        resamples=200,
    )
    champion, units = ChampionResult("3", rows=900, left_out=1100), Units("row", 2000)
    prediction = np.stack([1 - p, p], 1)
    evaluation = beside(evaluation, champion, target, prediction, units=units, rows=rows, resamples=200)
    truth = roc_auc_score(target[rows], p[rows])
    assert evaluation.champion is not None
    assert evaluation.champion.metrics["auc"].value == pytest.approx(truth)
    assert evaluation.metrics["auc"].value == pytest.approx(roc_auc_score(target, noise))


def test_texts_as_categories_are_the_groups_that_the_texts_are() -> None:
    rng = np.random.default_rng(4)
    texts = rng.choice(["b", "a", "other", "c", "rare"], 400, p=[0.4, 0.3, 0.2, 0.09, 0.01])
    of_texts, of_categories = groups(texts), groups(pd.Categorical(texts, categories=["rare", "c", "other", "b", "a"]))
    assert list(of_texts) == list(of_categories)
    for name, rows in of_texts.items():
        np.testing.assert_array_equal(rows, of_categories[name])


def test_pictures_of_many_rows_show_a_sample_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setattr("headway.evaluate.plots.MOST_ROWS", 1000)
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda _, text, **_style: titles.append(text))
    target = np.random.default_rng(5).normal(size=3000)
    evaluation = Evaluation("regression", "rmse", metrics={"rmse": Estimate(1.0, 0.9, 1.1)})
    draw(tmp_path, (), target, {"model": target + 1}, evaluation, [])
    assert "Predicted against actual, 1,000 of 3,000 rows" in titles


def test_of_a_single_unit_nothing_is_said_of_a_difference_and_the_evaluation_is_json_all_the_same() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=100)
    predictions = {"model": target + 0.1 * rng.normal(size=100), "trivial": np.zeros(100)}
    evaluation = evaluate(
        "regression",
        GateConfig(),
        (),
        target,
        predictions,
        units=Units("group", 100, np.zeros(100, np.int64)),
        seconds={},
        slice_values={},
        reference=None,
        model_name="mlp",
        resamples=100,
    )
    assert json.loads(json.dumps(evaluation.to_json(), allow_nan=False))["earns_its_keep"] is None
    rmse = evaluation.metrics["rmse"]
    assert rmse.value == pytest.approx(0.1, rel=0.3)
    assert (rmse.low, rmse.high) == (None, None)


def test_a_champion_that_has_learnt_from_every_row_is_no_part_of_the_picture(tmp_path: Path) -> None:
    metrics = {"rmse": Estimate(1.0, 0.9, 1.1)}
    evaluation = Evaluation("regression", "rmse", metrics=metrics, champion=ChampionResult("3"))
    target = np.arange(100.0)
    drawn = draw(tmp_path, (), target, {"model": target + 1}, evaluation, [])
    assert {p.stem for p in drawn} == {"metrics", "residuals"}


@pytest.mark.parametrize(
    "units", [Units("row", 40), Units("day", 40, np.zeros(40, np.int64))], ids=["one positive", "one day"]
)
def test_an_evaluation_without_an_interval_beside_the_baselines_can_be_written_down(
    units: Units, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    models = {name: np.stack([1 - p, p], 1) for name in ("model", "linear") for p in [rng.random(40)]}
    evaluation = evaluate(
        "classification",
        GateConfig(),
        ["no", "yes"],
        (np.arange(40) == 7).astype(int),
        {**models, "trivial": np.tile([0.9, 0.1], (40, 1))},
        units=units,
        seconds={},
        slice_values={},
        reference=None,
        model_name="mlp",
        resamples=100,
    )
    assert evaluation.earns_its_keep is None
    evaluation.write(tmp_path / "evaluation.json")


def test_what_earlier_code_wrote_is_read_and_what_it_said_is_shown(tmp_path: Path) -> None:
    """It said neither what was resampled, nor which version was the champion, nor the numbers of its sentence."""
    sentence = "mlp earns its keep: better than the best baseline, trivial (AUC 0.8641 against 0.5000)"
    standing = {"verdict": True, "outcome": "better", "baseline": "trivial", "difference": 0.4, "low": 0.3, "high": 0.4}
    metrics = {"auc": {"value": 0.86, "low": 0.8, "high": 0.9}}
    earlier = {
        "task": "classification",
        "primary": "auc",
        "rows": 1200,
        "metrics": metrics,
        "baselines": {"trivial": {"metrics": metrics, "seconds": 0.01}},
        "champion": {"version": "1", "metrics": metrics},
        "slices": {"region": {"south": {"rows": 40, "metrics": metrics}}},
        "calibration": [{"predicted": 0.1, "observed": 0.2, "low": 0.1, "high": 0.3, "rows": 40}],
        "reference": None,
        "earns_its_keep": {**standing, "text": sentence},
        "champion_problem": None,
    }
    write_json(tmp_path / "evaluation.json", earlier)
    evaluation = Evaluation.read(tmp_path / "evaluation.json")
    assert evaluation.remarks == [sentence]
    assert [list(row) for row in metric_rows(evaluation)] == [
        ["metric", "model", "95 % interval", "champion v1", "trivial"]
    ]
    assert evaluation.rival is None
