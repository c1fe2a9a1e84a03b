"""Watch a project's newest rows: are they, and what the champion predicts for them, still as its training knew them?

watch.json  watch.md  profile.json      in a run directory of its own, and in MLflow
data/watch/<project>.json               which drift was reported already, so that it retrains once
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from headway.columns import Kind
from headway.data.digests import file_digests
from headway.data.profile import Profile, read_summary
from headway.data.split import Division
from headway.errors import ConfigError, DataError, TrainingError
from headway.files import checksums
from headway.files.atomic import digest, read_json, read_or_empty, write_atomically, write_json
from headway.pipeline import runs
from headway.project import Project, load_project
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.run.report import Reporter
from headway.watch.clusters import Sizes, Together
from headway.watch.reference import FILE as REFERENCE_FILE
from headway.watch.reference import Reference, profile_predictions, summarise
from headway.watch.result import Belonging, WatchResult, page
from headway.watch.rows import open_rows

if TYPE_CHECKING:
    from headway.watch.units import TestRows


def keep_reference(
    run: RunDirectory, project: Project, root: Path, classes: Sequence[str], test: TestRows | None, divided: bool = True
) -> None:
    """Put reference.json into the bundle, before it is registered: the rows that the run read, and its test predictions.

    ``test``: None where newer rows have no predictions of that kind. ``divided``: whether rows are, rather than one text.
    """
    from headway.watch.units import relate

    profile = Profile.from_json(read_json(run.path / "profile.json"))
    table = runs.rows_of(run, project, root)
    prediction = None if test is None else profile_predictions([test.predictions], classes)
    reference = summarise(profile, prediction, sorted(file_digests(table.files, root).values()))
    if divided:
        reference = relate(reference, Division(table, project.split), test)
    reference.write(run.bundle)
    checksums.seal(run.bundle, REFERENCE_FILE)


@dataclass(frozen=True)
class NothingNew:
    """No file is new to the champion, so that there is nothing to compare with its training, and no verdict."""

    project: str
    champion: str
    files: int

    @property
    def text(self) -> str:
        """As people read it."""
        files = "the one file" if self.files == 1 else f"all {self.files} files"
        return (
            f"nothing new to look at: the champion of {self.project}, version {self.champion}, was trained on {files}. "
            "Put newer files beside them, or name some with --data"
        )

    def to_json(self) -> dict[str, object]:
        """As `headway watch --json` prints it: no verdict."""
        return {"drifted": None, "summary": self.text, "champion": self.champion, "files": [], "columns": []}


def open_watch(name: str, root: Path, data: str | None = None) -> RunDirectory | NothingNew:
    """Decide what is compared with what, and open the run directory; NothingNew, and none, where training saw every file.

    Raises ConfigError where there is no champion or it kept no profile, DataError where there are no rows or a column is
    gone; then nothing is written.
    """
    from headway import tracking

    project = load_project(name, root)
    champion = tracking.champion(root, project.name)
    if champion is None:
        raise ConfigError(f"{name} has no champion to watch yet. Run: headway run {name}")
    reference = Reference.read(champion.bundle, champion.version)
    rows = open_rows(project.data, _kinds(champion.bundle), root, data)
    digests = file_digests(rows.files, root)
    files, why = _newest(rows.files, digests, reference, data)
    if not files:
        return NothingNew(project.name, champion.version, len(rows.files))
    rows.of(files).check()
    plan = {
        "champion": champion.version,
        "bundle": str(champion.bundle),
        "files": list(files),
        "source": data,
        "why": why,
        "digest": digest({"champion": champion.version, "files": sorted(digests[file] for file in files)}),
    }
    return runs.start(project, root, {"watch": plan})


def _kinds(bundle: Path) -> dict[str, Kind]:
    return dict(read_json(bundle / "bundle.json")["features"])


def _newest(
    files: Sequence[str], digests: Mapping[str, str], reference: Reference, data: str | None
) -> tuple[tuple[str, ...], str]:
    """The files to look at, and why these: none where the champion's training saw them all."""
    trained = set(reference.files)
    new = tuple(file for file in files if digests[file] not in trained)
    if not new:
        return (), ""
    if data is None:
        return new, f"{_files(len(new))} that the champion's training did not see"
    seen = len(files) - len(new)
    return tuple(files), "as asked" + (
        f"; the champion's training saw {seen} of the {_files(len(files))}" if seen else ""
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def watch(run: RunDirectory, root: Path, report: Reporter) -> WatchResult:
    """Measure, judge, write watch.json and watch.md, tell MLflow."""
    problem: BaseException | None = None
    found: WatchResult | None = None
    try:
        warning = runs.track(run, root, "watch")
        if warning:
            report.warn(warning)
        with runs.timed(run, "watch"):
            found = _compare(run, root, report)
        found.write(run.path / "watch.json")
        write_atomically(run.path / "watch.md", page(found))
        run.finish({"drifted": found.drifted})
    except BaseException as error:
        problem = error
        raise
    finally:
        late = _conclude(run, root, found, problem)
        if late:
            report.warn(late)
    report.line(found.summary)
    if found.units.note:
        report.line(found.units.note)
    return found


def _conclude(run: RunDirectory, root: Path, found: WatchResult | None, problem: BaseException | None) -> str | None:
    """Close the run in MLflow with the largest PSI first: MLflow gets no more keys than it shows well."""
    from headway import tracking

    metrics: dict[str, float] = {}
    if found is not None:
        columns = sorted(found.columns, key=lambda c: -(c.psi or 0))
        metrics = {f"psi/{c.column}": c.psi for c in columns if c.psi is not None}
        largest = next(iter(metrics.values()), 0.0)
        drifted = len(found.drifted_columns)
        metrics = {"watch/drifted": float(found.drifted), "watch/columns": drifted, "watch/psi": largest, **metrics}
    status = "FINISHED" if problem is None else "FAILED" if isinstance(problem, Exception) else "KILLED"
    warning = tracking.conclude(run, root, status, metrics, None if problem is None else str(problem))
    lifetime.release(run)  # else `headway up` takes a finished watch for one whose process died
    return warning


def _compare(run: RunDirectory, root: Path, report: Reporter) -> WatchResult:
    from headway.quality import judge as quality
    from headway.watch.judge import expectations, shifts, summary

    project, plan = runs.project_of(run), run.plan["watch"]
    report.progress(0.1, f"profiling and predicting {', '.join(PurePath(f).name for f in plan['files'][:3])}")
    kinds = _kinds(Path(plan["bundle"]))
    reference = Reference.read(Path(plan["bundle"]), plan["champion"])
    told = _measured(run, project, root, kinds, reference.together)
    newest = Profile.from_json({"rows": told["rows"], "columns": told["columns"]})
    write_json(run.path / "profile.json", newest.to_json())
    sizes = Sizes(**told["sizes"]) if told["sizes"] else None
    found = shifts(reference, newest, read_summary(told["prediction"]), project.watch, sizes)
    units = _units(reference, project, newest.rows, sizes)
    report.progress(0.7, "judging nulls and categories")
    rows = open_rows(project.data, kinds, root, plan["source"]).of(plan["files"])
    verdict = quality.judge(expectations(reference, newest, project.watch, sizes), rows, "the newest rows")
    broken = [result.sentence for result in verdict.failures]
    return WatchResult(
        drifted=bool(broken) or any(shift.drifted for shift in found),
        summary=summary(found, broken, units.text if sizes is not None else ""),
        champion=plan["champion"],
        files=tuple(PurePath(file).name for file in plan["files"]),
        why=plan["why"],
        rows=newest.rows,
        units=units,
        digest=plan["digest"],
        columns=tuple(found),
        expectations=tuple(result.to_json() for result in verdict.results),
        broken=tuple(broken),
        limits=project.watch.model_dump(),
    )


def _units(reference: Reference, project: Project, rows: int, sizes: Sizes | None) -> Belonging:
    """What the newest rows belong to."""
    together = reference.together
    if sizes is None or together is None:
        note = "" if together is None else together.sizes.note
        if together is None and (project.split.by in ("time", "group") or project.data.keys or project.split.row_key):
            note = (
                "the champion's reference.json does not say which rows belong together, so that each counts as "
                "independent; the next version's will"
            )
        return Belonging("row", rows, 1.0, f"{rows:,} rows", note)
    count = sizes.units or None
    text = f"{rows:,} rows in {'an unknown number of' if count is None else f'{count:,}'} {together.name}{'' if count == 1 else 's'}"
    note = "; ".join(part for part in (sizes.note, together.sizes.note) if part)
    return Belonging(together.name, count, sizes.size, text, note)


def _measured(
    run: RunDirectory, project: Project, root: Path, kinds: Mapping[str, Kind], together: Together | None
) -> dict[str, Any]:
    """What headway.watch.measure finds in a process of its own: this one stays free of torch."""
    plan = run.plan["watch"]
    asked = {
        "data": project.data.model_dump(mode="json"),
        "root": str(root),
        "source": plan["source"],
        "kinds": dict(kinds),
        "bundle": plan["bundle"],
        "files": plan["files"],
        "together": None if together is None else asdict(together),
    }
    write_json(run.path / "asked.json", asked)
    out = run.path / "newest.json"
    command = [sys.executable, "-m", "headway.watch.measure", str(run.path / "asked.json"), str(out)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not out.exists():
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise TrainingError(f"the champion must predict the newest rows, but that failed: {last}")
    told = read_json(out)
    if "problem" in told:
        raise (DataError if told["exit_code"] == DataError.exit_code else ConfigError)(told["problem"])
    out.unlink()
    return told


def is_reported(root: Path, project: str, found: WatchResult) -> bool:
    """Whether this drift, of these very files against this champion, was reported before."""
    return found.digest in _reported(root, project)


def note_reported(root: Path, project: str, found: WatchResult) -> None:
    """Remember that this drift was reported; the last hundred are kept."""
    reported = [*_reported(root, project), found.digest][-100:]
    write_json(root / "data" / "watch" / f"{project}.json", {"reported": reported})


def _reported(root: Path, project: str) -> list[str]:
    """The digests of the drift that was reported; none where the file is damaged: reporting twice is better than not at all."""
    return list(read_or_empty(root / "data" / "watch" / f"{project}.json").get("reported", ()))
