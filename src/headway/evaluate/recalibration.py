"""Whether a recalibration helps, by a test on validation rows; and the recalibration.

Platt 1999, "Probabilistic Outputs for Support Vector Machines"; Zadrozny and Elkan 2002, "Transforming Classifier Scores into Accurate
Multiclass Probability Estimates". Each is fitted on four fifths of the validation rows and judged on the rest, five times (rows that
belong together stay together), by the log loss: it is taken where the mean gain is above zero by more than chance explains.

Shapes: N rows, U units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headway.evaluate.resample import Units
from headway.tasks.calibration import SMALLEST, Calibration, log_odds

FOLDS = 5
FEWEST = 50
"""Validation rows of each class at least."""

SURE = {1: 1.96, 2: 2.24}
"""Standard errors above zero that a mean gain must be, by the number of methods that are tried: 2.5 % divided among them."""


@dataclass(frozen=True)
class Trial:
    """``calibration``: what helps, None where nothing does; ``text``: why, for the reader of a run."""

    calibration: Calibration | None
    text: str


def recalibrated(methods: Sequence[str], target: np.ndarray, probability: np.ndarray, units: Units) -> Trial:
    """The best of the methods for the event's probability (N,) on validation rows, where it helps."""
    counts = np.bincount(target, minlength=2)
    if counts.min() < FEWEST:
        return Trial(
            None, f"no recalibration: it needs {FEWEST} validation rows of each class, but there are {counts.min()}"
        )
    folds = units.folds(FOLDS)
    if units.count < 2 * FOLDS or any(len(np.unique(target[folds != fold])) < 2 for fold in range(FOLDS)):
        return Trial(
            None, f"no recalibration: the validation rows have too few {units.name}s, {units.count}, to hold some aside"
        )
    before = _losses(target, probability)
    gains = {method: before - _held_out(method, target, probability, folds) for method in methods}
    best = max(gains, key=lambda method: gains[method].mean())
    gain = float(gains[best].mean())
    error = SURE[len(methods)] * units.standard_error(gains[best])
    numbers = f"log loss on rows held aside {before.mean():.4f} before, {before.mean() - gain:.4f} after"
    numbers += f", gain {gain:+.4f} [{gain - error:+.4f}, {gain + error:+.4f}]"
    if gain - error <= 0:
        return Trial(None, f"no recalibration: {best} does not help ({numbers})")
    return Trial(fitted(best, target, probability), f"probabilities are recalibrated by {best}: {numbers}")


def fitted(method: str, target: np.ndarray, probability: np.ndarray) -> Calibration:
    """To all of these rows."""
    probability = np.asarray(probability, np.float64)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        least = 1 / (len(target) + 2)  # of so many rows none may have shown what occurs
        model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(probability, target)
        return Calibration(method, tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist()))
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e6, max_iter=1000).fit(log_odds(probability)[:, None], target)
    return Calibration(method, (), (float(line.coef_[0, 0]), float(line.intercept_[0])))


def _held_out(method: str, target: np.ndarray, probability: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(N,) losses of each row by a calibration that has not seen it."""
    losses = np.empty(len(target))
    for fold in range(FOLDS):
        aside = folds == fold
        calibration = fitted(method, target[~aside], probability[~aside])
        losses[aside] = _losses(target[aside], calibration.of(probability[aside]))
    return losses


def _losses(target: np.ndarray, probability: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(probability, np.float64), SMALLEST, 1 - SMALLEST)
    return -np.where(target == 1, np.log(p), np.log1p(-p))
