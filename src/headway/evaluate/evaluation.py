"""Measures the model, the baselines and the champion on the test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from headway.evaluate.calibration import reliability
from headway.evaluate.classes import event_rate, measure_classes
from headway.evaluate.config import GateConfig
from headway.evaluate.metrics import METRICS, differences, measure, number_text, primary, title_of, value_of
from headway.evaluate.resample import Units
from headway.evaluate.result import (
    BaselineResult,
    ChampionResult,
    Estimate,
    Evaluation,
    Metrics,
    ReferenceResult,
    UnitCount,
)
from headway.evaluate.slices import SliceValues, measure_slices
from headway.evaluate.standing import Standing
from headway.evaluate.undefined import reasons
from headway.machine.cores import allowed_cores
from headway.tasks import TaskName, task_of


@dataclass(frozen=True)
class Reference:
    """A column that holds a score already, and what it says of the test rows, as predictions."""

    column: str
    scores: np.ndarray


def evaluate(
    task: TaskName,
    gate: GateConfig,
    classes: Sequence[str],
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    units: Units,
    seconds: Mapping[str, float],
    slice_values: Mapping[str, SliceValues],
    reference: Reference | None,
    model_name: str,
    resamples: int,
    further: Sequence[str] = (),
) -> Evaluation:
    """Measure `model` and every baseline of ``predictions`` on the test rows; the champion is added by ``beside``.

    ``further``: metrics beside those that are always measured.
    """
    metric = primary(task, len(classes), gate.metric, target)

    def measured_on(name: str) -> Metrics:
        return measure(task, target, predictions[name], resamples, units=units, further=further)

    # numpy lets go of the interpreter's lock; more threads than cores only hold more memory.
    with ThreadPoolExecutor(len(allowed_cores())) as pool:
        of_slices = pool.submit(
            measure_slices, task, target, predictions["model"], slice_values, resamples, units, classes, further=further
        )
        measured = dict(zip(predictions, pool.map(measured_on, predictions), strict=True))
    ordered = {name: _first(values, metric) for name, values in measured.items()}
    baselines = {name: values for name, values in ordered.items() if name != "model"}
    event, default = task_of(task).event(predictions["model"]), task_of(task).default_metric(len(classes))
    return Evaluation(
        task=task,
        primary=metric,
        rows=task_of(task).count(predictions["model"]),
        units=UnitCount(units.name, units.count, units.note),
        classes=tuple(classes),
        metrics=ordered["model"],
        undefined={name: reasons(classes, target, predictions[name], m) for name, m in ordered.items()},
        baselines={name: BaselineResult(m, seconds.get(name)) for name, m in baselines.items()},
        slices=of_slices.result(),
        per_class=measure_classes(classes, target, predictions["model"], resamples, units),
        event=None if event is None else event_rate(classes, target, rare=gate.metric is None and metric != default),
        calibration=() if event is None else reliability(target, event),
        reference=_reference(task, metric, target, predictions["model"], reference, units, resamples, further),
        earns_its_keep=_standing(metric, target, predictions, baselines, resamples, model_name, units),
    )


def beside(
    evaluation: Evaluation,
    champion: ChampionResult,
    target: np.ndarray,
    prediction: np.ndarray,
    *,
    units: Units,
    rows: np.ndarray,
    resamples: int,
) -> Evaluation:
    """The evaluation with the version that the model is compared with, measured on ``rows`` (N,) bool alone."""
    if not rows.any():
        return replace(evaluation, champion=champion)
    subset = target[rows], prediction[rows]
    further = [name for name in evaluation.metrics if METRICS[name] not in task_of(evaluation.task).metrics]
    measured = measure(evaluation.task, *subset, resamples, units=units.take(rows), further=further)
    metrics = _first(measured, evaluation.primary)
    undefined = {**evaluation.undefined, "champion": reasons(evaluation.classes, *subset, metrics)}
    return replace(evaluation, undefined=undefined, champion=replace(champion, metrics=metrics))


def _first(values: Metrics, metric: str) -> dict[str, Estimate]:
    """The metric that decides before the others."""
    return {metric: values[metric], **{k: v for k, v in values.items() if k != metric}}


def _reference(
    task: TaskName,
    metric: str,
    target: np.ndarray,
    model: np.ndarray,
    reference: Reference | None,
    units: Units,
    resamples: int,
    further: Sequence[str],
) -> ReferenceResult | None:
    """The score that a column of the data holds already, beside the model's."""
    if reference is None:
        return None
    metrics = measure(task, target, reference.scores, resamples, units=units, further=further)
    own = value_of(METRICS[metric], target, model)
    score, model_score = (number_text(value, own or 0.0) for value in (metrics[metric].value, own))
    text = f"{reference.column} reaches {title_of(metric)} {score} on the same rows, the model {model_score}"
    return ReferenceResult(reference.column, _first(metrics, metric), text)


def _standing(
    metric: str,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    baselines: Mapping[str, Metrics],
    resamples: int,
    model_name: str,
    units: Units,
) -> Standing | None:
    """The model beside the best of the baselines, itself left out; None where there is none, or too few units tell of a difference."""
    values = {
        name: m[metric].value
        for name, m in baselines.items()
        if name != model_name or not np.allclose(predictions[name], predictions["model"], rtol=1e-3, atol=1e-3)
    }
    defined = {name: value for name, value in values.items() if value is not None}
    if not defined:
        return None
    best = (max if METRICS[metric].higher_is_better else min)(defined, key=lambda name: defined[name])
    difference, low, high = differences(metric, target, predictions["model"], predictions[best], resamples, units=units)
    if not np.isfinite([difference, low, high]).all():
        return None
    own = METRICS[metric].value(target, predictions["model"])
    scale = max(own, defined[best], key=abs)
    numbers = f"{title_of(metric)} {number_text(own, scale)} against {number_text(defined[best], scale)}"
    numbers += f", difference {number_text(difference, scale, True)} [{number_text(low, scale, True)}, {number_text(high, scale, True)}]"
    return Standing.of(model_name, best, numbers, difference, low, high)
