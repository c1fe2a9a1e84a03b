"""One training at a time on a GPU, whoever started it: a form, a schedule, a worker, or a person at the command line.

A file for each GPU of this machine is locked by the process that looks after a training. The kernel holds the lock, so that it outlives
every server, and lets go of it however the process ends; a limit kept by a server could do neither.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from headway.environment import gpu_names

LOOK_SECONDS = 0.5


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA numbers them; empty without any."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [one.strip() for one in visible.split(",") if one.strip() not in ("", "-1")] if gpu_names() else []
    return [str(number) for number in range(len(gpu_names()))]


@contextlib.contextmanager
def turn(among: Sequence[str], wait: Callable[[str], None], folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of the GPUs ``among`` while the block runs; None where there is none to hold.

    ``wait`` is told once, in words, when all are taken.
    """
    if not among:
        yield None
        return
    places = [(folder or Path(tempfile.gettempdir())) / f"headway-gpu-{one}.lock" for one in among]
    told = False
    while True:
        for gpu, place in zip(among, places, strict=True):
            lock = _locked(place)
            if lock is not None:
                try:
                    yield gpu
                finally:
                    os.close(lock)
                return
        if not told:
            told = True
            wait(
                f"waiting for {'the GPU' if len(among) == 1 else 'one of the GPUs'}: another training is at work on it"
            )
        time.sleep(LOOK_SECONDS)


def _locked(place: Path) -> int | None:
    """The descriptor that holds the file; None while another holds it."""
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
