"""Metrics with bootstrap intervals.

Values come from scikit-learn. The interval is the percentile bootstrap (Efron and Tibshirani 1993, chapter 13), expanded for few units:
units (rows, or what they belong to) are drawn with replacement, which is the same as giving their rows multinomial weights, so every
resample is a weighted metric. Resampled values come from weighted sums, and for rank metrics from one sort and weighted cumulative sums;
they equal scikit-learn's with `sample_weight`.

Shapes: N rows, K classes, R resamples. Classification: target (N,) codes, prediction (N, K) probabilities, class 1 positive when K is 2.
Regression: target and prediction (N,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headway.config import suggest
from headway.data.config import Task
from headway.errors import ConfigError
from headway.evaluate.resample import (
    Bootstrap,
    Maker,
    Units,
    alone,
    auc_of,
    ece,
    f1,
    interval,
    mean_of,
    over_classes,
    precision_of,
    r2,
    rmse,
)

EPSILON = 1e-15

Measured = dict[str, dict[str, float | None]]


@dataclass(frozen=True)
class Metric:
    """A metric by name."""

    name: str
    title: str
    higher_is_better: bool
    task: Task
    value: Callable[[np.ndarray, np.ndarray], float]
    resampled: Maker
    is_error: bool = False
    """Whether its size depends on the target, so that a margin is a share of it."""


def measure(
    task: Task,
    target: np.ndarray,
    prediction: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    units: Units | None = None,
) -> Measured:
    """Every metric of the task: value, and low and high of its 95 % interval; null where the rows define none."""
    units = units or Units("row", len(target))
    if task == "classification" and prediction.shape[1] == 2:
        order = np.argsort(-prediction[:, 1], kind="stable")  # once, so that no resample has to be sorted
        target, prediction, units = target[order], prediction[order], units.in_order(order)
    bootstrap, shared = Bootstrap(units, resamples, seed), {}
    t, p = (target, prediction) if bootstrap.rows is None else (target[bootstrap.rows], prediction[bootstrap.rows])
    metrics = {m.name: m for m in METRICS.values() if m.task == task}
    values = {name: value_of(metric, target, prediction) for name, metric in metrics.items()}
    draws = bootstrap.draws({name: m.resampled(t, p, shared) for name, m in metrics.items()}, values)
    measured: Measured = {}
    for name, value in values.items():
        if name == "ece" and value is not None:
            draws[name] = _without_bias(draws[name], value)
        low, high = (None, None) if value is None else interval(draws[name], units.count)
        measured[name] = {"value": value, "low": low, "high": high}
    return measured


def differences(
    metric: str,
    target: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    units: Units | None = None,
) -> tuple[float, float, float]:
    """How much better ``a`` is than ``b`` on the same rows: difference, and low and high of its paired 95 % interval.

    Positive means that ``a`` is better, whichever way the metric runs. Both see the same resamples. NaN where undefined.
    """
    units = units or Units("row", len(target))
    chosen = METRICS[metric]
    sign = 1.0 if chosen.higher_is_better else -1.0
    first, second = value_of(chosen, target, a), value_of(chosen, target, b)
    if first is None or second is None:
        return (float("nan"),) * 3
    bootstrap = Bootstrap(units, resamples, seed)
    if bootstrap.rows is not None:
        target, a, b = target[bootstrap.rows], a[bootstrap.rows], b[bootstrap.rows]
    of_a, of_b = chosen.resampled(target, a, {}), chosen.resampled(target, b, {})
    difference = sign * (first - second)
    drawn = bootstrap.draws({"difference": lambda w: sign * (of_a(w) - of_b(w))}, {"difference": difference})
    low, high = interval(drawn["difference"], units.count)
    return difference, float("nan") if low is None else low, float("nan") if high is None else high


def primary(task: Task, classes: int, stated: str | None) -> str:
    """The metric that decides; ``stated``: the gate's own. Raises ConfigError where that does not fit."""
    fitting = [m.name for m in METRICS.values() if m.task == task]
    if stated is None:
        return "rmse" if task == "regression" else "auc" if classes == 2 else "log_loss"
    if stated not in fitting:
        raise ConfigError(f"gate.metric must be a metric of {task}, but is {stated!r}{suggest(stated, fitting)}")
    return stated


def _without_bias(draws: np.ndarray, value: float) -> np.ndarray:
    """Draws around the value. Resampling adds noise to every bin, and a sum of absolute gaps only grows by it."""
    return np.maximum(0.0, draws - draws.mean() + value)


def told(value: float | None, scale: float, sign: bool = False) -> str:
    """A number for people, with the digits that a quantity of size ``scale`` deserves."""
    if value is None or not np.isfinite(value):
        return "undefined"
    digits = 4 if abs(scale) < 10 else 2 if abs(scale) < 1000 else 0
    return f"{value:{'+' if sign else ''},.{digits}f}"


def shown(metric: str) -> str:
    """A metric's name for people."""
    return METRICS[metric].title


def value_of(metric: Metric, target: np.ndarray, prediction: np.ndarray) -> float | None:
    """scikit-learn's value; None where the rows define none, for example AUC with one class."""
    try:
        value = float(metric.value(target, prediction))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


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


def _sk(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        if len(target) < 2:
            raise ValueError("one row defines no spread")
        if name == "r2_score" and target.min() == target.max():
            raise ValueError("a constant target has no variance to explain")
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
    return float(ece(target, prediction)(np.ones((1, len(target))))[0])


_ALL = (
    Metric("auc", "AUC", True, "classification", _sk_scores("roc_auc_score"), over_classes(auc_of)),
    Metric(
        "accuracy",
        "accuracy",
        True,
        "classification",
        _sk_labels("accuracy_score"),
        alone(lambda t, p: mean_of(_correct(t, p))),
    ),
    Metric(
        "average_precision",
        "average precision",
        True,
        "classification",
        _sk_scores("average_precision_score"),
        over_classes(precision_of),
    ),
    Metric("f1", "F1", True, "classification", _sk_labels("f1_score"), alone(f1)),
    Metric(
        "log_loss",
        "log loss",
        False,
        "classification",
        _sk_log_loss,
        alone(lambda t, p: mean_of(_log_losses(t, p))),
        is_error=True,
    ),
    Metric(
        "brier",
        "Brier score",
        False,
        "classification",
        _brier,
        alone(lambda t, p: mean_of(_brier_losses(t, p))),
        is_error=True,
    ),
    Metric("ece", "calibration error", False, "classification", _ece_value, alone(ece)),
    Metric("rmse", "RMSE", False, "regression", _sk("root_mean_squared_error"), alone(rmse), is_error=True),
    Metric(
        "mae",
        "MAE",
        False,
        "regression",
        _sk("mean_absolute_error"),
        alone(lambda t, p: mean_of(np.abs(t - p))),
        is_error=True,
    ),
    Metric("r2", "R²", True, "regression", _sk("r2_score"), alone(r2)),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}
