"""Rows of different lengths as two arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

BLOCK_ROWS = 1 << 20


@dataclass(frozen=True, eq=False)
class Ragged:
    """Row i is values[offsets[i] : offsets[i + 1]]. Shapes: ``values`` (T,), ``offsets`` (N + 1,) int64."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], kind: type[np.generic] = np.int32) -> Ragged:
        """Rows that are given one by one."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.fromiter(chain.from_iterable(rows), kind, offsets[-1]), offsets)

    @classmethod
    def join(cls, rows: Sequence[np.ndarray], kind: np.dtype[Any]) -> Ragged:
        """Rows that are arrays of the type ``kind`` already."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = rows[0] if len(rows) == 1 else np.concatenate([np.empty(0, kind), *rows])
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(N,) int64."""
        return np.diff(self.offsets)

    @property
    def longest(self) -> int:
        """The largest length, 0 without rows. Block by block: the offsets may be a large file."""
        starts = range(0, len(self), BLOCK_ROWS)
        return max((int(np.diff(self.offsets[at : at + BLOCK_ROWS + 1]).max()) for at in starts), default=0)

    def take(self, rows: np.ndarray) -> Ragged:
        """The rows of these numbers, in their order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        moves = self.offsets[:-1][rows] - offsets[:-1]
        return Ragged(self.values[np.arange(offsets[-1]) + np.repeat(moves, lengths)], offsets)
