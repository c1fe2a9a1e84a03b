"""Locks of the kernel, which releases them whenever their process ends.

A lock is a file or a folder that is opened and locked (flock). `is_held` takes a shared lock for a moment, and `take` retries for longer
than that, so that a look never makes it fail.

The package filelock is not used: it locks no folder and no read-only file, refuses another user's file in /tmp, cannot look without
taking, and has shared locks only as an SQLite file that a killed process leaves behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from headway.errors import ConfigError, HeadwayError

LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 0.5
WORKING = ".working"


def take(path: Path, *, shared: bool = False, seconds: float = PATIENCE_SECONDS) -> int | None:
    """The descriptor that holds ``path`` until it is closed; None where another process still holds it after ``seconds``.

    Raises ConfigError where the file can neither be opened nor made, or the file system has no locks.
    """
    descriptor = _open(path)
    is_ours = False
    try:
        is_ours = lock(descriptor, path, shared=shared, seconds=seconds)
    finally:
        if not is_ours:
            os.close(descriptor)
    return descriptor if is_ours else None


def lock(descriptor: int, path: Path, *, shared: bool = False, seconds: float = 0.0) -> bool:
    """Lock an open file or folder until it is closed; False where another process still holds it after ``seconds``.

    A lock that this descriptor already holds becomes shared or exclusive. Raises ConfigError where the file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        except OSError as error:
            raise ConfigError(f"{path} must lie where files can be locked, but: {error.strerror}") from None


def is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file still lies at ``path``: a lock on a moved or removed file excludes no process."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _open(path: Path) -> int:
    try:
        if path.is_dir():
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError:  # another user's file: a lock needs no permission to write
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{path} must be a file that can be written, but: {error.strerror}") from None


def is_held(path: Path) -> bool:
    """Whether a process holds ``path`` exclusively. Creates nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock(descriptor, path, shared=True)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold(path: Path, refusal: HeadwayError | None = None) -> Iterator[None]:
    """Hold ``path`` for the block. Where another process holds it, wait, or raise ``refusal`` where one is given."""
    descriptor = take(path, seconds=PATIENCE_SECONDS if refusal else math.inf)
    if descriptor is None:
        assert refusal is not None
        raise refusal
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def working_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """A folder `.PURPOSE-….working` of this process's own, removed after the block.

    It is locked meanwhile, so that a killed process's folder differs from one in use (`is_left`). The next process of the same purpose
    removes it, or `headway gc`.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in filter(is_left, parent.glob(f".{purpose}-*{WORKING}")):
        shutil.rmtree(leftover, ignore_errors=True)
    descriptor: int | None = None
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=f".{purpose}-", suffix=WORKING))
        descriptor = take(folder)
        if descriptor is not None and is_at(folder, descriptor):
            break
        if descriptor is not None:  # another process removed it between the two lines above, as a leftover
            os.close(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def is_left(path: Path) -> bool:
    """Whether ``path`` is a working folder whose process has died."""
    return path.name.startswith(".") and path.name.endswith(WORKING) and path.is_dir() and not is_held(path)
