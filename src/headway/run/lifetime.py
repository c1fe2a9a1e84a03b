"""Which process owns a run, and which runs have lost their process.

owner.lock in a run's folder is locked by the process that owns the run. The kernel releases the lock when the process
ends for any reason, so that a process number that is used again does no harm.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json, read_or_empty
from headway.run.directory import RunDirectory

_own_locks: dict[Path, int] = {}
"""Open file descriptors by run; the kernel closes them with the process."""


_looked_at: set[Path] = set()
"""Runs without a process, whose lock this process holds while it closes them."""


def own(run: RunDirectory, wait: bool = True) -> None:
    """Own a run from now on: until `release`, or until this process ends.

    Raises ConfigError, where we do not ``wait``, when another process does.
    """
    path = run.path / "owner.lock"
    while run.path not in _own_locks:
        lock = locks.take(path, seconds=math.inf if wait else locks.PATIENCE_SECONDS)
        if lock is None:
            raise ConfigError(f"{run.path.name} must have one process, but another is at work on it; wait for its end")
        # A process that closes lost runs may have moved it away between the two lines above.
        if locks.is_at(path, lock):
            _own_locks[run.path] = lock
        else:
            os.close(lock)


def release(run: RunDirectory) -> None:
    """Give up a concluded run. One whose end could not be recorded stays open, and the next command closes it."""
    lock = _own_locks.pop(run.path, None)
    if lock is not None:
        own_lock = read_or_empty(run.path / "tracking.json")
        if not own_lock or own_lock.get("ending") is not None:
            (run.path / "owner.lock").unlink(missing_ok=True)
        os.close(lock)


def lives(run: Path) -> bool:
    """Whether a process owns the run or trains it: each holds a lock until it ends."""
    return any(locks.is_held(run / name) for name in ("owner.lock", ".lock"))


def others(root: Path) -> list[str]:
    """The names of the runs that other processes work on."""
    paths = sorted((root / "data" / "runs").glob("*"))
    return [path.name for path in paths if path not in _own_locks and path not in _looked_at and lives(path)]


def dead(root: Path) -> Iterator[RunDirectory]:
    """The runs of this folder that began, were not concluded, and have lost their process."""
    for path in sorted((root / "data" / "runs").glob("*/owner.lock")):
        with contextlib.suppress(OSError), open(path) as lock:
            # Another process may have closed the run, and moved its lock away, since it was opened here.
            if locks.lock(lock.fileno(), path) and locks.is_at(path, lock.fileno()):
                _looked_at.add(path.parent)
                try:
                    yield RunDirectory(path.parent)
                finally:
                    _looked_at.discard(path.parent)


def is_done(run: RunDirectory) -> bool:
    """Whether a run has its outcome: a decision, a study's report, or a watch's verdict."""
    return any((run.path / name).exists() for name in ("decision.json", "effect.html", "seeds.json", "watch.md"))


def flow_run_of(run: RunDirectory) -> str | None:
    """The run's id in Prefect; None where none was recorded."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return str(UUID(read_json(run.path / "flow.json")["flow_run_id"]))
    return None
