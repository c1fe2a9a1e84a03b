"""Watch a project: are its newest rows still as the champion's training knew them? Drift becomes a Prefect event.

headway watch loans
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from httpx import HTTPError
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.events import Event, Resource
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Completed
from pydantic import JsonValue

from flows.reporting import Both, end_with_runner, named_after_project, note_flow, refused, show_drift
from headway.config import find_root
from headway.errors import HeadwayError
from headway.pipeline import watching
from headway.run.directory import RunDirectory
from headway.watch.result import WatchResult

EVENT = "headway.drift"


def emit(event: Event) -> None:
    """Hand an event to Prefect and wait until it is taken: prefect.events.emit_event sends later, and cannot tell of a failure."""
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
            found = watching.watch(directory, root, report)
            show_drift(report.project, found)
            _tell(report, found, root)
    except (HeadwayError, OSError) as error:
        return refused(error)
    return Completed()


def _tell(report: Both, found: WatchResult, root: Path) -> None:
    """Emit the event. It is noted as reported only when Prefect took it, so that a lost one is emitted again."""
    if not found.drifted:
        return
    if watching.is_reported(root, report.project, found):
        report.line("this drift was reported before, so no event is emitted again")
        return
    drifted: list[JsonValue] = [*found.drifted_columns]
    payload: dict[str, JsonValue] = {"summary": found.summary, "columns": drifted, "files": [*found.files]}
    resource = {"prefect.resource.id": resource_of(report.project), "prefect.resource.name": report.project}
    event = Event(event=EVENT, resource=Resource(resource), payload={**payload, "champion": found.champion})
    try:
        emit(event)
    except (PrefectHTTPStatusError, HTTPError) as error:
        report.warn(
            f"Prefect must take the drift's event, but: {str(error).splitlines()[0]}; the next watch emits it again"
        )
        return
    watching.note_reported(root, report.project, found)


@flow(name="watch", flow_run_name=named_after_project, persist_result=False, validate_parameters=True)
def watch(project: str, data: Optional[str] = None) -> Any:  # noqa: UP045 - the run form wants Optional
    """Compare the newest rows, and what the champion predicts for them, with its training's.

    Args:
        project: Which project to watch: the name of a file in conf/, without .yaml.
        data: A file, a folder or a glob to look at. None looks at the files that the champion's training did not see.
    """
    end_with_runner()
    root = find_root()
    try:
        run = watching.open_watch(project, root, data)
        if isinstance(run, watching.NothingNew):
            get_run_logger().info(run.text)
            return Completed(message=run.text)
        note_flow(run)
        compare(run.path, root, return_state=True).result(raise_on_failure=True)
    except (HeadwayError, OSError) as error:
        return refused(error)
    return Completed(message=f"report: {run.path / 'watch.md'}", data=str(run.path))
