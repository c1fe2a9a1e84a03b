"""Metrics with bootstrap intervals.

Values come from scikit-learn. The interval is the percentile bootstrap (Efron and Tibshirani 1993, chapter 13): rows are drawn with
replacement, which is the same as giving each a multinomial weight, so every resample is a weighted metric. Resampled values come from
weighted sums, and for rank metrics from one sort and weighted cumulative sums; they equal scikit-learn's with `sample_weight`.

Shapes: N rows, K classes, R resamples. Classification: target (N,) codes, prediction (N, K) probabilities, class 1 positive when K is 2.
Regression: target and prediction (N,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.base import ConfigError, suggest
from headway.data.config import Task
from headway.evaluate.config import GateConfig

CHUNK_ELEMENTS = 100_000
"""Weights held at once, whatever N and R: as many as stay in a core's cache; four million take four times as long."""

ECE_BINS = 15
EPSILON = 1e-15

Measured = dict[str, dict[str, float | None]]
Resampled = Callable[[np.ndarray], np.ndarray]
"""Weights (R, N) to values (R,)."""


@dataclass(frozen=True)
class Metric:
    """A metric by name."""

    name: str
    title: str
    higher_is_better: bool
    task: Task
    value: Callable[[np.ndarray, np.ndarray], float]
    resampled: Callable[[np.ndarray, np.ndarray], Resampled]


def measure(task: Task, target: np.ndarray, prediction: np.ndarray, resamples: int = 1000, seed: int = 0) -> Measured:
    """Every metric of the task: value, and low and high of its 95 % interval; null where the rows define none."""
    if task == "classification" and prediction.shape[1] == 2:
        order = np.argsort(-prediction[:, 1], kind="stable")  # once, so that no resample has to be sorted
        target, prediction = target[order], prediction[order]
    draws: dict[str, list[np.ndarray]] = {}
    ready = {m.name: m.resampled(target, prediction) for m in METRICS.values() if m.task == task}
    for weights in _weights(len(target), resamples, seed):
        for name, resample in ready.items():
            draws.setdefault(name, []).append(resample(weights))
    measured: Measured = {}
    for name in ready:
        value = _value(METRICS[name], target, prediction)
        low, high = _interval(np.concatenate(draws[name])) if name in draws else (None, None)
        measured[name] = {
            "value": value,
            "low": None if value is None else low,
            "high": None if value is None else high,
        }
    return measured


def differences(
    metric: str, target: np.ndarray, a: np.ndarray, b: np.ndarray, resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """How much better ``a`` is than ``b`` on the same rows: difference, and low and high of its paired 95 % interval.

    Positive means that ``a`` is better, whichever way the metric runs. Both see the same resamples. NaN where undefined.
    """
    chosen = METRICS[metric]
    sign = 1.0 if chosen.higher_is_better else -1.0
    first, second = _value(chosen, target, a), _value(chosen, target, b)
    if first is None or second is None:
        return (float("nan"),) * 3
    of_a, of_b = chosen.resampled(target, a), chosen.resampled(target, b)
    drawn = [sign * (of_a(w) - of_b(w)) for w in _weights(len(target), resamples, seed)]
    low, high = _interval(np.concatenate(drawn))
    return sign * (first - second), float("nan") if low is None else low, float("nan") if high is None else high


def primary(task: Task, classes: int, gate: GateConfig) -> str:
    """The metric that decides. Raises ConfigError when the gate names one that does not fit."""
    fitting = [m.name for m in METRICS.values() if m.task == task]
    if gate.metric is None:
        return "rmse" if task == "regression" else "auc" if classes == 2 else "log_loss"
    if gate.metric not in fitting:
        raise ConfigError(
            f"gate.metric must be a metric of {task}, however it is {gate.metric!r}{suggest(gate.metric, fitting)}"
        )
    return gate.metric


def shown(metric: str) -> str:
    """A metric's name for people."""
    return METRICS[metric].title


def _weights(rows: int, resamples: int, seed: int) -> Any:
    """Chunks of multinomial weights (R, N) float64: how often each row is drawn."""
    rng = np.random.default_rng(seed)
    at_once = max(1, min(resamples, CHUNK_ELEMENTS // max(1, rows)))
    for start in range(0, resamples, at_once):
        weights = np.empty((min(at_once, resamples - start), rows))
        for row in weights:  # one at a time: the counters of one resample stay in the cache
            row[:] = np.bincount(rng.integers(0, rows, rows, dtype=np.int32), minlength=rows)
        yield weights


def _value(metric: Metric, target: np.ndarray, prediction: np.ndarray) -> float | None:
    """scikit-learn's value; None where the rows define none, for example AUC with one class."""
    try:
        value = float(metric.value(target, prediction))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _interval(draws: np.ndarray) -> tuple[float | None, float | None]:
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2:
        return None, None
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b != 0)


def _mean_of(losses: np.ndarray) -> Resampled:
    """Weighted means of per-row values, as one product."""
    return lambda weights: weights @ losses / weights.sum(1)


def _correct(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return (prediction.argmax(1) == target).astype(np.float64)


def _clipped(prediction: np.ndarray) -> np.ndarray:
    clipped = np.clip(prediction.astype(np.float64), EPSILON, 1 - EPSILON)
    return clipped / clipped.sum(1, keepdims=True)


def _log_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return -np.log(_clipped(prediction)[np.arange(len(target)), target])


def _brier_losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(1 - p)^2 of the positive class for two classes, the sum over classes for more (Brier 1950)."""
    if prediction.shape[1] == 2:
        return (prediction[:, 1].astype(np.float64) - target) ** 2
    hot = np.eye(prediction.shape[1])[target]
    return ((prediction.astype(np.float64) - hot) ** 2).sum(1)


def _f1(target: np.ndarray, prediction: np.ndarray) -> Resampled:
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


class _Ranking:
    """Rows by falling score, ties together: what a weighted rank metric sums over."""

    def __init__(self, target: np.ndarray, score: np.ndarray) -> None:
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._order = None if np.array_equal(order, np.arange(len(order))) else order
        self._positive = target[order].astype(np.float64)
        self._ends = None if len(ends) == len(order) else ends

    def sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cumulative weight of the positives (R, T) and of all rows (R, T) down to each of T different scores."""
        w = weights if self._order is None else weights[:, self._order]
        positive, everything = np.cumsum(w * self._positive, axis=1), np.cumsum(w, axis=1)
        if self._ends is None:
            return positive, everything
        return positive[:, self._ends], everything[:, self._ends]


def _auc_of(target: np.ndarray, score: np.ndarray) -> Resampled:
    """Area under the ROC curve: each negative weighs the positives above it, and half of those beside it."""
    ranking = _Ranking(target, score)

    def resample(weights: np.ndarray) -> np.ndarray:
        above, everything = ranking.sums(weights)
        here = np.diff(above, axis=1, prepend=0.0)
        negative = np.diff(everything, axis=1, prepend=0.0) - here
        total = above[:, -1] * (everything[:, -1] - above[:, -1])
        return _ratio(np.einsum("rt,rt->r", negative, above - here / 2), total)

    return resample


def _precision_of(target: np.ndarray, score: np.ndarray) -> Resampled:
    """Average precision: the sum of precision times the step in recall."""
    ranking = _Ranking(target, score)

    def resample(weights: np.ndarray) -> np.ndarray:
        true, everything = ranking.sums(weights)
        step = np.diff(true, axis=1, prepend=0.0)
        return _ratio(np.einsum("rt,rt->r", step, true / np.maximum(everything, 1e-300)), true[:, -1])

    return resample


def _over_classes(of: Callable[[np.ndarray, np.ndarray], Resampled]) -> Callable[[np.ndarray, np.ndarray], Resampled]:
    """The positive class for two, the mean of one against the rest for more."""

    def make(target: np.ndarray, prediction: np.ndarray) -> Resampled:
        if prediction.shape[1] == 2:
            return of(target == 1, prediction[:, 1])
        each = [of(target == c, prediction[:, c]) for c in range(prediction.shape[1])]
        return lambda weights: np.mean([resample(weights) for resample in each], axis=0)

    return make


def _ece_bins(prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence of each row and its bin; bins hold equal shares of the rows."""
    confidence = (prediction[:, 1] if prediction.shape[1] == 2 else prediction.max(1)).astype(np.float64)
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, ECE_BINS + 1)[1:-1]))
    return confidence, np.searchsorted(edges, confidence, side="right")


def _ece(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    """Expected calibration error with equal-mass bins (Naeini et al. 2015; Nguyen and O'Connor 2015)."""
    confidence, bins = _ece_bins(prediction)
    hit = (target == 1) if prediction.shape[1] == 2 else (prediction.argmax(1) == target)
    gap = (hit - confidence)[:, None] * (bins[:, None] == np.arange(bins.max() + 1))
    return lambda weights: np.abs(weights @ gap).sum(1) / weights.sum(1)


def _r2(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    squared = (target - prediction) ** 2

    def resample(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(1)
        mean = weights @ target / n
        spread = weights @ target**2 - n * mean**2
        return 1 - _ratio(weights @ squared, np.where(spread > 0, spread, 0.0))

    return resample


def _sk(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        if len(target) < 2:
            raise ValueError("one row defines no spread")
        return float(getattr(sklearn.metrics, name)(target, prediction))

    return value


def _sk_scores(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
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


def _sk_labels(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        chosen = prediction.argmax(1)
        if name == "accuracy_score":
            return float(sklearn.metrics.accuracy_score(target, chosen))
        if prediction.shape[1] == 2:
            return float(sklearn.metrics.f1_score(target, chosen, zero_division=0))
        labels = list(range(prediction.shape[1]))
        return float(sklearn.metrics.f1_score(target, chosen, average="macro", labels=labels, zero_division=0))

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
    return float(_ece(target, prediction)(np.ones((1, len(target))))[0])


def _rmse(target: np.ndarray, prediction: np.ndarray) -> Resampled:
    mean = _mean_of((target - prediction) ** 2)
    return lambda weights: np.sqrt(mean(weights))


_ALL = (
    Metric("auc", "AUC", True, "classification", _sk_scores("roc_auc_score"), _over_classes(_auc_of)),
    Metric(
        "accuracy",
        "accuracy",
        True,
        "classification",
        _sk_labels("accuracy_score"),
        lambda t, p: _mean_of(_correct(t, p)),
    ),
    Metric(
        "average_precision",
        "average precision",
        True,
        "classification",
        _sk_scores("average_precision_score"),
        _over_classes(_precision_of),
    ),
    Metric("f1", "F1", True, "classification", _sk_labels("f1_score"), _f1),
    Metric("log_loss", "log loss", False, "classification", _sk_log_loss, lambda t, p: _mean_of(_log_losses(t, p))),
    Metric("brier", "Brier score", False, "classification", _brier, lambda t, p: _mean_of(_brier_losses(t, p))),
    Metric("ece", "calibration error", False, "classification", _ece_value, _ece),
    Metric("rmse", "RMSE", False, "regression", _sk("root_mean_squared_error"), _rmse),
    Metric("mae", "MAE", False, "regression", _sk("mean_absolute_error"), lambda t, p: _mean_of(np.abs(t - p))),
    Metric("r2", "R²", True, "regression", _sk("r2_score"), _r2),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
