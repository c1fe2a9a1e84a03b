"""How long a stage still takes, as people are told it."""

from __future__ import annotations

import time
from collections.abc import Callable

FEWEST_MOVES = 5
"""So many different shares are needed: a stage with fewer tells its parts, whose lengths differ, and not the time."""

FEWEST_SECONDS = 2.0


class Remaining:
    """The time left of one stage, by how its share has grown since it was first reported."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, float] | None = None
        self._share = 0.0
        self._moves = 0

    def after(self, share: float) -> float | None:
        """Seconds left where ``share``, from 0 to 1, is done; None until that can be said.

        What was done before the first report, as of a resumed training, is not counted as work of this process, nor is its start.
        """
        now = self._clock()
        if self._first is None:
            self._first, self._share = (now, share), share
            return None
        self._moves += share > self._share
        self._share = max(share, self._share)
        start, began_at = self._first
        if self._moves < FEWEST_MOVES or now - start < FEWEST_SECONDS:
            return None
        return (now - start) * (1 - self._share) / (self._share - began_at)


def in_words(seconds: float) -> str:
    """A time left, as exact as an estimate is: `20 s`, `3 min`, `1.5 h`."""
    if seconds < 90:
        step = 1 if seconds < 10 else 5
        return f"{max(1, step * round(seconds / step))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
