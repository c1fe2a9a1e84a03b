"""Batch scoring: every row of some files through a registered bundle, to Parquet. `headway score PROJECT`.

Rows stream; a process for each core predicts; one output file for each input file. Killed at any moment and started again, it goes on
behind the last part, and files that are done are not read again. Rows in = rows scored + rows refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from headway import tracking
from headway.base import ConfigError, DataError, disk_error, read_json, write_json
from headway.data.canonical import to_string_or_keep
from headway.data.prepare import Preparation
from headway.data.source import digest_files
from headway.project import load_table_project
from headway.report import Reporter
from headway.serve.bundle import Interval, decode
from headway.serve.parts import Counts, Output
from headway.serve.rows import Input, find_inputs, refuse_unfit, sift
from headway.serve.workers import AHEAD, Workers

BATCH_ROWS = 2048
"""Few, so that a small file, too, keeps every core busy."""

PART_ROWS = 128 * BATCH_ROWS
"""What a kill costs at most: seconds of work."""

FORMAT = 1
"""Raised when the same rows and model give other files, so that old ones are not taken for done."""


@dataclass(frozen=True)
class Model:
    """The version that scores: what of its bundle is needed beside the predicting processes."""

    name: str
    version: str
    run_id: str
    bundle: Path
    preparation: Preparation
    interval: Interval | None
    keys: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read: the keys, then what the model needs."""
        return tuple(dict.fromkeys((*self.keys, *self.preparation.kinds)))


@dataclass(frozen=True)
class Job:
    """An input and where its rows go."""

    input: Input
    output: Output


def score(
    name: str, root: Path, report: Reporter, data: str | None = None, out: Path | None = None, version: str = "champion"
) -> dict[str, Any]:
    """Score ``data`` (a file, folder, glob or URL; None: the project's own) into the folder ``out``. Returns the manifest.

    ``version``: a number or an alias. Raises ConfigError without such a version or a place to write, DataError, before anything is
    written, for a file that lacks a column or cannot be read.
    """
    begun = time.perf_counter()
    project = load_table_project(name, root)
    model = _model(root, project.name, version, project.data.keys)
    inputs = find_inputs(project.data, data, root)
    for one in inputs:
        refuse_unfit(one, model.preparation, model.keys)
    folder = (out or root / "data" / "scored" / project.name).resolve()
    _refuse_circle(inputs, folder)
    with _held(folder):
        jobs = [Job(one, Output(folder / _output_name(one.name), _digest(one, model, root))) for one in inputs]
        _refuse_same(jobs)
        files = _score_all(jobs, model, report)
        manifest = _manifest(model, files, time.perf_counter() - begun)
        write_json(folder / "manifest.json", manifest)
    for line in lines(manifest, folder):
        report.line(line)
    return {**manifest, "out": str(folder)}


def settled(data: str, root: Path) -> str:
    """A path as a user types it: from the current folder, else from the project's."""
    place = Path(data).expanduser()
    if "://" in data or place.is_absolute():
        return str(place) if "://" not in data else data
    return str(place.absolute()) if place.exists() or not (root / place).exists() else data


def lines(manifest: dict[str, Any], folder: Path) -> list[str]:
    """What people read of a manifest."""
    fresh = [file for file in manifest["files"] if not file["done_before"]]
    counts = f"{manifest['rows']:,} rows: {manifest['scored']:,} scored, {manifest['refused']:,} refused"
    kept = len(manifest["files"]) - len(fresh)
    told = [
        f"{counts}; {manifest['model']} version {manifest['version']}{f'; {kept} files done before' if kept else ''}"
    ]
    told += [
        f"refused: {file['refused']:,} rows, see {folder / file['refused_file']}"
        for file in manifest["files"]
        if file["refused"]
    ]
    return [*told, f"{folder}, {manifest['rows_per_second']:,.0f} rows/s"]


def _model(root: Path, name: str, version: str, keys: Sequence[str]) -> Model:
    found = tracking.version_of(root, name, version)
    described = read_json(found.bundle / "bundle.json")
    preparation = Preparation.from_json(read_json(found.bundle / "preparation.json"))
    return Model(name, found.version, found.run_id, found.bundle, preparation, Interval.of(described), tuple(keys))


def _output_name(name: str) -> str:
    """a.parquet stays a.parquet; a.csv becomes a.csv.parquet, for an a.parquet may lie beside it."""
    return name if name.endswith(".parquet") else f"{name}.parquet"


def _digest(one: Input, model: Model, root: Path) -> str:
    """Of the input's content, how it is read, and the model."""
    how = [FORMAT, one.how, model.name, model.version, model.run_id, model.keys]
    return digest_files([one.file], root, how)


def _refuse_circle(inputs: Sequence[Input], folder: Path) -> None:
    """Raises ConfigError when scored files would be read as rows to score, now or the next time."""
    for one in inputs:
        if "://" not in one.file and (folder == Path(one.file) or Path(one.file).resolve().is_relative_to(folder)):
            raise ConfigError(f"--out must be another folder than the data's, however {folder} holds {one.name}")
    local = [Path(one.file).resolve() for one in inputs if "://" not in one.file]
    depth = {len(PurePath(one.name).parts) for one in inputs}
    above = {path.parents[len(PurePath(one.name).parts) - 1] for path, one in zip(local, inputs, strict=False)}
    if len(inputs) > 1 and depth and any(folder.is_relative_to(place) for place in above):
        raise ConfigError(f"--out must not be within the data's folder, however {folder} is; give another")


def _refuse_same(jobs: Sequence[Job]) -> None:
    paths: dict[Path, str] = {}
    for job in jobs:
        for path in (job.output.path, job.output.refused):
            if path in paths:
                raise DataError(
                    f"files must become different ones, however {job.input.name} and {paths[path]} both become {path.name}; rename one"
                )
            paths[path] = job.input.name


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make the folder, for one scoring at a time. Raises ConfigError when it cannot be written or another has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a")  # noqa: SIM115 - held open while scoring
    except OSError as error:
        raise ConfigError(f"--out must be a folder that can be written, however {folder}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"one scoring at a time may write to {folder}, however another does; wait, or give another --out"
            ) from None
        try:
            yield
        except OSError as error:
            raise disk_error(error) or error from None


def _score_all(jobs: Sequence[Job], model: Model, report: Reporter) -> list[dict[str, Any]]:
    """Every file in turn; the predicting processes are only started when one is not done."""
    before = {job.input.name: job.output.done() for job in jobs}
    told = []
    with contextlib.ExitStack() as stack:
        workers: Workers | None = None
        for number, job in enumerate(jobs):
            counts = before[job.input.name]
            known = counts is not None
            if counts is None:
                workers = workers or stack.enter_context(Workers(model.bundle))
                counts = Scoring(job, model, workers, report, number, len(jobs)).run()
            told.append(_told(job, counts, known))
    return told


def _told(job: Job, counts: Counts, before: bool) -> dict[str, Any]:
    folder = job.output.path.parents[len(PurePath(job.input.name).parts) - 1]
    return {
        "input": job.input.file,
        "output": str(job.output.path.relative_to(folder)),
        "refused_file": str(job.output.refused.relative_to(folder)) if counts.refused else None,
        "rows": counts.scored + counts.refused,
        "scored": counts.scored,
        "refused": counts.refused,
        "digest": job.output.digest,
        "done_before": before,
    }


def _manifest(model: Model, files: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    sums = {key: sum(file[key] for file in files) for key in ("rows", "scored", "refused")}
    fresh = sum(file["rows"] for file in files if not file["done_before"])
    interval = model.interval and {"level": model.interval.level, "validation_rows": model.interval.rows}
    return {
        "model": model.name,
        "version": model.version,
        "run_id": model.run_id,
        **sums,
        "interval": interval,
        "seconds": round(seconds, 3),
        "rows_per_second": round(fresh / seconds, 1),
        "files": files,
    }


@dataclass
class Scoring:
    """One file on its way: batches with the workers, and the part that grows."""

    job: Job
    model: Model
    workers: Workers
    report: Reporter
    number: int
    files: int
    _scored: list[pa.Table] = field(default_factory=list)
    _refused: list[pa.Table] = field(default_factory=list)
    _start: int = 0
    _end: int = 0

    def run(self) -> Counts:
        """Score what is not scored yet, and join it all."""
        broken: list[str] = []
        self._start = self._end = self.job.output.begin()
        waiting: deque[tuple[int, pa.RecordBatch, Future[np.ndarray]]] = deque()
        rows = self.job.input.rows()
        for start, batch in self.job.input.batches(self.model.columns, BATCH_ROWS, self._end, broken.append):
            waiting.append((start, batch, self._ask(batch)))
            if len(waiting) >= AHEAD * self.workers.count:
                self._settle(*waiting.popleft())
                self._progress(rows)
        while waiting:
            self._settle(*waiting.popleft())
        if self._end > self._start or not self._end:
            self._keep()
        return self.job.output.finish(self._lines(broken))

    def _ask(self, batch: pa.RecordBatch) -> Future[np.ndarray]:
        return self.workers.submit(batch.select(list(self.model.preparation.kinds)))

    def _progress(self, rows: int | None) -> None:
        share = (self.number + (self._end / rows if rows else 0.0)) / self.files
        self.report.progress(share, f"{self.job.input.name}: {self._end:,} rows")

    def _settle(self, start: int, batch: pa.RecordBatch, asked: Future[np.ndarray]) -> None:
        """Take a batch's predictions; where the bundle refuses it, sift it and ask again for the rows that are fine."""
        try:
            self._add(start, np.arange(batch.num_rows), batch, asked.result())
        except DataError:
            reasons = sift(self.model.preparation, batch)
            if not reasons:
                raise
            fine = np.setdiff1d(np.arange(batch.num_rows), list(reasons))
            rest = batch.take(pa.array(fine))
            self._refused.append(_refusal(start, batch, reasons, self.job.input.form == "csv"))
            if len(fine):
                self._add(start, fine, rest, self._ask(rest).result())
        self._end = start + batch.num_rows
        if self._end - self._start >= PART_ROWS:
            self._keep()

    def _add(self, start: int, numbers: np.ndarray, batch: pa.RecordBatch, predictions: np.ndarray) -> None:
        self._scored.append(scored_rows(self.model, start + numbers, batch, predictions))

    def _keep(self) -> None:
        """Write the part and begin the next."""
        refused = pa.concat_tables(self._refused) if self._refused else None
        scored = pa.concat_tables(self._scored) if self._scored else self._nothing()
        self.job.output.write(self._start, self._end, scored, refused)
        self._start, self._scored, self._refused = self._end, [], []

    def _nothing(self) -> pa.Table:
        """No rows, but the columns that rows would have."""
        schema = self.job.input.schema()
        empty = pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in self.model.columns]))
        outputs = self.model.preparation.target.outputs
        shape = (0, outputs) if self.model.preparation.target.task == "classification" else (0,)
        return scored_rows(self.model, np.arange(0), empty, np.zeros(shape, np.float32))

    def _lines(self, broken: Sequence[str]) -> pa.Table | None:
        """Lines of CSV that are no rows, as refused rows without a number."""
        if not broken:
            return None
        schema = self.job.input.schema()
        columns = [
            pa.field(name, to_string_or_keep(pa.nulls(0, schema.field(name).type)).type) for name in self.model.columns
        ]
        blank = pa.schema([("row", pa.int64()), ("reason", pa.string()), ("line", pa.string()), *columns])
        wrong = f"a line must have as many values as there are columns ({len(schema)}), however this one has not"
        return pa.Table.from_pylist([{"reason": wrong, "line": line} for line in broken], blank)


def scored_rows(model: Model, numbers: np.ndarray, batch: pa.RecordBatch, predictions: np.ndarray) -> pa.Table:
    """Keys, or the row's number (from 1) where the project has none; what was predicted; by which version."""
    columns: dict[str, Any] = {name: to_string_or_keep(batch.column(name)) for name in model.keys}
    if not model.keys:
        columns["row"] = pa.array(numbers + 1, pa.int64())
    told = decode(model.preparation, model.interval, predictions)
    for name in told:
        array = pa.Array.from_pandas(told[name], type=pa.string() if told[name].dtype.kind not in "fiu" else None)
        columns[str(name)] = array
    columns["model_version"] = pa.repeat(model.version, batch.num_rows)
    return pa.table(columns)


def _refusal(start: int, batch: pa.RecordBatch, reasons: dict[int, str], lines: bool) -> pa.Table:
    """The refused rows as they came: their numbers (from 1), the reasons, the columns that were read."""
    rows = sorted(reasons)
    columns: dict[str, Any] = {
        "row": pa.array([start + row + 1 for row in rows], pa.int64()),
        "reason": pa.array([reasons[row] for row in rows], pa.string()),
    }
    if lines:
        columns["line"] = pa.nulls(len(rows), pa.string())
    taken = batch.take(pa.array(rows))
    return pa.table(columns | {name: to_string_or_keep(taken.column(name)) for name in batch.schema.names})
