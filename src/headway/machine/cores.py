"""The load on the machine's cores, and how the threads of a library wait for one another.

An OpenMP thread that waits spins first, for up to 300,000 rounds in GNU's library. That takes milliseconds, as long as another process
may use the core. With four busy processes on two cores, a step of two threads took 309 ms, with a short spin 129 ms, and of one thread
69 ms. On an idle virtual machine a thread must spin, as waking a core takes long: without, trees of LightGBM took 12.1 ms, not 3.3.
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
    """Let OpenMP threads wait with a short spin; called before the library is loaded. The user's own settings stay."""
    if "OMP_WAIT_POLICY" not in environment:
        for name, value in SHORT_SPIN.items():
            environment.setdefault(name, value)


@dataclass(frozen=True)
class Use:
    """The average number of cores in use over some seconds, of those that this process may use."""

    seconds: float
    cores: int
    ours: float
    others: float

    @property
    def idle(self) -> float:
        """Number of unused cores."""
        return max(0.0, self.cores - self.ours - self.others)

    @property
    def contended(self) -> bool:
        """Whether other processes use the cores too, and hardly any time is unused."""
        return self.others > 0.25 and self.idle < 0.15 * self.cores


class Watch:
    """Measures the use of the cores from one look to the next. A look takes 0.1 ms."""

    def __init__(self, stat: Path = STAT, cores: Collection[int] | None = None) -> None:
        self._stat, self._cores = stat, allowed_cores() if cores is None else set(cores)
        self._before = self._look()

    def look(self) -> Use | None:
        """The use since the last look; None where the system does not report it."""
        before, self._before = self._before, self._look()
        now = self._before
        seconds = now.clock - before.clock
        if not now.busy or seconds <= 0:
            return None
        ours = now.ours - before.ours
        busy = sum(now.busy[core] - before.busy.get(core, 0.0) for core in now.busy)
        return Use(seconds, len(now.busy), ours / seconds, max(0.0, busy - ours) / seconds)

    def _look(self) -> _Counts:
        return _Counts(time.perf_counter(), time.process_time(), _busy_seconds(self._stat, self._cores))


@dataclass(frozen=True)
class _Counts:
    """Clocks at one look: wall, this process's, and each core's busy seconds."""

    clock: float
    ours: float
    busy: Mapping[int, float]


def allowed_cores() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _busy_seconds(stat: Path, cores: Collection[int]) -> dict[int, float]:
    """Seconds that each core has worked since the machine started, or was used by the host; empty where unknown."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    busy = {}
    for line in lines:
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in values[:8])
            busy[int(name[3:])] = (user + nice + system + irq + softirq + steal) / ticks
    return busy


def free_cores(seconds: float = 0.2) -> float:
    """Cores that other processes leave unused over the next ``seconds``; all where the system does not report them."""
    watch = Watch()
    time.sleep(seconds)
    use = watch.look()
    return float(len(allowed_cores())) if use is None else use.cores - use.others
