"""Why a metric has no value on some rows: an empty cell would leave people to guess."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.evaluate.metrics import METRICS
from headway.evaluate.result import Metrics


def reasons(
    classes: Sequence[str],
    target: np.ndarray,
    prediction: np.ndarray,
    metrics: Metrics,
) -> dict[str, str]:
    """Each metric without a value, and why; ``target`` and ``prediction`` as in headway.evaluate.metrics."""
    return {name: _reason(name, classes, target, prediction) for name, one in metrics.items() if one.value is None}


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
    if METRICS[name].needs == "no zero" and (target == 0).any():
        return "an error cannot be a share of a target of 0"
    if METRICS[name].needs == "domain":
        return "a prediction or a target is not above 0"
    if METRICS[name].needs == "different values" and target.min() == target.max():
        return "every row has the same target"
    return "its value is not a finite number"
