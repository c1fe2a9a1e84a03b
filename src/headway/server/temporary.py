"""One temporary Prefect server for all concurrent runs of a folder: twenty runs start one, not twenty.

    .prefect/temporary.json    {"pid", "address"}: the server's keeper, and the server's address; it stays where the keeper is killed
    .prefect/temporary.server  locked by the keeper while it lives; unlocked, no server answers at the address any more
    .prefect/temporary.start   locked while a process checks whether there is a server, and starts one
    .prefect/temporary.users   locked, shared, by every process that uses it: the kernel unlocks it whatever ends the process

`python -m headway.server.temporary`, the keeper, starts the server and waits until no process uses it any more. A new run that comes
while the last one leaves waits until the old server has ended, and then starts a new one. Where the keeper or the server is killed (the
kernel does so by size where memory is short), a running or a new run starts another at the same address. Prefect's client, which retries
for a minute, then reaches it.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json, write_json
from headway.files.disk import full_disk
from headway.machine.processes import GRACE_SECONDS, answers, free_port, is_free, spawn, stop
from headway.server import access

LOOK_SECONDS = 0.2
STARTING_SECONDS = 30.0
REVIVING_SECONDS = 5.0
"""How long a new run waits for running ones to restart the server."""
REVIVALS = 5
REVIVALS_WITHIN_SECONDS = 600.0
"""How often a run restarts the server, so that one that ends at once (its port is taken) is not restarted without end."""
LEAN = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # for people's own flows; the server of `headway up` registers them
}
"""What runs need no more of."""
_user_locks: list[int] = []
"""The descriptors of the locks that make this process a user until it ends."""


def share_server(root: Path, environment: Mapping[str, str], seconds: float) -> tuple[str, Callable[[], None]]:
    """The address of this folder's temporary server, and a function that waits until it answers.

    This process counts as a user of it until it ends. Raises ConfigError when the server ends or stays silent.
    """
    folder = root / ".prefect"
    with locks.hold(folder / "temporary.start"):
        users, is_first = _use(folder)
        server = keeper(folder, STARTING_SECONDS) or _start(root, environment, _port(folder, is_first))
    how = (root, dict(environment), server.port, users)

    def ready() -> None:
        _await(folder, server, 0.0 if is_first else REVIVING_SECONDS, seconds)
        threading.Thread(target=_revive, args=how, name="temporary server", daemon=True).start()

    return server.address, ready


def _use(folder: Path) -> tuple[int, bool]:
    """Become a user: the descriptor that is held until this process ends, and whether this is the only user.

    Waits for a keeper that leaves.
    """
    path = folder / "temporary.users"
    users = locks.take(path, seconds=0)
    is_first = users is not None
    if users is None:
        users = locks.take(path, shared=True, seconds=math.inf)
        assert users is not None
    else:
        locks.lock(users, path, shared=True, seconds=math.inf)
    _user_locks.append(users)
    return users, is_first


def _port(folder: Path, is_first: bool) -> int:
    """Where other runs use a server that was killed, its port, which they know. Otherwise, or where that is taken, a free one."""
    last = None if is_first else _record(folder)
    if last is not None and _becomes_free(last.port):
        return last.port
    (folder / "temporary.json").unlink(missing_ok=True)
    return free_port()


def _becomes_free(port: int) -> bool:
    """Whether a port is free; the server of a keeper that was killed takes some seconds to end."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not is_free(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


@dataclass(frozen=True)
class Keeper:
    """The process that keeps the temporary server, and the address of the server's API."""

    pid: int
    address: str

    @property
    def port(self) -> int:
        """The port of the address."""
        return urlsplit(self.address).port or 0


def keeper(folder: Path, seconds: float = 0.0) -> Keeper | None:
    """The keeper that lives, by the lock that it holds; None without one. A new one has ``seconds`` to write its address."""
    deadline = time.monotonic() + seconds
    while locks.is_held(folder / "temporary.server"):
        record = _record(folder)
        if record is not None:
            return record
        if time.monotonic() >= deadline:
            break
        time.sleep(locks.LOOK_SECONDS)
    return None


@contextlib.contextmanager
def kept_away(root: Path) -> Iterator[None]:
    """No temporary server starts during the block: other processes wait. Raises ConfigError where one runs."""
    folder = root / ".prefect"
    with locks.hold(folder / "temporary.start"):
        if locks.is_held(folder / "temporary.server"):
            fact = "Prefect's temporary server still serves one"
            raise ConfigError(f"no run may be active here now, but {fact}; wait for the end of the runs")
        yield


def _record(folder: Path) -> Keeper | None:
    """The content of temporary.json, which may be outdated."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Keeper(**read_json(folder / "temporary.json"))
    return None


def _revive(root: Path, environment: Mapping[str, str], port: int, users: int) -> None:
    """Restart the server at the same address whenever it has no keeper any more, until this process ends."""
    folder = root / ".prefect"
    revivals: list[float] = []
    while len(revivals) < REVIVALS:
        time.sleep(LOOK_SECONDS)
        with contextlib.suppress(OSError, ConfigError):  # tried again
            if _is_missing(folder, users):
                with locks.hold(folder / "temporary.start"):
                    if _is_missing(folder, users):
                        revivals.append(time.monotonic())
                        _start(root, environment, port)
        revivals = [then for then in revivals if time.monotonic() - then < REVIVALS_WITHIN_SECONDS]


def _is_missing(folder: Path, users: int) -> bool:
    """Whether the server of the folder that ``users`` is in has no keeper. A folder that was moved or removed is not made anew."""
    return locks.is_at(folder / "temporary.users", users) and not locks.is_held(folder / "temporary.server")


def _start(root: Path, environment: Mapping[str, str], port: int) -> Keeper:
    folder = root / ".prefect"
    lock = locks.take(folder / "temporary.server", seconds=STARTING_SECONDS)  # a keeper holds the lock to its very end
    if lock is None:
        raise ConfigError(
            f"Prefect's temporary server must start, but an earlier one does not end; see {folder / 'logs'}"
        )
    try:
        return _keep_apart(root, port, environment, lock)
    finally:
        os.close(lock)


def _keep_apart(root: Path, port: int, environment: Mapping[str, str], lock: int) -> Keeper:
    """Start the keeper, which inherits the lock, so that it is held at every moment."""
    log = root / ".prefect" / "logs" / "temporary-server.keeper.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "headway.server.temporary", str(root), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=dict(environment),
            cwd=root,
            start_new_session=True,  # it outlives the run that started it while others go on
            pass_fds=(lock,),
        )
    process.returncode = 0  # no one waits for this process, which ends after ours
    return Keeper(process.pid, _address(port))


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


def _await(folder: Path, server: Keeper, patience: float, seconds: float) -> None:
    log = folder / "logs" / "temporary-server.log"
    last_seen = time.monotonic()
    deadline = last_seen + seconds
    while not answers(f"{server.address}/health"):
        now = keeper(folder, STARTING_SECONDS)
        if now is not None and now.address == server.address:  # of another keeper, where the first was killed
            last_seen = time.monotonic()
        elif now is not None or time.monotonic() - last_seen >= patience:
            raise full_disk(folder) or ConfigError(
                f"Prefect's temporary server must keep running, but it ended; see {log}"
            )
        if time.monotonic() > deadline:
            raise ConfigError(f"Prefect's temporary server must answer within {seconds:.0f} s, but does not; see {log}")
        time.sleep(0.05)


def keep(root: Path, port: int) -> None:
    """Run the server until no process uses it, or it has ended by itself."""
    folder = root / ".prefect"
    write_json(folder / "temporary.json", asdict(Keeper(os.getpid(), _address(port))))
    _becomes_free(port)
    command = access.command("prefect.server.api.server:create_app", "127.0.0.1", port, "app")
    quiet = {**os.environ, **LEAN}
    child = spawn("Prefect's temporary server", command, folder / "logs" / "temporary-server.log", quiet, root)
    path = folder / "temporary.users"
    with open(path, "a") as users:
        try:
            while child.guard.poll() is None:
                if locks.lock(users.fileno(), path):
                    _forget(folder)  # under the lock: a new run waits for it, and then finds no server
                    break
                time.sleep(LOOK_SECONDS)
        finally:
            stop(child)


def _forget(folder: Path) -> None:
    """Remove temporary.json, if it is of this process."""
    record = _record(folder)
    if record is not None and record.pid == os.getpid():
        (folder / "temporary.json").unlink(missing_ok=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
