"""What a number's preparation is fitted from: counts, moments, extremes and ranks of a stream, the same on every run.

Blocks are measured apart, by any thread, and added in the rows' order, so that the result is that of one thread. The summaries of a
profile draw random numbers for their quantiles (KLL sketch), so that a value to fill in would differ from run to run.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from headway.columns.continuous import numbers

KEPT = 4096
"""Values kept of each level. Up to twice as many values are ranked exactly."""


@dataclass
class Ranks:
    """Ranks of a stream in bounded memory: values of level i stand for 2^i each (Munro and Paterson 1980, Manku et al. 1998).

    A full level is sorted, and every second value goes one level up: from the first or the second on, in turns. So each level adds at
    most 1 / (2 * KEPT) to the error of a rank, as a share of the rows: less than .16 % for 100 million rows, whatever their order.
    """

    levels: list[list[np.ndarray]] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, ordered: np.ndarray) -> Ranks:
        """Of sorted values (N,): where there are many, every 2^i-th for 2^i, and the largest that remain for themselves."""
        level = max(0, (len(ordered) // KEPT).bit_length() - 1)
        stride = 1 << level
        whole = len(ordered) - len(ordered) % stride
        ranks = cls()
        ranks._put(level, np.array(ordered[stride // 2 : whole : stride]))
        if whole < len(ordered):
            ranks._put(0, np.array(ordered[whole:]))
        return ranks

    def merge(self, other: Ranks) -> None:
        """Add the values of another stream, which come after."""
        for level, pieces in enumerate(other.levels):
            for piece in pieces:
                self._put(level, piece)
        level = 0
        while level < len(self.levels):
            self._lift(level)
            level += 1

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """The values at ranks floor(share * N), counted from 0; NaN without values."""
        values = np.concatenate([piece for pieces in self.levels for piece in pieces] or [np.zeros(0)])
        if not len(values):
            return np.full(len(shares), np.nan)
        counts = [1 << level for level, pieces in enumerate(self.levels) for piece in pieces for _ in range(len(piece))]
        order = np.argsort(values, kind="stable")
        below = np.cumsum(np.array(counts, np.int64)[order])
        at = np.searchsorted(below, np.floor(np.asarray(shares) * below[-1]).astype(np.int64), side="right")
        return np.asarray(values[order][at.clip(max=len(values) - 1)])

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        packed = [
            base64.b64encode(np.concatenate(pieces or [np.zeros(0)]).tobytes()).decode() for pieces in self.levels
        ]
        return {"levels": packed, "turns": self.turns}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What to_json gave."""
        levels = [np.frombuffer(base64.b64decode(level), np.float64) for level in values["levels"]]
        return cls([[level] if len(level) else [] for level in levels], list(values["turns"]))

    def _put(self, level: int, values: np.ndarray) -> None:
        while len(self.levels) <= level:
            self.levels.append([])
            self.turns.append(0)
        if len(values):
            self.levels[level].append(values)

    def _lift(self, level: int) -> None:
        """Where a level is full, put half of it one level up; of an odd number, the largest stays."""
        count = sum(map(len, self.levels[level]))
        if count < 2 * KEPT:
            return
        ordered = np.sort(np.concatenate(self.levels[level]))
        even = count - count % 2
        self.levels[level] = [ordered[even:]] if even < count else []
        self._put(level + 1, ordered[self.turns[level] : even : 2].copy())
        self.turns[level] = 1 - self.turns[level]


@dataclass
class Spread:
    """Counts, moments, extremes and ranks. ``count``: finite values; what is infinite counts neither among them nor as null."""

    rows: int = 0
    nulls: int = 0
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    ranks: Ranks = field(default_factory=Ranks)

    @classmethod
    def of(cls, column: pa.Array) -> Spread:
        """Of canonical values."""
        values = numbers(column.drop_null())
        finite = np.isfinite(values)
        if not finite.all():
            values = values[finite]
        if not len(values):
            return cls(len(column), column.null_count)
        with np.errstate(over="ignore", invalid="ignore"):  # beyond 1e150; validation refuses such a column
            mean = float(values.mean())
            squares = float(((values - mean) ** 2).sum())
        ordered = np.sort(values)
        ends = float(ordered[0]), float(ordered[-1])
        return cls(len(column), column.null_count, len(values), mean, squares, *ends, Ranks.of(ordered))

    @property
    def std(self) -> float:
        """Population standard deviation."""
        return float(np.sqrt(self.squares / max(1, self.count)))

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """Values below which the ``shares`` of the rows lie; the extremes are exact."""
        inner = self.ranks.quantiles(shares)
        return np.where(np.asarray(shares) <= 0, self.low, np.where(np.asarray(shares) >= 1, self.high, inner))

    def merge(self, other: Spread) -> None:
        """Add the values of another stream, which come after (Chan, Golub, LeVeque 1979)."""
        self.rows, self.nulls = self.rows + other.rows, self.nulls + other.nulls
        if not other.count:
            return
        before, whole = self.count, self.count + other.count
        if not before:
            self.mean, self.squares = other.mean, other.squares
        else:
            delta = other.mean - self.mean
            squared = delta**2 if abs(delta) < 1e150 else np.inf
            self.squares += other.squares + squared * before * other.count / whole
            self.mean += delta * other.count / whole
        self.count, self.low, self.high = whole, min(self.low, other.low), max(self.high, other.high)
        self.ranks.merge(other.ranks)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {**{name: getattr(self, name) for name in _PLAIN}, "ranks": self.ranks.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What to_json gave."""
        return cls(**{name: values[name] for name in _PLAIN}, ranks=Ranks.from_json(values["ranks"]))


_PLAIN = ("rows", "nulls", "count", "mean", "squares", "low", "high")
