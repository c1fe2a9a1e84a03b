"""Thresholds by aim against the slow obvious search, and the bundle that predicts by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from headway.errors import ConfigError
from headway.evaluate.config import ThresholdConfig
from headway.evaluate.resample import Units
from headway.evaluate.result import ThresholdResult
from headway.evaluate.threshold import choose, measure_threshold, reaches
from headway.files.atomic import read_json
from headway.models.description import THRESHOLD
from headway.project import Project
from headway.serve.bundle import Predictor, load_predictor
from headway.tasks import Target
from headway.tasks.threshold import Threshold
from tests.serve.bundles import bundle_of, rows

COSTS = {"false_positive": 1.0, "false_negative": 7.0, "true_positive": 0.5}
CONFIGS: dict[str, dict[str, Any]] = {
    "f1": {"by": "f1"},
    "cost": {"by": "cost", "costs": COSTS},
    "recall_at_precision": {"by": "recall_at_precision", "precision": 0.6},
    "top_share": {"by": "top_share", "share": 0.1},
}


def scored(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Events of one in five, with ties among the probabilities."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.beta(1, 4, n), 2)
    return (rng.random(n) < p).astype(int), p


def gain(by: str, target: np.ndarray, event: np.ndarray) -> float:
    """What the aim makes of predicted events; scikit-learn's where it has it."""
    if by == "f1":
        return float(sk.f1_score(target, event, zero_division=0))
    if by == "cost":
        (_, fp), (fn, tp) = sk.confusion_matrix(target, event, labels=[0, 1])
        return -float(COSTS["false_positive"] * fp + COSTS["false_negative"] * fn + COSTS["true_positive"] * tp)
    if by == "top_share":
        return float(event.mean()) if 0 < event.mean() <= 0.1 else -1.0
    reached = sk.precision_score(target, event, zero_division=0) >= 0.6
    return float(sk.recall_score(target, event)) if reached else -1.0


@pytest.mark.parametrize("by", CONFIGS)
def test_no_other_threshold_serves_the_aim_better(by: str) -> None:
    target, p = scored(400, 0)
    threshold = choose(ThresholdConfig(**CONFIGS[by]), target, p, Units("row", 400))
    assert threshold is not None
    own = gain(by, target, (p >= threshold.value).astype(int))
    others = [gain(by, target, (p >= value).astype(int)) for value in np.append(np.unique(p), 2.0)]
    assert own == pytest.approx(max(others))
    assert threshold.low <= threshold.value <= threshold.high
    assert threshold.low < threshold.high


def test_a_precision_that_no_threshold_reaches_is_said_and_the_highest_is_taken() -> None:
    target, p = scored(400, 1)
    p = np.full(400, 0.2)
    config = ThresholdConfig(by="recall_at_precision", precision=0.99)
    assert reaches(config, target, p) == pytest.approx(target.mean())
    threshold = choose(config, target, p, Units("row", 400))
    assert threshold is not None
    assert (p >= threshold.value).all()
    assert threshold.aim == f"the highest precision there is, {target.mean():.3g}, since 0.99 is not reached"
    assert reaches(ThresholdConfig(by="recall_at_precision", precision=0.05), target, p) is None


def test_few_hits_have_an_exact_interval_or_none_and_never_one_of_no_width() -> None:
    """Of 0 hits in n, Clopper and Pearson's upper end is 1 - 0.025^(1/n)."""
    target, p = np.zeros(300, int), np.linspace(0, 0.4, 300)
    target[:6], p[-5:] = 1, 0.9
    threshold, config = Threshold(0.5, 0.4, 0.6, 100, "the best F1"), ThresholdConfig(by="f1")
    prediction = np.stack([1 - p, p], 1)

    def measured(units: Units) -> ThresholdResult:
        return measure_threshold("classification", threshold, config, ("no", "yes"), target, prediction, 200, units)

    metrics = measured(Units("row", 300)).metrics
    for name, count in (("precision", 5), ("recall", 6)):
        assert (metrics[name].value, metrics[name].low) == (0.0, 0.0)
        assert metrics[name].high == pytest.approx(1 - 0.025 ** (1 / count))
    together = measured(Units.of("group", np.repeat(np.arange(100), 3))).metrics["precision"]
    assert (together.value, together.low, together.high) == (0.0, None, None)


def test_rows_of_one_class_alone_choose_no_threshold() -> None:
    assert choose(ThresholdConfig(by="f1"), np.zeros(50, int), np.linspace(0, 1, 50), Units("row", 50)) is None


def test_the_interval_is_wider_where_rows_belong_together() -> None:
    target, p = scored(100, 2)
    target, p = np.repeat(target, 10), np.repeat(p, 10)
    alone = choose(ThresholdConfig(by="f1"), target, p, Units("row", 1000))
    together = choose(ThresholdConfig(by="f1"), target, p, Units.of("group", np.repeat(np.arange(100), 10)))
    assert alone is not None
    assert together is not None
    assert together.high - together.low > alone.high - alone.low


def test_what_the_predicted_classes_are_worth_is_scikit_learns_with_intervals() -> None:
    target, p = scored(500, 3)
    threshold = Threshold(0.305, 0.2, 0.4, 400, "the least cost")
    config = ThresholdConfig(by="cost", costs=COSTS)  # pyrefly: ignore
    prediction = np.stack([1 - p, p], 1)
    result = measure_threshold(
        "classification", threshold, config, ("no", "yes"), target, prediction, 200, Units("row", 500)
    )
    event = (p >= 0.305).astype(int)
    truth = {
        "precision": sk.precision_score(target, event),
        "recall": sk.recall_score(target, event),
        "f1": sk.f1_score(target, event),
        "mcc": sk.matthews_corrcoef(target, event),
        "predicted_share": event.mean(),
        "cost": -gain("cost", target, event) / 500,
    }
    for name, value in truth.items():
        one = result.metrics[name]
        assert one.value == pytest.approx(value)
        assert one.low <= value <= one.high  # pyrefly: ignore
    assert result.text.startswith(
        "threshold 0.3050 [0.2000, 0.4000] for the least cost, chosen on 400 validation rows; on the test rows cost "
    )


def test_a_bundle_predicts_by_its_threshold_and_one_without_as_before(tmp_path: Path) -> None:
    target = Target("y", "classification", ("no", "yes"))
    plain = Predictor.load(bundle_of(tmp_path / "plain", target))
    batch = rows(200, 0)
    probability = plain.predict(batch)[:, 1]
    value = float(np.quantile(probability, 0.8))
    own = Threshold(value, 0.1, 0.9, 300, "the best F1")
    folder = bundle_of(tmp_path / "own", replace(target, threshold=own))
    decided = load_predictor(folder)
    answer, before = decided.answer(batch, {}), plain.answer(batch, {})
    assert (answer["prediction"] == "yes").tolist() == (probability.astype(float) >= value).tolist()
    assert (before["prediction"] == "yes").tolist() == (probability >= 0.5).tolist()
    np.testing.assert_array_equal(answer["probability_yes"], before["probability_yes"])
    assert decided.preparation.target.threshold == own
    assert read_json(folder / "bundle.json")["needs"] == [THRESHOLD], (
        "an earlier version would predict the likelier class"
    )


@pytest.mark.parametrize(
    ("task", "threshold", "text"),
    [
        ("regression", {"by": "f1"}, "threshold must be left out for regression, but is by f1"),
        ("classification", {"by": "f1", "share": 0.1}, "share must come with by: top_share, but by is f1"),
        ("classification", {"by": "cost", "costs": {"false_negative": -2}}, "costs must make mistakes cost more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(task: str, threshold: dict[str, Any], text: str) -> None:
    data = {"source": "x.csv", "target": "y", "features": {"a": "numeric"}}
    with pytest.raises(ConfigError) as error:
        Project.parse({"name": "p", "task": task, "data": data, "threshold": threshold}, "p")
    assert text in str(error.value)
