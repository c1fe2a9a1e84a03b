"""One session: variants run in turns, forwards and backwards, with the baseline (A) after every few of the others.

    A B C A D E | A E D A C B | A B C ... A

Variants that do not change their process share one with the baseline, so that a session costs one start and one baseline. A variant that
changes its process (threads, memory, compiler) has its own: its peak is its own, and its failure ends no other. Its baseline should be
alone in a process, too, because companions leave memory behind that makes steps faster. A session's processes end with it: two processes
of one program differ as long as they live, so that even a long session is one sample.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from headway.effect.contention import Contention, Counters
from headway.effect.station import Station, Unsupported

Variant = Mapping[str, Any]
"""The JSON that describes a variant to its process: see `worker`."""

Window = tuple[str | None, dict[str, float]]
"""The variant, None for the baseline, and its figures a row: "seconds", "cpu", "joules"."""

LONGEST_PAIRS = 3.0
"""After slow starts a session measures for as long as they took, up to so many times the least, so that half of its time is measuring."""

PROCESS_FIELDS = ("device", "threads", "keep_memory", "compile", "cuda_graphs", "workers")
"""Fields of a recipe that set something for its whole process."""

SHAREABLE = {
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "residence": ("auto", "device", "loader"),
    "compile": ("none",),
}
"""Values with which a variant does not affect others in its process: streams read ahead in threads, tf32 sets a global switch of torch."""


@dataclass(frozen=True)
class Session:
    """The figures of two variants side by side: ``blocks`` (N, 4) seconds a row, in the order first, second, second, first."""

    blocks: np.ndarray
    startup: tuple[float, float]
    """Seconds until each was ready: building, compiling, the first steps."""
    peak: tuple[float, float] | None
    """Most bytes that each held; None where that was measured before."""
    joules: tuple[float, float] | None
    """A row's energy; None without a counter."""
    seconds: float
    """What it took; of a session of several, its share."""
    contention: Contention | None = None
    """None where it was not measured."""


def share_a_process(first: Variant, second: Variant) -> bool:
    """Whether two variants can share a process without affecting each other."""
    one, other = first["recipe"], second["recipe"]
    return (
        first["measure"] == second["measure"] == "step"
        and all(one[name] == other[name] for name in PROCESS_FIELDS)
        and all(recipe[name] in values for recipe in (one, other) for name, values in SHAREABLE.items())
    )


def process_of(variants: Sequence[Variant]) -> str:
    """What is set for the whole process of variants, as text."""
    return json.dumps([variants[0]["recipe"][name] for name in PROCESS_FIELDS])


def starts_slowly(variant: Variant) -> bool:
    """Whether it takes seconds to start: it is then measured longer, and only beside others that do."""
    return variant["recipe"]["compile"] != "none" or variant.get("way") == "compiled"


@dataclass
class Introduction:
    """Start-up times and peaks of a variant in processes of its own."""

    startups: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    fresh: bool = False
    """Whether the latest session measured them."""


class Processes(Protocol):
    """Gives a session its processes, and says how long it measures."""

    @property
    def window(self) -> float: ...

    @property
    def warm_up(self) -> float: ...

    @property
    def pair(self) -> float: ...

    def station(
        self, variants: Sequence[Variant], limit: float | None = None, wait: bool = True
    ) -> AbstractContextManager[Station]:
        """A process, ended afterwards; without ``wait`` it may not be ready yet."""
        ...

    def introduction(self, variant: Variant) -> Introduction:
        """What a variant that shares a process took in one of its own."""
        ...


@dataclass(frozen=True)
class _Seat:
    """A variant's place in a process."""

    station: Station
    place: int

    def window(self) -> dict[str, float]:
        return self.station.window(self.place)


class Together:
    """One session: its processes, its windows in their order, and each variant's figures beside the first.

    The orders of building and of stepping are random in each session. A step depends on the state in which the one before left the
    process's memory, thousands of page faults or none; with random orders this averages out and is covered by the interval.
    """

    def __init__(
        self,
        stack: contextlib.ExitStack,
        bench: Processes,
        first: Variant,
        companions: Mapping[str, Variant],
        own: Mapping[str, Variant],
        limit: float | None,
        swapped: bool,
        chance: random.Random,
    ) -> None:
        self._bench, self._first, self._companions, self._swapped = bench, first, companions, swapped
        self.failures: dict[str, Session | Unsupported] = {}
        self._windows: list[Window] = []
        start = time.perf_counter()
        seats: dict[str | None, _Seat] = self._slow_seats(stack, own, limit)
        own = {key: variant for key, variant in own.items() if not starts_slowly(variant)}
        room: list[str | None] = chance.sample([None, *companions], 1 + len(companions))
        starts: list[str | None] = chance.sample([None, *own], 1 + len(own))
        for key in starts:
            if key is None:
                station = stack.enter_context(
                    bench.station([first if name is None else companions[name] for name in room])
                )
                seats |= {name: _Seat(station, place) for place, name in enumerate(room)}
                continue
            try:
                seats[key] = _Seat(stack.enter_context(bench.station([own[key]], limit)), 0)
            except Unsupported as error:
                self.failures[key] = error
        self._baseline = seats.pop(None)
        self._seats = {key: seat for key, seat in seats.items() if key is not None}
        self._starting = time.perf_counter() - start

    def _slow_seats(
        self, stack: contextlib.ExitStack, own: Mapping[str, Variant], limit: float | None
    ) -> dict[str | None, _Seat]:
        """The seats of variants that start slowly, all started at once and before the others, which they would slow down."""
        stations = {
            key: stack.enter_context(self._bench.station([variant], limit, wait=False))
            for key, variant in own.items()
            if starts_slowly(variant)
        }
        seats: dict[str | None, _Seat] = {}
        for key, station in stations.items():
            try:
                station.wait()
                seats[key] = _Seat(station, 0)
            except Unsupported as error:
                self.failures[key] = error
        return seats

    def measure(self, blocks: int) -> None:
        """At least ``blocks`` times there and back."""
        self._warm_up()
        stations = {seat.station for seat in [self._baseline, *self._seats.values()]}
        least = self._bench.pair * (1 + len(self._seats)) / 2
        until = time.perf_counter() + max(least, min(self._starting, LONGEST_PAIRS * least))
        counters, cpu, rounds = Counters.read(), _cpu(*stations), 0
        while self._seats and (rounds < blocks or time.perf_counter() < until):
            self._there_and_back()
            rounds += 1
        self._windows.append((None, self._baseline.window()))
        stations = {seat.station for seat in [self._baseline, *self._seats.values()]}
        self._contention = counters.until_now(_cpu(*stations) - cpu, _granted([w for _, w in self._windows]))

    def _warm_up(self) -> None:
        """A process is warmed up for the same time with any number of variants."""
        seats: dict[str | None, _Seat] = {None: self._baseline, **self._seats}
        for key, seat in seats.items():
            companions = sum(other.station is seat.station for other in seats.values())
            with self._guard(key, seat):
                seat.station.warm_up(seat.place, self._bench.warm_up / companions, self._bench.window)

    def _there_and_back(self) -> None:
        for key in there_and_back(list(self._seats), self._swapped):
            if key is None:
                self._windows.append((None, self._baseline.window()))
            elif key in self._seats:
                with self._guard(key, self._seats[key]):
                    self._windows.append((key, self._seats[key].window()))

    @contextlib.contextmanager
    def _guard(self, key: str | None, seat: _Seat) -> Iterator[None]:
        """The failure of a variant in a process of its own ends only this variant."""
        try:
            yield
        except Unsupported as error:
            if key is None or seat.station is self._baseline.station:
                raise
            self.failures[key] = error
            del self._seats[key]

    def sessions(self, seconds: float) -> dict[str, Session]:
        """Each variant's session beside the first; ``seconds``: the time of all of them."""
        share = seconds / max(1, len(self._seats))
        startup, peak = self._costs(None)
        results = {}
        for key in self._seats:
            ready, bytes_held = self._costs(key)
            new = key not in self._companions or self._bench.introduction(self._companions[key]).fresh
            peaks = (peak, bytes_held) if new else None
            blocks, joules = beside(self._windows, key, "seconds"), self._joules(key)
            results[key] = Session(blocks, (startup, ready), peaks, joules, share, self._contention)
        return results

    def _costs(self, key: str | None) -> tuple[float, float]:
        """Seconds until a variant was ready, and its most bytes: in this session, or when it was introduced."""
        seat = self._baseline if key is None else self._seats[key]
        if self._companions and seat.station is self._baseline.station:
            introduction = self._bench.introduction(self._first if key is None else self._companions[key])
            return float(np.median(introduction.startups)), introduction.peaks[-1]
        return seat.station.startups[seat.place], seat.station.ask("memory")["peak"]

    def _joules(self, key: str) -> tuple[float, float] | None:
        if not all(window.get("joules") for _, window in self._windows):
            return None
        blocks = beside(self._windows, key, "joules").mean(0)
        return float(blocks[[0, 3]].mean()), float(blocks[[1, 2]].mean())


def there_and_back(keys: Sequence[str], swapped: bool = False) -> list[str | None]:
    """The order of windows, once there and once back; None is the baseline's, before every √K of the K keys.

    The last of them all needs one more of the baseline's behind it.
    """
    every = math.ceil(math.sqrt(max(1, len(keys))))
    order: list[str | None] = []
    for way in (keys[::-1], keys) if swapped else (keys, keys[::-1]):
        for at, key in enumerate(way):
            order += [None, key] if at % every == 0 else [key]
    return order


def beside(windows: Sequence[Window], key: str, quantity: str) -> np.ndarray:
    """(N, 4): the baseline at the time of each window of a variant, on a line in the logarithm between those around it, and the variant.

    A row is once there and once back: baseline, variant, variant, baseline.
    """
    at = [place for place, (name, _) in enumerate(windows) if name is None]
    logs = np.log([windows[place][1][quantity] for place in at])
    places = [place for place, (name, _) in enumerate(windows) if name == key]
    first = np.exp(np.interp(places, at, logs)).reshape(-1, 2)
    second = np.array([windows[place][1][quantity] for place in places]).reshape(-1, 2)
    return np.stack([first[:, 0], second[:, 0], second[:, 1], first[:, 1]], 1)


def _cpu(*stations: Station) -> float:
    """CPU seconds of the variants and of this process so far."""
    return time.process_time() + sum(station.cpu() for station in stations)


def _granted(windows: Sequence[Mapping[str, float]]) -> float:
    """CPU seconds a second over all windows, at most 1: less means that a process that computes had no core."""
    return float(np.mean([min(1.0, window["cpu"] / window["seconds"]) for window in windows]))
