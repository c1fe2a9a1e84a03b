"""Child processes that end with their parent. Each runs under a guard, which ends its whole group when the parent ends.

    up ── guard ── prefect server ── workers ...

The guard has a session of its own: Ctrl-C reaches only the parent, which stops its children in its order.
The kernel signals the guard when the parent has ended for any reason (PR_SET_PDEATHSIG).
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
    """A guarded process: its name for messages, its guard, and the log of its output."""

    name: str
    guard: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises ConfigError when the process has ended."""
        if self.guard.poll() is not None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
            text = f": {last[0]}" if last else ""
            raise ConfigError(f"{self.name} must keep running, but it ended{text}; see {self.log}")


def spawn(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path) -> Child:
    """Start ``command`` under a guard. Only from the main thread: the kernel ends the guard with the thread that started it."""
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
    """Let these signals end this process as Ctrl-C does. SIGINT is among them, as a script's background job starts with it ignored."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for one in signals:
        signal.signal(one, interrupt)


def hangup() -> tuple[signal.Signals, ...]:
    """SIGHUP, which a closing terminal sends; none under nohup, which ignores it on purpose."""
    return () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)


def rotate(log: Path) -> None:
    """Keep the logs of earlier starts: the last as `NAME.1`, the one before as `NAME.2`, up to LOGS_KEPT."""
    if not log.exists() or not log.stat().st_size:
        return
    for number in range(LOGS_KEPT - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            log.with_name(f"{log.name}.{number}").replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def stop(child: Child) -> None:
    """Send the child's group SIGTERM, and SIGKILL after the guard's time; wait until it has ended."""
    if child.guard.poll() is None:
        child.guard.terminate()
    try:
        child.guard.wait(GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.guard.pid, signal.SIGKILL)
        child.guard.wait()
    if (child.guard.returncode or 0) < 0:  # a killed guard has not ended its group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.guard.pid, signal.SIGKILL)


def await_answer(child: Child, address: str, seconds: float) -> None:
    """Wait until ``address`` answers 200. Raises ConfigError when the child ends, or does not answer within ``seconds``."""
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
    """Wait until ``holds()`` is true. Raises ConfigError when the child ends first, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        child.check()
        if time.monotonic() > deadline:
            raise ConfigError(f"{child.name} must answer within {seconds:.0f} s, but it does not; see {child.log}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of this machine that no process listens on now."""
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
    """Have the kernel send this process ``how`` when ``parent`` ends; at once if it has ended already. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def die_with_starter() -> None:
    """The same with the parent of HEADWAY_PARENT; nothing without it, as in a process that a person starts."""
    if os.environ.get("HEADWAY_PARENT"):
        die_with_parent(int(os.environ["HEADWAY_PARENT"]))


def guard(parent: int, command: Sequence[str]) -> int:
    """Run ``command`` until it ends or a signal comes; then end all of this process's group. Returns the command's exit code."""
    stop_requested = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stop_requested
        stop_requested = True

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    me = os.getpid()
    child = subprocess.Popen(command, preexec_fn=lambda: die_with_parent(me))  # the guard itself may be killed
    die_with_parent(parent)
    while child.poll() is None and not stop_requested:
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
    """The other processes of this one's group, without zombies."""
    import psutil

    processes = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(ProcessLookupError):
            ours = process.pid != os.getpid() and os.getpgid(process.pid) == os.getpgrp()
            if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
                processes.append(process.pid)
    return processes


if __name__ == "__main__":
    sys.exit(guard(int(sys.argv[1]), sys.argv[2:]))
