"""Watch a project: whether its newest rows still are as in the champion's training. Drift becomes a Prefect event.

headway watch loans
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from httpx import HTTPError
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Completed
from pydantic import JsonValue

from flows.artifacts import show_drift
from flows.naming import named_after_project
from flows.reporting import Both, end_with_runner, failed_state, from_terminal, note_flow
from headway.config import find_root
from headway.errors import HeadwayError
from headway.pipeline import watching
from headway.run.directory import RunDirectory
from headway.watch.result import WatchResult

EVENT = "headway.drift"


def emit(event: Event) -> None:
    """Send an event to Prefect and wait for the answer: prefect.events.emit_event sends later, and does not report a failure."""
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])


def resource_of(project: str) -> str:
    """The Prefect resource that a project's events are about."""
    return f"headway.project.{project}"


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="compare")
def compare(run: Path, root: Path) -> Any:
    """Measure, judge, show; drift that was not reported yet is emitted once."""
    directory = RunDirectory(run)
    report = Both(directory.plan["project"]["name"])
    try:
        with report.stage("watch"):
            result = watching.watch(directory, root, report)
            show_drift(report.project, result)
            _emit_drift(report, result, root)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return Completed(data=result.drifted)


def _emit_drift(report: Both, result: WatchResult, root: Path) -> None:
    """Emit the event. It counts as reported only when Prefect has accepted it, so that a lost one is emitted again.

    A watch from the terminal emits none: a person looks at its result, and decides.
    """
    if not result.drifted or from_terminal():
        return
    if watching.is_reported(root, report.project, result):
        report.line("this drift was reported before, so no event is emitted again")
        return
    drifted: list[JsonValue] = [*result.drifted_columns]
    payload: dict[str, JsonValue] = {"summary": result.summary, "columns": drifted, "files": [*result.files]}
    resource = {"prefect.resource.id": resource_of(report.project), "prefect.resource.name": report.project}
    event = Event(event=EVENT, resource=Resource(resource), payload={**payload, "champion": result.champion})
    try:
        emit(event)
    except (PrefectHTTPStatusError, HTTPError) as error:
        report.warn(
            f"Prefect must take the drift's event, but: {str(error).splitlines()[0]}; the next watch emits it again"
        )
        return
    watching.note_reported(root, report.project, result)


@flow(name="watch", flow_run_name=named_after_project, persist_result=False, validate_parameters=True)
def watch(project: str, data: Optional[str] = None) -> Any:  # noqa: UP045 - the run form wants Optional
    """Compare the newest rows, and what the champion predicts for them, with its training's.

    Args:
        project: Which project to watch: the name of a file in conf/, without .yaml.
        data: A file, a folder or a glob to compare. None takes the files that the champion was not trained on.
    """
    end_with_runner()
    root = find_root()
    try:
        run = watching.open_watch(project, root, data)
        if isinstance(run, watching.NothingNew):
            Both(project).line(run.text)
            return Completed(name="Nothing new", message=run.text, data=run.to_json())
        note_flow(run)
        drifted = compare(run.path, root, return_state=True).result(raise_on_failure=True)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    name = "Drift" if drifted else "No drift"
    return Completed(name=name, message=f"report: {run.path / 'watch.md'}", data=str(run.path))
