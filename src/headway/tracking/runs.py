"""A run in MLflow. All of it can be sent again from the run directory without duplicates.

tracking.json         the state of the run in MLflow (record.py)
tracking-cursor.json  which events of the journal MLflow has (forwarder.py)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.config import yaml_text
from headway.errors import ConfigError
from headway.evaluate.result import Evaluation
from headway.files import locks
from headway.files.atomic import read_or_empty
from headway.machine.clock import moment
from headway.run.directory import RunDirectory
from headway.tracking.addresses import is_file, is_local, kept_uri, page_of_run, tracking_uri
from headway.tracking.contents import (
    MOST_METRICS,
    dataset_of,
    deliver_artifacts,
    final_metrics,
    flatten,
    note_of,
    number_tag,
    opening_tags,
    prefect_tags,
    result_tags,
)
from headway.tracking.experiments import describe, experiment_of, kind_of
from headway.tracking.forwarder import Forwarder, late
from headway.tracking.record import Opening, key_of, read_tracking, results_of, unopened, write_tracking
from headway.tracking.store import explain, open_store, problems
from headway.tracking.variants import deliver_variants

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG = "headway.key"
FOLDER_TAG = "headway.folder"
"""The name of the run's folder, by which a run is found whose tracking.json is damaged."""


def title(run: RunDirectory, root: Path, what: str, when: float | None = None) -> str:
    """The name of a run in lists: `#12 mlp s0 · 11-28 09:41 UTC`. Lists cut it at about 16 characters, within which names differ.

    The number is the run's in its folder. Folders that share a store number their runs separately: there the second comes first.
    """
    if is_file(tracking_uri(root)) and run.number:
        return f"#{run.number} {what} · {moment(when, '%m-%d %H:%M')}"
    return f"{moment(when, '%m-%d %H:%M:%S')} · {what}"


def begin(run: RunDirectory, root: Path, params: Mapping[str, Any], name: str, project_yaml: str) -> str | None:
    """Open the run in MLflow, or continue the one that an earlier process opened; a closed run is opened again.

    ``params`` are flat; ``name`` is shown in the list of runs. Returns a warning when a server does not answer (`sync` sends it
    later). Raises ConfigError when the project's own store cannot be created or written.
    """
    with _alone(run):
        tracking = read_tracking(run)
        was_closed = tracking is not None and tracking.ending is not None
        if tracking is None:
            tracking = unopened(key_of(run), Opening(name, dict(params), project_yaml, time.time()))
        write_tracking(run, replace(tracking, ending=None))
        return _begin(run, root, was_closed)


def _begin(run: RunDirectory, root: Path, was_closed: bool) -> str | None:
    try:
        client, run_id = _open(run, root)
        if was_closed:
            client.update_run(run_id, "RUNNING")
            if "problem" in client.get_run(run_id).data.tags:
                client.delete_tag(run_id, "problem")
    except problems() as error:
        if is_local(tracking_uri(root)):
            raise ConfigError(f"{root / 'mlruns'} must be writable, but: {explain(error)}") from None
        return late(run, error)
    return None


@contextlib.contextmanager
def _alone(run: RunDirectory) -> Iterator[None]:
    """A lock for searching and opening a run in MLflow: two processes at once would open it twice."""
    with locks.hold(run.path / "tracking.lock"):
        yield


def _open(run: RunDirectory, root: Path) -> tuple[MlflowClient, str]:
    """The client and the id of the run in MLflow, which is created when there is none with this directory's key.

    The id in tracking.json may be that of another machine's MLflow, or of one whose database was lost.
    """
    from mlflow.entities import ViewType

    tracking = read_tracking(run)
    assert tracking is not None
    client = open_store(root)
    if tracking.run_id is not None and tracking.uri == kept_uri(root) and _holds(client, tracking.run_id):
        return client, tracking.run_id
    experiment = experiment_of(client, root, run.plan["project"]["name"], kind_of(run.plan))
    opening = tracking.opening
    tags = [(KEY_TAG, tracking.key)]
    if "key" not in run.plan:  # of an earlier version, in which only tracking.json held the key
        tags.append((FOLDER_TAG, run.path.name))
    matches: list[Run] = []
    for name, value in tags:
        matches = matches or client.search_runs([experiment], f"tags.`{name}` = '{value}'", ViewType.ALL, max_results=1)
    if matches:  # a process was killed between creating the run and writing its id
        run_id = matches[0].info.run_id
        if matches[0].info.lifecycle_stage == "deleted":
            client.restore_run(run_id)
    else:
        tags = {**opening_tags(run.plan), **prefect_tags(run), KEY_TAG: tracking.key, FOLDER_TAG: run.path.name}
        if is_file(tracking_uri(root)):  # folders that share a store number their runs separately
            tags |= number_tag(run.plan)
        start = int(opening.time * 1000)
        run_id = client.create_run(experiment, start, tags, opening.name).info.run_id
    (run.path / "tracking-cursor.json").unlink(missing_ok=True)
    _log_params(client, run_id, opening.params)
    client.log_text(run_id, opening.yaml, "project.yaml")
    client.log_dict(run_id, run.plan, "run.json")
    client.log_dict(run_id, run.plan.get("environment") or {}, "environment.json")
    describe(client, experiment, run.plan["project"])
    uri = tracking_uri(root)
    ui = None if is_local(uri) else f"{uri.rstrip('/')}/{page_of_run(experiment, run_id)}"
    where = {"run_id": run_id, "experiment_id": experiment, "uri": kept_uri(root), "ui": ui}
    write_tracking(run, replace(read_tracking(run) or tracking, **where))
    return client, run_id


def _holds(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    entries = [Param(key, str(value)[:6000]) for key, value in sorted(params.items())]
    for start in range(0, len(entries), 100):
        client.log_batch(run_id, params=entries[start : start + 100])


def conclude(
    run: RunDirectory, root: Path, status: str, metrics: Mapping[str, float], problem: str | None = None
) -> str | None:
    """Send everything in the run directory and close the run as FINISHED, FAILED or KILLED.

    Of the final ``metrics`` MLflow gets the first MOST_METRICS. Returns a warning when MLflow does not answer, but raises nothing: the
    run is complete without it.
    """
    if read_tracking(run) is None:
        return None
    try:
        with _alone(run):
            tracking = read_tracking(run)
            assert tracking is not None
            write_tracking(run, tracking.with_end(status, dict(list(metrics.items())[:MOST_METRICS]), problem))
            _deliver(run, root)
    except (ConfigError, *problems()) as error:
        return late(run, error)
    return None


def sync(run: RunDirectory, root: Path) -> str:
    """Send to MLflow whatever of this run it does not have yet. Returns the run's id there.

    Also for a run without MLflow. Raises ConfigError when MLflow still does not answer.
    """
    with _alone(run):
        return _sync(run, root)


def _sync(run: RunDirectory, root: Path) -> str:
    if read_tracking(run) is None:
        project, stamp = run.plan["project"], (run.path / "run.json").stat().st_mtime
        name = title(run, root, f"{project['model']['name']} s{run.plan.get('seed', 0)}", stamp)
        text = yaml_text(project)
        opening = Opening(name, flatten(project), text, stamp)
        status = "FINISHED" if run.result is not None else "KILLED"
        write_tracking(run, unopened(key_of(run), opening).with_end(status, final_metrics(run), None))
    try:
        return _deliver(run, root)
    except problems() as error:
        fix = f"start it, then headway sync {run.path.name}"
        raise ConfigError(f"MLflow at {tracking_uri(root)} must answer, but: {explain(error)}; {fix}") from None


def _deliver(run: RunDirectory, root: Path) -> str:
    from mlflow.entities import Metric, RunTag

    client, run_id = _open(run, root)
    Forwarder(run, root).poll(patient=False)
    inputs = dataset_of(run)
    if inputs is not None:
        client.log_inputs(run_id, [inputs])
    damaged = deliver_artifacts(client, run, run_id)
    tracking = read_tracking(run)
    assert tracking is not None
    assert tracking.experiment_id is not None
    deliver_variants(client, run, run_id, tracking.experiment_id)
    ending = tracking.ending
    page = page_of_run(tracking.experiment_id, run_id)
    project = read_or_empty(run.path / "run.json").get("project")
    if isinstance(project, dict):  # otherwise it was damaged since the run was opened, which described the experiment
        evaluation = Evaluation.read_if_whole(run.path / "evaluation.json")
        describe(client, tracking.experiment_id, project, None if evaluation is None else evaluation.primary or None)
    tags = {**prefect_tags(run), **result_tags(run), "mlflow.note.content": note_of(run, ending, page)}
    if damaged:
        tags["damaged"] = f"{', '.join(damaged)} of {run.path.name}; headway doctor"[:5000]
    if ending is None:  # still running: its process will conclude it
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
        return run_id
    if ending.problem:
        tags["problem"] = ending.problem[:5000]
    at = int(ending.time * 1000)
    results = tracking.results or results_of(ending, {})
    metrics = [Metric(key, results[key][0], int(results[key][1] * 1000), 0) for key in ending.metrics]
    client.log_batch(run_id, metrics=metrics, tags=[RunTag(k, v) for k, v in tags.items()])
    client.set_terminated(run_id, ending.status, at)
    return run_id
