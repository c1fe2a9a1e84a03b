"""Watch a project's newest rows: whether they, and the champion's predictions for them, still are as in its training.

watch.json  watch.md  profile.json      in a run directory of its own, and in MLflow
data/watch/<project>.json               the drift that was reported already, so that it causes one retraining
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from headway.columns import Kind
from headway.data.digests import file_digests
from headway.data.profile import Profile, profile_table
from headway.data.split import Division
from headway.errors import ConfigError, DataError, TrainingError
from headway.files import checksums
from headway.files.atomic import digest, read_json, read_or_empty, write_atomically, write_json
from headway.files.records import Record
from headway.models.description import preparation_of
from headway.pipeline import runs
from headway.project import Project, load_project
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.run.report import Reporter
from headway.run.result import Result
from headway.watch.clusters import Sizes
from headway.watch.newest import Newest, Request
from headway.watch.reference import FILE as REFERENCE_FILE
from headway.watch.reference import Reference, profile_predictions, summarise
from headway.watch.result import Belonging, WatchResult, page
from headway.watch.rows import open_rows

if TYPE_CHECKING:
    from headway.watch.units import TestRows


@dataclass(frozen=True)
class Plan(Record):
    """In run.json: which ``files``, of ``source`` or the project's own, are compared with which champion, and ``why`` these.

    ``digest``: of the champion and the files' contents.
    """

    champion: str
    bundle: str
    files: tuple[str, ...]
    source: str | None
    why: str
    digest: str


def keep_reference(
    run: RunDirectory, project: Project, root: Path, classes: Sequence[str], test: TestRows | None, divided: bool = True
) -> None:
    """Put reference.json into the bundle, before it is registered: the rows that the run read, and its test predictions.

    ``test``: None where newer rows have no such predictions. ``divided``: whether rows are divided, rather than one text.
    """
    from headway.watch.units import relate

    values, table = read_json(run.path / "profile.json"), runs.rows_of(run, project, root)
    profile = profile_table(table) if values.get("outline") else Profile.from_json(values)
    prediction = None if test is None else profile_predictions([test.predictions], classes)
    reference = summarise(profile, prediction, sorted(file_digests(table.files, root).values()))
    if divided:
        reference = relate(reference, Division(table, project.split), test)
    reference.write(run.bundle / REFERENCE_FILE)
    checksums.seal(run.bundle, REFERENCE_FILE)


@dataclass(frozen=True)
class NothingNew:
    """No file is new to the champion, so there is nothing to compare with its training, and no verdict."""

    project: str
    champion: str
    files: int

    @property
    def text(self) -> str:
        """One line for people."""
        files = "the one file" if self.files == 1 else f"all {self.files} files"
        return (
            f"nothing new: the champion of {self.project}, version {self.champion}, was trained on {files}. "
            "Add newer files, or give some with --data"
        )

    def to_json(self) -> dict[str, object]:
        """The output of `headway watch --json`: no verdict."""
        return {"drifted": None, "summary": self.text, "champion": self.champion, "files": [], "columns": []}


def open_watch(name: str, root: Path, data: str | None = None) -> RunDirectory | NothingNew:
    """Choose the files to compare, and open the run directory; NothingNew where the champion was trained on every file.

    Raises ConfigError where there is no champion or it has no profile, DataError where there are no rows or a column is missing;
    then nothing is written.
    """
    from headway import tracking

    project = load_project(name, root)
    champion = tracking.champion(root, project.name)
    if champion is None:
        raise ConfigError(f"{name} has no champion to watch yet. Run: headway run {name}")
    reference = Reference.of(champion.bundle, champion.version)
    rows = open_rows(project.data, _kinds(champion.bundle), root, data)
    digests = file_digests(rows.files, root)
    files, why = _newest(rows.files, digests, reference, data)
    if not files:
        return NothingNew(project.name, champion.version, len(rows.files))
    rows.of(files).check()
    state = digest({"champion": champion.version, "files": sorted(digests[file] for file in files)})
    plan = Plan(champion.version, str(champion.bundle), files, data, why, state)
    return runs.start(project, root, {"watch": plan.to_json()})


def _kinds(bundle: Path) -> dict[str, Kind]:
    """The features that a version reads, of the rows themselves and of earlier ones."""
    preparation = preparation_of(bundle)
    late = () if preparation.past is None else preparation.past.late
    return {**preparation.kinds, **{name: preparation.observed[name] for name in late}}


def _newest(
    files: Sequence[str], digests: Mapping[str, str], reference: Reference, data: str | None
) -> tuple[tuple[str, ...], str]:
    """The files to compare, and why these; none where the champion was trained on all."""
    known_digests = set(reference.files)
    new = tuple(file for file in files if digests[file] not in known_digests)
    if not new:
        return (), ""
    if data is None:
        return new, f"{_files(len(new))} that the champion was not trained on"
    old = len(files) - len(new)
    return tuple(files), "as asked" + (
        f"; the champion was trained on {old} of the {_files(len(files))}" if old else ""
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def watch(run: RunDirectory, root: Path, report: Reporter) -> WatchResult:
    """Measure, judge, write watch.json and watch.md, send them to MLflow."""
    problem: BaseException | None = None
    result: WatchResult | None = None
    try:
        warning = runs.track(run, root, "watch")
        if warning:
            report.warn(warning)
        with runs.timed(run, "watch"):
            result = _compare(run, root, report)
        result.write(run.path / "watch.json")
        write_atomically(run.path / "watch.md", page(result))
        run.finish(Result(drifted=result.drifted))
    except BaseException as error:
        problem = error
        raise
    finally:
        late = _conclude(run, root, result, problem)
        if late:
            report.warn(late)
    report.line(result.summary)
    if result.units.note:
        report.line(result.units.note)
    return result


def _conclude(run: RunDirectory, root: Path, result: WatchResult | None, problem: BaseException | None) -> str | None:
    """Close the run in MLflow with the largest PSI first, because the number of metrics there is limited."""
    from headway import tracking

    metrics: dict[str, float] = {}
    if result is not None:
        columns = sorted(result.columns, key=lambda c: -(c.psi or 0))
        metrics = {f"psi/{c.column}": c.psi for c in columns if c.psi is not None}
        largest = next(iter(metrics.values()), 0.0)
        drifted = len(result.drifted_columns)
        metrics = {"watch/drifted": float(result.drifted), "watch/columns": drifted, "watch/psi": largest, **metrics}
    status = "FINISHED" if problem is None else "FAILED" if isinstance(problem, Exception) else "KILLED"
    warning = tracking.conclude(run, root, status, metrics, None if problem is None else str(problem))
    lifetime.release(run)  # otherwise `headway up` would treat a finished watch as killed
    return warning


def _compare(run: RunDirectory, root: Path, report: Reporter) -> WatchResult:
    from headway.quality import judge as quality
    from headway.watch.judge import expectations, shifts, summary

    project, plan = runs.project_of(run), Plan.from_json(run.plan["watch"], run.path / "run.json")
    report.progress(0.1, f"profiling and predicting {', '.join(PurePath(f).name for f in plan.files[:3])}")
    bundle = Path(plan.bundle)
    kinds, reference = _kinds(bundle), Reference.of(bundle, plan.champion)
    request = Request(project.data, str(root), plan.source, kinds, plan.bundle, plan.files, reference.together)
    newest = _measure(run, request)
    profile, sizes = newest.profile, newest.sizes
    write_json(run.path / "profile.json", profile.outline() if profile.is_wide else profile.to_json())
    changes = shifts(reference, profile, newest.prediction, project.watch, sizes)
    units = _units(reference, project, profile.rows, sizes)
    report.progress(0.7, "judging nulls and categories")
    rows = open_rows(project.data, kinds, root, plan.source).of(plan.files)
    verdict = quality.judge(expectations(reference, profile, project.watch, sizes), rows, "the newest rows")
    violations = [result.sentence for result in verdict.failures]
    return WatchResult(
        drifted=bool(violations) or any(shift.drifted for shift in changes),
        summary=summary(changes, violations, units.text if sizes is not None else ""),
        champion=plan.champion,
        files=tuple(PurePath(file).name for file in plan.files),
        why=plan.why,
        rows=profile.rows,
        units=units,
        digest=plan.digest,
        columns=tuple(changes),
        expectations=verdict.results,
        broken=tuple(violations),
        limits=project.watch.model_dump(),
    )


def _units(reference: Reference, project: Project, rows: int, sizes: Sizes | None) -> Belonging:
    """The units that the newest rows belong to."""
    together = reference.together
    if sizes is None or together is None:
        note = "" if together is None else together.sizes.note
        if together is None and (project.split.by in ("time", "group") or project.data.keys or project.split.row_key):
            note = (
                "the champion's reference.json does not say which rows belong together, so each counts as "
                "independent; the next version's will say it"
            )
        return Belonging("row", rows, 1.0, f"{rows:,} rows", note)
    count = sizes.units or None
    text = f"{rows:,} rows in {'an unknown number of' if count is None else f'{count:,}'} {together.name}{'' if count == 1 else 's'}"
    note = "; ".join(part for part in (sizes.note, together.sizes.note) if part)
    return Belonging(together.name, count, sizes.size, text, note)


def _measure(run: RunDirectory, request: Request) -> Newest:
    """The result of headway.watch.measure in a process of its own, so that this one does not import torch."""
    question, out = run.path / "asked.json", run.path / "newest.json"
    request.write(question)
    command = [sys.executable, "-m", "headway.watch.measure", str(question), str(out)]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if process.returncode != 0 or not out.exists():
        last = (process.stderr.strip().splitlines() or ["no output"])[-1]
        raise TrainingError(f"the champion must predict the newest rows, but that failed: {last}")
    answer = read_json(out)
    if "problem" in answer:
        raise (DataError if answer["exit_code"] == DataError.exit_code else ConfigError)(answer["problem"])
    out.unlink()
    return Newest.from_json(answer)


def is_reported(root: Path, project: str, result: WatchResult) -> bool:
    """Whether this drift, of the same files against the same champion, was reported before."""
    return result.digest in _reported_digests(root, project)


def note_reported(root: Path, project: str, result: WatchResult) -> None:
    """Note that this drift was reported; the last hundred are kept."""
    digests = [*_reported_digests(root, project), result.digest][-100:]
    write_json(root / "data" / "watch" / f"{project}.json", {"reported": digests})


def _reported_digests(root: Path, project: str) -> list[str]:
    """The digests of reported drift; none where the file is damaged: reporting twice is better than not at all."""
    return list(read_or_empty(root / "data" / "watch" / f"{project}.json").get("reported", ()))
