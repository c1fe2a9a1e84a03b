"""One temporary Prefect server for all runs of a folder that go on at the same time: twenty runs start one, not twenty.

    .prefect/temporary.json    {"pid", "address"}: the server's keeper, and where the server answers
    .prefect/temporary.start   locked while somebody looks whether there is a server, and starts one
    .prefect/temporary.users   locked, shared, by every process that uses it: the kernel lets go of it whatever ends them

`python -m headway.temporary`, the keeper, starts the server and waits until nobody uses it any more. A newcomer that
meets the last one leaving waits until the old server has gone, and then starts a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from headway import access
from headway.base import ConfigError, read_json, write_json
from headway.processes import answers, free_port, spawn, stop

LOOK_SECONDS = 0.2

_held: list[IO[Any]] = []


def share_server(root: Path, environment: Mapping[str, str], seconds: float) -> tuple[str, Callable[[], None]]:
    """The address of this folder's temporary server, and what waits until it answers.

    This process counts as a user of it until it ends. Raises ConfigError when the server ends or stays silent.
    """
    folder = root / ".prefect"
    folder.mkdir(parents=True, exist_ok=True)
    users = open(folder / "temporary.users", "a")  # noqa: SIM115 - held until the process ends
    fcntl.flock(users, fcntl.LOCK_SH)
    _held.append(users)
    with _locked(folder / "temporary.start"):
        found = _alive(folder)
        if found is None:
            found = _start(root, environment)
    address, pid = str(found["address"]), int(found["pid"])
    return address, lambda: _await(address, pid, folder / "logs" / "temporary-server.log", seconds)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _alive(folder: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        found = read_json(folder / "temporary.json")
        if is_keeper(int(found["pid"])):
            return dict(found)
    return None


def is_keeper(pid: int) -> bool:
    """Whether a process is a keeper that runs; a number alone may by now belong to somebody else's process."""
    try:
        return "headway.temporary" in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return False


def _start(root: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    port = free_port()
    log = root / ".prefect" / "logs" / "temporary-server.keeper.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "headway.temporary", str(root), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            cwd=root,
            start_new_session=True,  # it outlives the run that started it while others go on
        )
    keeper.returncode = 0  # nobody waits for it: it ends after us
    found = {"pid": keeper.pid, "address": f"http://127.0.0.1:{port}/api"}
    write_json(root / ".prefect" / "temporary.json", found)
    return found


def _await(address: str, pid: int, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not answers(f"{address}/health"):
        if not is_keeper(pid):
            raise ConfigError(f"Prefect's temporary server must keep running, however it ended; see {log}")
        if time.monotonic() > deadline:
            raise ConfigError(
                f"Prefect's temporary server must answer within {seconds:.0f} s, however it does not; see {log}"
            )
        time.sleep(0.05)


def keep(root: Path, port: int) -> None:
    """Run the server until nobody uses it, or it has ended by itself."""
    folder = root / ".prefect"
    command = access.command("prefect.server.api.server:create_app", "127.0.0.1", port, "app")
    quiet = {**os.environ, "PREFECT_SERVER_UI_ENABLED": "false", "PREFECT__SERVER_EPHEMERAL": "1"}
    child = spawn("Prefect's temporary server", command, folder / "logs" / "temporary-server.log", quiet, root)
    with open(folder / "temporary.users", "a") as users:
        try:
            while child.guard.poll() is None:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(LOOK_SECONDS)
        finally:
            # Under the lock where we have it: whoever comes now waits, and then finds no server.
            with contextlib.suppress(OSError, ValueError, KeyError, json.JSONDecodeError):
                if read_json(folder / "temporary.json")["pid"] == os.getpid():
                    (folder / "temporary.json").unlink()
            stop(child)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
