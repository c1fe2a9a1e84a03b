"""A run in MLflow. All of it can be delivered again from the run directory: what arrived once does not arrive twice.

tracking.json         what the run knows of MLflow (record.py)
tracking-cursor.json  {"n"}: the last journal event that MLflow has
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_or_empty, write_json
from headway.machine.clock import moment
from headway.run.directory import Event, RunDirectory
from headway.tracking.contents import (
    dataset_of,
    deliver_artifacts,
    final_metrics,
    flatten,
    note_of,
    number_tag,
    opening_tags,
    prefect_tags,
)
from headway.tracking.record import key_of, read_tracking, results_of, unopened, write_end, write_tracking
from headway.tracking.store import (
    client_of,
    experiment_of,
    explain,
    is_file,
    is_local,
    kept_uri,
    open_store,
    problems,
    tracking_uri,
    uri_of,
)
from headway.tracking.variants import deliver_variants

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG = "headway.key"
FOLDER_TAG = "headway.folder"
"""The name of the run's folder: by it, a run is found whose tracking.json is damaged."""

BATCH = 1000  # MLflow's own limit
RETRY_SECONDS = 30.0


def begin(run: RunDirectory, root: Path, params: Mapping[str, Any], name: str, project_yaml: str) -> str | None:
    """Open the run in MLflow, or continue the one that a restarted process opened before; one that was closed is opened again.

    ``params`` are flat; ``name`` is what the list of runs shows. Returns a warning when a server is away (`sync`
    delivers later). Raises ConfigError when the project's own store cannot be made or written.
    """
    with _alone(run):
        tracking = read_tracking(run)
        closed = tracking is not None and tracking["ending"] is not None
        if tracking is None:
            opening = {"name": name, "params": dict(params), "yaml": project_yaml, "time": time.time()}
            tracking = unopened(key_of(run), opening)
        write_tracking(run, {**tracking, "ending": None})
        return _begin(run, root, closed)


def _begin(run: RunDirectory, root: Path, closed: bool) -> str | None:
    try:
        client, run_id = _open(run, root)
        if closed:
            client.update_run(run_id, "RUNNING")
            if "problem" in client.get_run(run_id).data.tags:
                client.delete_tag(run_id, "problem")
    except problems() as error:
        if is_local(tracking_uri(root)):
            raise ConfigError(f"{root / 'mlruns'} must be writable, but: {explain(error)}") from None
        return _late(run, error)
    return None


@contextlib.contextmanager
def _alone(run: RunDirectory) -> Iterator[None]:
    """Held while a run is looked for in MLflow and opened there: two that look at once would open it twice."""
    with locks.held(run.path / "tracking.lock"):
        yield


def _late(run: RunDirectory, error: BaseException) -> str:
    return f"MLflow is away ({explain(error)}); when it is back: headway sync {run.path.name}"


def _open(run: RunDirectory, root: Path) -> tuple[MlflowClient, str]:
    """The client and the id of the run in MLflow, which is created when there is none with this directory's key.

    The id in tracking.json may be that of another machine's MLflow, or of one whose database was lost.
    """
    from mlflow.entities import ViewType

    tracking = read_tracking(run)
    assert tracking is not None
    client = open_store(root)
    if tracking["run_id"] is not None and tracking["uri"] == kept_uri(root) and _holds(client, tracking["run_id"]):
        return client, tracking["run_id"]
    experiment = experiment_of(client, root, run.plan["project"]["name"])
    opening = tracking["opening"]
    tags = [(KEY_TAG, tracking["key"])]
    if "key" not in run.plan:  # of an earlier version, whose tracking.json alone knew the key that it was opened with
        tags.append((FOLDER_TAG, run.path.name))
    found: list[Run] = []
    for name, value in tags:
        found = found or client.search_runs([experiment], f"tags.`{name}` = '{value}'", ViewType.ALL, max_results=1)
    if found:  # a process died between creating the run and writing down its id
        run_id = found[0].info.run_id
        if found[0].info.lifecycle_stage == "deleted":
            client.restore_run(run_id)
    else:
        tags = {**opening_tags(run.plan), **prefect_tags(run), KEY_TAG: tracking["key"], FOLDER_TAG: run.path.name}
        if is_file(tracking_uri(root)):  # folders that share a store count each for itself
            tags |= number_tag(run.plan)
        started = int(opening["time"] * 1000)
        run_id = client.create_run(experiment, started, tags, opening["name"]).info.run_id
    (run.path / "tracking-cursor.json").unlink(missing_ok=True)
    _log_params(client, run_id, opening["params"])
    client.log_text(run_id, opening["yaml"], "project.yaml")
    client.log_dict(run_id, run.plan, "run.json")
    uri = tracking_uri(root)
    ui = None if is_local(uri) else f"{uri.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"
    ids = {"run_id": run_id, "experiment_id": experiment, "uri": kept_uri(root), "ui": ui}
    write_tracking(run, {**(read_tracking(run) or tracking), **ids})
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


class Forwarder:
    """Brings a journal's metrics to MLflow as they come. It has no thread: its owner calls `poll` now and then.

    An event counts as delivered once the cursor file says so, after its batch. A death in between sends a batch again,
    and MLflow keeps rows of equal key, time, step and value once: each event arrives exactly once.
    """

    def __init__(self, run: RunDirectory, root: Path | None = None) -> None:
        """``root``: the project's folder, where it is not the one that the run lies in."""
        self.warning: str | None = None
        self._run, self._root = run, root or run.root
        self._reader = run.reader()
        self._waiting: list[Event] = []
        self._last = 0
        self._cursor = run.path / "tracking-cursor.json"
        self._not_before = 0.0

    def poll(self, patient: bool = True) -> None:
        """Forward what is new. MLflow being away is remembered as one warning and tried again half a minute later.

        With ``patient`` off, what MLflow raises is raised.
        """
        tracking = read_tracking(self._run)
        if tracking is None or tracking["run_id"] is None or (patient and time.monotonic() < self._not_before):
            return
        events = [*self._waiting, *self._reader.poll()]
        self._last = max([self._last, *(event.n for event in events)])
        after = int(read_or_empty(self._cursor).get("n", 0))  # damaged: all are sent again, and arrive once
        if after > self._last:  # the journal was cut since: its numbers come a second time, for other events
            after = 0
        self._waiting = [event for event in events if event.n > after]
        if not self._waiting:
            return
        client = client_of(uri_of(tracking["uri"], self._root))
        try:
            for events in _batches(self._waiting):
                self._send(client, tracking["run_id"], events)
            self._waiting = []
        except problems() as error:
            if not patient:
                raise
            self.warning = self.warning or _late(self._run, error)
            self._not_before = time.monotonic() + RETRY_SECONDS

    def _send(self, client: MlflowClient, run_id: str, events: Sequence[Event]) -> None:
        from mlflow.entities import Metric

        metrics = [
            # The journal writes null for what is not finite; a loss that diverged is worth seeing.
            Metric(key, math.nan if value is None else float(value), int(event.time * 1000), event.step)
            for event in events
            for key, value in event.metrics.items()
        ]
        for start in range(0, len(metrics), BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        write_json(self._cursor, {"n": events[-1].n})


def _batches(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Whole events, at most BATCH values together where events are not larger themselves."""
    batch: list[Event] = []
    size = 0
    for event in events:
        if batch and size + len(event.metrics) > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.metrics)
    if batch:
        yield batch


def conclude(
    run: RunDirectory, root: Path, status: str, summary: Mapping[str, Any], problem: str | None = None
) -> str | None:
    """Deliver all that the run directory holds and close the run as FINISHED, FAILED or KILLED.

    Returns a warning when MLflow could not be told; never raises for that, the run is whole without it.
    """
    if read_tracking(run) is None:
        return None
    try:
        with _alone(run):
            write_end(run, status, final_metrics(summary), problem)
            _deliver(run, root)
    except (ConfigError, *problems()) as error:
        return _late(run, error)
    return None


def sync(run: RunDirectory, root: Path) -> str:
    """Bring to MLflow whatever of this run is not there yet; the run's id there.

    Also for a run made where there was no MLflow. Raises ConfigError when MLflow is away still.
    """
    with _alone(run):
        return _sync(run, root)


def _sync(run: RunDirectory, root: Path) -> str:
    if read_tracking(run) is None:
        project, stamp = run.plan["project"], (run.path / "run.json").stat().st_mtime
        when = moment(stamp, "%m-%d %H:%M")
        name = f"{project['model']['name']} s{run.plan.get('seed', 0)} · {when}"
        text = yaml.safe_dump(project, sort_keys=False, allow_unicode=True)
        opening = {"name": name, "params": flatten(project), "yaml": text, "time": stamp}
        status = "FINISHED" if run.result is not None else "KILLED"
        ending = {"status": status, "time": time.time(), "problem": None, "metrics": final_metrics(_told(run))}
        results = results_of(ending, {})
        write_tracking(run, {**unopened(key_of(run), opening), "ending": ending, "results": results})
    try:
        return _deliver(run, root)
    except problems() as error:
        fix = f"start it, then headway sync {run.path.name}"
        raise ConfigError(f"MLflow at {tracking_uri(root)} must answer, but: {explain(error)}; {fix}") from None


def _told(run: RunDirectory) -> dict[str, Any]:
    """The parts of a summary that the files of a run without a conclusion hold."""
    evaluation = read_or_empty(run.path / "evaluation.json")
    baselines = {name: b["metrics"] for name, b in evaluation.get("baselines", {}).items()}
    return {"metrics": evaluation.get("metrics", {}), "baselines": baselines, "train": run.result or {}}


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
    deliver_variants(client, run, run_id, tracking["experiment_id"])
    ending = tracking["ending"]
    tags = {**prefect_tags(run), "mlflow.note.content": note_of(run, ending)}
    if damaged:
        tags["damaged"] = f"{', '.join(damaged)} of {run.path.name}; headway doctor"[:5000]
    if ending is None:  # still running: its owner will conclude it
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
        return run_id
    if ending["problem"]:
        tags["problem"] = ending["problem"][:5000]
    at = int(ending["time"] * 1000)
    results = tracking.get("results") or results_of(ending, {})
    metrics = [Metric(key, results[key][0], int(results[key][1] * 1000), 0) for key in ending["metrics"]]
    client.log_batch(run_id, metrics=metrics, tags=[RunTag(k, v) for k, v in tags.items()])
    client.set_terminated(run_id, ending["status"], at)
    return run_id
