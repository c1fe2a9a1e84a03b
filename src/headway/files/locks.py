"""Locks that the kernel keeps: it lets go of them whatever ends their process, so that nothing dead blocks the living.

A lock is a file or a folder that is opened and locked (flock). Looking takes a shared lock for a moment, and whoever wants a lock for
itself tries again for a moment: the two never refuse each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from headway.errors import ConfigError

LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 0.5
WORKING = ".working"


def take(path: Path, *, shared: bool = False, seconds: float = PATIENCE_SECONDS) -> int | None:
    """The descriptor that holds ``path`` until it is closed; None where another process still holds it after ``seconds``.

    Raises ConfigError where the file can neither be opened nor made, or the file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + seconds
    lock = _open(path)
    while True:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(lock)
                return None
            time.sleep(LOOK_SECONDS)
        except OSError as error:
            os.close(lock)
            raise ConfigError(f"{path} must lie where files can be locked, but: {error.strerror}") from None


def _open(path: Path) -> int:
    try:
        if path.is_dir():
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"{path} must be a file that can be written, but: {error.strerror}") from None


def is_held(path: Path) -> bool:
    """Whether a living process holds ``path`` for itself. Nothing is made by looking."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold ``path`` for the block; waits for as long as another has it."""
    lock = take(path, seconds=float("inf"))
    assert lock is not None
    try:
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def working_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """A folder `.PURPOSE-….working` of this process's own, gone after the block.

    It is locked meanwhile: what a kill leaves is told from what is in use, and removed by the next of the same purpose, or by
    `headway gc` (`is_left`).
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in filter(is_left, parent.glob(f".{purpose}-*{WORKING}")):
        shutil.rmtree(left, ignore_errors=True)
    lock: int | None = None
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".{purpose}-", suffix=WORKING))
        lock = take(folder)
        if lock is not None and folder.is_dir():
            break
        if lock is not None:  # cleared away between the two lines above, as a leftover
            os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def is_left(path: Path) -> bool:
    """Whether ``path`` is a working folder whose process has died."""
    return path.name.startswith(".") and path.name.endswith(WORKING) and path.is_dir() and not is_held(path)
