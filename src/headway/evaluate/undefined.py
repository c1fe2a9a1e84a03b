"""Why a metric has no value on some rows: an empty cell would leave people to guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headway.evaluate.metrics import METRICS


def reasons(
    classes: Sequence[str],
    target: np.ndarray,
    prediction: np.ndarray,
    measured: Mapping[str, Mapping[str, float | None]],
) -> dict[str, str]:
    """Each metric of ``measured`` without a value, and why; ``target`` and ``prediction`` as in headway.evaluate.metrics."""
    return {
        name: _reason(name, classes, target, prediction) for name, values in measured.items() if values["value"] is None
    }


def _reason(name: str, classes: Sequence[str], target: np.ndarray, prediction: np.ndarray) -> str:
    if len(target) == 0:
        return "there is no row"
    if not np.isfinite(prediction).all():
        return "a prediction is not a finite number"
    if METRICS[name].needs == "every class":
        present = set(np.unique(target).tolist())
        missing = [str(label) for code, label in enumerate(classes) if code not in present]
        if missing:
            return f"no row has the class {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
    if len(target) < 2:
        return "there is only one row"
    if METRICS[name].needs == "different values" and target.min() == target.max():
        return "every row has the same target"
    return "its value is not a finite number"


def lines(evaluation: Mapping[str, Any]) -> list[str]:
    """What an evaluation could not measure, and why: one line for each reason, for any page."""
    places: dict[tuple[str, str], list[str]] = {}
    for model, metrics in (evaluation.get("undefined") or {}).items():
        for name, why in metrics.items():
            places.setdefault((why, "" if model == "model" else f" for {model}"), []).append(name.replace("_", " "))
    shared = {why: names for (why, model), names in places.items() if not model}
    told = [
        f"undefined{model}: {', '.join(names)} ({why})"
        for (why, model), names in places.items()
        if not model or shared.get(why) != names  # what is undefined for every model is said once
    ]
    return [*told, *_of_slices(evaluation)]


def _of_slices(evaluation: Mapping[str, Any]) -> list[str]:
    metric = str(evaluation.get("primary"))
    slices: dict[str, list[str]] = {}
    for column, groups in (evaluation.get("slices") or {}).items():
        for name, group in groups.items():
            why = (group.get("undefined") or {}).get(metric)
            if why is not None:
                slices.setdefault(why, []).append(f"{column} = {name}")
    return [f"undefined: {metric.replace('_', ' ')} where {', '.join(names)} ({why})" for why, names in slices.items()]
