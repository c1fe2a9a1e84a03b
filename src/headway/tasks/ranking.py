"""The metrics of a ranking: areas under ROC and precision-recall curves. Resampled, they come from one sort and weighted sums.

Shapes: N rows, G groups of rows, R resamples, T different scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headway.tasks.metric import (
    Combined,
    Groups,
    Maker,
    Resampled,
    RowSums,
    Shared,
    Statistic,
    Sums,
    mean_of_all,
    ratio,
)

RANGES = 1024
"""Of a score at most, where groups of rows are resampled."""

RANGES_OF_ALL = 50 * RANGES
"""Of all classes' scores: 2,000 groups have 400 MB of counts in them."""

FEWEST_RANGES = 32

SORTED_ROWS = 100_000
"""Of all rows' scores, so many tell where ranges of as many rows end."""

ROWS_AT_ONCE = 4_000_000
"""Rows that are counted by group and range at once: with fewer, the sums of two million cells take longer than the rows."""


def ranges_of(classes: int) -> int:
    """Into how many ranges the score of each of so many classes is divided."""
    return max(FEWEST_RANGES, min(RANGES, RANGES_OF_ALL // classes))


@dataclass(frozen=True)
class RankSums:
    """(R, T) by falling score: the weight of the positives and of all rows at each different score, and both down to there."""

    positive: np.ndarray
    rows: np.ndarray
    above: np.ndarray
    everything: np.ndarray


class Ranking(RowSums):
    """Rows by falling score, ties together. Sums are `RankSums`."""

    def __init__(self, target: np.ndarray, score: np.ndarray, ranges: int = RANGES) -> None:
        self._positive, self._score, self._ranges = target, score, ranges

    @cached_property
    def _in_order(self) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
        """The rows' order (N,), whether each is positive, and the last row of each score; None for all rows as they are."""
        order = np.argsort(-self._score, kind="stable")
        ordered = self._score[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        sorted_already = np.array_equal(order, np.arange(len(order)))
        positive = self._positive[order].astype(np.float64)
        return None if sorted_already else order, positive, None if len(ends) == len(order) else ends

    def _summed(self, weights: np.ndarray) -> RankSums:
        order, is_positive, ends = self._in_order
        w = weights if order is None else weights[:, order]
        positive = w * is_positive
        above, everything = np.cumsum(positive, axis=1), np.cumsum(w, axis=1)
        if ends is not None:
            above, everything = above[:, ends], everything[:, ends]
            positive, w = (np.diff(x, axis=1, prepend=0.0) for x in (above, everything))
        return RankSums(positive, w, above, everything)

    @cached_property
    def _scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the positives and those of the others, rising: sorted a tenth as fast as rows by them."""
        return np.sort(self._score[self._positive]), np.sort(self._score[~self._positive])

    def whole(self, groups: Groups) -> RankSums:
        del groups  # these have ranges of scores alone
        return self._whole

    @cached_property
    def _whole(self) -> RankSums:
        """Of each score that a positive has, and of all others between two of them as one: their order changes nothing."""
        positives, others = self._scores
        scores, count = np.unique(positives, return_counts=True)
        scores, count = scores[::-1], count[::-1]
        beside = np.searchsorted(others, scores, side="right")
        below = np.searchsorted(others, scores, side="left")
        positive, rows = np.zeros((1, 2 * len(scores) + 1)), np.zeros((1, 2 * len(scores) + 1))
        positive[0, 1::2], rows[0, 1::2] = count, count + beside - below
        rows[0, 0::2] = np.append(len(others), below) - np.append(beside, 0)
        return RankSums(positive, rows, np.cumsum(positive, axis=1), np.cumsum(rows, axis=1))

    def _by_group(self, groups: Groups) -> RangesOfGroups:
        """By ranges of the score."""
        edges = self._edges()
        ranges = len(edges) + 1
        counts = np.zeros(groups.count * ranges * 2, np.int64)
        for start in range(0, len(groups.codes), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            cells = groups.codes[rows] * ranges + (len(edges) - np.searchsorted(edges, self._score[rows], side="right"))
            counts += np.bincount(2 * cells + self._positive[rows], minlength=len(counts))
        others, positive = np.moveaxis(counts.reshape(groups.count, ranges, 2), 2, 0)
        return RangesOfGroups(_small(positive), _small(positive + others))

    def _edges(self) -> np.ndarray:
        """(T - 1,) rising: the lowest score of each range but the last, so that about as many rows, or positives, lie in each."""
        step = -(-len(self._score) // SORTED_ROWS)
        every = np.sort(np.concatenate([scores[::step] for scores in self._scores]))
        shares = np.linspace(0, 1, self._ranges // 2)
        some = [of[np.round(shares * (len(of) - 1)).astype(np.int64)] for of in (self._scores[0], every) if len(of)]
        return np.unique(np.concatenate(some))


def _small(counts: np.ndarray) -> np.ndarray:
    """In as few bytes as hold them: with as many classes there are as many of them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


class RangesOfGroups(Sums):
    """The positives and all rows of each group in each of T ranges of the score, by falling score: (G, T) each.

    Rows of a range count as tied. With 1,000 ranges an AUC or an average precision is then about a thousandth off, by about as much in
    every resample: what is used is how far resamples lie apart.
    """

    def __init__(self, positive: np.ndarray, rows: np.ndarray) -> None:
        self._positive, self._rows = positive, rows

    @cached_property
    def _kind(self) -> type[np.floating]:
        """float32, whose products take half the time, where it holds each sum exactly: no group is drawn a hundred times."""
        return np.float32 if 100 * int(self._rows.sum(0, dtype=np.int64).max(initial=0)) < 2**24 else np.float64

    def _summed(self, weights: np.ndarray) -> RankSums:
        draws = weights.astype(self._kind)
        products = (draws @ counts.astype(self._kind) for counts in (self._positive, self._rows))
        positive, rows = (one.astype(np.float64) for one in products)
        return RankSums(positive, rows, np.cumsum(positive, axis=1), np.cumsum(rows, axis=1))


def auc(sums: RankSums) -> np.ndarray:
    """Area under the ROC curve: each negative weighs the positives above it, and half of those beside it."""
    negative = sums.rows - sums.positive
    area = np.einsum("rt,rt->r", negative, sums.above) - np.einsum("rt,rt->r", negative, sums.positive) / 2
    return ratio(area, sums.above[:, -1] * (sums.everything[:, -1] - sums.above[:, -1]))


def average_precision(sums: RankSums) -> np.ndarray:
    """The sum of precision times the step in recall."""
    precision = sums.above / np.maximum(sums.everything, 1e-300)
    return ratio(np.einsum("rt,rt->r", sums.positive, precision), sums.above[:, -1])


def over_classes(value: Callable[[RankSums], np.ndarray]) -> Maker:
    """The positive class for two, the mean of one against the rest for more. Metrics of one model share the rankings."""

    def make(target: np.ndarray, prediction: np.ndarray, shared: Shared) -> Resampled:
        def of(c: int) -> Statistic:
            if c not in shared:
                shared[c] = Ranking(target == c, prediction[:, c], ranges_of(prediction.shape[1]))
            return Statistic(shared[c], value)

        if prediction.shape[1] == 2:
            return of(1)
        return Combined([of(c) for c in range(prediction.shape[1])], mean_of_all)

    return make
