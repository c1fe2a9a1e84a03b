"""Resampled metrics as weighted sums: drawing units with replacement is giving their rows a multinomial weight.

Shapes: N rows, G groups of units, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headway.data.identity import DIFFERENT_ROW
from headway.tasks.metric import Groups, Resampled, Weighted

CHUNK_ELEMENTS = 100_000
"""Weights held at once, whatever N and R: as many as stay in a core's cache; four million take four times as long."""

MOST_ROWS = 20_000
"""Of more rows, groups of units are resampled: one pass over the rows sums what statistics need by group, and a resample costs as much
as there are groups, for any number of rows. Of fewer rows each is weighted."""

MOST_GROUPS = 2000
"""Units are dealt to so many groups at most, at random. Sums over groups have the variance and the skewness of those over units; an
interval's width is then known to 1.6 %, less than its resamples leave open."""

GROUP_ELEMENTS = 250_000
"""Weights of groups held at once: products of so many use a core well, and their sums of 50 classes take 200 MB."""

SAMPLED_ROWS = 100_000
"""Rows of a sample at most. Whole units are drawn. Where that would leave few, rows of all units are drawn."""


FEWEST_UNITS = 1000
"""Units that a sample has at least: a few of fifty groups tell nothing of how groups differ, so their rows are thinned instead."""


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
        codes = self.codes[rows]
        present = np.bincount(codes, minlength=1) > 0
        return Units(self.name, len(codes), (np.cumsum(present) - 1)[codes], self.note)

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

    @cached_property
    def groups(self) -> Groups | None:
        """What is resampled in place of many rows: the units, or groups of them dealt at random; None for few rows."""
        if self.rows <= MOST_ROWS:
            return None
        if self.count > MOST_GROUPS:
            return Groups(self.folds(MOST_GROUPS), MOST_GROUPS)
        return Groups(np.arange(self.rows) if self.codes is None else self.codes, self.count)

    def sample(self, seed: int, most: int = SAMPLED_ROWS) -> np.ndarray | None:
        """The numbers of about ``most`` rows, in order, of units drawn at random; None where there are no more rows than that."""
        if self.rows <= most:
            return None
        rng = np.random.default_rng([seed, 1])
        size = min(self.count, max(min(FEWEST_UNITS, most), round(self.count * most / self.rows)))
        codes = np.sort(rng.permutation(self.count)[:size])
        if self.codes is None:
            return codes
        rows = np.arange(self.rows) if size == self.count else np.flatnonzero(np.isin(self.codes, codes))
        if size <= FEWEST_UNITS and len(rows) > most:
            rows = np.sort(rng.choice(rows, most, replace=False))
        return rows

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

    def draws(self, statistics: Mapping[str, Resampled], values: Mapping[str, float | None]) -> dict[str, np.ndarray]:
        """(R,) for each statistic; of many rows around its value, from which a statistic of groups may be a little off."""
        groups = self._units.groups
        if groups is None:
            weights = draw_weights(self._units, self._resamples, self._seed)
            return _joined(statistics, weights)
        of_groups = {name: statistic.by_group(groups) for name, statistic in statistics.items()}
        units = Units(self._units.name, groups.count)
        joined = _joined(of_groups, draw_weights(units, self._resamples, self._seed, GROUP_ELEMENTS))
        ones = np.ones((1, groups.count))
        for name, statistic in of_groups.items():
            value = values[name]
            if value is not None:
                joined[name] += value - statistic(ones)[0]
        return joined


def _joined(statistics: Mapping[str, Weighted], chunks: Iterator[np.ndarray]) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for weights in chunks:
        for name, statistic in statistics.items():
            parts[name].append(statistic(weights))
    return {name: np.concatenate(some) for name, some in parts.items()}


def draw_weights(units: Units, resamples: int, seed: int, elements: int = CHUNK_ELEMENTS) -> Iterator[np.ndarray]:
    """Chunks of so many multinomial weights (R, N) float64: how often each row is drawn. Rows of one unit are drawn together."""
    rng = np.random.default_rng(seed)
    at_once = max(1, min(resamples, elements // max(1, units.rows)))
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
