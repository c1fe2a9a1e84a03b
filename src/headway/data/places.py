"""The place of each row of a table within its part, by counts at every so many rows."""

from __future__ import annotations

import numpy as np

EVERY = 1 << 16


class Places:
    """``parts`` (N,): the part of each row, one of ``count``."""

    def __init__(self, parts: np.ndarray, count: int) -> None:
        self._parts, self._count = parts, count
        blocks = (parts[at : at + EVERY] for at in range(0, len(parts), EVERY))
        counts = [np.zeros(count, np.int64), *(np.bincount(block, minlength=count) for block in blocks)]
        self._before = np.cumsum(counts, axis=0)

    @property
    def rows(self) -> list[int]:
        """How many rows each part has."""
        return list(self._before[-1].tolist())

    def before(self, row: int) -> list[int]:
        """How many rows of each part come before a row of the table."""
        block = row // EVERY
        rest = np.bincount(self._parts[block * EVERY : row], minlength=self._count)
        return list((self._before[block] + rest).tolist())
