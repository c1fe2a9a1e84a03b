"""Batch scoring: every row of some files through a registered bundle, to Parquet. `headway score PROJECT`.

Rows stream; a process for each core predicts; each input file has one output file. Killed at any moment and started again, it resumes
after the last part, and files that are done are not read again. Rows in = rows scored + rows refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headway import tracking
from headway.data.arriving import Input, as_one, find_inputs
from headway.data.config import CsvOptions
from headway.data.digests import digest_files
from headway.data.texts import NAME
from headway.errors import ConfigError, DataError
from headway.files import locks
from headway.files.disk import disk_error
from headway.files.leftovers import note_place
from headway.files.records import Record
from headway.machine.pool import engine, using
from headway.models.description import Description, preparation_of
from headway.project import Project, load_project
from headway.run.report import Reporter
from headway.serve.cluster import ClusterWorkers
from headway.serve.following import Following
from headway.serve.interval import Interval
from headway.serve.pace import Pace
from headway.serve.parts import Counts, Output
from headway.serve.rows import refuse_unfit
from headway.serve.stream import Job, Model, Scoring
from headway.serve.workers import InProcess, Workers

FEW_ROWS = 8192
FEW_BYTES = 1 << 20
"""So many rows, in files of so many bytes, are predicted in this process: a process for each core takes 2 to 4 s of it to start."""

FORMAT = 5
"""To be increased when the same rows and model give other files, so that old files do not count as done."""


@dataclass(frozen=True)
class ScoredFile(Record):
    """One input file, and the counts of its rows. ``done_before``: by an earlier call."""

    input: str
    output: str
    refused_file: str | None
    rows: int
    scored: int
    refused: int
    digest: str
    done_before: bool


@dataclass(frozen=True)
class Coverage(Record):
    """The coverage of a regression's intervals: their level, and the number of validation rows that they are based on."""

    level: float
    validation_rows: int


@dataclass(frozen=True)
class Manifest(Record):
    """manifest.json. ``out``: the folder; empty in the file itself, which is in this folder.

    ``rows_per_second``: while rows are predicted, without what starts before; ``seconds``: of all.
    """

    model: str
    version: str
    run_id: str
    rows: int
    scored: int
    refused: int
    interval: Coverage | None
    seconds: float
    rows_per_second: float | None
    files: tuple[ScoredFile, ...]
    out: str = ""


def score(
    name: str, root: Path, report: Reporter, data: str | None = None, out: Path | None = None, version: str = "champion"
) -> Manifest:
    """Score ``data`` (a file, folder, glob or URL; None: the project's own) into the folder ``out``. Returns the manifest.

    ``version``: a number or an alias. Raises ConfigError without such a version or a place to write, DataError, before anything is
    written, for a file that lacks a column or cannot be read.
    """
    start = time.perf_counter()
    project = load_project(name, root)
    model = model_of(root, project.name, version, project.data.keys, project.data.csv)
    model, inputs = rows_for(model, project, data, root)
    folder = (out or root / "data" / "scored" / project.name).resolve()
    refuse_circle(inputs, folder)
    with locked_folder(folder):
        note_place(root, folder)
        jobs = [Job(one, Output(folder / output_name(one.name), _digest(one, model, root))) for one in inputs]
        refuse_same(jobs)
        pace = Pace()
        with using(project.engine):
            files = _score_all(jobs, model, report, pace)
        manifest = _manifest(model, files, time.perf_counter() - start, pace.rows_per_second)
        manifest.write(folder / "manifest.json")
    for line in lines(manifest, folder):
        report.line(line)
    return replace(manifest, out=str(folder))


def rows_for(
    model: Model, project: Project, data: str | None, root: Path, option: str = "--data"
) -> tuple[Model, list[Input]]:
    """The inputs of ``data``, which the ``option`` named, and the model with the keys that its rows have. Raises as `score`."""
    composition = model.preparation.composition
    inputs = [
        replace(_as_it_stands(one), composition=composition)
        for one in as_one(find_inputs(project.data, data, root, option))
    ]
    if not model.keys and all(one.form == "text" for one in inputs):
        model = replace(model, keys=(NAME,))
    for one in inputs:
        refuse_unfit(one, model.preparation, model.keys)
    return model, inputs


def place_of(data: str, root: Path) -> str:
    """A path as a user types it: from the current folder, otherwise from the project's."""
    place = Path(data).expanduser()
    if "://" in data or place.is_absolute():
        return str(place) if "://" not in data else data
    return str(place.absolute()) if place.exists() or not (root / place).exists() else data


def lines(manifest: Manifest, folder: Path) -> list[str]:
    """A manifest as lines for people."""
    fresh = [file for file in manifest.files if not file.done_before]
    counts = f"{manifest.rows:,} rows: {manifest.scored:,} scored, {manifest.refused:,} refused"
    earlier = len(manifest.files) - len(fresh)
    texts = [
        f"{counts}; {manifest.model} version {manifest.version}{f'; {earlier} files done before' if earlier else ''}"
    ]
    texts += [
        f"refused: {file.refused:,} rows, see {folder / (file.refused_file or '')}"
        for file in manifest.files
        if file.refused
    ]
    if manifest.rows_per_second is not None:
        texts.append(f"predicted at {manifest.rows_per_second:,.0f} rows/s, without the start")
    return [*texts, f"folder: {folder}"]


def _as_it_stands(one: Input) -> Input:
    """A CSV's texts unchanged, except where a known data set's cleaner expects them as read in training."""
    return one if one.clean else replace(one, csv=one.csv.model_copy(update={"strip": False, "null_values": ()}))


def model_of(root: Path, name: str, version: str, keys: Sequence[str], csv: CsvOptions | None = None) -> Model:
    """The version's bundle. Raises ConfigError when there is no such version."""
    champion = tracking.version_of(root, name, version)
    preparation = preparation_of(champion.bundle)
    interval, csv = Interval.of(Description.of(champion.bundle).interval), csv or CsvOptions()
    following, past = Following.of(champion.bundle, preparation), preparation.past
    own = tuple(dict.fromkeys((*keys, *(() if past is None else past.sources))))  # without them forecasts look alike
    return Model(name, champion.version, champion.run_id, champion.bundle, preparation, interval, own, csv, following)


def output_name(name: str) -> str:
    """a.parquet stays a.parquet; a.csv becomes a.csv.parquet, because there may be an a.parquet, too."""
    return name if name.endswith(".parquet") else f"{name}.parquet"


def _digest(one: Input, model: Model, root: Path) -> str:
    """Of the input's content, how it is read, and the model."""
    how = [FORMAT, one.how, model.name, model.version, model.run_id, model.keys]
    return digest_files(one.files, root, how)


def refuse_circle(inputs: Sequence[Input], folder: Path) -> None:
    """Raises ConfigError when scored files would be read as rows to score, now or the next time."""
    for one in inputs:
        path = Path(one.file).resolve()
        if "://" in one.file:
            continue
        if path.is_relative_to(folder):
            raise ConfigError(f"--out must be another folder than the data's, but {folder} holds {one.name}")
        source = path if path.is_dir() else path.parents[one.depth]
        if (len(inputs) > 1 or path.is_dir()) and folder.is_relative_to(source):
            raise ConfigError(f"--out must not be within the data's folder, but {folder} is; give another")


def refuse_same(jobs: Sequence[Job]) -> None:
    paths: dict[Path, str] = {}
    for job in jobs:
        for path in (job.output.path, job.output.refused):
            if path in paths:
                raise DataError(
                    f"files must become different ones, but {job.input.name} and {paths[path]} both become {path.name}; rename one"
                )
            paths[path] = job.input.name


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make the folder, for one scoring at a time. Raises ConfigError when it cannot be written or another has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    except OSError as error:
        raise ConfigError(f"--out must be a folder that can be written, but {folder}: {error.strerror}") from None
    busy = f"one scoring at a time may write to {folder}, but another does; wait, or give another --out"
    with locks.hold(folder / ".lock", ConfigError(busy)):
        try:
            yield
        except OSError as error:
            raise disk_error(error, folder) or error from None


def _score_all(jobs: Sequence[Job], model: Model, report: Reporter, pace: Pace) -> list[ScoredFile]:
    """Every file in turn; predicting processes are only started when a file is not done, and when there are many rows."""
    before = {job.input.name: job.output.done() for job in jobs}
    waiting = [job.input for job in jobs if before[job.input.name] is None]
    files = []
    with contextlib.ExitStack() as stack:
        workers: Workers | InProcess | ClusterWorkers | None = None
        for number, job in enumerate(jobs):
            counts = before[job.input.name]
            is_done = counts is not None
            if counts is None:
                workers = workers or stack.enter_context(_workers_for(waiting)(model.bundle))
                counts = Scoring(job, model.beside(job.input), workers, report, number, len(jobs), pace).run()
            files.append(_file_of(job, counts, is_done))
    return files


def _workers_for(inputs: Sequence[Input]) -> type[InProcess | Workers | ClusterWorkers]:
    if _are_few(inputs):
        return InProcess
    return ClusterWorkers if engine() == "ray" else Workers


def _are_few(inputs: Sequence[Input]) -> bool:
    """Whether all inputs together have few rows, as far as that is known without reading them."""
    files = [file for one in inputs for file in one.files]
    if any("://" in file for file in files):
        return False
    return (
        sum(Path(file).stat().st_size for file in files) <= FEW_BYTES
        and sum(one.rows() or 0 for one in inputs) <= FEW_ROWS
    )


def _file_of(job: Job, counts: Counts, before: bool) -> ScoredFile:
    folder = job.output.path.parents[job.input.depth]
    return ScoredFile(
        input=job.input.file,
        output=str(job.output.path.relative_to(folder)),
        refused_file=str(job.output.refused.relative_to(folder)) if counts.refused else None,
        rows=counts.scored + counts.refused,
        scored=counts.scored,
        refused=counts.refused,
        digest=job.output.digest,
        done_before=before,
    )


def _manifest(model: Model, files: Sequence[ScoredFile], seconds: float, rate: float | None) -> Manifest:
    return Manifest(
        model=model.name,
        version=model.version,
        run_id=model.run_id,
        rows=sum(file.rows for file in files),
        scored=sum(file.scored for file in files),
        refused=sum(file.refused for file in files),
        interval=None if model.interval is None else Coverage(model.interval.level, model.interval.rows),
        seconds=round(seconds, 3),
        rows_per_second=None if rate is None else round(rate, 1),
        files=tuple(files),
    )
