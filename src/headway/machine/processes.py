"""Child processes that never outlive us. Each runs under a guard, which ends its whole group when its parent goes.

    up ── guard ── prefect server ── workers ...

The guard leads a session of its own: Ctrl-C reaches only the parent, which stops its children in its order.
The kernel tells the guard when the parent is gone, however that happened (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from headway.errors import ConfigError

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 15.0
LOGS_KEPT = 3


@dataclass(frozen=True)
class Child:
    """A guarded process: its name for people, its guard, and where its output goes."""

    name: str
    guard: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises ConfigError when it has ended by itself."""
        if self.guard.poll() is not None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
            said = f": {last[0]}" if last else ""
            raise ConfigError(f"{self.name} must keep running, but it ended{said}; see {self.log}")


def spawn(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path) -> Child:
    """Start ``command`` under a guard. From the main thread only: the kernel ties the guard's life to the thread's."""
    log.parent.mkdir(parents=True, exist_ok=True)
    rotate(log)
    guarded = [sys.executable, "-m", "headway.machine.processes", str(os.getpid()), *command]
    with open(log, "wb") as file:
        guard = subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
    return Child(name, guard, log)


def interrupt_on(*signals: signal.Signals) -> None:
    """These signals end this process as Ctrl-C does. SIGINT among them: a script's background job is born deaf to it."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for one in signals:
        signal.signal(one, interrupt)


def hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, which a closing terminal sends; not under nohup, which asked to be spared."""
    return () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)


def rotate(log: Path) -> None:
    """Keep what earlier starts said: the last as `NAME.1`, the one before as `NAME.2`, up to LOGS_KEPT."""
    if not log.exists() or not log.stat().st_size:
        return
    for number in range(LOGS_KEPT - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            log.with_name(f"{log.name}.{number}").replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def stop(child: Child) -> None:
    """Ask the child's group to end, insist after the guard's grace, and wait until it has gone."""
    if child.guard.poll() is None:
        child.guard.terminate()
    try:
        child.guard.wait(GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.guard.pid, signal.SIGKILL)
        child.guard.wait()
    if (child.guard.returncode or 0) < 0:  # a guard that was killed has ended nothing of its group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.guard.pid, signal.SIGKILL)


def await_answer(child: Child, address: str, seconds: float) -> None:
    """Wait until ``address`` answers 200. Raises ConfigError when the child ends, or stays silent for ``seconds``."""
    await_truth(child, lambda: answers(address), seconds)


def answers(address: str) -> bool:
    """Whether a server answers 200 at ``address``, asked without any proxy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def await_truth(child: Child, holds: Callable[[], bool], seconds: float) -> None:
    """Wait until ``holds()``. Raises ConfigError when the child ends, or it does not hold within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        child.check()
        if time.monotonic() > deadline:
            raise ConfigError(f"{child.name} must answer within {seconds:.0f} s, but it does not; see {child.log}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of this machine that nothing listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on ``port`` of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def die_with_parent(parent: int, how: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send us ``how`` when ``parent`` goes; at once if it has gone already. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def die_with_starter() -> None:
    """The same for a process that was told by HEADWAY_PARENT who started it; one that a person starts has none."""
    if os.environ.get("HEADWAY_PARENT"):
        die_with_parent(int(os.environ["HEADWAY_PARENT"]))


def guard(parent: int, command: Sequence[str]) -> int:
    """Run ``command`` until it ends or we are asked to; then end everything in our group. Returns its exit code."""
    asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    me = os.getpid()
    child = subprocess.Popen(command, preexec_fn=lambda: die_with_parent(me))  # a guard may be killed, too
    die_with_parent(parent)
    while child.poll() is None and not asked:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.2)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while _others() and time.monotonic() < deadline:
        child.poll()
        time.sleep(0.05)
    code = child.poll()
    if _others():
        os.killpg(0, signal.SIGKILL)
    return 1 if code is None else abs(code)


def _others() -> list[int]:
    """The processes of our group but ourselves; those that have ended and wait to be collected do not count."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(ProcessLookupError):
            ours = process.pid != os.getpid() and os.getpgid(process.pid) == os.getpgrp()
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2:]))
