"""The number of threads while a training goes on: fewer when other processes want the cores, more again when these leave.

A team of threads is as late as its last member, which may wait for a core while the others wait for it. What number is fastest then
depends on what the others do, so it is measured: a number is kept when its steps are a tenth faster than the last one's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway.files.atomic import read_json, write_json
from headway.machine.cores import Use, Watch

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

    def begin(self, count: int) -> None:
        """Begin anew with this number, which is in force already: a trial that was under way is void."""
        self.count, self._trial, self._from = count, None, None

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
        if rate < SLOWER * self._settled:  # something has changed: once, not again in each slow window
            self._settled, self._pause, self._not_before = rate, PAUSE_SECONDS, 0.0
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


class KeptThreads:
    """As Threads, and each new number is kept with its step in ``path``: sums may be ordered by the number of threads.

    A training that goes on from a checkpoint takes the kept numbers at the kept steps and so comes to the same weights; only after the last
    of them are others tried.
    """

    def __init__(
        self, path: Path, most: int, apply: Callable[[int], None], use: Callable[[], Use | None] | None = None
    ):
        self._path, self._apply, self._step = path, apply, 0
        self._switches: list[tuple[int, int]] = [(step, count) for step, count in read_json(path).get("switches", [])]
        self._first = int(read_json(path)["threads"])
        self._threads = Threads(most, self._switch, count=self._first, use=use)
        self.next: int | None = None
        self.start(0)

    @property
    def count(self) -> int:
        """The number in force."""
        return self._threads.count

    def start(self, step: int) -> None:
        """Go on after ``step`` steps: with the number that was in force then."""
        self._take(next((n for at, n in reversed(self._switches) if at <= step), self._first), step)

    def _take(self, count: int, step: int) -> None:
        self._threads.begin(count)
        self._apply(count)
        self._plan(step)

    def _plan(self, step: int) -> None:
        self.next = next((at for at, _ in self._switches if at > step), None)

    def repeat(self, step: int) -> None:
        """Take the number that was kept for this step. Called when ``next`` says so, before anything else is done after the step."""
        self._take(next(n for at, n in reversed(self._switches) if at == step), step)

    def look(self, step: int, steps: int, seconds: float) -> None:
        """Called now and then after a step, the ``step``-th of the training; ``steps`` took ``seconds`` in this process."""
        if self.next is None:
            self._step = step
            self._threads.look(steps, seconds)

    def _switch(self, count: int) -> None:
        self._switches.append((self._step, count))
        write_json(self._path, {**read_json(self._path), "switches": self._switches})
        self._apply(count)
