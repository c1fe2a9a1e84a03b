"""Scoring one file: its batches go to the predicting processes, their answers to its parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headway.columns.values import as_read, plain, to_string_or_keep
from headway.data.arriving import Input
from headway.data.config import CsvOptions
from headway.data.prepare import Preparation
from headway.errors import DataError
from headway.run.report import Reporter
from headway.serve.bundle import decode
from headway.serve.cluster import ClusterWorkers
from headway.serve.following import Following
from headway.serve.interval import Interval
from headway.serve.pace import Pace
from headway.serve.parts import Counts, Output
from headway.serve.reading import UNPREDICTED, unpredicted
from headway.serve.rows import sift
from headway.serve.workers import AHEAD, InProcess, Workers
from headway.tasks import target_task

BATCH_ROWS = 2048
"""Few, so that a small file, too, keeps every core busy."""

PAST_ROWS = 65_536
"""Read at once, for the past of others."""

PART_ROWS = 128 * BATCH_ROWS
"""Rows of a part: a kill costs at most this work, which is seconds."""


@dataclass(frozen=True)
class Model:
    """The version that scores, as far as it is needed outside of the predicting processes."""

    name: str
    version: str
    run_id: str
    bundle: Path
    preparation: Preparation
    interval: Interval | None
    keys: tuple[str, ...]
    csv: CsvOptions
    """How the project reads text, by which keys are read, too."""
    following: Following | None = None
    """The past of the rows, of time series."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read: the keys, then what the model needs."""
        return tuple(dict.fromkeys((*self.keys, *self.preparation.needed)))

    def given(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What a bundle predicts from: of rows the columns that it needs, and their past."""
        rows = batch.select(list(self.preparation.needed))
        return rows if self.following is None else self.following.extended(rows)

    @property
    def steps_ahead(self) -> str:
        """The horizon of time series in words."""
        assert self.preparation.past is not None
        series = self.preparation.past.series
        return series.span(series.horizon)

    def no_answers(self) -> np.ndarray:
        """What a bundle answers of no rows."""
        target = self.preparation.target
        if self.interval is not None:
            return np.zeros((0, 3))
        return target_task(target.task).no_predictions(target.outputs)

    def beside(self, rows: Input) -> Model:
        """With what the rows of a file know of one another's past."""
        if self.following is None:
            return self
        have = rows.schema().names
        columns = [*self.preparation.needed, *(name for name in self.preparation.observed if name in have)]
        batches = (batch for _, batch in rows.batches(columns, PAST_ROWS, on_bad_line=lambda _: None))
        return replace(self, following=self.following.beside(batches))


@dataclass(frozen=True)
class Job:
    """An input and its output."""

    input: Input
    output: Output


@dataclass
class Scoring:
    """The scoring of one file: batches at the workers, and the growing part."""

    job: Job
    model: Model
    workers: Workers | InProcess | ClusterWorkers
    report: Reporter
    number: int
    files: int
    pace: Pace = field(default_factory=Pace)
    _part_scores: list[pa.Table] = field(default_factory=list)
    _part_refusals: list[pa.Table] = field(default_factory=list)
    _start: int = 0
    _end: int = 0
    _beyond: int = 0

    def run(self) -> Counts:
        """Score the remaining rows, and join all parts. The parts of a damaged file are removed."""
        bad_lines: list[str] = []
        self._start = self._end = self.job.output.begin()
        if isinstance(self.workers, InProcess):
            self.pace.begin()
        try:
            self._score(bad_lines)
        except DataError:
            self.job.output.discard()
            raise
        if self._beyond:
            steps = self.model.steps_ahead
            self.report.warn(
                f"{self.job.input.name}: rows should be at most {steps} after the newest known target, but {self._beyond:,} are "
                f"further ({BEYOND}); their intervals are too narrow: add the rows between with the target, or train with a "
                "longer data.series.horizon"
            )
        return self.job.output.finish(refused_lines(self.model, self.job.input, bad_lines))

    def _score(self, bad_lines: list[str]) -> None:
        waiting: deque[tuple[int, pa.RecordBatch, Future[np.ndarray]]] = deque()
        rows = self.job.input.rows()
        for start, raw in self.job.input.batches(self.model.columns, BATCH_ROWS, self._end, bad_lines.append):
            batch = plain_rows(self.model, self.job.input.form, raw)
            waiting.append((start, batch, self._ask(batch)))
            if len(waiting) >= AHEAD * self.workers.count:
                self._settle(*waiting.popleft())
                self._progress(rows)
        while waiting:
            self._settle(*waiting.popleft())
        if self._end > self._start or not self._end:
            self._keep()

    def _ask(self, batch: pa.RecordBatch) -> Future[np.ndarray]:
        return self.workers.submit(self.model.given(batch))

    def _progress(self, rows: int | None) -> None:
        share = (self.number + (self._end / rows if rows else 0.0)) / self.files
        self.report.progress(share, f"{self.job.input.name}: {self._end:,} rows")

    def _settle(self, start: int, batch: pa.RecordBatch, answer: Future[np.ndarray]) -> None:
        """Take a batch's predictions; where the bundle refuses it, sift it and predict only the valid rows."""
        numbers = np.arange(batch.num_rows)
        reasons: dict[int, str] = {}
        try:
            predictions = answer.result()
        except DataError:
            reasons = sift(self.model.preparation, batch)
            if not reasons:
                raise
            numbers = np.setdiff1d(numbers, list(reasons))
            fine = batch.take(pa.array(numbers))
            predictions = self._ask(fine).result() if len(numbers) else self.model.no_answers()
        beyond = unpredicted(predictions)
        if beyond.any():
            reasons |= dict.fromkeys(numbers[beyond].tolist(), UNPREDICTED)
            numbers, predictions = numbers[~beyond], predictions[~beyond]
        if reasons:
            self._part_refusals.append(refused_rows(start, batch, reasons, self.job.input.form == "csv"))
        if len(numbers):
            rows = batch if len(numbers) == batch.num_rows else batch.take(pa.array(numbers))
            scores = scored_rows(self.model, start + numbers, rows, predictions)
            self._beyond += sum(scores[BEYOND].to_pylist()) if BEYOND in scores.schema.names else 0
            self._part_scores.append(scores)
        self._end = start + batch.num_rows
        self.pace.add(batch.num_rows)
        if self._end - self._start >= PART_ROWS:
            self._keep()

    def _keep(self) -> None:
        """Write the part and start the next."""
        refusals = pa.concat_tables(self._part_refusals) if self._part_refusals else None
        scores = pa.concat_tables(self._part_scores) if self._part_scores else self._nothing()
        self.job.output.write(self._start, self._end, scores, refusals)
        self._start, self._part_scores, self._part_refusals = self._end, [], []

    def _nothing(self) -> pa.Table:
        """A table without rows, with the columns of scored rows."""
        return scored_rows(self.model, np.arange(0), no_rows(self.model, self.job.input), self.model.no_answers())


BEYOND = "beyond_horizon"
"""Whether a row is further ahead than the model was made for: its forecast carries the newest known target on, and errs more."""

REFUSAL = ("row", "reason", "line")
"""The columns of a refused row beside its own."""


def free_names(columns: Sequence[str], others: Sequence[str]) -> list[str]:
    """Names for columns beside the ``others``: a key called prediction becomes input_prediction."""
    names: list[str] = []
    for column in columns:
        name = column
        while name in (*others, *names) or (name != column and name in columns):
            name = f"input_{name}"
        names.append(name)
    return names


def scored_rows(model: Model, numbers: np.ndarray, batch: pa.RecordBatch, predictions: np.ndarray) -> pa.Table:
    """Keys, or the row's number (from 1) where the project has none; the predictions; the version."""
    frame = decode(model.preparation, model.interval, predictions)
    answers: dict[str, pa.Array] = {}
    for name in frame:
        text = frame[name].dtype.kind not in "fiu"
        answers[str(name)] = pa.Array.from_pandas(frame[name], type=pa.string() if text else None)
    if model.following is not None:
        answers[BEYOND] = pa.array(model.following.beyond(batch.select(list(model.preparation.needed))))
    answers["model_version"] = pa.repeat(model.version, batch.num_rows)
    names = free_names(model.keys, list(answers))
    pairs = zip(names, model.keys, strict=True)
    columns: dict[str, pa.Array] = {name: to_string_or_keep(batch.column(key)) for name, key in pairs}
    if not model.keys:
        columns["row"] = pa.array(numbers + 1, pa.int64())
    return pa.table(columns | answers)


def no_rows(model: Model, file: Input) -> pa.RecordBatch:
    """None of a file's, with the columns that are read."""
    schema = file.schema()
    return pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in model.columns]))


def plain_rows(model: Model, form: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """In types from which rows can be taken, with keys as the project reads CSV.

    Everything else of a CSV is unchanged text: the preparation knows its words for null.
    """
    csv, keys = model.csv, model.keys if form == "csv" else ()
    columns = [
        as_read(column, csv.strip, csv.null_values) if name in keys else plain(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def refused_lines(model: Model, file: Input, bad_lines: Sequence[str]) -> pa.Table | None:
    """Lines of CSV that are no rows, as refused rows without a number."""
    if not bad_lines:
        return None
    schema = file.schema()
    names = dict(zip(model.columns, free_names(model.columns, REFUSAL), strict=True))
    columns = [pa.field(names[name], to_string_or_keep(pa.nulls(0, schema.field(name).type)).type) for name in names]
    blank = pa.schema([("row", pa.int64()), ("reason", pa.string()), ("line", pa.string()), *columns])
    reason = f"a line must have as many values as there are columns ({len(schema)}), but this one does not"
    return pa.Table.from_pylist([{"reason": reason, "line": line} for line in bad_lines], blank)


def refused_rows(start: int, batch: pa.RecordBatch, reasons: dict[int, str], lines: bool) -> pa.Table:
    """The refused rows, unchanged: their numbers (from 1), the reasons, the columns that were read."""
    rows = sorted(reasons)
    columns: dict[str, pa.Array] = {
        "row": pa.array([start + row + 1 for row in rows], pa.int64()),
        "reason": pa.array([reasons[row] for row in rows], pa.string()),
    }
    if lines:
        columns["line"] = pa.nulls(len(rows), pa.string())
    refusals = batch.take(pa.array(rows))
    names = free_names(batch.schema.names, REFUSAL)
    return pa.table(
        columns | {name: to_string_or_keep(column) for name, column in zip(names, refusals.columns, strict=True)}
    )
