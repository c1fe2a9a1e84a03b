"""Recalibration: taken where probabilities are wrong, left out where they are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from headway.evaluate.recalibration import fitted, recalibrated
from headway.evaluate.resample import Units
from headway.serve.bundle import Predictor
from headway.tasks import Target
from tests.serve.bundles import bundle_of, rows

BOTH = ("isotonic", "platt")


def scored(n: int, seed: int, slope: float, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The event, the probability that a model states, and the true one; a slope of 1 without a shift states it rightly."""
    rng = np.random.default_rng(seed)
    true = rng.beta(2, 3, n)
    return (rng.random(n) < true).astype(int), expit(slope * logit(true) + shift), true


@pytest.mark.parametrize("methods", [BOTH, ("isotonic",), ("platt",)])
def test_overconfident_probabilities_are_brought_near_the_true_ones(methods: tuple[str, ...]) -> None:
    target, stated, _ = scored(3000, 0, slope=3.0)
    trial = recalibrated(methods, target, stated, Units("row", 3000))
    assert trial.calibration is not None
    assert trial.calibration.method in methods
    assert "after, gain +" in trial.text
    _, stated, true = scored(3000, 1, slope=3.0)
    assert np.abs(trial.calibration.of(stated) - true).mean() < 0.35 * np.abs(stated - true).mean()


def test_right_probabilities_are_left_as_they_are_about_as_often_as_the_test_says() -> None:
    taken = 0
    for seed in range(40):
        target, stated, _ = scored(400, seed, slope=1.0)
        trial = recalibrated(BOTH, target, stated, Units("row", 400))
        taken += trial.calibration is not None
        assert trial.calibration is not None or trial.text.startswith("no recalibration: ")
    assert taken <= 4


def test_rows_that_belong_together_count_as_one() -> None:
    """A gain that 60 groups do not show is not shown by 20 copies of each row either."""
    target, stated, _ = scored(120, 5, slope=1.6)
    target, stated = np.repeat(target, 20), np.repeat(stated, 20)
    assert recalibrated(("platt",), target, stated, Units("row", 2400)).calibration is not None
    grouped = Units.of("group", np.repeat(np.arange(60), 40))
    assert recalibrated(("platt",), target, stated, grouped).calibration is None


def test_few_rows_of_a_class_are_too_few() -> None:
    target, stated, _ = scored(100, 0, slope=3.0)
    target[:] = np.arange(100) < 7
    text = "no recalibration: it needs 50 validation rows of each class, but there are 7"
    assert recalibrated(BOTH, target, stated, Units("row", 100)).text == text


def test_isotonic_is_scikit_learns_kept_from_0_and_1() -> None:
    target, stated, _ = scored(500, 0, slope=2.0)
    theirs = IsotonicRegression(y_min=1 / 502, y_max=501 / 502, out_of_bounds="clip").fit(stated, target)
    probe = np.linspace(0, 1, 101)
    np.testing.assert_allclose(fitted("isotonic", target, stated).of(probe), theirs.predict(probe), atol=1e-12)


@pytest.mark.parametrize("method", BOTH)
def test_a_bundle_answers_recalibrated_probabilities(tmp_path: Path, method: str) -> None:
    target, stated, _ = scored(500, 0, slope=3.0)
    calibration = fitted(method, target, stated)
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
    trial = recalibrated(["isotonic", "platt"], (rng.random(600) < 0.5) * 1, rng.random(600), Units.of("group", group))
    assert trial.calibration is None
    assert trial.text == f"no recalibration: the validation rows have too few groups, {groups}, to hold some aside"
