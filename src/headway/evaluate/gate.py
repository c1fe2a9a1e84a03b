"""The gate: a candidate replaces the champion unless it may be worse than the stated margin.

This is a test of non-inferiority (Walker and Nowacki 2011, "Understanding Equivalence and Noninferiority Testing"): promoted when the lower
end of the paired 95 % bootstrap interval of (candidate - champion) lies above -margin, and every stated limit holds. A truly worse
candidate, by the margin or more, therefore passes at most 2.5 times in 100. A first model must beat the trivial baseline, its interval
clear of zero. Differences are positive when the candidate is better, whichever way the metric runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headway.data.config import Task
from headway.evaluate.config import GateConfig
from headway.evaluate.metrics import METRICS, differences, primary, shown, told
from headway.evaluate.slices import MIN_ROWS, groups


@dataclass(frozen=True)
class Decision:
    """Whether the candidate takes charge, and why; difference, low and high are None where no comparison was possible."""

    promoted: bool
    reason: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def decide(
    gate: GateConfig,
    task: Task,
    target: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray | None,
    trivial: np.ndarray,
    *,
    slice_values: Mapping[str, np.ndarray],
    latency_ms: float,
    size_mb: float,
    champion_label: str | None,
    resamples: int,
    seed: int,
) -> Decision:
    """Put the candidate's predictions for the test rows before the gate, beside the champion's for the same rows."""
    classes = candidate.shape[1] if candidate.ndim == 2 else 1
    metric = primary(task, classes, gate)
    other = trivial if champion is None else champion
    difference, low, high = differences(metric, target, candidate, other, resamples, seed)
    if not np.isfinite([difference, low, high]).all():
        reason = f"not promoted: {shown(metric)} is not defined on these test rows"
        return Decision(False, reason, metric, None, None, None)
    values = [METRICS[metric].value(target, p) for p in (candidate, other)]
    scale = max(values, key=abs)
    found = [told(x, scale, True) for x in (difference, low, high)]
    text = f"{shown(metric)} {told(values[0], scale)} against {{}} {told(values[1], scale)}, "
    text += f"difference {found[0]} [{found[1]}, {found[2]}]"
    broken = limits(gate, latency_ms, size_mb)
    if champion is None:
        beaten = low > 0
        text = text.format("the trivial baseline's")
        why = "the first model, better than the trivial baseline" if beaten else "it must beat the trivial baseline"
        promoted = beaten
    else:
        promoted = low > -gate.margin
        text = text.format(f"{'the champion' if champion_label is None else 'version ' + champion_label}'s")
        why = why_of(low, high, gate.margin)
        broken += _slices(gate, metric, target, candidate, champion, slice_values)
    if promoted and broken:
        promoted, why = False, "; ".join(broken)
    return Decision(
        promoted, f"{'promoted' if promoted else 'not promoted'}: {text}; {why}", metric, difference, low, high
    )


def why_of(low: float, high: float, margin: float) -> str:
    """What an interval says about a margin."""
    if low > 0:
        return "better"
    if low > -margin:
        return f"not worse than the margin {margin:g}"
    if high < -margin:
        return f"worse than the margin {margin:g}"
    return f"it may be worse than the margin {margin:g}: the test rows cannot tell"


def limits(gate: GateConfig, latency_ms: float, size_mb: float) -> list[str]:
    """The stated limits that are broken, one line each."""
    broken = []
    if gate.max_latency_ms is not None and latency_ms > gate.max_latency_ms:
        broken.append(f"1,000 rows take {latency_ms:.1f} ms, more than gate.max_latency_ms {gate.max_latency_ms:g}")
    if gate.max_size_mb is not None and size_mb > gate.max_size_mb:
        broken.append(f"its files take {size_mb:.1f} MB, more than gate.max_size_mb {gate.max_size_mb:g}")
    return broken


def _slices(
    gate: GateConfig,
    metric: str,
    target: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray,
    slice_values: Mapping[str, np.ndarray],
) -> list[str]:
    """The worst slice, if it lost more than the slice margin."""
    if gate.slice_margin is None:
        return []
    worst: tuple[float, str] | None = None
    for column, values in slice_values.items():
        for name, rows in groups(values).items():
            if rows.sum() < MIN_ROWS:
                continue
            difference, _, _ = differences(metric, target[rows], candidate[rows], champion[rows], 2)
            if np.isfinite(difference) and (worst is None or difference < worst[0]):
                worst = difference, f"{column} = {name}"
    if worst is None or worst[0] >= -gate.slice_margin:
        return []
    return [f"{worst[1]} loses {-worst[0]:.4f}, more than gate.slice_margin {gate.slice_margin:g}"]
