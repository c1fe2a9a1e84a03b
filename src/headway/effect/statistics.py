"""From samples to intervals and verdicts. The tests and distributions are SciPy's.

**Times.** In a session the variants work in turns, there and back, and a block (baseline, variant, variant, baseline) gives one log-ratio,
in which a linear drift cancels. Blocks of one session are no independent samples: what disturbs the machine lasts for more than a block,
and two processes, or two networks in one, differ by a per cent or so for all of their lives. A session is a sample: its processes and
networks are new. It gives one estimate, the Hodges-Lehmann median of its blocks' pairwise means (Hodges and Lehmann 1963), which shrugs off
windows in which the machine did something else. The sessions' estimates have Student's interval. It assumes that sessions are independent
and their estimates about normal; a session that went wrong makes it wider, not false.

**Noise is shared.** Four sessions say little about how much sessions differ; all comparisons of a study together say much, as the machine
is the same. Each comparison's variance is therefore drawn toward what is usual in the study, the more the less the variances differ by more
than chance (Smyth 2004, doi:10.2202/1544-6115.1027): Student's interval has the prior's degrees of freedom added to its own. It assumes
that the variances come from one scaled inverse chi-square distribution. How much they differ is itself uncertain, and taken a standard
error higher than estimated; where they differ wildly the prior counts for nothing, and with fewer than four comparisons there is none.

**A shared baseline.** The techniques of one session are compared with the same baseline, so that their estimates go together: with equal
noise on both sides the correlation is at most a half (`TOGETHER`), with √K windows of the baseline to each of K techniques' it is
1 / (1 + √K) (`correlation`), that of their variances its square. All of them together then say less
about the noise than as many that were independent: degrees of freedom are divided by the design effect, and what chance alone makes
variances differ by is counted that much less. Both widen intervals. Each interval holds for itself, and Bonferroni's and Holm's
corrections hold whatever goes together.

**Looking again.** A technique is looked at after growing numbers of pairs. Each look spends a part of the error, 1/``looks`` of it, and the
parts sum to no more than 1 (Bonferroni), so that the interval holds at whichever look it was that settled the matter.

**Many techniques.** Of the effects that a study calls, 3 % at most are false on average: the p-values are corrected for their number by
Benjamini and Hochberg's method (1995), which holds for independent tests and for such as go together like those beside one baseline
(Benjamini and Yekutieli 2001). Where nothing has an effect, that is the chance of any false verdict in a whole study.

**Quality.** Baseline and technique are trained with the same seeds; the differences of their quality have Student's interval. `equality.py`
judges them against the margin.

Shapes: N blocks of a session, P sessions ("pairs"), S seeds.
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
        """{"value", "low", "high", "p"}; a limit that is not there is None, and so is a lower limit of 0 beside no upper."""
        low = None if math.isinf(self.low) or (self.low == 0.0 and math.isinf(self.high)) else self.low
        return {"value": self.value, "low": low, "high": self.high if math.isfinite(self.high) else None, "p": self.p}

    @classmethod
    def from_json(cls, values: Mapping[str, float | None]) -> Interval:
        """What to_json gave."""
        low, high = values["low"], values["high"]
        value, p = values["value"], values["p"]
        assert value is not None
        assert p is not None
        return cls(value, -math.inf if low is None else low, math.inf if high is None else high, p)


@dataclass(frozen=True)
class Spread:
    """The variance that is usual for pairs of a study, as a prior of so many degrees of freedom."""

    variance: float
    freedom: float
    pooled: float
    """The degrees of freedom of all comparisons together: no variance is known better than that, or than by itself."""

    def moderated(self, variance: float, freedom: float) -> tuple[float, float]:
        """A comparison's variance, and its degrees of freedom, with the prior's added."""
        if freedom >= self.pooled:
            return variance, freedom
        if math.isinf(self.freedom):
            return self.variance, self.pooled
        both = self.freedom + freedom
        return (self.freedom * self.variance + freedom * variance) / both, min(both, self.pooled)


FEWEST_COMPARISONS = 4

TOGETHER = 0.5
"""The correlation of two differences from one baseline with equal noise on both sides: that of the qualities of trainings."""


def correlation(count: int) -> float:
    """That of the times of so many techniques beside one baseline that has √count windows to each of theirs: its noise is 1/√count of
    theirs. Where they are measured in several sessions they have less in common, as their baselines are others."""
    return 1 / (1 + math.sqrt(count))


def spread_of(comparisons: Sequence[np.ndarray], together: float = TOGETHER) -> Spread | None:
    """The prior of a study from its comparisons' log-ratios, (P,) each; None where there are too few to tell.

    Moments of log variances, which have the mean and variance of a log chi-square beside the prior's: Smyth 2004, section 6.2. Theirs is
    taken a standard error higher than estimated: a prior that is trusted too much makes intervals too narrow. ``together``: the correlation
    of two comparisons' log-ratios.
    """
    from scipy.optimize import brentq
    from scipy.special import digamma, polygamma

    varied = [logs for logs in comparisons if len(logs) > 1 and float(np.std(logs)) > 0]
    if len(varied) < FEWEST_COMPARISONS:
        return None
    variances = np.array([np.var(logs, ddof=1) for logs in varied])
    halves = np.array([(len(logs) - 1) / 2 for logs in varied])
    common = together**2
    pooled = float(2 * halves.sum()) / (1 + (len(varied) - 1) * common)
    centred = np.log(variances) - digamma(halves) + np.log(halves)
    spread = float(np.var(centred, ddof=1))
    beyond_chance = spread * (1 + math.sqrt(2 / (len(varied) - 1))) - (1 - common) * float(polygamma(1, halves).mean())
    if beyond_chance < 1e-6:  # they differ by no more than chance: one variance
        return Spread(float(np.average(variances, weights=halves)), math.inf, pooled)
    half = float(brentq(lambda value: float(polygamma(1, value)) - beyond_chance, 1e-6, 1e7))
    return Spread(float(np.exp(centred.mean() + digamma(half) - np.log(half))), 2 * half, pooled)


def log_ratios(blocks: np.ndarray) -> np.ndarray:
    """(N,): log of the second's time over the first's, from blocks (N, 4) of times in the order first second second first."""
    logs = np.log(blocks)
    return 0.5 * (logs[:, 1] + logs[:, 2] - logs[:, 0] - logs[:, 3])


def estimate(blocks: np.ndarray) -> float:
    """One pair's log-ratio from its blocks (N, 4): the Hodges-Lehmann median."""
    logs = log_ratios(blocks)
    first, second = np.triu_indices(len(logs))
    return float(np.median((logs[first] + logs[second]) / 2))


def ratio(logs: np.ndarray, looks: float = 1, spread: Spread | None = None) -> Interval:
    """The ratio of two times from the pairs' log-ratios (P,), its 95 % interval at a look that spends 1/``looks`` of the error,
    and a p-value for all looks.

    ``spread``: what the study's other comparisons say of the noise. With fewer than two pairs it is unbounded.
    """
    if len(logs) == 0:
        return Interval(1.0, 0.0, math.inf)
    interval = mean_difference(logs, ALPHA / looks, spread)
    return Interval(_exp(interval.value), _exp(interval.low), _exp(interval.high), min(1.0, interval.p * looks))


def judge_time(interval: Interval, p: float) -> Verdict:
    """What a ratio of times says; ``p`` is corrected for the number of techniques (`corrections.false_discovery`)."""
    if p < CALLED and abs(math.log(interval.value)) >= math.log1p(LEAST):
        if interval.high < 1:
            return "helps"
        if interval.low > 1:
            return "hurts"
    negligible = interval.low >= 1 / (1 + SAME) and interval.high <= 1 + SAME
    return "no measurable effect" if negligible else "not settled"


@dataclass(frozen=True)
class Mean:
    """A mean with its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    freedom: float

    def half_width(self, alpha: float) -> float:
        """Half of Student's interval that misses with probability ``alpha``."""
        from scipy import stats

        return float(stats.t.ppf(1 - alpha / 2, self.freedom)) * self.error if self.error else 0.0

    def interval(self, alpha: float = ALPHA) -> Interval:
        """Student's interval, and the p-value of a mean of 0."""
        from scipy import stats

        if self.error == 0.0:
            return Interval(self.value, self.value, self.value, 1.0 if self.value == 0.0 else 0.0)
        half = self.half_width(alpha)
        p = float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))
        return Interval(self.value, self.value - half, self.value + half, p)

    def plus(self, other: Mean) -> Mean:
        """The sum of two independent means, with Welch and Satterthwaite's degrees of freedom."""
        error = math.hypot(self.error, other.error)
        if error == 0.0:
            return Mean(self.value + other.value, 0.0, math.inf)
        parts = sum(one.error**4 / one.freedom for one in (self, other))
        return Mean(self.value + other.value, error, error**4 / parts if parts else math.inf)


EXACT = Mean(0.0, 0.0, math.inf)
"""A logarithm that is 0 by definition: of a time that is the baseline's own."""


def mean_of(values: np.ndarray, spread: Spread | None = None) -> Mean:
    """Of at least two values; the variance moderated where there is a ``spread``."""
    variance, freedom = float(np.var(values, ddof=1)), float(len(values) - 1)
    if spread is not None:
        variance, freedom = spread.moderated(variance, freedom)
    return Mean(float(np.mean(values)), math.sqrt(variance / len(values)), freedom)


def mean_from(value: float, low: float, high: float) -> Mean:
    """An estimate whose 95 % interval comes from a bootstrap, as a normal one of the same width."""
    from scipy import stats

    return Mean(value, (high - low) / (2 * float(stats.norm.ppf(1 - ALPHA / 2))), math.inf)


def mean_difference(differences: np.ndarray, alpha: float = ALPHA, spread: Spread | None = None) -> Interval:
    """Student's interval of paired differences (S,), which misses with probability ``alpha``; moderated where there is a ``spread``."""
    if len(differences) < 2:
        return Interval(float(np.mean(differences)), -math.inf, math.inf)
    return mean_of(differences, spread).interval(alpha)


Bound = Literal["none", "below", "above"]
"""Whether a mean only bounds what it estimates, from below or from above: some of its values are censored."""


def product(time: Mean, passes: Mean, looks: float = 1, bound: Bound = "none") -> Interval:
    """Time to a quality: the ratio of step times times the ratio of passes over the data, from their logarithms, which are independent.

    ``looks``: as in `ratio`. ``bound``: from below where some trainings never reached the quality, so that their passes are at least
    those that they had. A mean of lower bounds has an interval of its own, whose lower limit holds for what it bounds; there is no upper.
    """
    log = time.plus(passes)
    interval = log.interval(ALPHA / looks)
    low, high = _exp(interval.low), _exp(interval.high)
    p = min(1.0, interval.p * looks)
    if bound == "below":
        return Interval(_exp(interval.value), low, math.inf, p if interval.value > 0 else 1.0)
    if bound == "above":
        return Interval(_exp(interval.value), 0.0, high, p if interval.value < 0 else 1.0)
    return Interval(_exp(interval.value), low, high, p)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


MOST_PAIRS = 4096


def pairs_needed(
    logs: np.ndarray, looks: float, spread: Spread | None = None, tests: int = 1, *, hopeful: bool = False
) -> int | None:
    """Pairs after which a verdict is to be expected, from the ratio and the noise of those so far; more than these.

    An effect far from 1 is called long before its interval is narrow; one near 1 is ruled out by an interval that is. ``tests``: the number
    that the p-value is corrected for. ``hopeful``: the effect may be as large as one standard error. None where there is no interval, and
    where thousands would not do.
    """
    from scipy import stats

    interval = ratio(logs, looks, spread)
    if not 0 < interval.low <= interval.high < math.inf:
        return None
    mean = mean_of(logs, spread)
    if not mean.error:
        return len(logs) + 1
    counts = np.arange(len(logs) + 1, MOST_PAIRS)
    errors = mean.error * np.sqrt(len(logs) / counts)
    freedom = mean.freedom + (counts - len(logs))
    effect = max(abs(mean.value), mean.error if hopeful else math.log1p(LEAST))
    is_called = 2 * stats.t.sf(effect / errors, freedom) * looks * tests < CALLED
    half_widths = stats.t.ppf(1 - ALPHA / looks / 2, freedom) * errors
    is_ruled_out = half_widths + (0.0 if hopeful else abs(mean.value)) <= math.log1p(SAME)
    enough = np.flatnonzero(is_called | is_ruled_out)
    return int(counts[enough[0]]) if len(enough) else None
