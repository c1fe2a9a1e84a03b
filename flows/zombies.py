"""Closes runs that Prefect shows as running although their process has ended: they are recognised by their run directory."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from headway.run import lifetime
from headway.run.directory import RunDirectory

LOOK_SECONDS = 20.0


def close_dead(client: SyncPrefectClient, root: Path) -> list[str]:
    """End the Prefect runs of dead run directories as Crashed; the names of the directories.

    A run that cannot be closed is tried again the next time, and does not stop the others.
    """
    names = []
    leftovers = [RunDirectory(path.parent) for path in (root / "data" / "runs").glob("*/owner.gone")]
    for run in [*lifetime.dead(root), *leftovers]:
        with contextlib.suppress(Exception):
            if _close(client, run):
                names.append(run.path.name)
    return names


def _close(client: SyncPrefectClient, run: RunDirectory) -> bool:
    """Whether the run was still open in Prefect, and is Crashed now."""
    flow_run, crashed = lifetime.flow_run_of(run), False
    if flow_run is not None:
        with contextlib.suppress(ObjectNotFound):
            state = client.read_flow_run(UUID(flow_run)).state
            if state is not None and not state.is_final():
                if lifetime.lives(run.path):  # resumed meanwhile, or its training still runs
                    return False
                client.set_flow_run_state(UUID(flow_run), Crashed(message="Its process was killed."), force=True)
                crashed = True
    (run.path / "owner.gone").unlink(missing_ok=True)
    return crashed


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
