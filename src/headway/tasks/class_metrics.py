"""The metrics of classes. Values come from scikit-learn; resampled ones from weighted sums, and for rank metrics from one sort.

Shapes: N rows, K classes, R resamples, T different scores.
Target (N,) codes, prediction (N, K) probabilities; class 1 is the positive one when K is 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headway.tasks.labels import LABEL_METRICS
from headway.tasks.metric import Maker, Metric, Resampled, Shared, Value, alone, mean_of, ratio

EPSILON = 1e-15

ECE_BINS = 15


def f1(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    """F1 of the positive class, or the mean over classes: 2 TP / (2 TP + FP + FN)."""
    top_class = prediction.argmax(1)
    classes = [1] if prediction.shape[1] == 2 else range(prediction.shape[1])

    def resample(weights: np.ndarray) -> np.ndarray:
        scores = []
        for c in classes:
            hit = weights @ ((top_class == c) & (target == c)).astype(np.float64)
            total = weights @ (top_class == c).astype(np.float64) + weights @ (target == c).astype(np.float64)
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
        return ratio(area, above[:, -1] * (everything[:, -1] - above[:, -1]))

    return resample


def precision_of(ranking: Ranking) -> Resampled:
    """Average precision: the sum of precision times the step in recall."""

    def resample(weights: np.ndarray) -> np.ndarray:
        positive, _, above, everything = ranking.sums(weights)
        return ratio(np.einsum("rt,rt->r", positive, above / np.maximum(everything, 1e-300)), above[:, -1])

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


def _correct(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return (prediction.argmax(1) == target).astype(np.float64)


def _clipped(prediction: np.ndarray) -> np.ndarray:
    clipped = np.clip(prediction.astype(np.float64), EPSILON, 1 - EPSILON)
    return clipped / clipped.sum(1, keepdims=True)


def _log_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return -np.log(_clipped(prediction)[np.arange(len(target)), target])


def _log_losses_of_classes(prediction: np.ndarray) -> np.ndarray:
    return -np.log(_clipped(prediction))


def _brier_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(1 - p)^2 of the positive class for two classes, the sum over classes for more (Brier 1950)."""
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
    return float(ece(target, prediction)(np.ones((1, len(target))))[0])


METRICS = (
    Metric(
        "auc",
        "AUC",
        True,
        _sk_scores("roc_auc_score"),
        over_classes(auc_of),
        needs="every class",
        counts_cases=True,
        needs_rarer=True,
    ),
    Metric(
        "accuracy",
        "accuracy",
        True,
        _sk_labels("accuracy_score"),
        alone(lambda t, p: mean_of(_correct(t, p))),
        counts_cases=True,
    ),
    Metric(
        "average_precision",
        "average precision",
        True,
        _sk_scores("average_precision_score"),
        over_classes(precision_of),
        needs="every class",
        counts_cases=True,
        needs_rarer=True,
    ),
    Metric("f1", "F1", True, _sk_labels("f1_score"), alone(f1), counts_cases=True, needs_rarer=True, is_macro=True),
    *LABEL_METRICS,
    Metric(
        "log_loss",
        "log loss",
        False,
        _sk_log_loss,
        alone(lambda t, p: mean_of(_log_losses(t, p))),
        is_error=True,
        class_losses=_log_losses_of_classes,
    ),
    Metric(
        "brier",
        "Brier score",
        False,
        _brier,
        alone(lambda t, p: mean_of(_brier_losses(t, p))),
        is_error=True,
        class_losses=_brier_losses_of_classes,
    ),
    Metric("ece", "calibration error", False, _ece_value, alone(ece), is_biased=True),
)
