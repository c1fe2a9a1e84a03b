"""Processes of the code under test, forked from one that has loaded the libraries: loading torch alone takes 4 s of a core each time.

A process of tests starts one helper, `python -m tests.support.warm`, when the first is asked for. The helper forks a keeper, which forks
the process itself, waits for it and tells how it ended: to the process that asked, it is as one that `subprocess` started. The helper
computes nothing, so that there are no threads when it forks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from headway.machine.processes import die_with_parent

MODULES = ("headway.train.main", "headway.serve.rehearse", "headway.watch.measure")
"""What is started this way."""

LIBRARIES = ("torch._dynamo", "lightgbm", "sklearn.linear_model", "headway.train.network", "headway.train.estimators")
"""What they load in addition, within functions."""


class Child:
    """What `subprocess.Popen` would have given, as far as it is used."""

    def __init__(self, status: int) -> None:
        self._status, self.returncode = os.fdopen(status, "rb", buffering=0), None
        self.pid = int(self._line())

    returncode: int | None

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            part = self._status.read(1)
            if not part:
                return b"-9"  # the keeper is gone, and with it the process
            line += part
        return line

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a warm process", timeout or 0.0)
            self.returncode = int(self._line())
            self._status.close()
        return self.returncode

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class WarmSubprocess:
    """What the code under test sees as the module `subprocess`."""

    DEVNULL, TimeoutExpired = subprocess.DEVNULL, subprocess.TimeoutExpired

    def __init__(self) -> None:
        self._link: socket.socket | None = None
        self._helper: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the helper."""
        if self._link is not None and self._helper is not None:
            self._link.close()
            self._helper.wait()

    def Popen(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: IO[Any],
        stderr: IO[Any],
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ) -> Child | subprocess.Popen[Any]:
        """A warm process where the command is one of MODULES."""
        if not _is_warm(command):
            return subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, start_new_session=start_new_session
            )
        request = {"command": command[2:], "environment": dict(env or os.environ), "folder": str(Path.cwd())}
        reading, writing = os.pipe()
        files = [stdout.fileno(), stderr.fileno(), writing]
        socket.send_fds(self._started(), [json.dumps({**request, "session": start_new_session}).encode()], files)
        os.close(writing)
        return Child(reading)

    def run(
        self, command: Sequence[str], *, stdin: int, capture_output: bool, text: bool, check: bool
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with these."""
        if not _is_warm(command):
            return subprocess.run(command, stdin=stdin, capture_output=capture_output, text=text, check=check)
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            code = self.Popen(command, stdin=stdin, stdout=out, stderr=errors).wait()
            out.seek(0), errors.seek(0)
            return subprocess.CompletedProcess(command, code, out.read(), errors.read())

    def _started(self) -> socket.socket:
        if self._link is None:
            self._link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            words = [sys.executable, "-m", __name__, str(other.fileno()), str(os.getpid())]
            self._helper = subprocess.Popen(
                words, pass_fds=[other.fileno()], cwd=Path(__file__).parents[2], start_new_session=True
            )
            other.close()
        return self._link


def _is_warm(command: Sequence[str]) -> bool:
    return list(command[:2]) == [sys.executable, "-m"] and command[2] in MODULES


def serve(link: socket.socket) -> None:
    """Fork what is asked for, until the other side is gone. Returns in a forked process, too, when its work is done."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, *_ = socket.recv_fds(link, 1 << 20, 3)
        if not message:
            return
        helper = os.getpid()
        if os.fork() == 0:
            link.close()
            _keep(json.loads(message), files, helper)
            return
        for file in files:
            os.close(file)


def _keep(request: Mapping[str, Any], files: Sequence[int], helper: int) -> None:
    die_with_parent(helper, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out, errors, status = files
    keeper, pid = os.getpid(), os.fork()
    if pid == 0:
        os.close(status)
        _work(request, out, errors, keeper)
        return
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, f"{pid}\n".encode())
        os.write(status, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
    os._exit(0)


def _work(request: Mapping[str, Any], out: int, errors: int, keeper: int) -> None:
    if request["session"]:
        os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, out, errors)):
        os.dup2(file, number)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if "HEADWAY_PARENT" in os.environ:
        os.environ["HEADWAY_PARENT"] = str(keeper)
    time.tzset()
    module, *words = request["command"]
    sys.argv = [module, *words]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[2]))
    for name in (*LIBRARIES, *MODULES):
        importlib.import_module(name)
    serve(socket.socket(fileno=int(sys.argv[1])))
