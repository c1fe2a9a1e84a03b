"""Metrics with bootstrap intervals.

Values come from scikit-learn. The interval is the percentile bootstrap (Efron and Tibshirani 1993, chapter 13), expanded for few units:
units (rows, or what they belong to) are drawn with replacement, which is the same as giving their rows multinomial weights, so every
resample is a weighted metric. Resampled values come from weighted sums, and for rank metrics from one sort and weighted cumulative sums;
they equal scikit-learn's with `sample_weight`.

Shapes: N rows, K classes, R resamples. Classification: target (N,) codes, prediction (N, K) probabilities, class 1 positive when K is 2.
Regression: target and prediction (N,). Language: a row is a block of text, target (N,) bytes, prediction (N, 3) nats, tokens, bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from headway.config import suggest
from headway.errors import ConfigError
from headway.evaluate.resample import MOST_ROWS, Bootstrap, Units, interval
from headway.evaluate.result import Estimate
from headway.evaluate.shares import exact
from headway.evaluate.studentised import widened
from headway.evaluate.unseen import most_apart, with_a_mistake, with_one_more
from headway.tasks import TaskName, names, task_of
from headway.tasks.metric import Combined, Groups, Metric, Resampled, Shared

METRICS: Mapping[str, Metric] = {
    metric.name: metric for task in map(task_of, names()) for metric in (*task.metrics, *task.further)
}
"""The metrics of all tasks."""

FEWEST_RARER = 100
"""Rows of the rarer class that a sample has at least."""


def measure(
    task: TaskName,
    target: np.ndarray,
    prediction: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    units: Units | None = None,
    further: Sequence[str] = (),
) -> dict[str, Estimate]:
    """Every metric of the task: value, and low and high of its 95 % interval; null where the rows define none.

    ``further``: the names of metrics beside those that are always measured.
    """
    units = units or Units("row", len(target))
    event = task_of(task).event(prediction)
    if event is not None and units.groups is None:
        order = np.argsort(-event, kind="stable")  # once, so that no resample has to be sorted
        target, prediction, units = target[order], prediction[order], units.in_order(order)
    shared: Shared = {}
    metrics = {m.name: m for m in (*task_of(task).metrics, *(METRICS[name] for name in further))}
    statistics = {name: metric.resampled(target, prediction, shared) for name, metric in metrics.items()}
    values = {
        name: _value(metric, target, prediction, statistics[name], units.groups) for name, metric in metrics.items()
    }
    draws = Bootstrap(units, resamples, seed).draws(statistics, values)
    measured: dict[str, Estimate] = {}
    for name, value in values.items():
        if metrics[name].is_biased and value is not None:
            draws[name] = _without_bias(draws[name], value)
        low, high = (None, None) if value is None else interval(draws[name], units.count)
        trials = metrics[name].trials
        rows = None if trials is None else trials(target, prediction)
        measured[name] = exact(Estimate(value, low, high), rows, units)
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
    definition = METRICS[metric]
    apart = _apart(definition, target, a, b)
    first, second = (_value(definition, target, p, of, units.groups) for p, of in zip((a, b), apart.parts, strict=True))
    if first is None or second is None:
        return (float("nan"),) * 3
    difference = first - second if definition.higher_is_better else second - first
    deciding = deciding_units(metric, target, a, units)
    draws = Bootstrap(units, resamples, seed).draws({"difference": apart}, {"difference": difference})["difference"]
    sample = _sample(definition, target, units, seed)
    t, p, q = (target, a, b) if sample is None else (target[sample], a[sample], b[sample])
    most = 0.0
    if definition.counts_cases:
        on_sample = (apart, units) if sample is None else (_apart(definition, t, p, q), units.take(sample))
        most = most_apart(*on_sample, t, p, q)
    low, _ = interval(with_one_more(draws, -most, units.count, seed), deciding)
    _, high = interval(with_one_more(draws, most, units.count, seed), deciding)
    if definition.class_losses is not None and not np.array_equal(a, b):
        won, chances = definition.class_losses(q) - definition.class_losses(p), (p + q) / 2
        more = with_a_mistake(draws, difference, won, chances, t, units.rows, seed)
        low, high = _outer((low, high), interval(more, units.count))
    if units.codes is not None or not definition.counts_cases:
        sizes = np.ones(len(target)) if definition.sizes is None else definition.sizes(target, b)
        low, high = _widened(low, high, difference, apart, units, sizes, resamples, seed)
    return difference, float("nan") if low is None else low, float("nan") if high is None else high


def _apart(metric: Metric, target: np.ndarray, a: np.ndarray, b: np.ndarray) -> Combined:
    """How much better ``a`` is than ``b``."""
    sign = 1.0 if metric.higher_is_better else -1.0
    parts = metric.resampled(target, a, {}), metric.resampled(target, b, {})
    return Combined(parts, lambda values: sign * (values[0] - values[1]))


def _sample(metric: Metric, target: np.ndarray, units: Units, seed: int) -> np.ndarray | None:
    """The numbers of some rows; None for all: few, or of a class that decides and is so rare that a sample may hold no row of it."""
    sample = units.sample(seed)
    if sample is not None and metric.needs_rarer and np.bincount(target[sample], minlength=2).min() < FEWEST_RARER:
        return None
    return sample


def _widened(
    low: float | None,
    high: float | None,
    difference: float,
    apart: Resampled,
    units: Units,
    sizes: np.ndarray,
    resamples: int,
    seed: int,
) -> tuple[float | None, float | None]:
    """For few unequal units; of many rows, what these sum to is left out group by group, not row by row."""
    groups = units.groups
    if groups is None:
        codes = np.arange(units.rows) if units.codes is None else units.codes
        return widened(low, high, difference, apart, codes, sizes, resamples, seed)
    of_groups, whole = apart.by_group(groups), np.arange(groups.count)
    return widened(low, high, difference, of_groups, whole, groups.sums(sizes), resamples, seed)


def deciding_units(metric: str, target: np.ndarray, prediction: np.ndarray, units: Units) -> int:
    """How many units a metric goes by: all, or those that hold the rarer of two classes, where that class decides."""
    if not (METRICS[metric].needs_rarer and prediction.ndim == 2 and prediction.shape[1] == 2):
        return units.count
    if units.codes is None:
        return int(np.bincount(target.astype(np.int64), minlength=2).min())
    return min(len(np.unique(units.codes[target == code])) for code in (0, 1))


def _outer(
    one: tuple[float | None, float | None], other: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    """The ends that are further out; None where an interval is not defined."""
    (low, high), (lower, upper) = one, other
    if low is None or high is None or lower is None or upper is None:
        return one
    return min(low, lower), max(high, upper)


def primary(task: TaskName, classes: int, setting: str | None, target: np.ndarray | None = None) -> str:
    """The metric that decides; ``setting``: the gate's own, ``target``: the true values. Raises ConfigError where that does not fit."""
    fitting = [m.name for m in (*task_of(task).metrics, *task_of(task).further) if m.decides]
    if setting is None:
        own = task_of(task)
        return own.default_metric(classes) if target is None else own.leading_metric(classes, target)
    if setting not in fitting:
        raise ConfigError(f"gate.metric must be a metric of {task}, but is {setting!r}{suggest(setting, fitting)}")
    return setting


def _without_bias(draws: np.ndarray, value: float) -> np.ndarray:
    """Draws around the value. Resampling adds noise to every bin, and a sum of absolute gaps only grows by it."""
    return np.maximum(0.0, draws - draws.mean() + value)


def number_text(value: float | None, scale: float, sign: bool = False) -> str:
    """A number for people, with the digits that a quantity of size ``scale`` deserves."""
    if value is None or not np.isfinite(value):
        return "undefined"
    digits = 4 if abs(scale) < 10 else 2 if abs(scale) < 1000 else 0
    value = round(value, digits) + 0.0  # no -0.0000
    return f"{value:{'+' if sign else ''},.{digits}f}"


def title_of(metric: str) -> str:
    """A metric's name for people."""
    return METRICS[metric].title


def label_of(metric: str, classes: Sequence[str]) -> str:
    """A metric's name in a table, with the class that it is of and the threshold, or macro where it is a mean over classes."""
    text, one = metric.replace("_", " "), METRICS.get(metric)
    if one is None:
        return text
    if len(classes) != 2:
        return f"{text}, macro" if one.is_macro else text
    return f"{text}{f' of {classes[1]}' if one.is_macro else ''}{' at 0.5' if one.of_labels else ''}"


def value_of(metric: Metric, target: np.ndarray, prediction: np.ndarray) -> float | None:
    """scikit-learn's value, of many rows the same to rounding; None where the rows define none, for example AUC with one class."""
    if len(target) <= MOST_ROWS:
        return _defined(lambda: metric.value(target, prediction))
    everything = Groups(np.zeros(len(target), np.int64), 1)
    return _defined(
        lambda: metric.value_of_many(target, prediction, metric.resampled(target, prediction, {}), everything)
    )


def _value(
    metric: Metric, target: np.ndarray, prediction: np.ndarray, statistic: Resampled, groups: Groups | None
) -> float | None:
    """The same, of rows whose sums by group are wanted anyway."""
    if groups is None:
        return value_of(metric, target, prediction)
    return _defined(lambda: metric.value_of_many(target, prediction, statistic, groups))


def _defined(value_of: Callable[[], float]) -> float | None:
    try:
        value = float(value_of())
    except ValueError:
        return None
    return value if np.isfinite(value) else None
