"""The output of a flow: lines in Prefect's log and a progress bar; the same on a terminal. Its pages are in artifacts.py."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL
from prefect.states import Failed, State

from flows.naming import artifact_key
from headway.errors import DataError, HeadwayError
from headway.files.atomic import write_json
from headway.files.disk import disk_error
from headway.machine.processes import die_with_parent
from headway.pipeline.terminal import Terminal
from headway.run.directory import RunDirectory
from headway.run.report import Reporter

ARTIFACT_SECONDS = 2.0
LONG = {"train": "training", "effect": "study"}
"""Stages with a progress artifact, and its name."""

_terminal: Terminal | None = None


def _without_empty_traceback(record: logging.LogRecord) -> bool:
    """Prefect logs a failed task with an empty traceback, `NoneType: None`, which this removes."""
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is None:
        record.exc_info = None
    return True


logging.getLogger("prefect.task_runs").addFilter(_without_empty_traceback)


def _is_no_users_mistake(record: logging.LogRecord) -> bool:
    """A user's error is its state's message. At the end of a flow's process, Prefect logs it again, with a traceback."""
    return not (isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], HeadwayError))


for _name in ("prefect.flow_runs", "prefect.engine"):
    logging.getLogger(_name).addFilter(_is_no_users_mistake)


@contextlib.contextmanager
def shown_on(terminal: Terminal) -> Iterator[None]:
    """Flows that run in the block also write to ``terminal``."""
    global _terminal
    _terminal, before = terminal, _terminal
    try:
        yield
    finally:
        _terminal = before


def from_terminal() -> bool:
    """Whether a command started the current flow, and not Prefect."""
    return _terminal is not None


class Both(Reporter):
    """Writes to the log of the current task, and to the terminal if there is one."""

    def __init__(self, project: str) -> None:
        self.project = project
        self._stage = ""
        self._bar: UUID | None = None
        self._last_move = 0.0

    def line(self, text: str) -> None:
        """One line in the log and the terminal."""
        get_run_logger().info(text)
        if _terminal is not None:
            _terminal.line(text)

    def warn(self, text: str) -> None:
        """One warning in the log and the terminal."""
        get_run_logger().warning(text)
        if _terminal is not None:
            _terminal.warn(text)

    def progress(self, share: float, text: str) -> None:
        """Moves the bar of the terminal, and the artifact's at most every ARTIFACT_SECONDS."""
        if _terminal is not None:
            _terminal.progress(share, text)
        if self._stage in LONG and time.monotonic() - self._last_move >= ARTIFACT_SECONDS:
            self._move(share, text)

    def _move(self, share: float, text: str) -> None:
        self._last_move = time.monotonic()
        percent = round(100 * min(max(share, 0.0), 1.0), 1)
        if self._bar is None:
            key = artifact_key(self.project, LONG[self._stage])
            bar = create_progress_artifact(progress=percent, key=key, description=text)
            self._bar = bar if isinstance(bar, UUID) else None
        else:
            update_progress_artifact(artifact_id=self._bar, progress=percent, description=text)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage on the terminal; a progress artifact ends full when the stage succeeds."""
        self._stage = name
        with _terminal.stage(name) if _terminal is not None else contextlib.nullcontext():
            yield
            if self._bar is not None:
                self._move(1.0, "done")


def end_with_runner() -> None:
    """Under `headway up`, a run must not outlive the runner that started it."""
    if "HEADWAY_RUNNER" in os.environ:
        die_with_parent(os.getppid())


def failed_state(error: Exception) -> State[Any]:
    """The state Failed, or Refused for data, with exactly the text of a user's error. Raises any other error again.

    Prefect keeps the error until the process ends; without a traceback, it does not keep the stage's variables in memory.
    """
    problem = error if isinstance(error, HeadwayError) else disk_error(error)
    if problem is None:
        raise error
    name = "Refused" if isinstance(problem, DataError) else "Failed"
    return Failed(name=name, message=str(problem), data=problem.with_traceback(None))


def note_flow(run: RunDirectory) -> None:
    """Write flow.json: the Prefect run and its page; the temporary server has no page."""
    pages = None if "HEADWAY_TEMPORARY_SERVER" in os.environ else PREFECT_UI_URL.value()
    url = f"{pages}/runs/flow-run/{flow_run.id}" if pages else None
    write_json(run.path / "flow.json", {"flow_run_id": flow_run.id, "url": url})
