"""The rate of a scoring."""

from __future__ import annotations

import time


class Pace:
    """How fast rows are predicted: the start of processes, and the batch that waited for it, do not count."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._seconds = 0.0
        self._rows = 0

    def begin(self) -> None:
        """What predicts has been started already."""
        self._since = self._since or time.perf_counter()

    def add(self, rows: int) -> None:
        """So many rows have been answered."""
        now = time.perf_counter()
        if self._since is None:
            self._since = now
            return
        self._rows, self._seconds = self._rows + rows, now - self._since

    @property
    def rows_per_second(self) -> float | None:
        """None where nothing was predicted, or only what waited for the start."""
        return self._rows / self._seconds if self._rows else None
