"""Resampled metrics as weighted sums: drawing units with replacement is giving their rows a multinomial weight.

Shapes: N rows, K classes, R resamples, T different scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.data.identity import DIFFERENT_ROW

CHUNK_ELEMENTS = 100_000
"""Weights held at once, whatever N and R: as many as stay in a core's cache; four million take four times as long."""

ECE_BINS = 15

Resampled = Callable[[np.ndarray], np.ndarray]
"""Weights (R, N) to values (R,)."""

Shared = dict[int, Any]
"""What the metrics of one model have in common, by class."""

Maker = Callable[[np.ndarray, np.ndarray, Shared], Resampled]

MOST_ROWS = 100_000
"""Of more rows a random sample this large is resampled, and the draws' distance from its value is scaled to all of its units.

Whole units are drawn. Where that would leave few, rows of all units are drawn: the interval is then a little too wide, never too narrow.
"""


FEWEST_UNITS = 1000
"""Units that a sample has at least: a few of fifty groups tell nothing of how groups differ, so their rows are thinned instead."""


@dataclass(frozen=True)
class Sample:
    """Row numbers in order, and the share of all units that they are of."""

    rows: np.ndarray
    share: float


@dataclass(frozen=True)
class Units:
    """What is drawn with replacement: rows, or what they belong to (a group, a day, a document).

    ``codes`` (N,) int64 from 0 to count - 1 without gaps; None where each row stands for itself. ``note`` says what a reader must know.
    """

    name: str
    rows: int
    codes: np.ndarray | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, values: np.ndarray, note: str = "") -> Units:
        """Rows with equal values belong together."""
        different, codes = np.unique(values, return_inverse=True)
        if len(different) == len(values):
            return cls("row", len(values), None, note)
        return cls(name, len(values), codes.astype(np.int64), note)

    @property
    def count(self) -> int:
        """How many units there are."""
        return self.rows if self.codes is None else int(self.codes.max(initial=-1)) + 1

    def take(self, rows: np.ndarray) -> Units:
        """The units of some rows: (N,) bool or row numbers."""
        if self.codes is None:
            return Units(self.name, int(rows.sum()) if rows.dtype == bool else len(rows), None, self.note)
        _, codes = np.unique(self.codes[rows], return_inverse=True)
        return Units(self.name, len(codes), codes.astype(np.int64), self.note)

    def in_order(self, order: np.ndarray) -> Units:
        """The same rows in another order, (N,) row numbers."""
        return self if self.codes is None else Units(self.name, self.rows, self.codes[order], self.note)

    def sample(self, seed: int) -> Sample | None:
        """About MOST_ROWS rows of units drawn at random; None where there are no more rows than that."""
        if self.rows <= MOST_ROWS:
            return None
        rng = np.random.default_rng([seed, 1])
        kept = min(self.count, max(FEWEST_UNITS, round(self.count * MOST_ROWS / self.rows)))
        chosen = np.sort(rng.permutation(self.count)[:kept])
        share = kept / self.count
        if self.codes is None:
            return Sample(chosen, share)
        rows = np.arange(self.rows) if share == 1 else np.flatnonzero(np.isin(self.codes, chosen))
        if kept <= FEWEST_UNITS and len(rows) > MOST_ROWS:
            rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
        return Sample(rows, share)

    def counted(self) -> str:
        """In words: 2,000 rows, 2,000 rows (1,990 different), or 57 groups of 2,000 rows."""
        if self.codes is None:
            return f"{self.rows:,} rows"
        if self.name == DIFFERENT_ROW:
            return f"{self.rows:,} rows ({self.count:,} different)"
        return f"{self.count:,} {self.name}{'s' if self.count != 1 else ''} of {self.rows:,} rows"


class Bootstrap:
    """Draws of statistics of the same rows: every statistic meets the same resamples."""

    def __init__(self, units: Units, resamples: int, seed: int) -> None:
        self._units, self._resamples, self._seed = units, resamples, seed
        self._sample = units.sample(seed)
        self.rows = None if self._sample is None else self._sample.rows
        """The row numbers that are resampled; None where all are."""

    def draws(self, statistics: Mapping[str, Resampled], values: Mapping[str, float | None]) -> dict[str, np.ndarray]:
        """(R,) for each statistic of the sampled rows, spread as over all rows, around its value there."""
        sample = self._sample
        units = self._units if sample is None else self._units.take(sample.rows)
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
        for weights in draw_weights(units, self._resamples, self._seed):
            for name, statistic in statistics.items():
                drawn[name].append(statistic(weights))
        joined = {name: np.concatenate(parts) for name, parts in drawn.items()}
        if sample is None:
            return joined
        scale = math.sqrt(sample.share)
        ones = np.ones((1, units.rows))
        for name, statistic in statistics.items():
            value = values[name]
            joined[name] = joined[name] if value is None else value + scale * (joined[name] - statistic(ones)[0])
        return joined


def draw_weights(units: Units, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of multinomial weights (R, N) float64: how often each row is drawn. Rows of one unit are drawn together."""
    rng = np.random.default_rng(seed)
    at_once = max(1, min(resamples, CHUNK_ELEMENTS // max(1, units.rows)))
    count = units.count
    for start in range(0, resamples, at_once):
        weights = np.empty((min(at_once, resamples - start), units.rows))
        for row in weights:  # one at a time: the counters of one resample stay in the cache
            drawn = np.bincount(rng.integers(0, count, count, dtype=np.int32), minlength=count)
            row[:] = drawn if units.codes is None else drawn[units.codes]
        yield weights


def interval(draws: np.ndarray, units: int | None = None) -> tuple[float | None, float | None]:
    """The 95 % interval of draws over ``units`` resampled units; None where they define none.

    The percentile interval is too narrow for few units. Its ends are moved outward to where Student's interval of as many units would
    put them (the expanded percentile interval, Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.3).
    """
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2 or (units is not None and units < 2):
        return None, None
    tail = 0.025 if units is None else _tail(units)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _tail(units: int) -> float:
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, 0.025)))


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
