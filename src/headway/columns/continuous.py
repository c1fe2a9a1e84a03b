"""Summaries of values on a line: numbers, or moments as seconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.summary import Summary


class Continuous(Summary):
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

    def bin_counts(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        return self._between(edges) if edges else np.array([float(self.finite)])


def numbers(column: pa.Array) -> np.ndarray:
    """A canonical column without nulls as numbers on a line, float64: dates in seconds since the epoch, texts by their length."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return pc.utf8_length(column).to_numpy(zero_copy_only=False).astype(np.float64)
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
    return column.to_numpy(zero_copy_only=False)
