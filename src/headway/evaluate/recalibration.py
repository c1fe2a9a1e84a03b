"""Whether a recalibration helps, by a test on validation rows; and the recalibration.

Platt 1999, "Probabilistic Outputs for Support Vector Machines"; Zadrozny and Elkan 2002, "Transforming Classifier Scores into Accurate
Multiclass Probability Estimates"; Guo et al. 2017, "On Calibration of Modern Neural Networks" (one temperature for all classes). Each is
fitted on four fifths of the validation rows and judged on the rest, five times (rows that belong together stay together), by the log
loss: it is taken where the mean gain is above zero by more than chance explains.

Shapes: N rows, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headway.evaluate.resample import Units
from headway.tasks.calibration import OF_MANY, SMALLEST, Calibration, log_odds

FOLDS = 5
MOST_ROWS = 500_000
"""Validation rows at most, drawn by unit: a million take ten seconds, and say no more of two parameters."""
FEWEST = 50
"""Validation rows at least: of each of two classes, and of all classes together where the method is one number for all."""

SURE = {1: 1.96, 2: 2.24}
"""Standard errors above zero that a mean gain must be, by the number of methods that are tried: 2.5 % divided among them."""

COLDEST, HOTTEST = 0.05, 20.0
"""Between which a temperature is looked for."""


@dataclass(frozen=True)
class Trial:
    """``calibration``: what helps, None where nothing does; ``text``: why, for the reader of a run."""

    calibration: Calibration | None
    text: str


def methods_of(setting: str, classes: int) -> tuple[str, ...]:
    """The methods that the project's `recalibrate` means for so many classes; none where it is for two and there are more."""
    if setting == "auto":
        return ("isotonic", "platt") if classes == 2 else (OF_MANY,)
    return (setting,) if classes == 2 or setting == OF_MANY else ()


def recalibrated(methods: Sequence[str], target: np.ndarray, predictions: np.ndarray, units: Units) -> Trial:
    """The best of the methods for the probabilities (N, K) of validation rows, where it helps; of many rows on a sample."""
    sample = units.sample(0, MOST_ROWS)
    if sample is not None:
        target, predictions, units = target[sample], predictions[sample], units.take(sample)
    too_few = _too_few(methods, target, units)
    if too_few:
        return Trial(None, f"no recalibration: {too_few}")
    folds = units.folds(FOLDS)
    before = _losses(target, predictions)
    gains = {method: before - _held_out(method, target, predictions, folds) for method in methods}
    best = max(gains, key=lambda method: gains[method].mean())
    gain = float(gains[best].mean())
    error = SURE[len(methods)] * units.standard_error(gains[best])
    numbers = f"log loss on rows held aside {before.mean():.4f} before, {before.mean() - gain:.4f} after"
    numbers += f", gain {gain:+.4f} [{gain - error:+.4f}, {gain + error:+.4f}]"
    if gain - error <= 0:
        return Trial(None, f"no recalibration: {best} does not help ({numbers})")
    calibration = fitted(best, target, predictions)
    how = f"a temperature of {calibration.y[0]:.3g}" if best == OF_MANY else best
    return Trial(calibration, f"probabilities are recalibrated by {how}: {numbers}")


def _too_few(methods: Sequence[str], target: np.ndarray, units: Units) -> str:
    """Why the rows are too few for the test; empty where they are enough."""
    of_two = [method for method in methods if method != OF_MANY]
    rows = int(np.bincount(target, minlength=2).min()) if of_two else len(target)
    if rows < FEWEST:
        of_each = " of each class" if of_two else ""
        return f"it needs {FEWEST} validation rows{of_each}, but there are {rows}"
    folds = units.folds(FOLDS)
    if units.count < 2 * FOLDS or any(len(np.unique(target[folds != fold])) < 2 for fold in range(FOLDS)):
        return f"the validation rows have too few {units.name}s, {units.count}, to hold some aside"
    return ""


def fitted(method: str, target: np.ndarray, predictions: np.ndarray) -> Calibration:
    """To all of these rows: ``target`` (N,), ``predictions`` (N, K)."""
    if method == OF_MANY:
        return _temperature(target, predictions)
    probability = np.asarray(predictions[:, 1], np.float64)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        least = 1 / (len(target) + 2)  # of so many rows none may have shown what occurs
        model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(probability, target)
        return Calibration(method, tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist()))
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e6, max_iter=1000).fit(log_odds(probability)[:, None], target)
    return Calibration(method, (), (float(line.coef_[0, 0]), float(line.intercept_[0])))


def _temperature(target: np.ndarray, predictions: np.ndarray) -> Calibration:
    """The log loss is convex in one over the temperature: it has one minimum.

    As Platt's targets, those of so many rows are a little below 1: where all rows are right, the coldest would otherwise be the best.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(predictions, np.float64))
    own, doubt = logs[np.arange(len(target)), target], 1 / (len(target) + 2)
    possible, is_possible = np.isfinite(logs), np.isfinite(own)

    def loss(inverse: float) -> float:
        totals = logsumexp(inverse * logs, axis=1)
        sure = (inverse * own - totals)[is_possible].sum() / len(own)
        of_all = (inverse * logs - totals[:, None])[possible].mean()
        return -float((1 - doubt) * sure + doubt * of_all)

    best = minimize_scalar(loss, bounds=(1 / HOTTEST, 1 / COLDEST), method="bounded", options={"xatol": 1e-4})
    return Calibration(OF_MANY, (), (1 / float(best.x),))


def _held_out(method: str, target: np.ndarray, predictions: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(N,) losses of each row by a calibration that has not seen it."""
    losses = np.empty(len(target))
    for fold in range(FOLDS):
        aside = folds == fold
        calibration = fitted(method, target[~aside], predictions[~aside])
        losses[aside] = _losses(target[aside], calibration.apply(predictions[aside]))
    return losses


def _losses(target: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(N,) the log loss of each row."""
    likelihood = np.asarray(predictions, np.float64)[np.arange(len(target)), target]
    return -np.log(np.clip(likelihood, SMALLEST, 1 - SMALLEST))
