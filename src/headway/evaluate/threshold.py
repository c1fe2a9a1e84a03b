"""The threshold of a probability by a stated aim, chosen on validation rows.

Shapes: N rows, R resamples, T different probabilities; cut k predicts the event for the rows with the k highest of these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.evaluate.config import ThresholdConfig
from headway.evaluate.metrics import measure, number_text
from headway.evaluate.resample import Bootstrap, Units, draw_weights, interval
from headway.evaluate.result import Estimate, ThresholdResult
from headway.tasks import TaskName
from headway.tasks.metric import Columns, Statistic
from headway.tasks.threshold import Threshold

RESAMPLES = 500
MEASURED = ("precision", "recall", "f1", "accuracy", "balanced_accuracy", "mcc")


def choose(config: ThresholdConfig, target: np.ndarray, probability: np.ndarray, units: Units) -> Threshold | None:
    """For the probability (N,) of the event on validation rows; None where these hold one class alone."""
    if len(np.unique(target)) < 2:
        return None
    cuts = _Cuts(target, np.asarray(probability, np.float64))
    value = float(cuts.best(config, np.ones((1, len(target))))[0])
    cuts_drawn = np.concatenate([cuts.best(config, weights) for weights in draw_weights(units, RESAMPLES, 0)])
    low, high = interval(cuts_drawn, units.count)
    highest = reaches(config, target, probability)
    aim = config.aim
    if highest is not None:
        aim = f"the highest precision there is, {highest:.3g}, since {config.precision:g} is not reached"
    return Threshold(value, min(value, low or value), max(value, high or value), len(target), aim)


def reaches(config: ThresholdConfig, target: np.ndarray, probability: np.ndarray) -> float | None:
    """The highest precision of any threshold, where that is below the stated one; otherwise None."""
    if config.by != "recall_at_precision":
        return None
    cuts = _Cuts(target, np.asarray(probability, np.float64))
    best = float(cuts.precision(np.ones((1, len(target))))[0, 1:].max())
    return best if best < config.precision else None


class _Cuts:
    """All thresholds that tell rows apart, from the one above every probability down."""

    def __init__(self, target: np.ndarray, probability: np.ndarray) -> None:
        self._order = np.argsort(-probability, kind="stable")
        ordered = probability[self._order]
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._positive = (target[self._order] == 1).astype(np.float64)
        values = ordered[self._ends]
        between = (values[:-1] + values[1:]) / 2
        self.thresholds = np.concatenate([[np.nextafter(values[0], 2.0)], between, [0.0]])

    def _sums(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R, T + 1): the weight of the events, and of all rows, for which each cut predicts the event."""
        w = weights[:, self._order]
        sums = (np.cumsum(w * self._positive, 1)[:, self._ends], np.cumsum(w, 1)[:, self._ends])
        hits, alarms = (np.concatenate([np.zeros((len(w), 1)), one], 1) for one in sums)
        return hits, alarms

    def precision(self, weights: np.ndarray) -> np.ndarray:
        """(R, T + 1); 0 where nothing is predicted."""
        return _precision(*self._sums(weights))

    def best(self, config: ThresholdConfig, weights: np.ndarray) -> np.ndarray:
        """(R,) the thresholds that serve the aim best; the highest of equal ones."""
        hits, alarms = self._sums(weights)
        events, rows = hits[:, -1:], alarms[:, -1:]
        if config.by == "f1":
            gain = 2 * hits / np.maximum(alarms + events, 1e-300)
        elif config.by == "cost":
            costs = config.costs
            gain = -(
                costs.true_positive * hits
                + costs.false_positive * (alarms - hits)
                + costs.false_negative * (events - hits)
                + costs.true_negative * (rows - alarms - events + hits)
            )
        elif config.by == "top_share":
            gain = np.where(alarms <= config.share * rows + 1e-9, alarms, -alarms)
            gain[:, 0] = -np.inf  # some rows are always chosen
        else:
            precision = _precision(hits, alarms)
            reached = precision >= config.precision
            gain = np.where(reached, 1 + hits, np.where(reached.any(1, keepdims=True), -1.0, precision))
        return self.thresholds[np.argmax(gain, 1)]


def _precision(hits: np.ndarray, alarms: np.ndarray) -> np.ndarray:
    return np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0)


def labels(threshold: Threshold, probability: np.ndarray) -> np.ndarray:
    """(N, 2) of 0 and 1: what is predicted of each row."""
    event = (np.asarray(probability, np.float64) >= threshold.value).astype(np.float64)
    return np.stack([1 - event, event], 1)


def measure_threshold(
    task: TaskName,
    threshold: Threshold,
    config: ThresholdConfig,
    classes: Sequence[str],
    target: np.ndarray,
    prediction: np.ndarray,
    resamples: int,
    units: Units,
) -> ThresholdResult:
    """What the predicted classes are worth on test rows."""
    predicted = labels(threshold, prediction[:, 1])
    measured = measure(task, target, predicted, resamples, units=units)
    metrics = {name: measured[name] for name in MEASURED}
    metrics |= {name: Estimate(one.value) for name, one in metrics.items() if one.is_point}
    metrics |= {"predicted_share": _mean(predicted[:, 1], resamples, units)}
    if config.by == "cost":
        metrics |= {"cost": _mean(_costs(config, target, predicted[:, 1]), resamples, units)}
    interval_text = f"[{number_text(threshold.low, 1)}, {number_text(threshold.high, 1)}]"
    value = f"threshold {number_text(threshold.value, 1)} {interval_text} for {threshold.aim}"
    text = f"{value}, chosen on {threshold.rows:,} validation rows; on the test rows {_clause(metrics, classes[1])}"
    return ThresholdResult(threshold.value, threshold.low, threshold.high, threshold.aim, metrics, text)


def _clause(metrics: dict[str, Estimate], event: str) -> str:
    names = [name for name in ("cost", "precision", "recall", "f1") if name in metrics]
    parts = [f"{name} {_text(metrics[name])}" for name in names]
    share = metrics["predicted_share"].value or 0.0
    return f"{', '.join(parts)}, and {100 * share:.3g} % of them are predicted {event}"


def _text(one: Estimate) -> str:
    ends = "" if one.low is None else f" [{number_text(one.low, 1)}, {number_text(one.high, 1)}]"
    return f"{number_text(one.value, 1)}{ends}"


def _costs(config: ThresholdConfig, target: np.ndarray, event: np.ndarray) -> np.ndarray:
    """(N,)."""
    costs = config.costs
    alarm = np.where(target == 1, costs.true_positive, costs.false_positive)
    return np.where(event == 1, alarm, np.where(target == 1, costs.false_negative, costs.true_negative))


def _mean(values: np.ndarray, resamples: int, units: Units) -> Estimate:
    value = float(values.mean())
    mean = Statistic(Columns(lambda values: [values], values), lambda sums: sums[0] / sums[1])
    draws = Bootstrap(units, resamples, 0).draws({"mean": mean}, {"mean": value})["mean"]
    return Estimate(value, *interval(draws, units.count))
