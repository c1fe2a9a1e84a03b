"""Trainings that measure quality, not time: as many at once as there are cores, each process on its own share of them.

On two cores, two trainings of one thread each end sooner together than one after the other on both cores. A process trains one job after
the other without starting again. One seed gives the same weights in every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from headway.effect.contention import cores
from headway.effect.station import Answer, Station, Unsupported

MOST = 8
"""Trainings at once: each has the network, its optimizer and its activations in memory."""


@dataclass(frozen=True)
class Job:
    """One training: a variant, its seed and its epochs; ``key`` names it in the notebook."""

    key: str
    variant: Mapping[str, Any]
    seed: int
    epochs: int


def cores_each(device: str) -> tuple[int, int]:
    """How many trainings run at once, and the threads of each: on a GPU one with all threads."""
    usable = len(cores())
    count = min(usable, MOST) if device == "cpu" else 1
    return count, max(1, usable // count)


def train_all(path: Path, jobs: Iterator[Job], device: str) -> Iterator[tuple[str, Answer | Unsupported]]:
    """The curve of each job, or the reason why it has none, as they end. A job starts when a process is free for it."""
    count, threads = cores_each(device)
    busy: dict[Connection, tuple[Job, Station]] = {}
    idle: list[Station] = []
    try:
        while True:
            while len(busy) < count and (job := next(jobs, None)) is not None:
                station = idle.pop() if idle else Station(path, [])
                recipe = {**job.variant["recipe"], "threads": threads}
                station.send("train", variant={**job.variant, "recipe": recipe}, seed=job.seed, epochs=job.epochs)
                busy[station.pipe] = job, station
            if not busy:
                return
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                job, station = busy.pop(pipe)
                try:
                    curve = station.read()
                except Unsupported as error:
                    station.close()
                    yield job.key, error
                else:
                    idle.append(station)
                    yield job.key, curve
    finally:
        for station in [*idle, *(station for _, station in busy.values())]:
            station.close()
