"""Resampled metrics as weighted sums: drawing rows with replacement is giving each a multinomial weight.

Shapes: N rows, K classes, R resamples, T different scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

CHUNK_ELEMENTS = 100_000
"""Weights held at once, whatever N and R: as many as stay in a core's cache; four million take four times as long."""

MOST_WEIGHTS = 200_000_000
FEWEST = 200
"""Beyond 200,000 rows fewer resamples are drawn, but never fewer than these: their intervals are narrow anyway."""

ECE_BINS = 15

Resampled = Callable[[np.ndarray], np.ndarray]
"""Weights (R, N) to values (R,)."""

Shared = dict[int, Any]
"""What the metrics of one model have in common, by class."""

Maker = Callable[[np.ndarray, np.ndarray, Shared], Resampled]


def draw_weights(rows: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of multinomial weights (R, N) float64: how often each row is drawn."""
    resamples = min(resamples, max(FEWEST, MOST_WEIGHTS // max(1, rows)))
    rng = np.random.default_rng(seed)
    at_once = max(1, min(resamples, CHUNK_ELEMENTS // max(1, rows)))
    for start in range(0, resamples, at_once):
        weights = np.empty((min(at_once, resamples - start), rows))
        for row in weights:  # one at a time: the counters of one resample stay in the cache
            row[:] = np.bincount(rng.integers(0, rows, rows, dtype=np.int32), minlength=rows)
        yield weights


def interval(draws: np.ndarray) -> tuple[float | None, float | None]:
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2:
        return None, None
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b != 0)


def mean_of(losses: np.ndarray) -> Resampled:
    """Weighted means of per-row values, as one product."""
    return lambda weights: weights @ losses / weights.sum(1)


def f1(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    """F1 of the positive class, or the mean over classes: 2 TP / (2 TP + FP + FN)."""
    chosen = prediction.argmax(1)
    classes = [1] if prediction.shape[1] == 2 else range(prediction.shape[1])

    def resample(weights: np.ndarray) -> np.ndarray:
        scores = []
        for c in classes:
            hit = weights @ ((chosen == c) & (target == c)).astype(np.float64)
            total = weights @ (chosen == c).astype(np.float64) + weights @ (target == c).astype(np.float64)
            scores.append(np.where(total > 0, 2 * hit / np.maximum(total, 1e-300), 0.0))
        return np.mean(scores, axis=0)

    return resample


class Ranking:
    """Rows by falling score, ties together: what a weighted rank metric sums over, worked out once for each weights."""

    def __init__(self, target: np.ndarray, score: np.ndarray) -> None:
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._order = None if np.array_equal(order, np.arange(len(order))) else order
        self._positive = target[order].astype(np.float64)
        self._ends = None if len(ends) == len(order) else ends
        self._of: np.ndarray | None = None
        self._sums: tuple[np.ndarray, ...] = ()

    def sums(self, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """Weight of the positives and of all rows at each of T different scores, and both down to there: four (R, T)."""
        if self._of is not weights:
            self._of = weights
            w = weights if self._order is None else weights[:, self._order]
            positive = w * self._positive
            above, everything = np.cumsum(positive, axis=1), np.cumsum(w, axis=1)
            if self._ends is not None:
                above, everything = above[:, self._ends], everything[:, self._ends]
                positive, w = (np.diff(x, axis=1, prepend=0.0) for x in (above, everything))
            self._sums = positive, w, above, everything
        return self._sums


def auc_of(ranking: Ranking) -> Resampled:
    """Area under the ROC curve: each negative weighs the positives above it, and half of those beside it."""

    def resample(weights: np.ndarray) -> np.ndarray:
        positive, w, above, everything = ranking.sums(weights)
        area = np.einsum("rt,rt->r", w - positive, above) - np.einsum("rt,rt->r", w - positive, positive) / 2
        return _ratio(area, above[:, -1] * (everything[:, -1] - above[:, -1]))

    return resample


def precision_of(ranking: Ranking) -> Resampled:
    """Average precision: the sum of precision times the step in recall."""

    def resample(weights: np.ndarray) -> np.ndarray:
        positive, _, above, everything = ranking.sums(weights)
        return _ratio(np.einsum("rt,rt->r", positive, above / np.maximum(everything, 1e-300)), above[:, -1])

    return resample


def over_classes(of: Callable[[Ranking], Resampled]) -> Maker:
    """The positive class for two, the mean of one against the rest for more. Metrics of one model share the rankings."""

    def make(target: np.ndarray, prediction: np.ndarray, shared: Shared) -> Resampled:
        def ranking(c: int) -> Ranking:
            if c not in shared:
                shared[c] = Ranking(target == c, prediction[:, c])
            return shared[c]

        if prediction.shape[1] == 2:
            return of(ranking(1))
        each = [of(ranking(c)) for c in range(prediction.shape[1])]
        return lambda weights: np.mean([resample(weights) for resample in each], axis=0)

    return make


def alone(of: Callable[[np.ndarray, np.ndarray], Resampled]) -> Maker:
    """A metric that shares nothing with the others."""
    return lambda target, prediction, _shared: of(target, prediction)


def _ece_bins(prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each row and its bin; bins hold equal shares of the rows."""
    confidence = (prediction[:, 1] if prediction.shape[1] == 2 else prediction.max(1)).astype(np.float64)
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, ECE_BINS + 1)[1:-1]))
    return confidence, np.searchsorted(edges, confidence, side="right")


def ece(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    """Expected calibration error with equal-mass bins (Naeini et al. 2015; Nguyen and O'Connor 2015)."""
    confidence, bins = _ece_bins(prediction)
    hit = (target == 1) if prediction.shape[1] == 2 else (prediction.argmax(1) == target)
    gap = (hit - confidence)[:, None] * (bins[:, None] == np.arange(bins.max() + 1))
    return lambda weights: np.abs(weights @ gap).sum(1) / weights.sum(1)


def _squared(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return (target.astype(np.float64) - prediction) ** 2


def r2(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    squared = _squared(target, prediction)
    centered = target.astype(np.float64) - np.mean(target, dtype=np.float64)  # else the spread is lost far from zero

    def resample(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(1)
        mean = weights @ centered / n
        spread = weights @ centered**2 - n * mean**2
        return 1 - _ratio(weights @ squared, np.where(spread > 0, spread, 0.0))

    return resample


def rmse(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    mean = mean_of(_squared(target, prediction))
    return lambda weights: np.sqrt(mean(weights))
