"""Summaries of values on a line: numbers, or moments as seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns import hashes
from headway.columns.summary import Summary


@dataclass
class Continuous(Summary):
    """Values on a line: numbers, or moments as seconds since the epoch. ``hashes``: the k smallest of those of its values."""

    hashes: np.ndarray = field(default_factory=lambda: hashes.NO_HASHES)

    @property
    def distinct(self) -> int:
        """Distinct finite values; an estimate where they are many."""
        return hashes.estimate(self.hashes)

    def _add(self, column: pa.Array) -> None:
        values = numbers(column)
        ordered = np.sort(values)
        if not np.isfinite(ordered[[0, -1]]).all():  # infinities lie at the ends, and NaN at the last
            values, ordered = values[np.isfinite(values)], ordered[np.isfinite(ordered)]
            self.infinite = len(column) - len(values)
        if len(values):
            self._measure(values, ordered)
            different = ordered[hashes.first_places(ordered)]
            self.hashes = hashes.smallest(hashes.of_numbers(different))

    def _merge_values(self, other: Continuous) -> None:
        self.hashes = hashes.merged(self.hashes, other.hashes)

    def _values_json(self, heavy: int | None) -> dict[str, object]:
        return {"values": {}, "heavy": {}, "hashes": hashes.pack(self.hashes)}

    def _read_values(self, values: Mapping[str, Any]) -> None:
        self.hashes = hashes.unpack(values["hashes"])

    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return self._tenths(bins), ()

    def bin_counts(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        return self._between(edges) if edges else np.array([float(self.finite)])


def numbers(column: pa.Array) -> np.ndarray:
    """A canonical column without nulls as numbers on a line, float64: dates in seconds since the epoch, texts by their length."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return pc.utf8_length(column).to_numpy(zero_copy_only=False).astype(np.float64)
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
    return column.to_numpy(zero_copy_only=False)
