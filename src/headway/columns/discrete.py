"""Summaries of values of which only equality matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from headway.columns.summary import EXACT_VALUES, Summary, hashes_of


class Discrete(Summary):
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
        pairs = column.value_counts()
        values, counts = pairs.field(0).to_pylist(), pairs.field(1).to_pylist()
        if self._too_many(len(values)):
            self._update_hashes(hashes_of(values))
        self._count(dict(zip(values, counts, strict=True)))

    def _too_many(self, values: int) -> bool:
        """Whether distinct values are estimated by their hashes; a block with very many ``values`` adds its hashes at once."""
        return self.values is None or values > 4 * EXACT_VALUES

    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return (), tuple(value for value, _ in self._frequencies.most_common(categories))

    def bin_counts(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        each = np.array([self._frequencies.get(value, 0) for value in categories], float)
        return np.append(each, max(0.0, self.finite - each.sum()))

    def every(self, most: int) -> tuple[str, ...] | None:
        return tuple(self.values) if self.values is not None and len(self.values) <= most else None

    @property
    def _frequencies(self) -> Counter[str]:
        return self.values if self.values is not None else self.heavy
