"""How far apart two samples' shares are, and how far chance alone would put them.

Population stability index: sum over bins of (p - q) ln(p / q), symmetric (Jeffreys 1946). The limits 0.1 and 0.25 are the credit
scorers' rule of thumb (Siddiqi, Credit Risk Scorecards, 2006). Where both samples, of n and m rows in B bins, are of one
distribution, PSI / (1/n + 1/m) is about chi-squared with B - 1 degrees of freedom (Yurdakul, Statistical properties of population
stability index, 2018), so that PSI has the mean (B - 1)(1/n + 1/m). The squared Jensen-Shannon distance in base 2 is
PSI / (8 ln 2) to second order, hence has the same law.

Where rows belong together, PSI is about a sum of independent chi-squared values of one degree of freedom, each times d/n + d'/m with the
design effects d and d' of one contrast of the bins (Rao and Scott 1981; see clusters). The sum's law is that of a scaled
and moved chi-squared value with the same three moments (Hall 1983; Buckley and Eagleson 1988). The largest effects of both samples are
taken to be of one contrast, which makes the tail longer, never shorter. Few units leave the effects themselves uncertain: F takes
the place of chi-squared (Thomas and Rao 1987), with the degrees of freedom of the units alone, since what differs from unit to unit is
mostly one contrast: with as many for each contrast, unchanged rows raised an alarm 9 to 25 times in 100, not 5, against 3 to 5 days.
"""

from __future__ import annotations

import math

import numpy as np

from headway.watch.clusters import Related

EMPTY = 0.5
"""What an empty bin counts where the other sample's is not empty, so that the logarithm stays finite, in independent rows."""


def psi(one: np.ndarray, other: np.ndarray, related: Related | None = None) -> float:
    """The index of two rows of counts, (bins,) each. Bins that are empty in both are left out; NaN without rows.

    Of ``related`` rows a bin of less than half an independent row counts as half of one, as an empty bin does of independent rows.
    """
    one, other = _both(one, other)
    if not one.sum() or not other.sum():
        return math.nan
    first, second = (1.0, 1.0) if related is None else related.means
    p, q = _fill(one, first), _fill(other, second)
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """The distance of two rows of counts, (bins,) each: 0 for equal shares, 1 for none in common; NaN without rows."""
    from scipy.spatial.distance import jensenshannon

    if not np.sum(one) or not np.sum(other):
        return math.nan
    return float(np.nan_to_num(jensenshannon(one, other, base=2)))


def expected_psi(one: np.ndarray, other: np.ndarray, related: Related | None = None) -> float:
    """The index's mean where nothing has changed. ``related``: which rows are not independent; None where all are."""
    one, other = _both(one, other)
    contrasts = max(0, len(one) - 1)
    if related is None or not contrasts:
        return float(contrasts * (1 / one.sum() + 1 / other.sum()))
    return float(_weights(one, other, related).sum())


def critical_psi(one: np.ndarray, other: np.ndarray, false_alarms: float, related: Related | None = None) -> float:
    """What the index exceeds in a share ``false_alarms`` of the cases where nothing has changed."""
    from scipy.stats import chi2

    one, other = _both(one, other)
    if len(one) < 2:
        return 0.0
    if related is None:
        return float(chi2.isf(false_alarms, len(one) - 1) * (1 / one.sum() + 1 / other.sum()))
    return weighted_chi2(_weights(one, other, related), related.correlation.samples - 1, false_alarms)


def weighted_chi2(weights: np.ndarray, freedom: int, tail: float) -> float:
    """What a sum of chi-squared values of one degree of freedom, (B,) ``weights`` times each, exceeds in a share ``tail`` of the cases.

    ``freedom``: degrees of freedom of the samples from which the weights were estimated.
    """
    from scipy.stats import chi2, f

    mean, squares, cubes = (float((weights**power).sum()) for power in (1, 2, 3))
    degrees = squares**3 / cubes**2
    limit = float(chi2.isf(tail, degrees))
    is_exact = mean + math.sqrt(squares / degrees) * (limit - degrees)
    return is_exact * float(f.isf(tail, degrees, freedom)) * degrees / limit if freedom > 0 else math.inf


def _weights(one: np.ndarray, other: np.ndarray, related: Related) -> np.ndarray:
    first, second = related.effects(len(one) - 1)
    return first / one.sum() + second / other.sum()


def without_noise(distance: float, expectation: float) -> float:
    """A Jensen-Shannon distance less the part that an expected index of chance alone explains."""
    return math.sqrt(max(0.0, distance**2 - expectation / (8 * math.log(2))))


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
    pair = (one > 0) | (other > 0)
    return one[pair], other[pair]


def _fill(counts: np.ndarray, effect: float) -> np.ndarray:
    fewest = EMPTY * effect
    padded_counts = np.where((counts == 0) | ((effect > 1) & (counts < fewest)), fewest, counts)
    return padded_counts / padded_counts.sum()
