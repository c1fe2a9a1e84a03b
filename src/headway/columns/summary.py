"""What one column holds, summed up as its rows stream by: mergeable, so that new files add to what is known of the old ones.

Quantiles come from a KLL sketch (Karnin, Lang, Liberty 2016) by Apache DataSketches, distinct values beyond the exact limit from the
k smallest hashes (Bar-Yossef et al. 2002); counts, nulls, moments, extremes are exact. Moments merge by Chan, Golub, LeVeque 1979.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

EXACT_VALUES = 100_000
"""Distinct values counted exactly; beyond, the most frequent stay and the rest is estimated."""

SKETCH_K = 1600
"""KLL accuracy: a rank error of about 0.17 % at 99 % confidence."""

HASHES = 4096
"""Smallest hashes kept: a distinct count within about 1.6 %."""

FREQUENT = 20


@dataclass
class Summary(ABC):
    """One column. What lies on a line has moments and quantiles (`Measured`), other values have counts (`Counted`).

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
    values: Counter[str] | None = field(default_factory=Counter)
    heavy: Counter[str] = field(default_factory=Counter)
    hashes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    characters: int = 0
    longest: int = 0
    sketch: Any = None

    @property
    def known(self) -> int:
        """Rows with a finite value."""
        return self.rows - self.nulls - self.infinite

    @property
    def std(self) -> float | None:
        """Population standard deviation."""
        return None if self.mean is None else float(np.sqrt(self.sum_of_squares / max(1, self.known)))

    @property
    def counts(self) -> dict[str, int] | None:
        """How often each value occurs; None where there are too many to keep, and on a line."""
        return None

    @property
    def frequent(self) -> list[tuple[str, int]]:
        """The most frequent values; counts are lower bounds where the values are too many to keep."""
        return (self.values if self.values is not None else self.heavy).most_common(FREQUENT)

    @property
    def distinct(self) -> int:
        """Distinct values; an estimate where they are too many to count."""
        if len(self.hashes) < HASHES:
            return len(self.hashes)
        return round((HASHES - 1) / (float(self.hashes[-1]) / 2.0**64))

    def quantiles(self, shares: Sequence[float]) -> np.ndarray:
        """Values below which the ``shares`` of the rows lie, rank error below 0.2 %; NaN without rows."""
        if self.sketch is None or self.sketch.is_empty():
            return np.full(len(shares), np.nan)
        inner = np.asarray(self.sketch.get_quantiles(list(shares)), float)
        inner[np.asarray(shares) <= 0] = self.min
        inner[np.asarray(shares) >= 1] = self.max
        return inner

    def update(self, column: pa.Array) -> None:
        """Add rows, canonical type."""
        self.rows += len(column)
        self.nulls += column.null_count
        column = column.drop_null()
        if len(column):
            self._add(column)

    @abstractmethod
    def _add(self, column: pa.Array) -> None:
        """Add rows without nulls, of which there is at least one."""

    @abstractmethod
    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """By what another summary of the column is compared with this one: edges between ``bins`` equal parts of the rows, or the most
        frequent ``categories``. Both are empty where only nulls are compared.
        """

    def every(self, most: int) -> tuple[str, ...] | None:
        """Every value that occurred, where at most so many did and a new one would be news; else None."""
        return None

    @abstractmethod
    def counted(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        """Rows in each of these bins, and of all other categories together in a last one: (bins,)."""

    def _measure(self, values: np.ndarray) -> None:
        """Add finite numbers (N,), which ``known`` counts already, to the quantiles and the moments."""
        import datasketches

        if self.sketch is None:
            self.sketch = datasketches.kll_doubles_sketch(SKETCH_K)
        self.sketch.update(np.array(values))  # a copy: Arrow's memory is read-only, which the sketch refuses
        with np.errstate(over="ignore", invalid="ignore"):  # beyond 1e150; validation refuses such a column
            mean, squares = float(values.mean()), float(((values - values.mean()) ** 2).sum())
        self._merge_moments(len(values), mean, squares)
        low, high = float(values.min()), float(values.max())
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)

    def _tenths(self, bins: int) -> tuple[float, ...]:
        """The edges between ``bins`` equal parts of the measured numbers; fewer where many are equal."""
        if not self.known:
            return ()
        return tuple(np.unique(self.quantiles([i / bins for i in range(1, bins)])).tolist())

    def _between(self, edges: Sequence[float]) -> np.ndarray:
        """How many of the measured numbers lie between such edges: (len(edges) + 1,)."""
        if self.sketch is None:
            return np.zeros(len(edges) + 1)
        below = np.asarray(self.sketch.get_cdf(list(edges), inclusive=True), float)
        return np.diff(below, prepend=0.0) * self.known

    def _merge_moments(self, n: int, mean: float, squares: float) -> None:
        """Add ``n`` values, which ``known`` counts already, to the moments."""
        before = self.known - n
        if self.mean is None or before <= 0:
            self.mean, self.sum_of_squares = mean, squares
            return
        delta = mean - self.mean
        squared = delta**2 if abs(delta) < 1e150 else np.inf
        self.sum_of_squares += squares + squared * before * n / (before + n)
        self.mean += delta * n / (before + n)

    def _update_hashes(self, hashes: np.ndarray) -> None:
        self.hashes = np.unique(np.concatenate([self.hashes, hashes]))[:HASHES]

    def _count(self, counts: Mapping[str, int]) -> None:
        if self.values is not None:
            self.values.update(counts)
            if len(self.values) <= EXACT_VALUES:
                return
            self._update_hashes(hashes_of(list(self.values)))
            self.heavy, self.values = self.values, None
        else:
            self.heavy.update(counts)
        if len(self.heavy) > EXACT_VALUES:
            self.heavy = Counter(dict(self.heavy.most_common(EXACT_VALUES // 2)))

    def merge(self, other: Summary) -> None:
        """Add another summary of the same column."""
        before = self.known
        self.rows, self.nulls, self.infinite = (
            self.rows + other.rows,
            self.nulls + other.nulls,
            self.infinite + other.infinite,
        )
        if other.mean is not None:
            if self.mean is None or not before:
                self.mean, self.sum_of_squares = other.mean, other.sum_of_squares
            else:
                self._merge_moments(other.known, other.mean, other.sum_of_squares)
            assert other.min is not None
            assert other.max is not None
            self.min = other.min if self.min is None else min(self.min, other.min)
            self.max = other.max if self.max is None else max(self.max, other.max)
            if self.sketch is None:
                self.sketch = _unpack_sketch(_pack_sketch(other.sketch))
            else:
                self.sketch.merge(other.sketch)
        self.characters += other.characters
        self.longest = max(self.longest, other.longest)
        if other.values is None and self.values is not None:
            self._update_hashes(hashes_of(list(self.values)))
            self.heavy, self.values = self.values, None
        elif other.values is not None and self.values is None:
            self._update_hashes(hashes_of(list(other.values)))
        self._update_hashes(other.hashes)
        self._count(other.values if other.values is not None else other.heavy)

    def to_json(self) -> dict[str, object]:
        """As plain values, the sketch included."""
        kept = {k: getattr(self, k) for k in _PLAIN}
        values = None if self.values is None else dict(self.values.most_common())
        for moment in ("mean", "sum_of_squares"):  # of numbers beyond 1e150, which validation refuses
            if kept[moment] is not None and not np.isfinite(kept[moment]):
                kept[moment] = float(np.finfo(np.float64).max)
        return {
            **kept,
            "distinct": self.distinct,
            "std": None if self.std is None or not np.isfinite(self.std) else self.std,
            "values": values,
            "heavy": dict(self.heavy.most_common(1000)),
            "hashes": base64.b64encode(self.hashes.tobytes()).decode(),
            "sketch": _pack_sketch(self.sketch),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What to_json gave."""
        return cls(
            **{k: values[k] for k in _PLAIN},
            values=None if values["values"] is None else Counter(values["values"]),
            heavy=Counter(values["heavy"]),
            hashes=np.frombuffer(base64.b64decode(values["hashes"]), np.uint64),
            sketch=_unpack_sketch(values["sketch"]),
        )


class Measured(Summary):
    """Values on a line: numbers, or moments as seconds since the epoch."""

    def _add(self, column: pa.Array) -> None:
        import pandas as pd

        values = numbers(column)
        finite = np.isfinite(values)
        if not finite.all():
            self.infinite += int((~finite).sum())
            values = values[finite]
        if len(values):
            self._measure(values)
            self._update_hashes(pd.util.hash_array(np.unique(values)))

    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return self._tenths(bins), ()

    def counted(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        return self._between(edges) if edges else np.array([float(self.known)])


class Counted(Summary):
    """Values of which only equality matters."""

    @property
    def counts(self) -> dict[str, int] | None:
        """How often each value occurs; None where there are too many to keep."""
        return None if self.values is None else dict(self.values)

    @property
    def distinct(self) -> int:
        """Distinct values; an estimate where they are too many to count."""
        return len(self.values) if self.values is not None else super().distinct

    def _add(self, column: pa.Array) -> None:
        counted = column.value_counts()
        values, counts = counted.field(0).to_pylist(), counted.field(1).to_pylist()
        if self._too_many(len(values)):
            self._update_hashes(hashes_of(values))
        self._count(dict(zip(values, counts, strict=True)))

    def _too_many(self, values: int) -> bool:
        """Whether distinct values are estimated by their hashes: then those of a block with so many ``values`` are taken up at once."""
        return self.values is None or values > 4 * EXACT_VALUES

    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return (), tuple(value for value, _ in self._frequencies.most_common(categories))

    def counted(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        each = np.array([self._frequencies.get(value, 0) for value in categories], float)
        return np.append(each, max(0.0, self.known - each.sum()))

    def every(self, most: int) -> tuple[str, ...] | None:
        return tuple(self.values) if self.values is not None and len(self.values) <= most else None

    @property
    def _frequencies(self) -> Counter[str]:
        return self.values if self.values is not None else self.heavy


_PLAIN = ("name", "kind", "rows", "nulls", "infinite", "mean", "sum_of_squares", "min", "max", "characters", "longest")


def numbers(column: pa.Array) -> np.ndarray:
    """A canonical column without nulls as numbers on a line, float64: dates in seconds since the epoch, texts by their length."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return pc.utf8_length(column).to_numpy(zero_copy_only=False).astype(np.float64)
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
    return column.to_numpy(zero_copy_only=False)


def _pack_sketch(sketch: Any) -> str | None:
    return None if sketch is None else base64.b64encode(sketch.serialize()).decode()


def _unpack_sketch(text: str | None) -> Any:
    if text is None:
        return None
    import datasketches

    return datasketches.kll_doubles_sketch.deserialize(base64.b64decode(text))


def hashes_of(values: Sequence[str]) -> np.ndarray:
    """(N,) uint64, one for each text, the same on every machine."""
    import pandas as pd

    return np.asarray(pd.util.hash_array(np.asarray(values, object), categorize=False))
