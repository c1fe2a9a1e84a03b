"""Resampled metrics as weighted sums: drawing units with replacement is giving their rows a multinomial weight.

Shapes: N rows, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from headway.data.identity import DIFFERENT_ROW
from headway.tasks.metric import Resampled

CHUNK_ELEMENTS = 100_000
"""Weights held at once, whatever N and R: as many as stay in a core's cache; four million take four times as long."""

MOST_ROWS = 100_000
"""Of more rows a random sample this large is resampled, and the draws' distance from its value is scaled to all of its units.

Whole units are drawn. Where that would leave few, rows of all units are drawn: the interval is then a little too wide, never too narrow.
"""


FEWEST_UNITS = 1000
"""Units that a sample has at least: a few of fifty groups tell nothing of how groups differ, so their rows are thinned instead."""


@dataclass(frozen=True)
class Sample:
    """Row numbers in order, and the share of all units that they are of."""

    rows: np.ndarray
    share: float


@dataclass(frozen=True)
class Units:
    """What is drawn with replacement: rows, or what they belong to (a group, a day, a document).

    ``codes`` (N,) int64 from 0 to count - 1 without gaps; None where each row stands for itself. ``note`` says what a reader must know.
    """

    name: str
    rows: int
    codes: np.ndarray | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, values: np.ndarray, note: str = "") -> Units:
        """Rows with equal values belong together."""
        different, codes = np.unique(values, return_inverse=True)
        if len(different) == len(values):
            return cls("row", len(values), None, note)
        return cls(name, len(values), codes.astype(np.int64), note)

    @property
    def count(self) -> int:
        """How many units there are."""
        return self.rows if self.codes is None else int(self.codes.max(initial=-1)) + 1

    @property
    def equal(self) -> float:
        """How many units of equal size would tell as much: (sum of sizes)^2 / sum of their squares (Kish 1965, "Survey Sampling")."""
        if self.codes is None or not self.rows:
            return float(self.rows)
        return self.rows**2 / float((np.bincount(self.codes).astype(np.float64) ** 2).sum())

    def take(self, rows: np.ndarray) -> Units:
        """The units of some rows: (N,) bool or row numbers."""
        if self.codes is None:
            return Units(self.name, int(rows.sum()) if rows.dtype == bool else len(rows), None, self.note)
        _, codes = np.unique(self.codes[rows], return_inverse=True)
        return Units(self.name, len(codes), codes.astype(np.int64), self.note)

    def in_order(self, order: np.ndarray) -> Units:
        """The same rows in another order, (N,) row numbers."""
        return self if self.codes is None else Units(self.name, self.rows, self.codes[order], self.note)

    def folds(self, count: int) -> np.ndarray:
        """(N,) the number of each row's fold, at random and always the same; rows of one unit are in one."""
        order = np.random.default_rng(0).permutation(self.count) % count
        return order if self.codes is None else order[self.codes]

    def standard_error(self, values: np.ndarray) -> float:
        """Of the mean of ``values`` (N,), whose rows are drawn by unit."""
        apart = values - values.mean()
        sums = apart if self.codes is None else np.bincount(self.codes, apart)
        return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum())) / len(values)

    def sample(self, seed: int, most: int = MOST_ROWS) -> Sample | None:
        """About ``most`` rows of units drawn at random; None where there are no more rows than that."""
        if self.rows <= most:
            return None
        rng = np.random.default_rng([seed, 1])
        size = min(self.count, max(min(FEWEST_UNITS, most), round(self.count * most / self.rows)))
        codes = np.sort(rng.permutation(self.count)[:size])
        share = size / self.count
        if self.codes is None:
            return Sample(codes, share)
        rows = np.arange(self.rows) if share == 1 else np.flatnonzero(np.isin(self.codes, codes))
        if size <= FEWEST_UNITS and len(rows) > most:
            rows = np.sort(rng.choice(rows, most, replace=False))
        return Sample(rows, share)

    def description(self) -> str:
        """In words: 2,000 rows, 2,000 rows (1,990 different), or 57 groups of 2,000 rows, and when these are very unequal."""
        if self.codes is None:
            return f"{self.rows:,} {self.name}{'s' if self.rows != 1 else ''}"
        if self.name == DIFFERENT_ROW:
            return f"{self.rows:,} rows ({self.count:,} different)"
        words = f"{self.count:,} {self.name}{'s' if self.count != 1 else ''} of {self.rows:,} rows"
        return (
            words
            if self.equal >= self.count / 2
            else f"{words} (so unequal in size that they count as {self.equal:,.0f})"
        )


class Bootstrap:
    """Draws of statistics of the same rows: every statistic meets the same resamples."""

    def __init__(self, units: Units, resamples: int, seed: int) -> None:
        self._units, self._resamples, self._seed = units, resamples, seed
        self._sample = units.sample(seed)
        self.rows = None if self._sample is None else self._sample.rows
        """The row numbers that are resampled; None where all are."""

    def draws(self, statistics: Mapping[str, Resampled], values: Mapping[str, float | None]) -> dict[str, np.ndarray]:
        """(R,) for each statistic of the sampled rows, spread as over all rows, around its value there."""
        sample = self._sample
        units = self._units if sample is None else self._units.take(sample.rows)
        chunks: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
        for weights in draw_weights(units, self._resamples, self._seed):
            for name, statistic in statistics.items():
                chunks[name].append(statistic(weights))
        joined = {name: np.concatenate(parts) for name, parts in chunks.items()}
        if sample is None:
            return joined
        scale = math.sqrt(sample.share)
        ones = np.ones((1, units.rows))
        for name, statistic in statistics.items():
            value = values[name]
            joined[name] = joined[name] if value is None else value + scale * (joined[name] - statistic(ones)[0])
        return joined


def draw_weights(units: Units, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of multinomial weights (R, N) float64: how often each row is drawn. Rows of one unit are drawn together."""
    rng = np.random.default_rng(seed)
    at_once = max(1, min(resamples, CHUNK_ELEMENTS // max(1, units.rows)))
    count = units.count
    for start in range(0, resamples, at_once):
        weights = np.empty((min(at_once, resamples - start), units.rows))
        for row in weights:  # one at a time: the counters of one resample stay in the cache
            counts = np.bincount(rng.integers(0, count, count, dtype=np.int32), minlength=count)
            row[:] = counts if units.codes is None else counts[units.codes]
        yield weights


def interval(draws: np.ndarray, units: int | None = None) -> tuple[float | None, float | None]:
    """The 95 % interval of draws over ``units`` resampled units; None where they define none.

    The percentile interval is too narrow for few units. Its ends are moved outward to where Student's interval of as many units would
    put them (the expanded percentile interval, Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 4.3).
    """
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2 or (units is not None and units < 2):
        return None, None
    tail = 0.025 if units is None else _tail(units)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _tail(units: int) -> float:
    from scipy.special import ndtr, stdtrit

    return float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, 0.025)))
