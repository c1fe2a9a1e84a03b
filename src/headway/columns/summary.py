"""The summary of one column from a stream of rows: summaries can be merged, so that new files add to earlier ones.

A block of rows is summarised apart, by any thread, and merged in the rows' order, so that a summary depends on no number of threads.
Counts, nulls, extremes are exact; moments merge by Chan, Golub, LeVeque 1979, in the stable form; quantiles are a sketch's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa

from headway.columns.moments import merged, moments_of
from headway.columns.quantiles import Quantiles

FREQUENT = 20

LARGEST = float(np.finfo(np.float64).max)


@dataclass
class Summary(ABC):
    """One column. What lies on a line has moments and quantiles (`continuous`), other values have counts (`discrete`).

    ``infinite`` values are counted apart and left out of moments and quantiles. ``kind``: the name of the column's type.
    """

    name: str
    kind: str
    rows: int = 0
    nulls: int = 0
    infinite: int = 0
    mean: float | None = None
    sum_of_squares: float = 0.0
    min: float | None = None
    max: float | None = None
    characters: int = 0
    longest: int = 0
    sketch: Quantiles = field(default_factory=Quantiles)

    @property
    def finite(self) -> int:
        """Rows with a finite value."""
        return self.rows - self.nulls - self.infinite

    @property
    def std(self) -> float | None:
        """Population standard deviation."""
        return None if self.mean is None else float(np.sqrt(self.sum_of_squares / max(1, self.finite)))

    @property
    def spreads_too_far(self) -> bool:
        """Whether squares of its numbers are beyond what a double holds: then ``sum_of_squares`` is the largest double."""
        return self.sum_of_squares >= LARGEST

    @property
    def counts(self) -> dict[str, int] | None:
        """How often each value occurs; None where there are too many to keep, and on a line."""
        return None

    @property
    def frequent(self) -> list[tuple[str, int]]:
        """The most frequent values, ties by name; counts are lower bounds where the values are too many to keep."""
        return []

    @property
    @abstractmethod
    def distinct(self) -> int:
        """Distinct values; an estimate where they are too many to count."""

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """Values below which the ``shares`` of the rows lie, rank error below 0.2 %; NaN without rows."""
        inner = self.sketch.at(shares)
        if self.min is not None and self.max is not None:
            inner = np.where(np.asarray(shares) <= 0, self.min, np.where(np.asarray(shares) >= 1, self.max, inner))
        return inner

    def apart(self, column: pa.Array) -> Self:
        """The summary of these rows alone, canonical type or a dictionary of it, to be merged. Any thread may call it, at any time."""
        part = type(self)(self.name, self.kind, rows=len(column), nulls=column.null_count)
        column = column.drop_null() if part.nulls else column
        if len(column):
            part._add(column)
        return part

    def update(self, column: pa.Array) -> None:
        """Add rows, as `apart` takes them."""
        self.merge(self.apart(column))

    @abstractmethod
    def _add(self, column: pa.Array) -> None:
        """Add the first rows of an empty summary, without nulls, at least one."""

    @abstractmethod
    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Bins for comparing another summary of the column with this one: edges between ``bins`` equal parts of the rows, or the most
        frequent ``categories``. Both are empty where only nulls are compared.
        """

    def every(self, most: int) -> tuple[str, ...] | None:
        """Every value, where there are at most so many and a new one is worth a report; otherwise None."""
        return None

    @abstractmethod
    def bin_counts(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        """(bins,) rows in each of these bins; the last bin is all other categories together."""

    def _measure(self, values: np.ndarray, ordered: np.ndarray) -> None:
        """The moments, extremes and quantiles of finite numbers (N,), the first; ``ordered``: they by size."""
        _, self.mean, squares = moments_of(values)
        self.sum_of_squares = min(squares, LARGEST)
        self.min, self.max = float(ordered[0]), float(ordered[-1])
        self.sketch = Quantiles.of(ordered)

    def _tenths(self, bins: int) -> tuple[float, ...]:
        """The edges between ``bins`` equal parts of the numbers; fewer where many are equal."""
        if not self.finite:
            return ()
        return tuple(np.unique(self.quantiles([i / bins for i in range(1, bins)])).tolist())

    def _between(self, edges: Sequence[float]) -> np.ndarray:
        """(len(edges) + 1,) numbers between the edges."""
        if not self.sketch.rows:
            return np.zeros(len(edges) + 1)
        return np.diff(self.sketch.below([*edges, np.inf]), prepend=0.0)

    def _merge_moments(self, other: Summary) -> None:
        """Before the rows of both are added."""
        if other.mean is None:
            return
        before, n = self.finite, other.finite
        if self.mean is None or before <= 0:
            self.mean, self.sum_of_squares = other.mean, other.sum_of_squares
            return
        whole, mean, squares = merged((before, self.mean, self.sum_of_squares), (n, other.mean, other.sum_of_squares))
        if not np.isfinite(mean):
            mean = self.mean / whole * before + other.mean / whole * n
        self.mean, self.sum_of_squares = mean, min(squares, LARGEST)

    def merge(self, other: Summary) -> None:
        """Add another summary of the same column."""
        self._merge_moments(other)
        self.rows += other.rows
        self.nulls += other.nulls
        self.infinite += other.infinite
        if other.min is not None and other.max is not None:
            self.min = other.min if self.min is None else min(self.min, other.min)
            self.max = other.max if self.max is None else max(self.max, other.max)
        self.sketch.merge(other.sketch)
        self.characters += other.characters
        self.longest = max(self.longest, other.longest)
        self._merge_values(other)

    @abstractmethod
    def _merge_values(self, other: Any) -> None:
        """Add what another summary of the class knows of distinct values."""

    def to_json(self, heavy: int | None = 1000) -> dict[str, object]:
        """As plain values, the sketch included. ``heavy``: values kept where they are too many to count, None for all that are known."""
        return {
            **{k: getattr(self, k) for k in _PLAIN},
            "distinct": self.distinct,
            "std": self.std,
            **self._values_json(heavy),
            "sketch": self.sketch.to_json() if self.sketch.rows else None,
        }

    @abstractmethod
    def _values_json(self, heavy: int | None) -> dict[str, object]:
        """The keys values, heavy and hashes."""

    @abstractmethod
    def _read_values(self, values: Mapping[str, Any]) -> None:
        """Take what _values_json gave."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What to_json gave, also of versions before."""
        summary = cls(**{k: values[k] for k in _PLAIN}, sketch=Quantiles.from_json(values["sketch"]))
        summary._read_values(values)
        return summary


_PLAIN = ("name", "kind", "rows", "nulls", "infinite", "mean", "sum_of_squares", "min", "max", "characters", "longest")
