"""Contention: how much of the machine's cores other programs and other machines used during a measurement.

There are three figures, because each misses something. CPU seconds against wall seconds of the measured windows show whether a computing
process had a core; they do not show a second thread without one. `/proc/stat` has what all programs used, and what the hypervisor gave to
other virtual machines (steal); minus what the measured processes used, that is what others used. The load average is what people know; it
counts the measured processes, too. Where the system has no such file a figure is None, never a guess.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

State = Literal["quiet", "disturbed", "unusable"]

STAT = Path("/proc/stat")
IDLE, IOWAIT, STEAL = 3, 4, 7
"""Columns of a line of /proc/stat; those after steal are counted in the first two already."""

UNUSABLE_LOAD = 2.0
"""Runnable threads a core: with more, each measured step waits for a core at least as long as it computes."""

DISTURBED_SHARE, UNUSABLE_SHARE = 0.05, 0.25
"""Shares of the cores' time that others used or the hypervisor took."""

DISTURBED_GRANT, UNUSABLE_GRANT = 0.95, 0.75
"""CPU seconds that a computing process got in a second."""


@dataclass(frozen=True)
class Contention:
    """``load``: the one-minute load average; ``granted``: CPU seconds a second of the measured windows, at most 1; ``others``: cores that
    other programs used; ``stolen``: the share of the cores' time that the hypervisor took."""

    cores: int
    load: float | None = None
    granted: float | None = None
    others: float | None = None
    stolen: float | None = None
    machine: int | None = None
    """Cores of the whole machine, which its load is of; ``cores`` are those that the study may use. None where both are the same."""

    @property
    def state(self) -> State:
        """Whether times measured meanwhile hold for a quiet machine."""
        loss = max((self.others or 0.0) / self.cores, self.stolen or 0.0)
        granted = 1.0 if self.granted is None else self.granted
        crowded = (self.load or 0.0) >= UNUSABLE_LOAD * (self.machine or self.cores)
        if crowded or loss >= UNUSABLE_SHARE or granted < UNUSABLE_GRANT:
            return "unusable"
        return "disturbed" if loss >= DISTURBED_SHARE or granted < DISTURBED_GRANT else "quiet"

    def to_json(self) -> dict[str, float | None]:
        """The fields."""
        return asdict(self)

    def __str__(self) -> str:
        """The figures in words."""
        cores, machine = (
            f"{count} core{'s' if count > 1 else ''}" for count in (self.cores, self.machine or self.cores)
        )
        parts = [] if self.load is None else [f"load {self.load:.0f} on {machine}"]
        if self.others is not None and self.others >= DISTURBED_SHARE * self.cores:
            parts.append(f"other programs used {self.others:.1f} of {cores}")
        if self.granted is not None and self.granted < DISTURBED_GRANT:
            parts.append(f"a computing process had {self.granted:.0%} of a core")
        if self.stolen is not None and self.stolen >= DISTURBED_SHARE:
            parts.append(f"the hypervisor took {self.stolen:.0%} of the time")
        return "; ".join(parts)


def over(samples: Sequence[Contention]) -> Contention | None:
    """Over a study: the mean of each figure; None without samples."""
    if not samples:
        return None

    def mean(name: str) -> float | None:
        values = [value for sample in samples if (value := getattr(sample, name)) is not None]
        return math.fsum(values) / len(values) if values else None

    first = samples[0]
    return Contention(first.cores, mean("load"), mean("granted"), mean("others"), mean("stolen"), first.machine)


@dataclass(frozen=True)
class Counters:
    """The system's counters, in seconds of all cores that this process may use."""

    at: float
    busy: float | None
    stolen: float | None

    @classmethod
    def read(cls) -> Counters:
        """Now."""
        totals = None
        with suppress(OSError, ValueError, IndexError):
            totals = _totals(STAT.read_text(), cores())
        busy, stolen = totals or (None, None)
        return cls(time.perf_counter(), busy, stolen)

    def until_now(self, own: float, granted: float | None) -> Contention:
        """The contention since then. ``own``: CPU seconds of the measured processes and their parent."""
        now, count = Counters.read(), len(cores())
        wall = max(1e-9, now.at - self.at)
        others = stolen = None
        if self.busy is not None and now.busy is not None:
            others = max(0.0, now.busy - self.busy - own) / wall
        if self.stolen is not None and now.stolen is not None:
            stolen = max(0.0, now.stolen - self.stolen) / (wall * count)
        return Contention(count, load(), granted, others, stolen, os.cpu_count())


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def load() -> float | None:
    """The one-minute load average."""
    with suppress(OSError, AttributeError):
        return os.getloadavg()[0]
    return None


def _totals(text: str, of: Sequence[int]) -> tuple[float, float]:
    """Busy and stolen seconds of these cores so far."""
    names, ticks = {f"cpu{core}" for core in of}, os.sysconf("SC_CLK_TCK")
    busy = stolen = 0
    for line in text.splitlines():
        name, *words = line.split()
        if name in names:
            counts = [int(word) for word in words[: STEAL + 1]]
            stolen += counts[STEAL]
            busy += sum(counts) - counts[IDLE] - counts[IOWAIT] - counts[STEAL]
    return busy / ticks, stolen / ticks
