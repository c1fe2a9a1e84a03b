"""Intervals of few unequal units: moved outward to where the bootstrap-t interval ends, where that is further out.

Where a few units are very large or very bad, a sample that misses them looks better than it is, and its spread is small too. Draws of
the mean do not show that, but draws of (mean - value) / (their own standard error) do (Efron and Tibshirani 1993, "An Introduction to
the Bootstrap", chapter 12). A statistic is taken as a ratio of sums over units, which means are exactly; each unit's part is found by
leaving it out.

Shapes: N rows, U units, R resamples.
"""

from __future__ import annotations

import numpy as np

from headway.tasks.metric import Weighted

MOST_UNITS = 300
"""Of more units the mean is nearly normal, and leaving out each of them takes long."""

MOST_STUDENTS = 3.0
"""The ends are at most so many of Student's half widths away: a draw of units that are all alike has no spread to divide by."""


def widened(
    low: float | None,
    high: float | None,
    value: float,
    statistic: Weighted,
    codes: np.ndarray,
    sizes: np.ndarray,
    resamples: int,
    seed: int,
) -> tuple[float | None, float | None]:
    """The ends of an interval of ``value``, moved outward. ``codes`` (N,) from 0: the rows' units; ``sizes`` (N,): their weights."""
    count = int(codes.max(initial=-1)) + 1
    if low is None or high is None or not 2 <= count <= MOST_UNITS:
        return low, high
    whole = float(statistic(np.ones((1, len(codes))))[0])
    without = np.array([float(statistic((codes != unit)[None].astype(np.float64))[0]) for unit in range(count)])
    if not np.isfinite(without).all():  # an AUC, say, of which one group holds all positives
        return low, high
    size = np.bincount(codes, sizes, count)
    error = float(np.sqrt((count - 1) * without.var()))  # the jackknife's: of unequal units it is the larger one
    lower, upper = _ends(whole * size.sum() - without * (size.sum() - size), size, resamples, seed)
    return min(low, value - error * upper), max(high, value - error * lower)


def _ends(sums: np.ndarray, sizes: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """The 2.5 and 97.5 % points of a ratio's distance from its value in its standard errors; ``sums`` and ``sizes`` (U,)."""
    from scipy.special import stdtrit

    count = len(sums)
    draws = np.random.default_rng([seed, 3]).multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)
    ratio, error = _ratios(np.ones((1, count)), sums, sizes)
    ratios, errors = _ratios(draws, sums, sizes)
    spread = errors > 1e-9 * error[0]
    if not spread.any():
        return 0.0, 0.0
    lower, upper = np.quantile((ratios[spread] - ratio[0]) / errors[spread], [0.025, 0.975])
    most = MOST_STUDENTS * -float(stdtrit(count - 1, 0.025))
    return max(float(lower), -most), min(float(upper), most)


def _ratios(draws: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R,) ratios and their standard errors, of units drawn so often, (R, U)."""
    count, total = len(sums), draws @ sizes
    ratios = draws @ sums / total
    squares = draws @ sums**2 - 2 * ratios * (draws @ (sums * sizes)) + ratios**2 * (draws @ sizes**2)
    return ratios, np.sqrt(np.maximum(squares, 0.0) * count / (count - 1)) / total
