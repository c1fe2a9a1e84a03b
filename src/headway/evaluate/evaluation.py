"""Everything that is measured on the test rows, as one JSON value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from headway.data.config import Task
from headway.evaluate.calibration import reliability
from headway.evaluate.config import EvaluateConfig, GateConfig
from headway.evaluate.metrics import METRICS, differences, measure, primary, shown, told
from headway.evaluate.slices import measure_slices
from headway.evaluate.undefined import reasons


def evaluate(
    task: Task,
    config: EvaluateConfig,
    gate: GateConfig,
    classes: Sequence[str],
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    seconds: Mapping[str, float],
    slice_values: Mapping[str, np.ndarray],
    reference: np.ndarray | None,
    model_name: str,
    champion_version: str | None,
) -> dict[str, Any]:
    """Measure `model`, `champion` (where there is one) and every baseline of ``predictions`` on the same rows."""
    metric = primary(task, len(classes), gate)
    with ThreadPoolExecutor() as pool:  # numpy lets go of the interpreter's lock
        done = pool.map(lambda values: measure(task, target, values, config.resamples), predictions.values())
        measured = dict(zip(predictions, done, strict=True))
    ordered = {name: _first(values, metric) for name, values in measured.items()}
    baselines = {name: ordered[name] for name in predictions if name not in ("model", "champion")}
    champion = None
    if "champion" in ordered:
        champion = {"version": champion_version, "metrics": ordered["champion"]}
    calibration = []
    if task == "classification" and len(classes) == 2:
        calibration = reliability(target, predictions["model"][:, 1])
    return {
        "task": task,
        "primary": metric,
        "rows": len(target),
        "classes": list(classes),
        "metrics": ordered["model"],
        "undefined": {name: reasons(task, classes, target, predictions[name], m) for name, m in ordered.items()},
        "baselines": {name: {"metrics": m, "seconds": seconds.get(name)} for name, m in baselines.items()},
        "champion": champion,
        "slices": measure_slices(task, target, predictions["model"], slice_values, classes),
        "calibration": calibration,
        "reference": _reference(task, config, metric, target, predictions["model"], reference),
        "earns_its_keep": _earns(metric, target, predictions, baselines, config.resamples, model_name),
    }


def _first(values: dict[str, Any], metric: str) -> dict[str, Any]:
    """The metric that decides before the others."""
    return {metric: values[metric], **{k: v for k, v in values.items() if k != metric}}


def _reference(
    task: Task, config: EvaluateConfig, metric: str, target: np.ndarray, model: np.ndarray, reference: np.ndarray | None
) -> dict[str, Any] | None:
    """The score that a column of the data holds already, beside the model's."""
    if reference is None:
        return None
    metrics = measure(task, target, reference, config.resamples)
    own = METRICS[metric].value(target, model)
    text = f"{config.reference} reaches {shown(metric)} {told(metrics[metric]['value'], own)} on the same rows, the model {told(own, own)}"
    return {"column": config.reference, "metrics": _first(metrics, metric), "text": text}


def _earns(
    metric: str,
    target: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    baselines: Mapping[str, Any],
    resamples: int,
    model_name: str,
) -> dict[str, Any] | None:
    """Whether the model is better than the best of the baselines, said plainly."""
    known = {name: values[metric]["value"] for name, values in baselines.items() if values[metric]["value"] is not None}
    if not known:
        return None
    best = (max if METRICS[metric].higher_is_better else min)(known, key=lambda name: known[name])
    difference, low, high = differences(metric, target, predictions["model"], predictions[best], resamples)
    verdict = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
    own = METRICS[metric].value(target, predictions["model"])
    # Ours is LightGBM, the baseline scikit-learn's: the two must not be taken for one.
    subject, rival = (model_name, best) if model_name != best else ("LightGBM", f"scikit-learn's {best}")
    scale = max(own, known[best], key=abs)
    found = f"{shown(metric)} {told(own, scale)} against {told(known[best], scale)}"
    found += f", difference {told(difference, scale, True)} [{told(low, scale, True)}, {told(high, scale, True)}]"
    text = {
        "better": f"{subject} earns its keep: better than the best baseline, {rival} ({found})",
        "worse": f"{subject} does not earn its keep: the baseline {rival} is better ({found})",
        "not distinguishable": f"{subject} does not earn its keep: no better than the baseline {rival} ({found})",
    }[verdict]
    return {
        "verdict": verdict == "better",
        "outcome": verdict,
        "baseline": best,
        "difference": difference,
        "low": low,
        "high": high,
        "text": text,
    }
