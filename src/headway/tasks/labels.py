"""The metrics of predicted labels: counts of rows by class, weighted.

A prediction (N, K) stands for its likeliest class. Of two classes precision and recall are of the second, which is the event; of more
they are means over classes (macro).

Shapes: N rows, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headway.tasks.metric import Maker, Metric, Resampled, Shared, Value

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


class Labels:
    """Target and predicted label of each row, counted once for each weights."""

    def __init__(self, target: np.ndarray, prediction: np.ndarray) -> None:
        self._target, self._label = target.astype(np.int64), prediction.argmax(1)
        self._classes = prediction.shape[1]
        self._of: np.ndarray | None = None
        self._counts = Counts(*(np.zeros((0, 0)),) * 3)

    def counts(self, weights: np.ndarray) -> Counts:
        """Weighted by (R, N)."""
        if self._of is not weights:
            self._of, right = weights, self._label == self._target
            self._counts = Counts(
                self._summed(weights, self._target, right),
                self._summed(weights, self._label),
                self._summed(weights, self._target),
            )
        return self._counts

    def _summed(self, weights: np.ndarray, codes: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
        if self._classes <= AS_PRODUCT:
            hot = (codes[:, None] == np.arange(self._classes)).astype(np.float64)
            return weights @ (hot if among is None else hot * among[:, None])
        codes, weights = (codes, weights) if among is None else (codes[among], weights[:, among])
        return np.stack([np.bincount(codes, row, minlength=self._classes) for row in weights])


def _share(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _of_event_or_macro(of: Callable[[Counts], np.ndarray]) -> Callable[[Counts], np.ndarray]:
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


def _made(of: Callable[[Counts], np.ndarray]) -> Maker:
    def make(target: np.ndarray, prediction: np.ndarray, shared: Shared) -> Resampled:
        labels = shared.setdefault(SHARED, Labels(target, prediction)) if SHARED not in shared else shared[SHARED]
        return lambda weights: of(labels.counts(weights))

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


PRECISION = Metric(
    "precision",
    "precision",
    True,
    _value("precision_score"),
    _made(_of_event_or_macro(lambda counts: counts.precision)),
    counts_cases=True,
    needs_rarer=True,
    is_macro=True,
)
RECALL = Metric(
    "recall",
    "recall",
    True,
    _value("recall_score"),
    _made(_of_event_or_macro(lambda counts: counts.recall)),
    counts_cases=True,
    needs_rarer=True,
    is_macro=True,
)
BALANCED_ACCURACY = Metric(
    "balanced_accuracy",
    "balanced accuracy",
    True,
    _value("balanced_accuracy_score"),
    _made(_balanced),
    needs="every class",
    counts_cases=True,
    needs_rarer=True,
)
MCC = Metric("mcc", "MCC", True, _value("matthews_corrcoef"), _made(_mcc), counts_cases=True, needs_rarer=True)
LABEL_METRICS = (PRECISION, RECALL, BALANCED_ACCURACY, MCC)
