"""The process of one variant or several: forked from a server that has loaded everything and computed nothing.

lab ── fork server ── station: the baseline and the variants that share its process
                  └── station: a variant that changes the process, such as its threads
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from headway.errors import TrainingError

LEAD = 8
"""Before a window, an eighth of its steps run unmeasured, at least one: they refill the caches and take the page faults that other variants
left behind. A window of a single long step has none."""

PRELOADED = [
    "headway.effect.worker",
    "torch._dynamo",
    "torch._inductor.compile_fx",
    "torch.utils.flop_counter",
    "sklearn.metrics",
    "tabm",
]
"""Modules that take seconds to load, loaded once for all processes."""


Answer = Mapping[str, Any]
"""The JSON object that a process answers; each request describes its answer."""


class Unsupported(TrainingError):
    """A variant that is not supported here; the text is the reason."""


class Station:
    """The process of one variant, or of several."""

    def __init__(
        self, path: Path, variants: Sequence[Mapping[str, Any]], limit: float | None = None, wait: bool = True
    ) -> None:
        """Raises Unsupported where it is not ready within ``limit`` seconds; with ``wait`` false, only `wait` raises it."""
        context = _context()
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, str(path), [dict(variant) for variant in variants])
        self._process: BaseProcess = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self.is_usable = True
        """Whether it answers: it ends with the first problem."""
        self._expect(variants, limit, wait)

    def anew(self, variants: Sequence[Mapping[str, Any]], limit: float | None = None, wait: bool = True) -> None:
        """Build other variants in the same process, in the place of those that it holds."""
        self.send("anew", variants=[dict(variant) for variant in variants])
        self._expect(variants, limit, wait)

    def _expect(self, variants: Sequence[Mapping[str, Any]], limit: float | None, wait: bool) -> None:
        self._steps = [1] * len(variants)
        self._limit, self._start = limit, time.monotonic()
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until its variants are ready."""
        try:
            rest = None if self._limit is None else max(0.0, self._start + self._limit - time.monotonic())
            if not self._pipe.poll(rest):
                raise Unsupported(f"was not ready within {self._limit:.0f} s")
            self.startups = [float(seconds) for seconds in self.read()["ready"]]
        except BaseException:
            self.close()
            raise

    @property
    def pipe(self) -> Connection:
        """The end at which answers arrive."""
        return self._pipe

    def ask(self, what: str, place: int = 0, **values: Any) -> Answer:
        """One request to the variant at a place, one answer. Raises Unsupported with the process's problem, or how it ended."""
        self.send(what, place=place, **values)
        return self.read()

    def send(self, what: str, **values: Any) -> None:
        """A request whose answer is read later."""
        try:
            self._pipe.send_bytes(json.dumps({"do": what, **values}).encode())
        except OSError:
            raise Unsupported(self._exit_reason()) from None

    def read(self) -> Answer:
        """The answer to the request that was sent."""
        try:
            answer = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            raise Unsupported(self._exit_reason()) from None
        if "problem" in answer:
            self.is_usable = False
            raise Unsupported(answer["problem"])
        return answer

    def _exit_reason(self) -> str:
        self.is_usable = False
        self._process.join(5)
        code = self._process.exitcode
        return "its process was killed (out of memory?)" if code == -9 else f"its process ended with code {code}"

    def warm_up(self, place: int, seconds: float, window: float) -> None:
        """Step until the speed is stable, and choose how many steps make a window."""
        until = time.perf_counter() + seconds
        while True:
            took = self.ask("steps", place, count=self._steps[place])["seconds"]
            if took < window / 2:
                self._steps[place] *= 2
            elif time.perf_counter() > until:
                break
        self._steps[place] = max(1, round(self._steps[place] * window / took))

    def window(self, place: int = 0) -> dict[str, float]:
        """{"seconds" a row, "cpu" seconds a row, "joules" a row where there is a counter}."""
        steps = self._steps[place]
        lead = max(1, steps // LEAD) if steps > 1 else 0
        answer = self.ask("steps", place, count=steps, lead=lead)
        return {name: answer[name] / answer["count"] for name in ("seconds", "cpu", "joules") if name in answer}

    def cpu(self) -> float:
        """CPU seconds of the process so far."""
        return float(self.ask("clock")["cpu"])

    def close(self) -> None:
        """End the process."""
        self.is_usable = False
        self._pipe.close()
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def load() -> None:
    """Have the fork server load everything, so that no measured time counts it."""
    process = _context().Process(target=_nothing)
    process.start()
    process.join()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _nothing() -> None:
    return


def _work(pipe: Connection, path: str, variants: Sequence[Mapping[str, Any]]) -> None:
    from headway.effect.worker import work

    work(pipe, path, variants)
