"""Earlier values of the rows' series: a forecast ``horizon`` steps ahead may use those up to its own time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from headway.columns.mixing import spread
from headway.data.identity import GOLDEN

BLOCK = 1 << 22
"""Values of windows that are held at once."""


@dataclass(frozen=True)
class History:
    """Rows of series: ``groups`` (N,) uint64, ``moments`` (N,) datetime64[us], and columns of ``values`` (N,), NaN where not known."""

    groups: np.ndarray
    moments: np.ndarray
    values: Mapping[str, np.ndarray]

    @classmethod
    def joined(cls, parts: Sequence[History]) -> History:
        """The rows of all parts, which have the same columns."""
        values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
        moments = np.concatenate([part.moments for part in parts])
        return cls(np.concatenate([part.groups for part in parts]), moments, values)

    @cached_property
    def lines(self) -> dict[str, Line]:
        """The known values of each column."""
        return {name: Line.of(self.groups, self.moments, column) for name, column in self.values.items()}

    def take(self, rows: np.ndarray) -> History:
        """Some rows: (N,) bool."""
        values = {name: column[rows] for name, column in self.values.items()}
        return History(self.groups[rows], self.moments[rows], values)

    def followed_by(self, later: History) -> History:
        """With further rows, in the series of these. What they know of a moment counts for all that was known of it."""
        own = self.take(np.isin(self.groups, later.groups))
        places, theirs = own._places, later._places
        values = {
            name: np.where(np.isin(places, theirs[np.isfinite(later.values[name])]), np.nan, column)
            for name, column in own.values.items()
        }
        return History.joined([replace(own, values=values), later])

    @property
    def once(self) -> History:
        """One row of each group and moment."""
        is_first = np.zeros(len(self.moments), bool)
        is_first[np.unique(self._places, return_index=True)[1]] = True
        return self.take(is_first)

    @property
    def _places(self) -> np.ndarray:
        """(N,) uint64: a hash of each row's group and moment."""
        return spread(self.groups + GOLDEN + spread(self.moments.view(np.uint64)))


@dataclass(frozen=True)
class Line:
    """Known values (M,) in the order of their groups and moments; ``places`` (M,) int64 rise with both."""

    groups: np.ndarray
    instants: np.ndarray
    places: np.ndarray
    moments: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, moments: np.ndarray, values: np.ndarray) -> Line:
        """From rows in any order, NaN where a value is not known. Of equal places the order is that of the rows."""
        present = np.isfinite(values) & ~np.isnat(moments)
        names, codes = np.unique(groups[present], return_inverse=True)
        instants, at = np.unique(moments[present], return_inverse=True)
        places = codes.astype(np.int64) * len(instants) + at
        order = np.argsort(places, kind="stable")
        return cls(names, instants, places[order], moments[present][order], values[present][order])

    def newest(self, groups: np.ndarray, moments: np.ndarray, since: np.ndarray | None = None) -> np.ndarray:
        """(N,) int64 indices into ``values``: each group's newest at a moment, not older than ``since``; -1 where there is none."""
        if not len(self.values):
            return np.full(len(groups), -1)
        code = np.searchsorted(self.groups, groups).clip(max=len(self.groups) - 1)
        first = code * len(self.instants)
        until = first + np.searchsorted(self.instants, moments, side="right") - 1
        oldest = first if since is None else first + np.searchsorted(self.instants, since, side="left")
        index = np.searchsorted(self.places, until, side="right") - 1
        there = (
            (self.groups[code] == groups) & (index >= 0) & (self.places[index.clip(0)] >= oldest) & ~np.isnat(moments)
        )
        return np.where(there, index, -1)

    def at(self, groups: np.ndarray, moments: np.ndarray, since: np.ndarray | None = None) -> np.ndarray:
        """(N,) the value of each group that was its newest at a moment; NaN where there is none."""
        index = self.newest(groups, moments, since)
        return np.where(index < 0, np.nan, self.values[index.clip(0)] if len(self.values) else np.nan)

    def windows(self, index: np.ndarray, size: int) -> dict[str, np.ndarray]:
        """(N,) of the ``size`` values of a group that end at each ``index``: mean, std, min, max; NaN where there are fewer."""
        sums = {name: np.full(len(index), np.nan) for name in STATISTICS}
        first = index - size + 1
        rows = np.flatnonzero((index >= 0) & (first >= self.first(index)))
        for block in np.array_split(rows, max(1, len(rows) * size // BLOCK)):
            window = self.values[first[block, None] + np.arange(size)]
            for name, statistic in STATISTICS.items():
                sums[name][block] = statistic(window)
        return sums

    def first(self, index: np.ndarray) -> np.ndarray:
        """(N,) the index of the oldest value of the group of each ``index``; 0 for -1."""
        return (
            self._starts[(np.searchsorted(self._starts, index, side="right") - 1).clip(0)]
            if len(self._starts)
            else 0 * index
        )

    @cached_property
    def _starts(self) -> np.ndarray:
        """(G,) the index of each group's oldest value."""
        return np.searchsorted(self.places, np.arange(len(self.groups)) * len(self.instants))


STATISTICS = {
    "mean": lambda window: window.mean(1),
    "std": lambda window: window.std(1, ddof=1),
    "min": lambda window: window.min(1),
    "max": lambda window: window.max(1),
}
"""Of windows (N, size), each (N,)."""
