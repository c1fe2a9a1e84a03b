"""Closes runs that Prefect shows as running although their process has ended.

They are recognised by their run directory. A command that has none, such as a rollback from the terminal, holds a lock in
.prefect/terminal, named by its run in Prefect.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from headway.files import locks
from headway.run import lifetime
from headway.run.directory import RunDirectory

LOOK_SECONDS = 20.0


def close_dead(client: SyncPrefectClient, root: Path) -> list[str]:
    """End the Prefect runs of dead run directories, and of killed commands, as Crashed; the names of the directories.

    A run that cannot be closed is tried again the next time, and does not stop the others.
    """
    names = []
    leftovers = [RunDirectory(path.parent) for path in (root / "data" / "runs").glob("*/owner.gone")]
    for run in [*lifetime.dead(root), *leftovers]:
        with contextlib.suppress(Exception):
            if _close(client, run):
                names.append(run.path.name)
    for path in _attended(root).glob("*"):
        with contextlib.suppress(Exception):
            if not path.suffix and not locks.is_held(path):
                _crash(client, path.name)
                path.unlink()
    return names


def _close(client: SyncPrefectClient, run: RunDirectory) -> bool:
    """Whether the run was still open in Prefect, and is Crashed now."""
    flow_run = lifetime.flow_run_of(run)
    if flow_run is not None and lifetime.lives(run.path):  # resumed meanwhile, or its training still runs
        return False
    crashed = flow_run is not None and _crash(client, flow_run)
    (run.path / "owner.gone").unlink(missing_ok=True)
    return crashed


def _crash(client: SyncPrefectClient, flow_run: str) -> bool:
    """Whether a flow run was still open in Prefect, and is Crashed now."""
    with contextlib.suppress(ObjectNotFound):
        state = client.read_flow_run(UUID(flow_run)).state
        if state is not None and not state.is_final():
            client.set_flow_run_state(UUID(flow_run), Crashed(message="Its process was killed."), force=True)
            return True
    return False


def _attended(root: Path) -> Path:
    return root / ".prefect" / "terminal"


@contextlib.contextmanager
def attended(flow_run: UUID, root: Path) -> Iterator[None]:
    """Close the flow run as Crashed where this process is killed in the block."""
    path = _attended(root) / str(flow_run)
    lock = locks.take(path.with_suffix(".new"))
    assert lock is not None
    path.with_suffix(".new").rename(path)  # from now on it counts, and it is locked already
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def close_now(root: Path) -> None:
    """Close dead runs before a new one starts: without `headway up`, no other process does."""
    with get_client(sync_client=True) as client:
        close_dead(client, root)


def keep_closing(root: Path) -> None:
    """Close dead runs every LOOK_SECONDS, in a thread that ends with the process. Failures are tried again."""

    def look() -> None:
        while True:
            with contextlib.suppress(Exception), get_client(sync_client=True) as client:
                close_dead(client, root)
            time.sleep(LOOK_SECONDS)

    threading.Thread(target=look, daemon=True).start()
