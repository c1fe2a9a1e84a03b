"""Variants side by side: a process each, forked from one that has loaded everything and computed nothing, working in turns.

    lab ── fork server ── baseline
                      └── technique

A process of its own gives each variant its own number of threads, number format, memory and peak, and takes only itself down.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from headway.base import TrainingError
from headway.effect.contention import Contention, Counters

WINDOW_SECONDS = 0.03
"""One window: short beside what disturbs a machine, long beside the clock and the switch."""

WARM_UP_SECONDS = 0.3

PAIR_SECONDS = 2.0
"""A pair of processes is measured for at least as long: starting it and warming it up takes half of that, and gives nothing."""

LEAD = 8
"""An eighth of a window is stepped before it is measured, in whole steps: a step that is long beside the caches needs none."""

PRELOADED = ["headway.effect.worker", "torch._dynamo", "torch.utils.flop_counter", "sklearn.metrics", "tabm"]
"""What takes seconds to load, loaded once for all processes."""


class Unsupported(TrainingError):
    """A variant that cannot be had here; the text is the reason."""


@dataclass(frozen=True)
class Session:
    """What two processes side by side gave: ``blocks`` (N, 4) seconds a row, in the order first, second, second, first."""

    blocks: np.ndarray
    startup: tuple[float, float]
    """Seconds until each was ready: building, compiling, the first steps."""
    peak: tuple[float, float]
    joules: tuple[float, float] | None
    """A row's energy; None without a counter."""
    seconds: float
    """What all of it took."""
    contention: Contention | None = None
    """What else the machine did meanwhile; None where nobody looked."""


class Bench(Protocol):
    """Whatever measures variants: processes, or a simulation whose truth is known."""

    def compare(
        self,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> Session:
        """Two variants side by side for at least ``blocks``; ``swapped``: the second starts and goes first.

        Raises Unsupported where one cannot be had, or is not ready within ``limit`` seconds.
        """
        ...

    def ask(self, variant: Mapping[str, Any], what: str, **values: Any) -> dict[str, Any]:
        """One answer of a variant that lives only for it."""
        ...


class Station:
    """One variant's process."""

    def __init__(self, path: Path, variant: Mapping[str, Any], limit: float | None = None) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_work, args=(theirs, str(path), dict(variant)), daemon=True)
        self._process.start()
        theirs.close()
        self._window = 1
        try:
            if not self._pipe.poll(limit):
                raise Unsupported(f"was not ready within {limit:.0f} s")
            self.startup = float(self._read()["ready"])
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        """One request, one answer. Raises Unsupported with what the process says, or how it ended."""
        try:
            self._pipe.send_bytes(json.dumps({"do": what, **values}).encode())
        except OSError:
            raise Unsupported(self._ended()) from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        try:
            told = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            raise Unsupported(self._ended()) from None
        if "problem" in told:
            raise Unsupported(told["problem"])
        return told

    def _ended(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        return "its process was killed (out of memory?)" if code == -9 else f"its process ended with code {code}"

    def warm_up(self, seconds: float = WARM_UP_SECONDS, window: float = WINDOW_SECONDS) -> None:
        """Step until the speed is what it will be, and choose how many steps make a window."""
        until = time.perf_counter() + seconds
        while True:
            took = self.ask("steps", count=self._window)["seconds"]
            if took < window / 2:
                self._window *= 2
            elif time.perf_counter() > until:
                break
        self._window = max(1, round(self._window * window / took))

    def window(self) -> dict[str, float]:
        """{"seconds" a row, "cpu" seconds a row, "joules" a row where there is a counter}."""
        told = self.ask("steps", count=self._window, lead=self._window // LEAD)
        return {name: told[name] / told["count"] for name in ("seconds", "cpu", "joules") if name in told}

    def cpu(self) -> float:
        """CPU seconds of the process so far."""
        return float(self.ask("clock")["cpu"])

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _cpu(*stations: Station) -> float:
    """CPU seconds of the variants and of this process so far."""
    return time.process_time() + sum(station.cpu() for station in stations)


def _granted(blocks: Sequence[Sequence[Mapping[str, float]]]) -> float:
    """CPU seconds a second over all windows, at most 1: less means that a process that computes had no core."""
    shares = [min(1.0, window["cpu"] / window["seconds"]) for block in blocks for window in block]
    return float(np.mean(shares))


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _nothing() -> None:
    return


def _work(pipe: Connection, path: str, variant: dict[str, Any]) -> None:
    from headway.effect.worker import work

    work(pipe, path, variant)


@dataclass(frozen=True)
class Lab:
    """Measures on this machine. ``path``: the run directory with run.json and store.json."""

    path: Path
    window: float = WINDOW_SECONDS
    warm_up: float = WARM_UP_SECONDS
    pair: float = PAIR_SECONDS

    def load(self) -> None:
        """Have the fork server load everything, so that nobody's time counts it."""
        context = _context()
        process = context.Process(target=_nothing)
        process.start()
        process.join()

    def compare(
        self,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> Session:
        """A fresh pair of processes, at least ``blocks`` times A B B A, or B A A B. Raises Unsupported where one cannot be had."""
        begun = time.perf_counter()
        with contextlib.ExitStack() as stack:
            a, b = self._pair(stack, first, second, limit, swapped)
            for station in (a, b):
                station.warm_up(self.warm_up, self.window)
            found = []
            counters, cpu = Counters.read(), _cpu(a, b)
            until = time.perf_counter() + self.pair
            while len(found) < blocks or time.perf_counter() < until:
                found.append(self._block(a, b, swapped))
            contention = counters.until_now(_cpu(a, b) - cpu, _granted(found))
            peak = a.ask("memory")["peak"], b.ask("memory")["peak"]
            startup = a.startup, b.startup
        seconds = np.array([[window["seconds"] for window in block] for block in found])
        joules = None
        if all("joules" in window for block in found for window in block):
            told = np.array([[window["joules"] for window in block] for block in found]).mean(0)
            joules = (float(told[[0, 3]].mean()), float(told[[1, 2]].mean()))
        return Session(seconds, startup, peak, joules, time.perf_counter() - begun, contention)

    def _pair(
        self,
        stack: contextlib.ExitStack,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        limit: float | None,
        swapped: bool,
    ) -> tuple[Station, Station]:
        if swapped:
            b = stack.enter_context(self._station(second, limit))
            return stack.enter_context(self._station(first)), b
        return stack.enter_context(self._station(first)), stack.enter_context(self._station(second, limit))

    def _block(self, a: Station, b: Station, swapped: bool) -> list[dict[str, float]]:
        """Four windows, told in the order first, second, second, first whatever came first."""
        if not swapped:
            return [station.window() for station in (a, b, b, a)]
        b_before, a_before, a_after, b_after = (station.window() for station in (b, a, a, b))
        return [a_before, b_before, b_after, a_after]

    def ask(self, variant: Mapping[str, Any], what: str, **values: Any) -> dict[str, Any]:
        """One answer of a variant's process, which lives only for it."""
        with self._station(variant) as station:
            return station.ask(what, **values)

    @contextlib.contextmanager
    def _station(self, variant: Mapping[str, Any], limit: float | None = None) -> Iterator[Station]:
        station = Station(self.path, variant, limit)
        try:
            yield station
        finally:
            station.close()
