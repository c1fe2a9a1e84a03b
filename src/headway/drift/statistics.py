"""How far apart two samples' shares are, and how far chance alone would put them.

Population stability index: sum over bins of (p - q) ln(p / q), symmetric (Jeffreys 1946). The limits 0.1 and 0.25 are the credit
scorers' rule of thumb (Siddiqi, Credit Risk Scorecards, 2006). Where both samples, of n and m rows in B bins, are of one
distribution, PSI / (1/n + 1/m) is about chi-squared with B - 1 degrees of freedom (Yurdakul, Statistical properties of population
stability index, 2018), so that PSI has the mean (B - 1)(1/n + 1/m). The squared Jensen-Shannon distance in base 2 is
PSI / (8 ln 2) to second order, hence has the same law.
"""

from __future__ import annotations

import math

import numpy as np

EMPTY = 0.5
"""What an empty bin counts where the other sample's is not empty, so that the logarithm stays finite."""


def psi(one: np.ndarray, other: np.ndarray) -> float:
    """The index of two rows of counts, (bins,) each. Bins that are empty in both are left out; NaN without rows."""
    one, other = _both(one, other)
    if not one.sum() or not other.sum():
        return math.nan
    p, q = _filled(one), _filled(other)
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """The distance of two rows of counts, (bins,) each: 0 for equal shares, 1 for none in common; NaN without rows."""
    from scipy.spatial.distance import jensenshannon

    if not np.sum(one) or not np.sum(other):
        return math.nan
    return float(np.nan_to_num(jensenshannon(one, other, base=2)))


def expected_psi(one: np.ndarray, other: np.ndarray) -> float:
    """The index's mean where nothing has changed."""
    one, other = _both(one, other)
    return float(max(0, len(one) - 1) * (1 / one.sum() + 1 / other.sum()))


def critical_psi(one: np.ndarray, other: np.ndarray, false_alarms: float) -> float:
    """What the index exceeds in a share ``false_alarms`` of the cases where nothing has changed."""
    from scipy.stats import chi2

    one, other = _both(one, other)
    if len(one) < 2:
        return 0.0
    return float(chi2.isf(false_alarms, len(one) - 1) * (1 / one.sum() + 1 / other.sum()))


def without_noise(distance: float, expected: float) -> float:
    """A Jensen-Shannon distance less the part that an expected index of chance alone explains."""
    return math.sqrt(max(0.0, distance**2 - expected / (8 * math.log(2))))


def most_by_chance(rows: int, share: float, false_alarms: float) -> float:
    """The share that a sample of ``rows`` exceeds in ``false_alarms`` of the cases where the true one is ``share``."""
    from scipy.stats import binom

    share = min(1.0, max(0.0, share))
    return min(1.0, float(binom.isf(false_alarms, rows, share)) / rows) if rows else 1.0


def least_by_chance(rows: int, share: float, false_alarms: float) -> float:
    """The counterpart of most_by_chance: what a sample's share falls below as rarely."""
    from scipy.stats import binom

    share = min(1.0, max(0.0, share))
    return max(0.0, float(binom.ppf(false_alarms, rows, share)) / rows) if rows else 0.0


def _both(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.asarray(one, float), np.asarray(other, float)
    kept = (one > 0) | (other > 0)
    return one[kept], other[kept]


def _filled(counts: np.ndarray) -> np.ndarray:
    filled = np.where(counts == 0, EMPTY, counts)
    return filled / filled.sum()
