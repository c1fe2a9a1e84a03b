"""What a training costs: rows a second and peak memory."""

from __future__ import annotations

import resource
import sys
import time

import torch


def peak_memory() -> int:
    """Most bytes held so far: of the GPU where one is used, else of this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Meter:
    """Rows and seconds of training steps; validation and checkpoints are left out by ``pause``."""

    def __init__(self) -> None:
        self.rows = 0
        self._seconds = 0.0
        self._since: float | None = None

    def add(self, rows: int) -> None:
        """Count the rows of one step."""
        self.rows += rows

    def pause(self) -> None:
        """Stop the clock, after what the device still has to do."""
        if self._since is None:
            return
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self._seconds += time.perf_counter() - self._since
        self._since = None

    def resume(self) -> None:
        """Start the clock again."""
        if self._since is None:
            self._since = time.perf_counter()

    @property
    def rows_per_second(self) -> float:
        """Training rows a second while the clock ran."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self.rows / max(self._seconds + running, 1e-9)
