"""The metrics of classes. Values come from scikit-learn; resampled ones from weighted sums, and for rank metrics from one sort.

Shapes: N rows, G groups of rows, K classes, R resamples, T different scores.
Target (N,) codes, prediction (N, K) probabilities; class 1 is the positive one when K is 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headway.tasks.labels import LABEL_METRICS, Counts, of_counts
from headway.tasks.metric import (
    Columns,
    Combined,
    Groups,
    Maker,
    Metric,
    Resampled,
    RowSums,
    Shared,
    Statistic,
    Sums,
    Value,
    mean_of,
    mean_of_all,
    ratio,
)

EPSILON = 1e-15

ECE_BINS = 15

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


def _f1(counts: Counts) -> np.ndarray:
    """Of the event of two classes, else the mean over classes."""
    return counts.f1[:, 1] if counts.f1.shape[1] == 2 else mean_of_all(list(counts.f1.T))


def _accuracy(counts: Counts) -> np.ndarray:
    return counts.right.sum(1) / counts.actual.sum(1)


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


def _auc(sums: RankSums) -> np.ndarray:
    """Area under the ROC curve: each negative weighs the positives above it, and half of those beside it."""
    negative = sums.rows - sums.positive
    area = np.einsum("rt,rt->r", negative, sums.above) - np.einsum("rt,rt->r", negative, sums.positive) / 2
    return ratio(area, sums.above[:, -1] * (sums.everything[:, -1] - sums.above[:, -1]))


def _average_precision(sums: RankSums) -> np.ndarray:
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


def _confidence(prediction: np.ndarray) -> np.ndarray:
    """(N,) of the event, or of the likeliest class."""
    return (prediction[:, 1] if prediction.shape[1] == 2 else prediction.max(1)).astype(np.float64)


class Gaps(Columns):
    """Whether each row was right, less its confidence, in the column of its bin: of many rows, one pass sums them."""

    def __init__(self, target: np.ndarray, prediction: np.ndarray) -> None:
        super().__init__(self._matrix, target, prediction)
        self._edges = np.unique(np.quantile(_confidence(prediction), np.linspace(0, 1, ECE_BINS + 1)[1:-1]))

    def _gaps(self, target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N,) of each row, and its bin."""
        confidence = _confidence(prediction)
        hit = (target == 1) if prediction.shape[1] == 2 else (prediction.argmax(1) == target)
        return hit - confidence, np.searchsorted(self._edges, confidence, side="right")

    def _matrix(self, target: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
        gaps, bins = self._gaps(target, prediction)
        return [gaps[:, None] * (bins[:, None] == np.arange(len(self._edges) + 1))]

    def _sums_of(self, groups: Groups, rows: slice) -> list[np.ndarray]:
        gaps, bins = self._gaps(*(array[rows] for array in self._arrays))
        columns = len(self._edges) + 1
        cells = groups.codes[rows] * columns + bins
        return [np.bincount(cells, gaps, groups.count * columns).reshape(groups.count, columns)]


def ece(target: np.ndarray, prediction: np.ndarray, _shared: Shared) -> Resampled:
    """Expected calibration error with equal-mass bins (Naeini et al. 2015; Nguyen and O'Connor 2015)."""
    return Statistic(Gaps(target, prediction), lambda sums: np.abs(sums[0]).sum(1) / sums[1])


def _clipped(prediction: np.ndarray) -> np.ndarray:
    clipped = np.clip(prediction.astype(np.float64), EPSILON, 1 - EPSILON)
    return clipped / clipped.sum(1, keepdims=True)


def _log_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    clipped = np.clip(prediction.astype(np.float64), EPSILON, 1 - EPSILON)
    return -np.log(clipped[np.arange(len(target)), target] / clipped.sum(1))


def _log_losses_of_classes(prediction: np.ndarray) -> np.ndarray:
    return -np.log(_clipped(prediction))


def _brier_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(1 - p)^2 of the positive class for two classes, the sum over classes for more (Brier 1950)."""
    if prediction.shape[1] == 2:
        return (prediction[:, 1].astype(np.float64) - target) ** 2
    return _brier_losses_of_classes(prediction)[np.arange(len(target)), target]


def _brier_losses_of_classes(prediction: np.ndarray) -> np.ndarray:
    p = prediction.astype(np.float64)
    if p.shape[1] == 2:
        return np.stack([p[:, 1] ** 2, (p[:, 1] - 1) ** 2], 1)
    return (p**2).sum(1, keepdims=True) - 2 * p + 1


def _sk_scores(name: str) -> Value:
    """A scikit-learn ranking metric: of the positive class, or averaged over classes, one against the rest."""

    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        score = getattr(sklearn.metrics, name)
        if len(np.unique(target)) < prediction.shape[1]:
            raise ValueError("a class is missing")
        if prediction.shape[1] == 2:
            return float(score(target, prediction[:, 1]))
        return float(np.mean([score(target == c, prediction[:, c]) for c in range(prediction.shape[1])]))

    return value


def _sk_labels(name: str) -> Value:
    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        top_class = prediction.argmax(1)
        if name == "accuracy_score":
            return float(sklearn.metrics.accuracy_score(target, top_class))
        if prediction.shape[1] == 2:
            return float(sklearn.metrics.f1_score(target, top_class, zero_division=0))
        labels = list(range(prediction.shape[1]))
        return float(sklearn.metrics.f1_score(target, top_class, average="macro", labels=labels, zero_division=0))

    return value


def _sk_log_loss(target: np.ndarray, prediction: np.ndarray) -> float:
    import sklearn.metrics

    return float(sklearn.metrics.log_loss(target, _clipped(prediction), labels=list(range(prediction.shape[1]))))


def _brier(target: np.ndarray, prediction: np.ndarray) -> float:
    if prediction.shape[1] == 2:
        import sklearn.metrics

        return float(
            sklearn.metrics.brier_score_loss(target, np.clip(prediction[:, 1], 0, 1), labels=[0, 1], pos_label=1)
        )
    return float(_brier_losses(target, prediction).mean())


def _ece_value(target: np.ndarray, prediction: np.ndarray) -> float:
    return float(ece(target, prediction, {})(np.ones((1, len(target))))[0])


METRICS = (
    Metric(
        "auc",
        "AUC",
        True,
        _sk_scores("roc_auc_score"),
        over_classes(_auc),
        needs="every class",
        counts_cases=True,
        needs_rarer=True,
    ),
    Metric(
        "accuracy",
        "accuracy",
        True,
        _sk_labels("accuracy_score"),
        of_counts(_accuracy),
        counts_cases=True,
        of_labels=True,
        trials=lambda target, _prediction: np.ones(len(target), bool),
    ),
    Metric(
        "average_precision",
        "average precision",
        True,
        _sk_scores("average_precision_score"),
        over_classes(_average_precision),
        needs="every class",
        counts_cases=True,
        needs_rarer=True,
    ),
    Metric(
        "f1",
        "F1",
        True,
        _sk_labels("f1_score"),
        of_counts(_f1),
        counts_cases=True,
        needs_rarer=True,
        is_macro=True,
        of_labels=True,
    ),
    *LABEL_METRICS,
    Metric(
        "log_loss",
        "log loss",
        False,
        _sk_log_loss,
        mean_of(_log_losses),
        is_error=True,
        class_losses=_log_losses_of_classes,
    ),
    Metric(
        "brier",
        "Brier score",
        False,
        _brier,
        mean_of(_brier_losses),
        is_error=True,
        class_losses=_brier_losses_of_classes,
    ),
    Metric("ece", "calibration error", False, _ece_value, ece, is_biased=True),
)
