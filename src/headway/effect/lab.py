"""Measures variants on this machine, side by side in sessions, and trains them for their quality."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headway.effect import station
from headway.effect.station import Answer, Station, Unsupported
from headway.effect.together import Introduction, Session, Together, Variant, process_of, share_a_process
from headway.effect.trainers import Job, train_all

WINDOW_SECONDS = 0.1
"""One window: shorter than most disturbances, longer than the clock's resolution, the switch and the leading step."""

WARM_UP_SECONDS = 0.3

PAIR_SECONDS = 2.0
"""The least measuring time of a session of two variants; each further one adds half of it."""

GPU_WINDOW_SECONDS, GPU_WARM_UP_SECONDS = 0.3, 1.0
"""On a GPU a window must outlast the time that its clock takes to rise after a pause, and hold enough steps of a few milliseconds."""

MOST_KEPT = 6
"""Processes on a GPU that wait for a next session: a context takes half a gigabyte."""

INTRODUCTIONS = 2
"""Variants that share a process are first started so many times in a process of their own, for their memory and their start-up time."""


class Bench(Protocol):
    """Measures variants: by processes, or by a simulation whose truth is known."""

    def compare_all(
        self,
        first: Variant,
        seconds: Mapping[str, Variant],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> dict[str, Session | Unsupported]:
        """One session of several variants beside the first, for at least ``blocks``; ``swapped``: the other way round.

        A variant that is not supported, or not ready within ``limit`` seconds, has the reason instead. Raises Unsupported for the first.
        """
        ...

    def train(self, jobs: Iterator[Job]) -> Iterator[tuple[str, Answer | Unsupported]]:
        """The curve of each training by its key, or why it has none, as they end."""
        ...

    def ask(self, variant: Variant, what: str, **values: Any) -> Answer:
        """One answer of a variant, from a process of its own."""
        ...


@dataclass(frozen=True)
class Lab:
    """Measures on this machine. ``path``: the run directory with run.json and store.json.

    On a CPU a session's processes are its own: two of one program differ as long as they live, by where their memory lies. On a GPU, where
    a context takes seconds to begin, processes are kept for later sessions, which build their networks anew.
    """

    path: Path
    device: str = "cpu"
    window: float = WINDOW_SECONDS
    warm_up: float = WARM_UP_SECONDS
    pair: float = PAIR_SECONDS
    _introductions: dict[str, Introduction] = field(default_factory=dict)
    _apart: list[str] = field(default_factory=list)
    """Why variants do not share a process any more."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    """Numbers of sessions, each of which seeds the session's random order."""
    _waiting_stations: list[tuple[str, Station]] = field(default_factory=list)
    """Processes that wait for a next session, each with what is set for all of it; the one that waits longest first."""

    @classmethod
    def on(cls, path: Path, device: str) -> Lab:
        """With the windows that a device needs."""
        if device == "cpu":
            return cls(path, device)
        return cls(path, device, GPU_WINDOW_SECONDS, GPU_WARM_UP_SECONDS)

    def close(self) -> None:
        """End the processes that are kept."""
        while self._waiting_stations:
            self._waiting_stations.pop()[1].close()

    def load(self) -> None:
        """Have the fork server load everything, so that no measured time counts it."""
        station.load()

    def compare(
        self, first: Variant, second: Variant, blocks: int, limit: float | None = None, swapped: bool = False
    ) -> Session:
        """A session of two. Raises Unsupported where one cannot be had."""
        session = self.compare_all(first, {"": second}, blocks, limit, swapped)[""]
        if isinstance(session, Unsupported):
            raise session
        return session

    def compare_all(
        self,
        first: Variant,
        seconds: Mapping[str, Variant],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> dict[str, Session | Unsupported]:
        """As a bench. After a shared process has ended, every variant has its own from then on."""
        start = time.perf_counter()
        answers: dict[str, Session | Unsupported] = {}
        companions = {key: v for key, v in seconds.items() if not self._apart and share_a_process(first, v)}
        for key in list(companions):
            try:
                self._introduce(companions[key], limit)
            except Unsupported as error:
                answers[key] = error
                del companions[key]
        if companions:
            self._introduce(first)
        own = {key: variant for key, variant in seconds.items() if key not in companions and key not in answers}
        try:
            with contextlib.ExitStack() as stack:
                chance = random.Random(next(self._numbers))
                session = Together(stack, self, first, companions, own, limit, swapped, chance)
                session.measure(blocks)
                answers |= session.failures
                answers |= session.sessions(time.perf_counter() - start)
        except Unsupported as error:
            if not companions:
                raise
            self._apart.append(str(error))
            return self.compare_all(first, seconds, blocks, limit, swapped)
        return answers

    def _introduce(self, variant: Variant, limit: float | None = None) -> None:
        introduction = self._introductions.setdefault(json.dumps(variant, sort_keys=True), Introduction())
        introduction.fresh = len(introduction.peaks) < INTRODUCTIONS
        if introduction.fresh:
            with self.station([variant], limit) as alone:
                alone.ask("steps", count=2)
                introduction.startups.append(alone.startups[0])
                introduction.peaks.append(alone.ask("memory")["peak"])

    def introduction(self, variant: Variant) -> Introduction:
        """Start-up time and memory of a variant that shares a process, measured in one of its own."""
        return self._introductions[json.dumps(variant, sort_keys=True)]

    def train(self, jobs: Iterator[Job]) -> Iterator[tuple[str, Answer | Unsupported]]:
        """As a bench: on all cores at once."""
        return train_all(self.path, jobs, self.device)

    def ask(self, variant: Variant, what: str, **values: Any) -> Answer:
        """One answer of a variant, from a process of its own."""
        with self.station([variant]) as alone:
            return alone.ask(what, **values)

    @contextlib.contextmanager
    def station(self, variants: Sequence[Variant], limit: float | None = None, wait: bool = True) -> Iterator[Station]:
        """A process, ended or kept afterwards; without ``wait`` it may not be ready yet."""
        process = self._begin(variants, limit, wait)
        try:
            yield process
            if self.device == "cpu" or not process.is_usable:
                process.close()
            else:
                self._keep(process_of(variants), process)
        except BaseException:
            process.close()
            raise

    def _keep(self, key: str, process: Station) -> None:
        """Without its variants, which hold memory of the GPU. One that has ended meanwhile is not kept."""
        try:
            process.anew([])
        except Unsupported:
            return
        self._waiting_stations.append((key, process))
        if len(self._waiting_stations) > MOST_KEPT:
            self._waiting_stations.pop(0)[1].close()

    def _begin(self, variants: Sequence[Variant], limit: float | None, wait: bool) -> Station:
        for place, (key, process) in enumerate(self._waiting_stations):
            if key == process_of(variants):
                del self._waiting_stations[place]
                try:
                    process.anew(variants, limit, wait)
                except BaseException:
                    process.close()
                    raise
                return process
        return Station(self.path, variants, limit, wait)
