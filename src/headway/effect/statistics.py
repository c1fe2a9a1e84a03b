"""From samples to intervals and verdicts. The tests and distributions are SciPy's.

**Times.** One block A B B A gives one log-ratio; a linear drift cancels in it, and under "no effect" swapping the two names changes its
sign only, so that the Wilcoxon signed-rank test is exact whatever the noise looks like. The estimate is the Hodges-Lehmann median of
pairwise means (Hodges and Lehmann 1963), the interval the set of ratios that the test does not reject. Both shrug off windows in which the
machine did something else; the interval assumes that the noise is symmetric about the effect.

**Looking again.** A technique is looked at after growing numbers of blocks, at most ``looks`` times. Each look spends an equal part of the
error (Bonferroni), so that the interval holds at whichever look it was that settled the matter.

**Many techniques.** Verdicts hold for all techniques of a study together: Holm's correction (Holm 1979) of their p-values, which must then
be below 3 %.

**Quality.** Baseline and technique are trained with the same seeds; the differences of their quality have Student's interval. A technique
is of equal quality when that interval lies above minus the margin, which is fixed before, from the baseline's own seeds alone.

Shapes: N blocks, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

ALPHA = 0.05
CALLED = 0.03
"""A verdict needs a corrected p-value below this, so that of a hundred studies of nothing hardly ever more than five go wrong."""

LEAST = 0.01
"""A change of a time by less is not called an effect: two processes of the same program differ by as much."""

SAME = 0.02
"""A ratio whose interval lies within this of 1 is settled: whatever the effect is, it is smaller."""

MARGIN_DEVIATIONS = 2.0
"""The non-inferiority margin, in standard deviations of the baseline over its seeds: what another seed might do just as well."""

Verdict = Literal["helps", "hurts", "no measurable effect", "changes quality", "unsupported here", "not settled"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, and the p-value of "no effect"."""

    value: float
    low: float
    high: float
    p: float = 1.0

    @property
    def bounded(self) -> bool:
        """Whether there were enough samples for an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def to_json(self) -> dict[str, float | None]:
        """{"value", "low", "high", "p"}; no low and high where there is no interval."""
        low, high = (self.low, self.high) if self.bounded else (None, None)
        return {"value": self.value, "low": low, "high": high, "p": self.p}

    @classmethod
    def from_json(cls, told: Mapping[str, float | None]) -> Interval:
        """What to_json gave."""
        low, high = told["low"], told["high"]
        value, p = told["value"], told["p"]
        assert value is not None
        assert p is not None
        return cls(value, -math.inf if low is None else low, math.inf if high is None else high, p)


def log_ratios(blocks: np.ndarray) -> np.ndarray:
    """(N,): log of the second's time over the first's, from blocks (N, 4) of times in the order first second second first."""
    logs = np.log(blocks)
    return 0.5 * (logs[:, 1] + logs[:, 2] - logs[:, 0] - logs[:, 3])


def ratio(logs: np.ndarray, looks: int = 1) -> Interval:
    """The ratio of two times from log-ratios (N,), its 95 % interval at any of ``looks`` looks, and a p-value for all of them.

    With too few blocks for an interval at this level it is unbounded.
    """
    from scipy import stats

    n = len(logs)
    if n == 0:
        return Interval(1.0, 0.0, math.inf)
    first, second = np.triu_indices(n)
    walsh = np.sort((logs[first] + logs[second]) / 2)
    mean, deviation = n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    level = ALPHA / looks / 2
    # The lowest k of the rank sums that the test does not reject: exact for few blocks, normal beyond (as SciPy's own test).
    lowest = _exact(n, level) if n <= 50 else math.floor(mean + stats.norm.ppf(level) * deviation - 0.5)
    low, high = (walsh[lowest], walsh[-1 - lowest]) if lowest >= 0 else (-math.inf, math.inf)
    p = 1.0 if np.allclose(logs, 0) else float(stats.wilcoxon(logs, method="auto").pvalue)
    return Interval(
        math.exp(np.median(walsh)), math.exp(low), math.exp(high) if high < 700 else math.inf, min(1.0, p * looks)
    )


def _exact(n: int, level: float) -> int:
    """The largest k for which P(rank sum < k + 1) is at most ``level``; -1 where there is none."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
    return int(np.searchsorted(np.cumsum(counts) / 2.0**n, level, side="right")) - 1


def holm(values: Sequence[float]) -> list[float]:
    """P-values (K,) corrected for their number, in their order."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return [float(v) for v in corrected]


def judge_time(found: Interval, p: float) -> Verdict:
    """What a ratio of times says; ``p`` is corrected for the number of techniques."""
    if p < CALLED and abs(math.log(found.value)) >= math.log1p(LEAST):
        if found.high < 1:
            return "helps"
        if found.low > 1:
            return "hurts"
    settled = found.low >= 1 / (1 + SAME) and found.high <= 1 + SAME
    return "no measurable effect" if settled else "not settled"


def mean_difference(differences: np.ndarray) -> Interval:
    """Student's interval of paired differences (S,)."""
    from scipy import stats

    n, mean = len(differences), float(np.mean(differences))
    if n < 2:
        return Interval(mean, -math.inf, math.inf)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    if error == 0.0:
        return Interval(mean, mean, mean, 1.0 if mean == 0.0 else 0.0)
    half = float(stats.t.ppf(1 - ALPHA / 2, n - 1)) * error
    return Interval(mean, mean - half, mean + half, float(2 * stats.t.sf(abs(mean) / error, n - 1)))


def margin_of(qualities: np.ndarray) -> float:
    """The non-inferiority margin from the baseline's qualities (S,), at least a ten-thousandth of their size."""
    spread = float(np.std(qualities, ddof=1)) if len(qualities) > 1 else 0.0
    return max(MARGIN_DEVIATIONS * spread, 1e-4 * abs(float(np.mean(qualities))))


Equality = Literal["equal", "better", "worse", "open"]


def judge_quality(difference: Interval, margin: float) -> Equality:
    """Whether quality is kept; ``difference`` is the technique's minus the baseline's, larger is better."""
    if difference.low > margin:
        return "better"
    if difference.low > -margin:
        return "equal"
    return "worse" if difference.high < -margin else "open"


def product(time: Interval, passes: np.ndarray) -> Interval:
    """Time to a quality: the ratio of step times times the ratio of passes over the data, from its log-ratios by seed (S,).

    The two are independent; their errors add up in the logarithm, with Welch and Satterthwaite's degrees of freedom.
    """
    from scipy import stats

    n = len(passes)
    if n < 2 or not (0 < time.low <= time.high < math.inf):
        return Interval(time.value * math.exp(float(np.mean(passes))) if n else time.value, 0.0, math.inf)
    of_time = (math.log(time.high) - math.log(time.low)) / (2 * float(stats.norm.ppf(1 - ALPHA / 2)))
    of_passes = float(np.std(passes, ddof=1)) / math.sqrt(n)
    error = math.hypot(of_time, of_passes)
    middle = math.log(time.value) + float(np.mean(passes))
    if error == 0.0:
        return Interval(math.exp(middle), math.exp(middle), math.exp(middle), 1.0 if middle == 0.0 else 0.0)
    freedom = error**4 / (of_passes**4 / (n - 1)) if of_passes else math.inf
    half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(middle) / error, freedom))
    return Interval(math.exp(middle), math.exp(middle - half), math.exp(middle + half), p)


def blocks_needed(logs: np.ndarray, looks: int) -> int:
    """Blocks after which the interval would be as narrow as `SAME` asks, from the noise of those so far; at least as many again."""
    found = ratio(logs, looks)
    if not 0 < found.low <= found.high < math.inf:
        return max(16, 2 * len(logs))
    half = (math.log(found.high) - math.log(found.low)) / 2
    return max(len(logs) + 1, math.ceil(len(logs) * (half / math.log1p(SAME)) ** 2))
