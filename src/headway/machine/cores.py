"""What else the machine's cores do, and how the threads of a library wait for one another.

An OpenMP thread that waits spins first, for up to 300,000 rounds in GNU's library: milliseconds, as long as another process's turn on the
core. With four busy processes on two cores, a step of two threads took 309 ms, with a short spin 129, and of one thread 69. Not spinning
at all costs as much on an idle virtual machine, where waking a sleeping core takes long: trees of LightGBM took 12.1 ms instead of 3.3.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

SHORT_SPIN = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
"""GNU's rounds (about a tenth of a millisecond) and LLVM's or Intel's milliseconds before a waiting thread sleeps."""

STAT = Path("/proc/stat")


def spin_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP threads wait with a short spin: before the library is loaded. What the user has set stays."""
    if "OMP_WAIT_POLICY" not in environment:
        for name, value in SHORT_SPIN.items():
            environment.setdefault(name, value)


@dataclass(frozen=True)
class Use:
    """Cores in use on average over some seconds, of those that this process may use."""

    seconds: float
    cores: int
    ours: float
    others: float

    @property
    def idle(self) -> float:
        """Cores that nobody used."""
        return max(0.0, self.cores - self.ours - self.others)

    @property
    def contended(self) -> bool:
        """Whether others have a share in the cores and hardly anything is left over."""
        return self.others > 0.25 and self.idle < 0.15 * self.cores


class Watch:
    """Measures the use of the cores from one look to the next. Looking takes 0.1 ms."""

    def __init__(self, stat: Path = STAT, allowed: Collection[int] | None = None) -> None:
        self._stat, self._allowed = stat, allowed_cores() if allowed is None else set(allowed)
        self._before = self._look()

    def look(self) -> Use | None:
        """Since the last look; None where the system does not say."""
        before, self._before = self._before, self._look()
        now = self._before
        seconds = now.clock - before.clock
        if not now.busy or seconds <= 0:
            return None
        ours = now.ours - before.ours
        busy = sum(now.busy[core] - before.busy.get(core, 0.0) for core in now.busy)
        return Use(seconds, len(now.busy), ours / seconds, max(0.0, busy - ours) / seconds)

    def _look(self) -> _Counts:
        return _Counts(time.perf_counter(), time.process_time(), _busy_seconds(self._stat, self._allowed))


@dataclass(frozen=True)
class _Counts:
    """Clocks at one look: wall, this process's, and each core's busy seconds."""

    clock: float
    ours: float
    busy: Mapping[int, float]


def allowed_cores() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _busy_seconds(stat: Path, allowed: Collection[int]) -> dict[int, float]:
    """Seconds that each core has worked, or was taken away by the host, since the machine started; empty where unknown."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    busy = {}
    for line in lines:
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in values[:8])
            busy[int(name[3:])] = (user + nice + system + irq + softirq + steal) / ticks
    return busy


def free_cores(seconds: float = 0.2) -> float:
    """Cores that others leave unused over the next ``seconds``; all of them where the system does not say."""
    watch = Watch()
    time.sleep(seconds)
    use = watch.look()
    return float(len(allowed_cores())) if use is None else use.cores - use.others
