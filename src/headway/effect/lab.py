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
from headway.effect.together import Introduction, Session, Together, Variant, share_a_process
from headway.effect.trainers import Job, train_all

WINDOW_SECONDS = 0.1
"""One window: short beside what disturbs a machine, long beside the clock, the switch, and the step that goes before."""

WARM_UP_SECONDS = 0.3

PAIR_SECONDS = 2.0
"""A session measures for at least as long for two variants, half of it more for each further one."""

INTRODUCTIONS = 2
"""Variants that share a process are begun so many times in one of their own, for their memory and their time to be ready."""


class Bench(Protocol):
    """Whatever measures variants: processes, or a simulation whose truth is known."""

    def compare_all(
        self,
        first: Variant,
        seconds: Mapping[str, Variant],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> dict[str, Session | Unsupported]:
        """One session of several variants beside the first, for at least ``blocks``; ``swapped``: the other way round.

        What cannot be had, or is not ready within ``limit`` seconds, has its reason instead. Raises Unsupported where the first cannot.
        """
        ...

    def train(self, jobs: Iterator[Job]) -> Iterator[tuple[str, Answer | Unsupported]]:
        """The curve of each training by its key, or why it has none, as they end."""
        ...

    def ask(self, variant: Variant, what: str, **values: Any) -> Answer:
        """One answer of a variant that lives only for it."""
        ...


@dataclass(frozen=True)
class Lab:
    """Measures on this machine. ``path``: the run directory with run.json and store.json."""

    path: Path
    device: str = "cpu"
    window: float = WINDOW_SECONDS
    warm_up: float = WARM_UP_SECONDS
    pair: float = PAIR_SECONDS
    _introductions: dict[str, Introduction] = field(default_factory=dict)
    _apart: list[str] = field(default_factory=list)
    """Why variants do not share a process any more."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of sessions: what is drawn in one follows from it."""

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
        """As a bench. A shared process that ends is a reason to give every variant its own from then on."""
        begun = time.perf_counter()
        answers: dict[str, Session | Unsupported] = {}
        shared = {key: v for key, v in seconds.items() if not self._apart and share_a_process(first, v)}
        for key in list(shared):
            try:
                self._introduce(shared[key], limit)
            except Unsupported as error:
                answers[key] = error
                del shared[key]
        if shared:
            self._introduce(first)
        own = {key: variant for key, variant in seconds.items() if key not in shared and key not in answers}
        try:
            with contextlib.ExitStack() as stack:
                chance = random.Random(next(self._numbers))
                session = Together(stack, self, first, shared, own, limit, swapped, chance)
                session.measure(blocks)
                answers |= session.failures
                answers |= session.sessions(time.perf_counter() - begun)
        except Unsupported as error:
            if not shared:
                raise
            self._apart.append(str(error))
            return self.compare_all(first, seconds, blocks, limit, swapped)
        return answers

    def _introduce(self, variant: Variant, limit: float | None = None) -> None:
        met = self._introductions.setdefault(json.dumps(variant, sort_keys=True), Introduction())
        met.fresh = len(met.peaks) < INTRODUCTIONS
        if met.fresh:
            with self.station([variant], limit) as alone:
                alone.ask("steps", count=2)
                met.startups.append(alone.startups[0])
                met.peaks.append(alone.ask("memory")["peak"])

    def introduction(self, variant: Variant) -> Introduction:
        """What a variant that shares a process took in one of its own."""
        return self._introductions[json.dumps(variant, sort_keys=True)]

    def train(self, jobs: Iterator[Job]) -> Iterator[tuple[str, Answer | Unsupported]]:
        """As a bench: on all cores at once."""
        return train_all(self.path, jobs, self.device)

    def ask(self, variant: Variant, what: str, **values: Any) -> Answer:
        """One answer of a variant's process, which lives only for it."""
        with self.station([variant]) as alone:
            return alone.ask(what, **values)

    @contextlib.contextmanager
    def station(self, variants: Sequence[Variant], limit: float | None = None, wait: bool = True) -> Iterator[Station]:
        """A process, ended afterwards; without ``wait`` it may not be ready yet."""
        process = Station(self.path, variants, limit, wait)
        try:
            yield process
        finally:
            process.close()
