"""The metrics of predicted labels: counts of rows by class, weighted.

A prediction (N, K) stands for its likeliest class. Of two classes precision and recall are of the second, which is the event; of more
they are means over classes (macro).

Shapes: N rows, G groups of rows, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headway.tasks.metric import BLOCK, Groups, Maker, Metric, Resampled, RowSums, Shared, Statistic, Sums, Value

AS_PRODUCT = 8
"""Classes up to which weighted counts are one product: rows times classes take memory."""

SHARED = -1
"""The key of a model's counts among what its metrics share."""


@dataclass(frozen=True)
class Counts:
    """(R, K) by class: rows that are right, that are predicted to be of it, and that are of it."""

    right: np.ndarray
    predicted: np.ndarray
    actual: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """(R, K); 0 where no row is predicted to be of the class."""
        return _share(self.right, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """(R, K); 0 where no row is of the class."""
        return _share(self.right, self.actual)

    @property
    def f1(self) -> np.ndarray:
        """(R, K)."""
        return _share(2 * self.right, self.predicted + self.actual)


class Labels(RowSums):
    """Target and predicted label of each row. Sums are `Counts`."""

    def __init__(self, target: np.ndarray, prediction: np.ndarray) -> None:
        self._target, self._label = target.astype(np.int64, copy=False), prediction.argmax(1)
        self._classes = prediction.shape[1]

    @cached_property
    def _right(self) -> np.ndarray:
        return self._label == self._target

    @cached_property
    def _hot(self) -> tuple[np.ndarray, ...]:
        """(N, K) each: which class it is right about, predicts, and is of."""
        target, label = (codes[:, None] == np.arange(self._classes) for codes in (self._target, self._label))
        return tuple(hot.astype(np.float64) for hot in (target & label, label, target))

    def _summed(self, weights: np.ndarray) -> Counts:
        if self._classes <= AS_PRODUCT:
            return Counts(*(weights @ hot for hot in self._hot))
        right = self._right
        return Counts(
            self._counted(weights[:, right], self._target[right]),
            self._counted(weights, self._label),
            self._counted(weights, self._target),
        )

    def _counted(self, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
        counts = [np.bincount(codes, row, minlength=self._classes) for row in weights]
        return np.stack(counts).astype(np.float64)  # of no rows they are whole numbers

    def _by_group(self, groups: Groups) -> LabelsOfGroups:
        if self._classes <= AS_PRODUCT:
            return self._by_group_at_once(groups)
        cells, size = groups.codes * self._classes, groups.count * self._classes
        right = self._right
        cells_of = (cells[right] + self._target[right], cells + self._label, cells + self._target)
        counts = (np.bincount(one, minlength=size).reshape(groups.count, self._classes) for one in cells_of)
        return LabelsOfGroups(*(one.astype(np.float64) for one in counts))

    def _by_group_at_once(self, groups: Groups) -> LabelsOfGroups:
        """From how many rows of each group have each target and label."""
        shape = (groups.count, self._classes, self._classes)
        counts = np.zeros(shape)
        for start in range(0, len(groups.codes), BLOCK):
            rows = slice(start, start + BLOCK)
            cells = (groups.codes[rows] * self._classes + self._target[rows]) * self._classes + self._label[rows]
            counts += np.bincount(cells, minlength=counts.size).reshape(shape)
        return LabelsOfGroups(np.diagonal(counts, axis1=1, axis2=2).copy(), counts.sum(1), counts.sum(2))


class LabelsOfGroups(Sums):
    """Counts of each group, (G, K) each, as in `Counts`."""

    def __init__(self, right: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> None:
        self._counts = right, predicted, actual

    def _summed(self, weights: np.ndarray) -> Counts:
        return Counts(*(weights @ one for one in self._counts))


def _share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def of_event_or_macro(of: Callable[[Counts], np.ndarray]) -> Callable[[Counts], np.ndarray]:
    """Of the event where there are two classes, otherwise the mean over classes."""

    def value(counts: Counts) -> np.ndarray:
        by_class = of(counts)
        return by_class[:, 1] if by_class.shape[1] == 2 else by_class.mean(1)

    return value


def _balanced(counts: Counts) -> np.ndarray:
    """The mean recall of the classes that occur."""
    occurs = counts.actual > 0
    return (counts.recall * occurs).sum(1) / np.maximum(occurs.sum(1), 1)


def _mcc(counts: Counts) -> np.ndarray:
    """Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient"; 0 where a side has one class."""
    rows = counts.actual.sum(1)
    covariance = counts.right.sum(1) * rows - (counts.predicted * counts.actual).sum(1)
    spreads = [rows**2 - (side**2).sum(1) for side in (counts.predicted, counts.actual)]
    product = spreads[0] * spreads[1]
    return np.divide(
        covariance, np.sqrt(np.maximum(product, 0)), out=np.zeros_like(rows), where=product > 1e-9 * rows**4
    )


def of_counts(value: Callable[[Counts], np.ndarray]) -> Maker:
    """A metric of counts, which those of one model share."""

    def make(target: np.ndarray, prediction: np.ndarray, shared: Shared) -> Resampled:
        if SHARED not in shared:
            shared[SHARED] = Labels(target, prediction)
        return Statistic(shared[SHARED], value)

    return make


def _value(name: str) -> Value:
    """scikit-learn's."""

    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        score, label = getattr(sklearn.metrics, name), prediction.argmax(1)
        if name == "balanced_accuracy_score" and len(np.unique(target)) < prediction.shape[1]:
            raise ValueError("a class is missing")
        if (
            name == "matthews_corrcoef" and len(np.union1d(target, label)) == 1
        ):  # scikit-learn's value, without its warning
            return 0.0
        if name in ("balanced_accuracy_score", "matthews_corrcoef"):
            return float(score(target, label))
        if prediction.shape[1] == 2:
            return float(score(target, label, zero_division=0))
        labels = list(range(prediction.shape[1]))
        return float(score(target, label, average="macro", labels=labels, zero_division=0))

    return value


def _predicted(_target: np.ndarray, prediction: np.ndarray) -> np.ndarray | None:
    """(N,) bool: the rows that are predicted to be the event."""
    return prediction.argmax(1) == 1 if prediction.shape[1] == 2 else None


def _actual(target: np.ndarray, prediction: np.ndarray) -> np.ndarray | None:
    """(N,) bool: the rows that are the event."""
    return target == 1 if prediction.shape[1] == 2 else None


PRECISION = Metric(
    "precision",
    "precision",
    True,
    _value("precision_score"),
    of_counts(of_event_or_macro(lambda counts: counts.precision)),
    counts_cases=True,
    needs_rarer=True,
    is_macro=True,
    of_labels=True,
    trials=_predicted,
)
RECALL = Metric(
    "recall",
    "recall",
    True,
    _value("recall_score"),
    of_counts(of_event_or_macro(lambda counts: counts.recall)),
    counts_cases=True,
    needs_rarer=True,
    is_macro=True,
    of_labels=True,
    trials=_actual,
)
BALANCED_ACCURACY = Metric(
    "balanced_accuracy",
    "balanced accuracy",
    True,
    _value("balanced_accuracy_score"),
    of_counts(_balanced),
    needs="every class",
    counts_cases=True,
    needs_rarer=True,
    of_labels=True,
)
MCC = Metric(
    "mcc",
    "MCC",
    True,
    _value("matthews_corrcoef"),
    of_counts(_mcc),
    counts_cases=True,
    needs_rarer=True,
    of_labels=True,
)
LABEL_METRICS = (PRECISION, RECALL, BALANCED_ACCURACY, MCC)
