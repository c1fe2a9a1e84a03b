"""What a number's preparation is fitted from: counts, moments, extremes and quantiles of a stream.

Blocks are measured apart, by any thread, and added in the rows' order, so that the result is that of one thread. A profile's summary has
more, which costs more: distinct values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from headway.columns.continuous import numbers
from headway.columns.moments import merged, moments_of
from headway.columns.quantiles import Quantiles


@dataclass
class Spread:
    """Counts, moments, extremes and quantiles. ``count``: finite values; what is infinite counts neither among them nor as null.

    ``squares`` beyond a double are infinite: validation refuses such a column.
    """

    rows: int = 0
    nulls: int = 0
    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    ranks: Quantiles = field(default_factory=Quantiles)

    @classmethod
    def of(cls, column: pa.Array) -> Spread:
        """Of canonical values."""
        values = numbers(column.drop_null())
        finite = np.isfinite(values)
        if not finite.all():
            values = values[finite]
        if not len(values):
            return cls(len(column), column.null_count)
        ordered = np.sort(values)
        ends = float(ordered[0]), float(ordered[-1])
        return cls(len(column), column.null_count, *moments_of(values), *ends, Quantiles.of(ordered))

    @property
    def std(self) -> float:
        """Population standard deviation."""
        return float(np.sqrt(self.squares / max(1, self.count)))

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """Values below which the ``shares`` of the rows lie, rank error below .2 %; the extremes are exact."""
        inner = self.ranks.at(shares)
        return np.where(np.asarray(shares) <= 0, self.low, np.where(np.asarray(shares) >= 1, self.high, inner))

    def merge(self, other: Spread) -> None:
        """Add the values of another stream, which come after."""
        self.rows, self.nulls = self.rows + other.rows, self.nulls + other.nulls
        if not other.count:
            return
        moments = merged((self.count, self.mean, self.squares), (other.count, other.mean, other.squares))
        self.count, self.mean, self.squares = moments
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.ranks.merge(other.ranks)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {**{name: getattr(self, name) for name in _PLAIN}, "ranks": self.ranks.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What to_json gave."""
        return cls(**{name: values[name] for name in _PLAIN}, ranks=Quantiles.from_json(values["ranks"]))


_PLAIN = ("rows", "nulls", "count", "mean", "squares", "low", "high")
