"""Recalibration: taken where probabilities are wrong, left out where they are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax
from sklearn.isotonic import IsotonicRegression

from headway.errors import ConfigError
from headway.evaluate.recalibration import fitted, methods_of, recalibrated
from headway.evaluate.resample import Units
from headway.models.description import Description
from headway.pipeline.refusals import refuse_unless_two
from headway.project import Project
from headway.serve.bundle import Predictor
from headway.serve.explain import BACKGROUND, Explainer, Reasons
from headway.tasks import Target
from headway.tasks.calibration import Calibration
from tests.serve.bundles import CLASSES, bundle_of, rows

BOTH = ("isotonic", "platt")


def scored(n: int, seed: int, slope: float, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The event, the probability that a model states, and the true one; a slope of 1 without a shift states it rightly."""
    rng = np.random.default_rng(seed)
    true = rng.beta(2, 3, n)
    return (rng.random(n) < true).astype(int), expit(slope * logit(true) + shift), true


def both(probability: np.ndarray) -> np.ndarray:
    """(N, 2) of the event's."""
    return np.stack([1 - probability, probability], 1)


def of_many(n: int, seed: int, heat: float, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and what a model states whose log probabilities are ``heat`` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    target = (rng.gumbel(size=logits.shape) + logits).argmax(1)
    return target, softmax(heat * logits, 1).astype(np.float32)


@pytest.mark.parametrize("methods", [BOTH, ("isotonic",), ("platt",)])
def test_overconfident_probabilities_are_brought_near_the_true_ones(methods: tuple[str, ...]) -> None:
    target, stated, _ = scored(3000, 0, slope=3.0)
    trial = recalibrated(methods, target, both(stated), Units("row", 3000))
    assert trial.calibration is not None
    assert trial.calibration.method in methods
    assert "after, gain +" in trial.text
    _, stated, true = scored(3000, 1, slope=3.0)
    assert np.abs(trial.calibration.of(stated) - true).mean() < 0.35 * np.abs(stated - true).mean()


def test_right_probabilities_are_left_as_they_are_about_as_often_as_the_test_says() -> None:
    count = 0
    for seed in range(40):
        target, stated, _ = scored(400, seed, slope=1.0)
        trial = recalibrated(BOTH, target, both(stated), Units("row", 400))
        count += trial.calibration is not None
        assert trial.calibration is not None or trial.text.startswith("no recalibration: ")
    assert count <= 4


def test_rows_that_belong_together_count_as_one() -> None:
    """A gain that 60 groups do not show is not shown by 20 copies of each row either."""
    target, stated, _ = scored(120, 5, slope=1.6)
    target, stated = np.repeat(target, 20), np.repeat(stated, 20)
    assert recalibrated(("platt",), target, both(stated), Units("row", 2400)).calibration is not None
    grouped = Units.of("group", np.repeat(np.arange(60), 40))
    assert recalibrated(("platt",), target, both(stated), grouped).calibration is None


def test_few_rows_of_a_class_are_too_few() -> None:
    target, stated, _ = scored(100, 0, slope=3.0)
    target[:] = np.arange(100) < 7
    text = "no recalibration: it needs 50 validation rows of each class, but there are 7"
    assert recalibrated(BOTH, target, both(stated), Units("row", 100)).text == text


def test_isotonic_is_scikit_learns_kept_from_0_and_1() -> None:
    target, stated, _ = scored(500, 0, slope=2.0)
    theirs = IsotonicRegression(y_min=1 / 502, y_max=501 / 502, out_of_bounds="clip").fit(stated, target)
    probe = np.linspace(0, 1, 101)
    np.testing.assert_allclose(fitted("isotonic", target, both(stated)).of(probe), theirs.predict(probe), atol=1e-12)


@pytest.mark.parametrize("method", BOTH)
def test_a_bundle_answers_recalibrated_probabilities(tmp_path: Path, method: str) -> None:
    target, stated, _ = scored(500, 0, slope=3.0)
    calibration = fitted(method, target, both(stated))
    plain = Target("y", "classification", ("no", "yes"))
    before = Predictor.load(bundle_of(tmp_path / "plain", plain)).predict(rows(50, 0))
    own = Predictor.load(bundle_of(tmp_path / "own", replace(plain, calibration=calibration)))
    assert own.preparation.target.calibration == calibration
    np.testing.assert_allclose(own.predict(rows(50, 0))[:, 1], calibration.of(before[:, 1]), rtol=1e-6)
    np.testing.assert_allclose(own.answer(rows(50, 0), {})["probability_yes"], calibration.of(before[:, 1]), rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 9])
def test_few_groups_are_too_few_to_hold_some_aside(groups: int) -> None:
    rng = np.random.default_rng(0)
    group = np.arange(600) % groups
    event, stated = (rng.random(600) < 0.5) * 1, both(rng.random(600))
    trial = recalibrated(["isotonic", "platt"], event, stated, Units.of("group", group))
    assert trial.calibration is None
    assert trial.text == f"no recalibration: the validation rows have too few groups, {groups}, to hold some aside"


def test_the_temperature_is_the_one_that_made_the_probabilities_wrong() -> None:
    target, stated = of_many(4000, 0, heat=2.5)
    trial = recalibrated(methods_of("auto", 5), target, stated, Units("row", 4000))
    assert trial.calibration is not None
    assert trial.text.startswith("probabilities are recalibrated by a temperature of 2.")

    def loss(inverse: float) -> float:
        """By hand, of the logs themselves; the targets are not quite sure, as Platt's."""
        logs = np.log(softmax(inverse * np.log(stated.astype(np.float64)), 1))
        sure, doubt = logs[np.arange(4000), target].mean(), 1 / 4002
        return -(1 - doubt) * sure - doubt * logs.mean()

    (temperature,) = trial.calibration.y
    assert temperature == pytest.approx(1 / minimize_scalar(loss, bounds=(0.01, 5), method="bounded").x, rel=2e-3)
    assert temperature == pytest.approx(2.5, rel=0.05)
    after = trial.calibration.apply(stated)
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-6)
    assert (after.argmax(1) == stated.argmax(1)).all()


def test_where_every_row_is_right_the_temperature_is_not_the_coldest() -> None:
    target = np.random.default_rng(0).integers(0, 4, 300)
    stated = np.full((300, 4), 0.1)
    stated[np.arange(300), target] = 0.7
    after = fitted("temperature", target, stated).apply(stated)
    assert 0.98 < after.max() < 1 - 1e-3


def test_right_probabilities_of_many_classes_are_left_as_they_are_about_as_often_as_the_test_says() -> None:
    trials = [recalibrated(("temperature",), *of_many(400, seed, heat=1.0), Units("row", 400)) for seed in range(40)]
    assert sum(trial.calibration is not None for trial in trials) <= 4


def test_what_is_impossible_stays_impossible_whatever_the_temperature() -> None:
    target, stated = of_many(500, 0, heat=3.0)
    stated = np.concatenate([stated, np.zeros((500, 1), np.float32)], 1)
    calibration = fitted("temperature", target, stated)
    assert (calibration.apply(stated)[:, 5] == 0).all()


def test_few_rows_are_too_few_for_a_temperature() -> None:
    trial = recalibrated(("temperature",), *of_many(49, 0, heat=3.0), Units("row", 49))
    assert trial.text == "no recalibration: it needs 50 validation rows, but there are 49"


@pytest.mark.parametrize("method", [*BOTH, "temperature"])
def test_the_ends_hold_whatever_rounding_makes_of_predictions(method: str) -> None:
    """As brute force finds them: the recalibration of many predictions within the tolerance."""
    if method == "temperature":
        target, stated = of_many(300, 0, heat=0.4, classes=3)
    else:
        target, probability, _ = scored(300, 0, slope=0.4)
        stated = both(probability)
    calibration = fitted(method, target, stated)
    low, high = calibration.ends(stated, 0.01)
    rng = np.random.default_rng(0)
    for _ in range(30):
        if method == "temperature":
            moved = np.clip(stated + rng.uniform(-0.01, 0.01, stated.shape), 0, 1)
        else:
            moved = both(np.clip(stated[:, 1] + rng.uniform(-0.01, 0.01, len(stated)), 0, 1))
        after = calibration.apply(moved)
        assert (after >= low - 1e-6).all()
        assert (after <= high + 1e-6).all()
    assert (high - low).mean() < 0.1


def test_a_bundle_of_many_classes_answers_and_explains_by_its_temperature(tmp_path: Path) -> None:
    cold = Calibration("temperature", (), (2.0,))
    plain = bundle_of(tmp_path / "plain", CLASSES)
    folder = bundle_of(tmp_path / "own", replace(CLASSES, calibration=cold))
    before = Predictor.load(plain)
    assert "a temperature of the classes' probabilities" in (Description.of(folder).needs or ())
    own = Predictor.load(folder)
    raw = before.predict(rows(50, 0)).astype(np.float64)
    by_hand = np.sqrt(raw) / np.sqrt(raw).sum(1, keepdims=True)
    np.testing.assert_allclose(own.predict(rows(50, 0)), by_hand, rtol=1e-5)
    reasons = [explained(one, rows(20, 1)) for one in (plain, folder)]
    np.testing.assert_allclose(reasons[1].contributions, reasons[0].contributions / 2, rtol=1e-5, atol=1e-7)
    logs = np.log(own.predict(rows(20, 1)).astype(np.float64))
    likeliest = logs.argmax(1)
    others = (logs.sum(1) - logs[np.arange(20), likeliest]) / 2
    margin = reasons[1].base + reasons[1].contributions.sum(1)
    np.testing.assert_allclose(margin, logs[np.arange(20), likeliest] - others, rtol=1e-4, atol=1e-5)


def explained(bundle: Path, batch: pa.RecordBatch) -> Reasons:
    pq.write_table(pa.Table.from_batches([rows(30, 2).select(["x", "k"])]), bundle / BACKGROUND)
    explainer = Explainer.load(bundle)
    return explainer.reasons(batch, explainer.predictor.predict(batch))


def test_a_method_of_two_classes_is_refused_for_more() -> None:
    project = Project.parse(
        {
            "name": "t",
            "task": "classification",
            "data": {"source": "t.csv", "target": "y", "features": {"x": "numeric"}},
            "recalibrate": "platt",
        },
        "t.yaml",
    )
    line = "recalibrate must be temperature, auto or none for 3 classes of y, but is platt, which is for two"
    with pytest.raises(ConfigError, match=line):
        refuse_unless_two(project, CLASSES)
    refuse_unless_two(project.model_copy(update={"recalibrate": "auto"}), CLASSES)
    refuse_unless_two(project.model_copy(update={"recalibrate": "temperature"}), CLASSES)
