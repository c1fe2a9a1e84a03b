"""The number of threads while a training goes on: fewer when other processes want the cores, more again when these leave.

A team of threads is as late as its last member, which may wait for a core while the others wait for it. What number is fastest then
depends on what the others do, so it is measured: a number is kept when its steps are a tenth faster than the last one's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from headway.cores import Use, Watch

WINDOW_SECONDS, WINDOW_STEPS = 1.0, 3
"""What a rate is measured over at least; the first one, on which nothing depends but a trial, takes a third of it."""

BETTER = 1.1
SLOWER = 0.7
"""A rate below this share of the one that was settled on is looked into at once."""

PAUSE_SECONDS, LONGEST_PAUSE = 8.0, 120.0
"""After a trial that changed nothing; doubled with each of them."""


@dataclass
class _Trial:
    """The number of threads and the rate before it."""

    count: int
    rate: float


class Threads:
    """Chooses the number of threads. ``apply`` is called with each new one, between two steps."""

    def __init__(
        self,
        most: int,
        apply: Callable[[int], None],
        *,
        count: int | None = None,
        use: Callable[[], Use | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.most, self.count = most, count or most
        self._apply, self._use, self._clock = apply, use or Watch().look, clock
        self._trial: _Trial | None = None
        self._settled = 0.0
        self._pause, self._not_before = PAUSE_SECONDS, 0.0
        self._from: tuple[int, float] | None = None
        self._window = WINDOW_SECONDS / 3

    def look(self, steps: int, seconds: float) -> None:
        """Called now and then between two steps: how many there were so far, and the seconds that they took."""
        if self._from is None:
            self._restart(steps, seconds)
            return
        more, took = steps - self._from[0], seconds - self._from[1]
        if took < self._window or more < WINDOW_STEPS:
            return
        self._window = WINDOW_SECONDS
        rate, use = more / took, self._use()
        if self._trial is not None:
            self._judge(self._trial, rate)
        elif use is not None:
            self._consider(rate, use)
        self._restart(steps, seconds)

    def _restart(self, steps: int, seconds: float) -> None:
        self._from = (steps, seconds)
        self._use()

    def _judge(self, before: _Trial, rate: float) -> None:
        """Keep the number on trial, or go back."""
        self._trial = None
        if rate >= BETTER * before.rate:
            self._settled, self._pause, self._not_before = rate, PAUSE_SECONDS, 0.0
            return
        self._settled = before.rate
        self._not_before, self._pause = self._clock() + self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self._set(before.count)

    def _consider(self, rate: float, use: Use) -> None:
        """Try another number where what the others do makes it likely to be faster."""
        if rate < SLOWER * self._settled:
            self._not_before = 0.0
        self._settled = max(self._settled, rate)
        if self._clock() < self._not_before:
            return
        if use.contended and self.count > 1:
            other = self.count // 2
        elif self.count < self.most and use.idle >= 0.5:
            other = min(self.most, self.count * 2)
        else:
            return
        self._trial = _Trial(self.count, rate)
        self._set(other)

    def _set(self, count: int) -> None:
        self.count = count
        self._apply(count)
