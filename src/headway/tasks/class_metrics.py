"""The metrics of classes. Values come from scikit-learn; resampled ones from weighted sums, those of a ranking in `ranking`.

Shapes: N rows, K classes.
Target (N,) codes, prediction (N, K) probabilities; class 1 is the positive one when K is 2.
"""

from __future__ import annotations

import numpy as np

from headway.tasks.labels import LABEL_METRICS, Counts, of_counts
from headway.tasks.metric import Columns, Groups, Metric, Resampled, Shared, Statistic, Value, mean_of, mean_of_all
from headway.tasks.ranking import auc, average_precision, over_classes

EPSILON = 1e-15

ECE_BINS = 15


def _f1(counts: Counts) -> np.ndarray:
    """Of the event of two classes, otherwise the mean over classes."""
    return counts.f1[:, 1] if counts.f1.shape[1] == 2 else mean_of_all(list(counts.f1.T))


def _accuracy(counts: Counts) -> np.ndarray:
    return counts.right.sum(1) / counts.actual.sum(1)


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
        over_classes(auc),
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
        over_classes(average_precision),
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
