"""The one process that runs `headway up` in this folder, by a kernel lock. A process number alone is never trusted.

    .prefect/up.lock            held by `headway up`; by `headway up --only PART` together with others of other parts
    .prefect/up.PART.lock       held by the process that serves this part

The lock file holds the process: its number, and its start, which tells it from every later process of that number.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json

WRITING_SECONDS = 0.5
PARTS = ("prefect", "mlflow")
"""What `headway up --only` serves."""


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock. ``start``: its `start_of`; ``host``: the name of its machine or container."""

    pid: int
    start: str
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it runs among the processes that we see. In another container, its number names another process."""
        return bool(self.start) and start_of(self.pid) == self.start


def start_of(pid: int) -> str | None:
    """The start of a process in ticks since the machine's boot: unique for its number, and independent of the clock's setting.

    None where no such process lives.
    """
    try:
        boot = _boot()
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _start_without_proc(pid) if not Path("/proc/self/stat").exists() else None
    return None if state in "ZX" else f"{boot}:{fields[18]}"  # proc(5): starttime is field 22, state is 3


def _boot() -> str:
    """The id of this boot of the machine; empty in a container that hides it."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _start_without_proc(pid: int) -> str | None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return str(psutil.Process(pid).create_time())
    return None


def lock_file(root: Path, part: str = "") -> Path:
    """The lock of `headway up`, or of one of its parts."""
    return root / ".prefect" / (f"up.{part}.lock" if part else "up.lock")


def owners(root: Path, parts: tuple[str, ...] = PARTS) -> list[Owner]:
    """The processes that run `headway up` here, all of it or one of these ``parts``, also while it starts and stops. Creates nothing."""
    whole = _holder(lock_file(root))
    if whole is not None:  # it holds the parts, too
        return [whole]
    holders = (_holder(lock_file(root, part)) for part in parts)
    return [one for one in holders if one is not None]


def owner(root: Path, parts: tuple[str, ...] = PARTS) -> Owner | None:
    """The first of `owners`; None where `headway up` does not run."""
    return next(iter(owners(root, parts)), None)


def _holder(path: Path) -> Owner | None:
    deadline = time.monotonic() + WRITING_SECONDS
    while locks.is_held(path):
        with contextlib.suppress(OSError, ValueError, TypeError):
            holder = Owner(**read_json(path))
            if holder.is_here or time.monotonic() >= deadline:
                return holder
        if time.monotonic() >= deadline:
            return Owner(0, "", "")
        time.sleep(locks.LOOK_SECONDS)  # it has the lock, and is about to sign it
    return None


@contextlib.contextmanager
def owning(root: Path, parts: tuple[str, ...], only: str | None) -> Iterator[None]:
    """Become the one `headway up` of this folder, or of the part ``only``. Raises ConfigError where there is another."""
    with contextlib.ExitStack() as stack:
        whole = locks.take(lock_file(root), shared=only is not None)
        if whole is None:
            raise refusal(owner(root, parts))
        stack.callback(os.close, whole)
        for part in parts:
            lock = locks.take(lock_file(root, part))
            if lock is None:
                raise refusal(_holder(lock_file(root, part)))
            stack.callback(os.close, lock)
            _sign(lock)
        if only is None:
            _sign(whole)
        yield


def _sign(lock: int) -> None:
    me = Owner(os.getpid(), start_of(os.getpid()) or "", socket.gethostname())
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(asdict(me)).encode(), 0)


def refusal(other: Owner | None, where: str = "") -> ConfigError:
    """The error of a second `headway up`; ``where``: the addresses of the first."""
    who = "another process" if other is None or not other.pid else f"process {other.pid}"
    who += f" on {other.host}" if other is not None and other.pid and not other.is_here else ""
    fix = "headway down stops it" if other is not None and other.is_here else "stop it there"
    return ConfigError(f"headway up must run once for a folder, but it runs already ({who}{where}); {fix}")


def ask_to_stop(holder: Owner) -> None:
    """Send SIGTERM to this process, never to a later one of its number. Raises ConfigError where that is not allowed."""
    try:
        if hasattr(os, "pidfd_open"):
            process = os.pidfd_open(holder.pid)
            try:
                if holder.is_here:  # checked while the descriptor refers to the process
                    signal.pidfd_send_signal(process, signal.SIGTERM)
            finally:
                os.close(process)
        elif holder.is_here:
            os.kill(holder.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise ConfigError(
            f"headway up (process {holder.pid}) must be your own to be stopped, but is another user's; ask them"
        ) from None
