"""Whether a technique keeps the quality: a non-inferiority test whose margin is itself uncertain.

The margin is two standard deviations of the baseline over its own seeds, and five seeds say little about a standard deviation: its 95 %
interval is .60 to 2.87 times the estimate. A margin that came out too large by chance would let a worse technique pass. So what is
tested is the sum of two estimates, difference + margin, with the interval of Zou and Donner (2008, doi:10.1002/sim.3095), which
recovers the variance of a sum from the two limits of its parts:

    low  = d + m - sqrt((d - d_low)² + (m - m_low)²)        high = d + m + sqrt((d_high - d)² + (m_high - m)²)

d with Student's interval, m with the chi-square interval of a standard deviation. *Equal*: the sum is above 0, the technique loses less
than the margin. *Worse*: it is below 0. *Better*: difference - margin is above 0. A p-value is the level at which the interval just
reaches 0.

The mean of normal differences is independent of the baseline's standard deviation, as the method needs; the width of its interval is not
where a technique's quality goes with the baseline's seed by seed. `tests/effect/test_equality.py` simulates that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headway.effect.corrections import holm
from headway.effect.statistics import ALPHA, Mean

MARGIN_DEVIATIONS = 2.0
"""The non-inferiority margin, in standard deviations of the baseline over its seeds: a difference that another seed can make."""

LEAST_MARGIN = 1e-4
"""The least margin, as a share of the baseline's mean quality, for seeds that agree in every digit."""

FINEST = 1e-9
"""The smallest p-value that is reported."""

Equality = Literal["equal", "better", "worse", "open"]


@dataclass(frozen=True)
class Margin:
    """The loss of quality that is allowed; ``freedom``: the degrees of freedom of its deviation, infinite where it is exact."""

    value: float
    freedom: float

    def limits(self, alpha: float) -> tuple[float, float]:
        """The chi-square interval, which misses with probability ``alpha``."""
        from scipy import stats

        if math.isinf(self.freedom):
            return self.value, self.value
        high, low = stats.chi2.ppf([alpha / 2, 1 - alpha / 2], self.freedom)
        return min(1.0, math.sqrt(self.freedom / low)) * self.value, max(
            1.0, math.sqrt(self.freedom / high)
        ) * self.value


def margin_of(qualities: np.ndarray) -> Margin:
    """The margin from the baseline's qualities (S,)."""
    spread = float(np.std(qualities, ddof=1)) if len(qualities) > 1 else 0.0
    least = LEAST_MARGIN * abs(float(np.mean(qualities)))
    if MARGIN_DEVIATIONS * spread <= least:
        return Margin(least, math.inf)
    return Margin(MARGIN_DEVIATIONS * spread, float(len(qualities) - 1))


@dataclass(frozen=True)
class Side:
    """On which side of a bound a difference lies, and the p-value of the bound itself."""

    above: bool
    p: float


def side_of(difference: Mean, margin: Margin, sign: int) -> Side:
    """Where the difference lies beside ``sign`` times the margin."""
    distance = difference.value - sign * margin.value

    def short(log_alpha: float) -> float:
        """By how much the interval reaches beyond 0 at this level."""
        alpha = math.exp(log_alpha)
        low, high = margin.limits(alpha)
        shrinks = (distance > 0) == (
            sign < 0
        )  # whether a smaller margin would bring the difference nearer to the bound
        of_margin = margin.value - low if shrinks else high - margin.value
        return math.hypot(difference.half_width(alpha), of_margin) - abs(distance)

    from scipy.optimize import brentq

    lowest = math.log(FINEST)
    if short(0.0) >= 0:
        p = 1.0
    elif short(lowest) < 0:
        p = FINEST
    else:
        p = math.exp(float(brentq(short, lowest, 0.0, xtol=1e-3)))
    return Side(distance > 0, p)


@dataclass(frozen=True)
class Comparison:
    """A difference of quality beside both bounds."""

    difference: Mean
    lower: Side
    upper: Side

    @classmethod
    def of(cls, difference: Mean, margin: Margin) -> Comparison:
        """The technique's quality minus the baseline's; larger is better."""
        return cls(difference, side_of(difference, margin, -1), side_of(difference, margin, 1))

    def judge(self, lower_p: float, upper_p: float) -> Equality:
        """The verdict, from p-values that are corrected for the number of verdicts."""
        if lower_p >= ALPHA:
            return "open"
        if not self.lower.above:
            return "worse"
        return "better" if self.upper.above and upper_p < ALPHA else "equal"

    def verdict_among(self, times: float) -> Equality:
        """The verdict as one of so many looks (Bonferroni)."""
        return self.judge(min(1.0, times * self.lower.p), min(1.0, times * self.upper.p))


def judge_together(comparisons: Mapping[str, Comparison]) -> dict[str, Equality]:
    """The verdicts of a study, which hold jointly: Holm's correction for each of the two bounds."""
    names = list(comparisons)
    lower, upper = (_holm([getattr(comparisons[name], bound) for name in names]) for bound in ("lower", "upper"))
    return {name: comparisons[name].judge(lower[at], upper[at]) for at, name in enumerate(names)}


def _holm(sides: Sequence[Side]) -> list[float]:
    return holm([side.p for side in sides])
