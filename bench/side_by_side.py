"""Two things measured in turns, A B B A, and the ratio of their times with a bootstrap interval.

Times differ from machine to machine and drift within a run; the ratio of neighbours does not, so only ratios are kept.
Within A B B A a linear drift of the machine's speed cancels; each such block gives one ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headway.base import write_json

RESULTS = Path(__file__).parent / "results"

Work = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """Seconds of ours over seconds of the anchor, below 1 where ours is faster, with its 95 % interval.

    ``goal`` is what the ratio must be at most; it is met when the whole interval is.
    """

    ratio: float
    low: float
    high: float
    goal: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met beyond the noise; None without one."""
        return None if self.goal is None else self.high <= self.goal


def compare(
    ours: Work,
    anchor: Work,
    pairs: int,
    goal: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Run both ``2 * pairs`` times in turns after one unmeasured run each. A work may return its own seconds as a float.

    Returning seconds leaves a work's set-up out of the measure.
    """
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1, however it is {pairs}")
    ours(), anchor()
    logs = []
    for _ in range(pairs):
        a, b, c, d = (_seconds(work, clock) for work in (ours, anchor, anchor, ours))
        logs.append(0.5 * np.log((a * d) / (b * c)))
    return summarise(np.array(logs), goal)


def _seconds(work: Work, clock: Callable[[], float]) -> float:
    start = clock()
    told = work()
    return told if isinstance(told, float) else clock() - start


def summarise(logs: np.ndarray, goal: float | None = None, resamples: int = 10_000, seed: int = 0) -> Ratio:
    """Geometric mean of ratios from their logarithms (P,), with the percentile bootstrap's 95 % interval."""
    rng = np.random.default_rng(seed)
    means = logs[rng.integers(0, len(logs), (resamples, len(logs)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Ratio(float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high)), goal)


def write(name: str, ratios: Mapping[str, Ratio], folder: Path = RESULTS) -> Path:
    """Keep ratios as `bench/results/NAME.json`, with what is needed to judge them and no name of a host."""
    path = folder / f"{name}.json"
    shown = {
        label: {"ratio": r.ratio, "low": r.low, "high": r.high, "goal": r.goal, "met": r.met}
        for label, r in ratios.items()
    }
    write_json(path, {"name": name, "machine": machine(), "ratios": shown})
    return path


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    from headway.environment import environment

    found = environment()
    return {
        "cpu": found["cpu"],
        "cores": found["cores"],
        "memory_gib": round(found["memory_bytes"] / 2**30),
        "gpus": found["gpus"],
        "python": found["python"],
        "torch": found["packages"].get("torch"),
    }
