"""Summaries of values of which only equality matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headway.columns.codes import encoded
from headway.columns.frequencies import Frequencies
from headway.columns.summary import FREQUENT, Summary


@dataclass
class Discrete(Summary):
    """Values of which only equality matters."""

    frequencies: Frequencies = field(default_factory=Frequencies)

    @property
    def counts(self) -> dict[str, int] | None:
        """How often each value occurs, the most frequent first; None where there are too many to keep."""
        counts = self.frequencies.counts()
        return counts if self.frequencies.is_exact else None

    @property
    def frequent(self) -> list[tuple[str, int]]:
        return self.frequencies.most_common(FREQUENT)

    @property
    def distinct(self) -> int:
        return self.frequencies.distinct

    def _add(self, column: pa.Array) -> None:
        coded = encoded(column)
        codes = coded.indices.to_numpy(zero_copy_only=False)
        self._count(coded.dictionary, np.bincount(codes, minlength=len(coded.dictionary)))

    def _count(self, values: pa.Array, counts: np.ndarray) -> None:
        """Take different ``values`` and how often each occurs, perhaps never."""
        if not counts.all():
            values, counts = values.filter(pa.array(counts > 0)), counts[counts > 0]
        self.frequencies = Frequencies.of(values, counts)

    def _merge_values(self, other: Discrete) -> None:
        self.frequencies.merge(other.frequencies)

    def _values_json(self, heavy: int | None) -> dict[str, object]:
        return self.frequencies.to_json(heavy)

    def _read_values(self, values: Mapping[str, Any]) -> None:
        self.frequencies = Frequencies.from_json(values)

    def bins(self, bins: int, categories: int) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return (), tuple(value for value, _ in self.frequencies.most_common(categories))

    def bin_counts(self, edges: Sequence[float], categories: Sequence[str]) -> np.ndarray:
        counts = self.frequencies.counts()
        each = np.array([counts.get(value, 0) for value in categories], float)
        return np.append(each, max(0.0, self.finite - each.sum()))

    def every(self, most: int) -> tuple[str, ...] | None:
        counts = self.counts
        return tuple(counts) if counts is not None and len(counts) <= most else None
