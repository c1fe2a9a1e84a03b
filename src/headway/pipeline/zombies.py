"""Runs whose process was killed are closed in MLflow, as KILLED; flows/zombies.py ends them in Prefect, as Crashed."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path

from headway.errors import ConfigError, DamagedError
from headway.run.directory import RunDirectory
from headway.run.lifetime import dead, is_done


def close_dead(root: Path, problem: str = "its process was killed", seconds: float = math.inf) -> list[str]:
    """Close dead runs in MLflow, as KILLED with this problem unless their end is known or they are done; one line for each.

    Their files stay, and can be resumed or synced. A run that cannot be closed is named once, and does not stop the others; headway
    doctor finds it. After ``seconds`` no further run is tried: where MLflow does not answer, each costs a time-out.
    """
    lines: list[str] = []
    deadline = time.monotonic() + seconds
    for run in dead(root):
        if time.monotonic() > deadline:
            break
        try:
            line, is_closed = _close(run, root, problem)
        except OSError as error:  # a full disk is temporary: tried again
            line, is_closed = f"{run.path.name}: not closed in MLflow: {error.filename or ''} {error.strerror}", False
        except Exception as error:
            fact = next(iter(str(error).splitlines()), type(error).__name__)
            line, is_closed = f"{run.path.name}: {problem}; not closed in MLflow: {fact}", True
        lines += [line] if line else []
        if is_closed:
            with contextlib.suppress(OSError):
                (run.path / "owner.lock").rename(run.path / "owner.gone")
    return lines


def _close(run: RunDirectory, root: Path, problem: str) -> tuple[str, bool]:
    """The line about a dead run, and whether it is settled."""
    from headway import tracking
    from headway.pipeline import runs
    from headway.pipeline.page import page_warning
    from headway.tracking.condition import find_again
    from headway.tracking.record import read_tracking

    try:
        record = read_tracking(run)
    except DamagedError:
        if not find_again(root, run):
            raise
        record = read_tracking(run)
    if record is None:
        return "", True
    runs.recall(run, root)
    has_end = record.ending is not None
    # A run with a known end had not sent all of it.
    status, why = ("FINISHED", None) if is_done(run) else ("KILLED", problem)
    if not has_end:
        page_warning(run, why or "", status)
    warning = _deliver(run, root) if has_end else tracking.conclude(run, root, status, tracking.final_metrics(run), why)
    if warning is not None:
        return warning, False
    ending = (read_tracking(run) or record).ending
    assert ending is not None
    status = ending.status.lower()
    fact = f"{status}, which MLflow now has, too" if has_end else f"{problem}; closed as {status}"
    return f"{run.path.name}: {fact}", True


def _deliver(run: RunDirectory, root: Path) -> str | None:
    from headway import tracking

    try:
        tracking.sync(run, root)
    except ConfigError as error:
        return str(error)
    return None
