"""One temporary Prefect server for all runs of a folder that go on at the same time: twenty runs start one, not twenty.

    .prefect/temporary.json    {"pid", "address"}: the server's keeper, and where the server answers; left where the keeper is killed
    .prefect/temporary.server  locked by the keeper for as long as it lives; without that, nothing answers at the address any more
    .prefect/temporary.start   locked while somebody looks whether there is a server, and starts one
    .prefect/temporary.users   locked, shared, by every process that uses it: the kernel lets go of it whatever ends them

`python -m headway.server.temporary`, the keeper, starts the server and waits until nobody uses it any more. A newcomer that
meets the last one leaving waits until the old server has gone, and then starts a new one. Where the keeper or the server is killed
(a machine short of memory picks its victim by size), a run that goes on, or one that begins, starts another at the same address: Prefect's
client, which tries again for a minute, then finds it.
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
"""So long a run that begins waits for others, which have seen the server work, to start it again."""
REVIVALS = 5
REVIVALS_WITHIN_SECONDS = 600.0
"""So often a run starts the server again: one that ends at once (its port was taken meanwhile) is not started for ever."""
_held: list[int] = []
"""What says that this process is a user, until it ends."""


def share_server(root: Path, environment: Mapping[str, str], seconds: float) -> tuple[str, Callable[[], None]]:
    """The address of this folder's temporary server, and what waits until it answers.

    This process counts as a user of it until it ends. Raises ConfigError when the server ends or stays silent.
    """
    folder = root / ".prefect"
    with locks.held(folder / "temporary.start"):
        users, is_first = _use(folder)
        kept = keeper(folder, STARTING_SECONDS) or _start(root, environment, _port(folder, is_first))
    how = (root, dict(environment), kept.port, users)

    def ready() -> None:
        _await(folder, kept, 0.0 if is_first else REVIVING_SECONDS, seconds)
        threading.Thread(target=_revive, args=how, name="temporary server", daemon=True).start()

    return kept.address, ready


def _use(folder: Path) -> tuple[int, bool]:
    """Count as a user: the descriptor that is held until this process ends, and whether there is no other user.

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
    _held.append(users)
    return users, is_first


def _port(folder: Path, is_first: bool) -> int:
    """Where others use a server that was killed, its port: they know no other. Else, or where that is taken, a free one."""
    last = None if is_first else _said(folder)
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
    """The keeper that lives, by the lock that it holds; None without one. One that has just begun has ``seconds`` to say where."""
    deadline = time.monotonic() + seconds
    while locks.is_held(folder / "temporary.server"):
        said = _said(folder)
        if said is not None:
            return said
        if time.monotonic() >= deadline:
            break
        time.sleep(locks.LOOK_SECONDS)
    return None


@contextlib.contextmanager
def kept_away(root: Path) -> Iterator[None]:
    """No temporary server starts during the block: whoever wants one waits. Raises ConfigError where one runs."""
    folder = root / ".prefect"
    with locks.held(folder / "temporary.start"):
        if locks.is_held(folder / "temporary.server"):
            fact = "Prefect's temporary server still runs for one"
            raise ConfigError(f"no run may go on here meanwhile, but {fact}; wait for the end of the runs")
        yield


def _said(folder: Path) -> Keeper | None:
    """What temporary.json says; it may be of the past."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Keeper(**read_json(folder / "temporary.json"))
    return None


def _revive(root: Path, environment: Mapping[str, str], port: int, users: int) -> None:
    """Start the server again, at the same address, whenever nobody keeps it any more; until this process ends."""
    folder = root / ".prefect"
    revivals: list[float] = []
    while len(revivals) < REVIVALS:
        time.sleep(LOOK_SECONDS)
        with contextlib.suppress(OSError, ConfigError):  # tried again
            if _is_missing(folder, users):
                with locks.held(folder / "temporary.start"):
                    if _is_missing(folder, users):
                        revivals.append(time.monotonic())
                        _start(root, environment, port)
        revivals = [then for then in revivals if time.monotonic() - then < REVIVALS_WITHIN_SECONDS]


def _is_missing(folder: Path, users: int) -> bool:
    """Whether nobody keeps the server of the folder that ``users`` lies in: one that was moved or removed is not made anew."""
    return locks.is_at(folder / "temporary.users", users) and not locks.is_held(folder / "temporary.server")


def _start(root: Path, environment: Mapping[str, str], port: int) -> Keeper:
    folder = root / ".prefect"
    lock = locks.take(folder / "temporary.server", seconds=STARTING_SECONDS)  # one that ends holds it to its end
    if lock is None:
        raise ConfigError(
            f"Prefect's temporary server must start, but an earlier one does not end; see {folder / 'logs'}"
        )
    try:
        return _keep_apart(root, port, environment, lock)
    finally:
        os.close(lock)


def _keep_apart(root: Path, port: int, environment: Mapping[str, str], lock: int) -> Keeper:
    """Start the keeper, which takes the lock over: there is no moment at which neither of us holds it."""
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
    process.returncode = 0  # nobody waits for it: it ends after us
    return Keeper(process.pid, _address(port))


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


def _await(folder: Path, kept: Keeper, patience: float, seconds: float) -> None:
    log = folder / "logs" / "temporary-server.log"
    seen = time.monotonic()
    deadline = seen + seconds
    while not answers(f"{kept.address}/health"):
        now = keeper(folder, STARTING_SECONDS)
        if now is not None and now.address == kept.address:  # of another keeper, where one was killed
            seen = time.monotonic()
        elif now is not None or time.monotonic() - seen >= patience:
            raise full_disk(folder) or ConfigError(
                f"Prefect's temporary server must keep running, but it ended; see {log}"
            )
        if time.monotonic() > deadline:
            raise ConfigError(f"Prefect's temporary server must answer within {seconds:.0f} s, but does not; see {log}")
        time.sleep(0.05)


def keep(root: Path, port: int) -> None:
    """Run the server until nobody uses it, or it has ended by itself."""
    folder = root / ".prefect"
    write_json(folder / "temporary.json", asdict(Keeper(os.getpid(), _address(port))))
    _becomes_free(port)
    command = access.command("prefect.server.api.server:create_app", "127.0.0.1", port, "app")
    quiet = {**os.environ, "PREFECT_SERVER_UI_ENABLED": "false", "PREFECT__SERVER_EPHEMERAL": "1"}
    child = spawn("Prefect's temporary server", command, folder / "logs" / "temporary-server.log", quiet, root)
    path = folder / "temporary.users"
    with open(path, "a") as users:
        try:
            while child.guard.poll() is None:
                if locks.lock(users.fileno(), path):
                    _forget(folder)  # under the lock: whoever comes now waits, and then finds no server
                    break
                time.sleep(LOOK_SECONDS)
        finally:
            stop(child)


def _forget(folder: Path) -> None:
    """Remove what says where our server is, if it is ours."""
    said = _said(folder)
    if said is not None and said.pid == os.getpid():
        (folder / "temporary.json").unlink(missing_ok=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
