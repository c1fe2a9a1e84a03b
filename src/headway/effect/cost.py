"""The cost of a run of the project with a technique: the time until it is ready, then the time to the target quality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.effect.lab import Session
from headway.effect.statistics import Interval
from headway.effect.technique import Setting


def ready_seconds(sessions: Sequence[Session]) -> tuple[float, float]:
    """Until the baseline and the variant are ready: medians, because only the first compiles and the others reuse its code."""
    first, second = np.median([session.startup for session in sessions], axis=0)
    return float(first), float(second)


def run_seconds(sessions: Sequence[Session], setting: Setting) -> float:
    """The steps of a whole run of the baseline."""
    row = float(np.median([np.median(session.blocks[:, [0, 3]]) for session in sessions]))
    return row * setting.counts * setting.epochs


def cost_ratio(effect: Interval, sessions: Sequence[Session], setting: Setting) -> Interval:
    """The variant's cost over the baseline's, on one machine: the ratio of all the time that it is occupied.

    ``effect``: the ratio of their times to the target.
    """
    before, after = ready_seconds(sessions)
    run = run_seconds(sessions, setting)

    def of(ratio: float) -> float:
        return (after + run * ratio) / (before + run)

    low = of(effect.low) if effect.low > 0 else 0.0  # the time to be ready says nothing about the rest
    return Interval(of(effect.value), low, of(effect.high), effect.p)


def money(ratio: Interval, sessions: Sequence[Session], setting: Setting) -> tuple[float, float] | None:
    """A run's price with the baseline and with the variant, in the currency of train.price_per_hour; None where that is not known."""
    price = setting.recipe.price_per_hour
    if not price:
        return None
    baseline = price * (ready_seconds(sessions)[0] + run_seconds(sessions, setting)) / 3600
    return baseline, baseline * ratio.value
