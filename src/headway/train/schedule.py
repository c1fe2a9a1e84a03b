"""The step size over a run, as a pure function of the step: nothing to save, nothing to resume."""

from __future__ import annotations

import math

from headway.train.recipe import Recipe

ONE_CYCLE_WARMUP = 0.3
ONE_CYCLE_START = 1 / 25
"""Smith and Topin 2018 (arXiv:1708.07120), with the shares that torch's OneCycleLR takes."""


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """The share of the learning rate for optimizer step ``step`` (from 0) of ``steps``.

    `linear` falls from 1 to ``final_rate`` along a line, which ends lower than a cosine where it ends at zero (Bergsma et al. 2025,
    arXiv:2502.15938). `cosine` falls likewise along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983); `one_cycle` rises from
    1/25 along a cosine, then falls along another. ``warmup`` is a linear rise before the first two, or before a constant rate.
    """
    last = max(1, steps - 1)
    warm = recipe.warmup
    if recipe.schedule == "one_cycle":
        rise = (warm or ONE_CYCLE_WARMUP) * last
        if step < rise:
            return _cosine(ONE_CYCLE_START, 1.0, step / rise)
        return _cosine(1.0, recipe.final_rate, min(1.0, (step - rise) / max(1e-9, last - rise)))
    rise = warm * steps
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    if recipe.schedule == "constant":
        return 1.0
    fallen = min(1.0, (step - rise) / max(1e-9, last - rise))
    if recipe.schedule == "linear":
        return 1.0 + (recipe.final_rate - 1.0) * fallen
    return _cosine(1.0, recipe.final_rate, fallen)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
