"""Intervals where rows belong together, whose errors therefore go together."""

from __future__ import annotations

import numpy as np

from headway.evaluate.resample import Units
from headway.serve.interval import Interval


def rows_of(groups: int, each: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (N, 3) that tell the group and nothing of its noise, residuals (N,) and groups (N,)."""
    group = np.repeat(np.arange(groups), each)
    noise = np.exp(rng.normal(0, 0.8, groups))
    return rng.normal(size=(groups, 3))[group], noise[group] * rng.normal(size=len(group)), group


def test_groups_that_inputs_give_away_do_not_make_intervals_narrow_for_new_groups() -> None:
    covered = {True: [], False: []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        inputs, residuals, group = rows_of(50, 60, rng)
        new_inputs, new, _ = rows_of(200, 10, rng)
        prediction, of_new = rng.normal(size=len(residuals)), rng.normal(size=len(new))
        for together in covered:
            interval = Interval.fit(
                prediction, prediction + residuals, inputs=inputs, units=Units.of("group", group) if together else None
            )
            assert interval is not None
            low, high = interval.bounds(of_new, lambda new_inputs=new_inputs: new_inputs)
            covered[together].append(np.mean((of_new + new > low) & (of_new + new < high)))
    assert np.mean(covered[True]) > 0.87
    assert np.mean(covered[False]) < 0.85  # what groups are for
