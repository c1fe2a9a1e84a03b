"""A journal's metrics, brought to MLflow as they come.

tracking-cursor.json  {"n"}: the last journal event that MLflow has
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headway.files.atomic import read_or_empty, write_json
from headway.run.directory import Event, RunDirectory
from headway.tracking.record import read_tracking
from headway.tracking.store import client_of, explain, problems, uri_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000  # MLflow's own limit
RETRY_SECONDS = 30.0


def late(run: RunDirectory, error: BaseException) -> str:
    """What people are told where MLflow is away."""
    return f"MLflow is away ({explain(error)}); when it is back: headway sync {run.path.name}"


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
        if tracking is None or tracking.run_id is None or (patient and time.monotonic() < self._not_before):
            return
        events = [*self._waiting, *self._reader.poll()]
        self._last = max([self._last, *(event.n for event in events)])
        after = int(read_or_empty(self._cursor).get("n", 0))  # damaged: all are sent again, and arrive once
        if after > self._last:  # the journal was cut since: its numbers come a second time, for other events
            after = 0
        self._waiting = [event for event in events if event.n > after]
        if not self._waiting:
            return
        client = client_of(uri_of(str(tracking.uri), self._root))
        try:
            for events in _batches(self._waiting):
                self._send(client, tracking.run_id, events)
            self._waiting = []
        except problems() as error:
            if not patient:
                raise
            self.warning = self.warning or late(self._run, error)
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
