"""What the rows are like, in one streaming pass: mergeable, so that new files add to what is known of the old ones.

Quantiles come from a KLL sketch (Karnin, Lang, Liberty 2016) by Apache DataSketches, distinct values beyond the exact limit from the
k smallest hashes (Bar-Yossef et al. 2002); counts, nulls, moments, extremes are exact. Moments merge by Chan, Golub, LeVeque 1979.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import Kind

if TYPE_CHECKING:
    from headway.data.source import Table

EXACT_VALUES = 100_000
"""Distinct values counted exactly; beyond, the most frequent stay and the rest is estimated."""

SKETCH_K = 1600
"""KLL accuracy: a rank error of about 0.17 % at 99 % confidence."""

HASHES = 4096
"""Smallest hashes kept: a distinct count within about 1.6 %."""

FREQUENT = 20


@dataclass
class ColumnProfile:
    """One column. Numeric columns and dates (as seconds since the epoch) have moments and quantiles; others have counts.

    ``infinite`` values are counted apart and left out of moments and quantiles.
    """

    name: str
    kind: Kind
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
        """How often each value occurs; None where there are too many to keep, and for numbers and dates."""
        return dict(self.values) if self.values is not None and self.kind in ("categorical", "text") else None

    @property
    def frequent(self) -> list[tuple[str, int]]:
        """The most frequent values; counts are lower bounds where the values are too many to keep."""
        return (self.values if self.values is not None else self.heavy).most_common(FREQUENT)

    @property
    def distinct(self) -> int:
        """Distinct values; an estimate where they are too many to count."""
        if self.values is not None and self.kind in ("categorical", "text"):
            return len(self.values)
        if len(self.hashes) < HASHES:
            return len(self.hashes)
        return round((HASHES - 1) / (float(self.hashes[-1]) / 2.0**64))

    @property
    def mean_length(self) -> float | None:
        """Characters of a text, on average."""
        return self.characters / (self.rows - self.nulls) if self.kind == "text" and self.rows > self.nulls else None

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
        if not len(column):
            return
        if self.kind in ("numeric", "date"):
            self._update_numbers(numbers(column))
        else:
            self._update_texts(column)

    def _update_numbers(self, values: np.ndarray) -> None:
        import datasketches

        finite = np.isfinite(values)
        if not finite.all():
            self.infinite += int((~finite).sum())
            values = values[finite]
        if not len(values):
            return
        if self.sketch is None:
            self.sketch = datasketches.kll_doubles_sketch(SKETCH_K)
        self.sketch.update(np.array(values))  # a copy: Arrow's memory is read-only, which the sketch refuses
        self._merge_moments(len(values), float(values.mean()), float(((values - values.mean()) ** 2).sum()))
        low, high = float(values.min()), float(values.max())
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)
        self._update_hashes(pd.util.hash_array(np.unique(values)))

    def _merge_moments(self, n: int, mean: float, squares: float) -> None:
        """Add ``n`` values, which ``known`` counts already, to the moments."""
        before = self.known - n
        if self.mean is None or before <= 0:
            self.mean, self.sum_of_squares = mean, squares
            return
        delta = mean - self.mean
        self.sum_of_squares += squares + delta**2 * before * n / (before + n)
        self.mean += delta * n / (before + n)

    def _update_hashes(self, hashes: np.ndarray) -> None:
        self.hashes = np.unique(np.concatenate([self.hashes, hashes]))[:HASHES]

    def _update_texts(self, column: pa.Array) -> None:
        counted = column.value_counts()
        values, counts = counted.field(0).to_pylist(), counted.field(1).to_pylist()
        if self.values is None or len(values) > 4 * EXACT_VALUES or self.kind == "text":
            self._update_hashes(pd.util.hash_array(np.asarray(values, object), categorize=False))
        if self.kind == "text":
            lengths = pc.utf8_length(column)
            self.characters += int(pc.sum(lengths).as_py())
            self.longest = max(self.longest, int(pc.max(lengths).as_py()))
        self._count(dict(zip(values, counts, strict=True)))

    def _count(self, counts: Mapping[str, int]) -> None:
        if self.values is not None:
            self.values.update(counts)
            if len(self.values) <= EXACT_VALUES:
                return
            self._update_hashes(pd.util.hash_array(np.asarray(list(self.values), object), categorize=False))
            self.heavy, self.values = self.values, None
        else:
            self.heavy.update(counts)
        if len(self.heavy) > EXACT_VALUES:
            self.heavy = Counter(dict(self.heavy.most_common(EXACT_VALUES // 2)))

    def merge(self, other: ColumnProfile) -> None:
        """Add another profile of the same column."""
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
            self._update_hashes(pd.util.hash_array(np.asarray(list(self.values), object), categorize=False))
            self.heavy, self.values = self.values, None
        elif other.values is not None and self.values is None:
            self._update_hashes(pd.util.hash_array(np.asarray(list(other.values), object), categorize=False))
        self._update_hashes(other.hashes)
        self._count(other.values if other.values is not None else other.heavy)

    def to_json(self) -> dict[str, Any]:
        """As plain values, the sketch included."""
        kept = {k: getattr(self, k) for k in _PLAIN}
        values = None if self.values is None else dict(self.values.most_common())
        return {
            **kept,
            "distinct": self.distinct,
            "std": self.std,
            "values": values,
            "heavy": dict(self.heavy.most_common(1000)),
            "hashes": base64.b64encode(self.hashes.tobytes()).decode(),
            "sketch": _pack_sketch(self.sketch),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ColumnProfile:
        """What to_json gave."""
        return cls(
            **{k: told[k] for k in _PLAIN},
            values=None if told["values"] is None else Counter(told["values"]),
            heavy=Counter(told["heavy"]),
            hashes=np.frombuffer(base64.b64decode(told["hashes"]), np.uint64),
            sketch=_unpack_sketch(told["sketch"]),
        )


_PLAIN = ("name", "kind", "rows", "nulls", "infinite", "mean", "sum_of_squares", "min", "max", "characters", "longest")


def numbers(column: pa.Array) -> np.ndarray:
    """A canonical column of numbers or dates without nulls as float64; dates in seconds since the epoch."""
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


@dataclass(frozen=True)
class Profile:
    """All columns of a table."""

    rows: int
    columns: dict[str, ColumnProfile]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"rows": self.rows, "columns": {name: column.to_json() for name, column in self.columns.items()}}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Profile:
        """What to_json gave."""
        return cls(told["rows"], {name: ColumnProfile.from_json(column) for name, column in told["columns"].items()})


class Profiler:
    """Builds a profile from batches, or from other profilers of the same columns."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._columns = {name: ColumnProfile(name, kind) for name, kind in kinds.items()}
        self._rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows, canonical types."""
        self._rows += batch.num_rows
        for name, column in self._columns.items():
            column.update(batch.column(name))

    def merge(self, other: Profiler | Profile) -> None:
        """Add what another one has seen."""
        seen = other.profile() if isinstance(other, Profiler) else other
        self._rows += seen.rows
        for name, column in self._columns.items():
            column.merge(seen.columns[name])

    def profile(self) -> Profile:
        """What has been seen so far."""
        return Profile(self._rows, self._columns)


def kinds_of(table: Table) -> dict[str, Kind]:
    """Every feature's kind, and the target's: categorical for classes, numeric for numbers."""
    return {**table.kinds, table.target: "categorical" if table.task == "classification" else "numeric"}


def profile_table(table: Table) -> Profile:
    """The features and the target of the whole table, in one pass."""
    profiler = Profiler(kinds_of(table))
    for chunk in table.chunks(columns=list(kinds_of(table))):
        profiler.update(chunk.batch)
    return profiler.profile()
