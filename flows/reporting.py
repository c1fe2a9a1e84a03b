"""The output of a flow: lines in Prefect's log, a progress bar, tables as artifacts; the same on a terminal."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL
from prefect.states import Failed, State

from headway.config import find_root
from headway.effect.results import StudyResult
from headway.errors import HeadwayError
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import write_json
from headway.files.disk import disk_error
from headway.machine.clock import moment
from headway.machine.processes import die_with_parent
from headway.pipeline.tables import DECIDES, class_rows, importance_rows, metric_rows, slice_rows
from headway.pipeline.terminal import Terminal
from headway.pipeline.validation import Validation
from headway.run.directory import RunDirectory
from headway.run.report import Reporter, markdown_table, shortened
from headway.server.addresses import mlflow_page
from headway.tracking.contents import REPORT
from headway.watch.result import WatchResult, page

ARTIFACT_SECONDS = 2.0
LONG = {"train": "training", "measure": "study"}
"""Stages with a progress artifact, and its name."""

_terminal: Terminal | None = None


def _without_empty_traceback(record: logging.LogRecord) -> bool:
    """Prefect logs a failed task with an empty traceback, `NoneType: None`, which this removes."""
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is None:
        record.exc_info = None
    return True


logging.getLogger("prefect.task_runs").addFilter(_without_empty_traceback)


@contextlib.contextmanager
def shown_on(terminal: Terminal) -> Iterator[None]:
    """Flows that run in the block also write to ``terminal``."""
    global _terminal
    _terminal, before = terminal, _terminal
    try:
        yield
    finally:
        _terminal = before


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


def run_name(project: str, month: str | None = None) -> str:
    """The name of a run in lists: the project, the month of its data where that is known, and the minute."""
    return f"{project} · {moment()}" if month is None else f"{project} · {month} · {moment(form='%m-%d %H:%M')}"


def named_after_project() -> str:
    """The name of the current run, from its form."""
    return run_name(flow_run.parameters["project"])


def end_with_runner() -> None:
    """Under `headway up`, a run must not outlive the runner that started it."""
    if "HEADWAY_RUNNER" in os.environ:
        die_with_parent(os.getppid())


def failed_state(error: Exception) -> State[Any]:
    """The state Failed with exactly the text of a user's error. Raises any other error again.

    Prefect keeps the error until the process ends; without a traceback, it does not keep the stage's variables in memory.
    """
    problem = error if isinstance(error, HeadwayError) else disk_error(error)
    if problem is None:
        raise error
    return Failed(message=str(problem), data=problem.with_traceback(None))


def artifact_key(project: str, what: str) -> str:
    """Prefect's keys are lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{project}-{what}".lower()).strip("-")


def note_flow(run: RunDirectory) -> None:
    """Write flow.json: the Prefect run and its page; the temporary server has no page."""
    pages = None if "HEADWAY_TEMPORARY_SERVER" in os.environ else PREFECT_UI_URL.value()
    url = f"{pages}/runs/flow-run/{flow_run.id}" if pages else None
    write_json(run.path / "flow.json", {"flow_run_id": flow_run.id, "url": url})


def show_validation(project: str, validation: Validation | None, problem: str | None = None) -> None:
    """The findings of the validation, as a page."""
    lines = [f"# {project}: data {'refused' if problem else 'accepted'}"]
    if problem:
        lines += [f"- {line}" for line in problem.splitlines()]
    if validation is not None:
        lines += [
            "",
            validation.summary,
            *(f"- warning: {text}" for text in shortened(validation.warnings, "warnings")),
        ]
    text = "data refused" if problem else "data accepted"
    create_markdown_artifact(markdown="\n".join(lines), key=artifact_key(project, "validation"), description=text)


def show_metrics(project: str, evaluation: Evaluation) -> None:
    """Metrics with intervals beside champion and baselines, as a table."""
    rows = metric_rows(evaluation)
    if rows:
        text = ". ".join([*evaluation.remarks, DECIDES])
        create_table_artifact(table=rows, key=artifact_key(project, "metrics"), description=text)
    classes = class_rows(evaluation)
    if classes:
        create_table_artifact(table=classes, key=artifact_key(project, "classes"), description="Each class.")
    slices = slice_rows(evaluation)
    if slices:
        create_table_artifact(
            table=slices, key=artifact_key(project, "slices"), description="The deciding metric by slice."
        )
    if evaluation.importance is not None:
        rows = importance_rows(evaluation)
        key = artifact_key(project, "importance")
        create_table_artifact(table=rows, key=key, description=evaluation.importance.text)


def show_decision(project: str, decision: Decision, evaluation: Evaluation, run: RunDirectory) -> None:
    """The decision with its reason, and the files; the run's page in MLflow also as a link artifact."""
    verdict = "promoted to champion" if decision.promoted else "not promoted"
    model = f"Model `{decision.name}` version {decision.version}. " if decision.version is not None else ""
    table = markdown_table(metric_rows(evaluation))
    parts = [f"# {project}: {verdict}", decision.reason, *evaluation.remarks, table, f"\\{DECIDES}" if table else ""]
    parts.append(f"{model}Files: `{run.path}`")
    address = mlflow_page(run.path, find_root())
    parts.append(f"Report: `headway report {project} {run.path.name}`")
    if address:
        create_link_artifact(link=address, link_text="The run in MLflow", key=artifact_key(project, "mlflow"))
        parts.append(f"[The report of the run]({address}/artifacts/{REPORT}) · [The run in MLflow]({address})")
    page = "\n\n".join(part for part in parts if part)
    create_markdown_artifact(markdown=page, key=artifact_key(project, "decision"), description=verdict)


def show_drift(project: str, result: WatchResult) -> None:
    """The result of a watch, as a page."""
    text = "drift" if result.drifted else "no drift"
    create_markdown_artifact(markdown=page(result), key=artifact_key(project, "drift"), description=text)


def show_effects(project: str, result: StudyResult, run: RunDirectory) -> None:
    """The verdicts of an effect study, as a page."""
    from headway.pipeline import effects  # imports torch, which takes 2 s that a retraining's process must not wait for

    parts = [f"# {project}: what each technique gains", result.summary, markdown_table(effects.table(result))]
    parts += [f"- not settled: {row.name}: {row.why}" for row in result.open]
    parts.append(f"Report with pictures and every sample: `headway report {project} {run.path.name}`")
    address = mlflow_page(run.path, find_root())
    if address:
        parts.append(f"[The report of the study]({address}/artifacts/{REPORT})")
    page = "\n\n".join(parts)
    create_markdown_artifact(
        markdown=page, key=artifact_key(project, "effects"), description="what each technique gains"
    )
