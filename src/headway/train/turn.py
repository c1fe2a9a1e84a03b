"""One training at a time on a GPU, started from a form, by a schedule, by a worker, or at the command line.

A file for each GPU of this machine is locked by the process that looks after a training. The kernel holds the lock, so that it
outlives every server, and releases it in whichever way the process ends; a limit kept by a server could do neither. The files
belong to the machine, not to a user: they lie in /tmp whatever TMPDIR is, and every user may lock them. They are named after the GPU
itself (headway.machine.gpus), not after a number that CUDA gives it in one process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from headway.errors import ConfigError
from headway.files import locks

LOOK_SECONDS = 0.5
FOLDER = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())


@contextlib.contextmanager
def turn(among: Sequence[str], wait: Callable[[str], None], folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of the GPUs ``among`` while the block runs; None where there is none to hold.

    ``wait`` gets one line when all are taken. Raises ConfigError when something else lies where a lock should be.
    """
    if not among:
        yield None
        return
    folder = folder or _folder()
    places = [folder / f"headway-gpu-{one}.lock" for one in among]
    is_waiting = False
    while True:
        for gpu, place in zip(among, places, strict=True):
            lock = _locked(place)
            if lock is not None:
                try:
                    yield gpu
                finally:
                    os.close(lock)
                return
        if not is_waiting:
            is_waiting = True
            wait(
                f"waiting for {'the GPU' if len(among) == 1 else 'one of the GPUs'}: another training is at work on it"
            )
        time.sleep(LOOK_SECONDS)


def _folder() -> Path:
    """Where the locks lie. Tests set HEADWAY_TURNS to a folder each: their trainings are small, and need not wait for one another."""
    own = os.environ.get("HEADWAY_TURNS")
    if not own:
        return FOLDER
    Path(own).mkdir(parents=True, exist_ok=True)
    return Path(own)


def _locked(place: Path) -> int | None:
    """The descriptor that holds the file; None while another holds it."""
    while True:
        lock = _opened(place)
        if not locks.lock(lock, place):
            os.close(lock)
            return None
        if locks.is_at(place, lock):
            return lock
        os.close(lock)  # removed meanwhile by a clean-up of /tmp: the next process would lock another file


def _opened(place: Path) -> int:
    """Open the file, and make it for everybody where it is missing. Raises ConfigError where it is not a plain file of ours.

    It is opened without O_CREAT first: in /tmp, Linux refuses that flag on a file of another user (fs.protected_regular),
    whatever its mode. A link that somebody planted is not followed, and only a file that was just made has its mode changed.
    """
    safely = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # O_NONBLOCK: a planted pipe would wait for its other end
    try:
        lock = os.open(place, os.O_RDONLY | safely)  # what another user made may be theirs alone to write
    except FileNotFoundError:
        try:
            lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | safely, 0o666)
        except FileExistsError:  # made by another process between the two lines above
            return _opened(place)
        os.fchmod(lock, 0o666)  # whatever the umask is
    except OSError as error:
        fact = "is a link" if error.errno == errno.ELOOP else f"cannot be opened ({error.strerror})"
        raise ConfigError(f"{place} must be a file that every user may lock, but it {fact}; remove it") from None
    if not stat.S_ISREG(os.fstat(lock).st_mode):
        os.close(lock)
        raise ConfigError(f"{place} must be a plain file, but is not one; remove it")
    return lock
