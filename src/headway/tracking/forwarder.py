"""Sends a journal's metrics to MLflow during the run.

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
from headway.tracking.addresses import uri_of
from headway.tracking.record import read_tracking
from headway.tracking.store import client_of, explain, problems

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000  # MLflow's own limit
RETRY_SECONDS = 30.0


def late(run: RunDirectory, error: BaseException) -> str:
    """The warning where MLflow does not answer."""
    return f"MLflow does not answer ({explain(error)}); later run: headway sync {run.path.name}"


class Forwarder:
    """Sends a journal's metrics to MLflow during the run. It has no thread: its owner calls `poll` regularly.

    An event counts as delivered once it is in the cursor file, which is written after the batch. After a kill in between, a batch is
    sent again; MLflow keeps rows of equal key, time, step and value once, so each event arrives exactly once.
    """

    def __init__(self, run: RunDirectory, root: Path | None = None) -> None:
        """``root``: the project's folder, where it is not the run's own."""
        self.warning: str | None = None
        self._run, self._root = run, root or run.root
        self._reader = run.reader()
        self._waiting: list[Event] = []
        self._last = 0
        self._cursor = run.path / "tracking-cursor.json"
        self._not_before = 0.0

    def poll(self, patient: bool = True) -> None:
        """Send new events. Where MLflow does not answer, one warning is kept, and the next try is half a minute later.

        With ``patient`` false, MLflow's errors are raised.
        """
        tracking = read_tracking(self._run)
        if tracking is None or tracking.run_id is None or (patient and time.monotonic() < self._not_before):
            return
        events = [*self._waiting, *self._reader.poll()]
        self._last = max([self._last, *(event.n for event in events)])
        after = int(read_or_empty(self._cursor).get("n", 0))  # a damaged file: all are sent again, and are kept once
        if after > self._last:  # the journal was cut since: its numbers are used again, for other events
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
            # The journal writes null for a value that is not finite; a diverged loss should be visible.
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
