"""A run of a project: opened, timed, tracked in MLflow, concluded, summed up.

run.json       the resolved project, code and environment
stages.json    seconds of each stage
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.columns.cycles import named_part
from headway.data.cache import Cache
from headway.data.digests import file_digests
from headway.data.documents import Documents
from headway.data.opening import open_table
from headway.data.source import Table
from headway.errors import ConfigError, DataError
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import naming, read_or_empty, write_json
from headway.files.records import Record, plain
from headway.machine.environment import code_version, environment
from headway.project import Project
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.run.result import Result

if TYPE_CHECKING:
    from headway.data.store import Store


def start(project: Project, root: Path, more: Mapping[str, Any] | None = None) -> RunDirectory:
    """Open the run directory of a resolved project; ``more`` joins run.json."""
    plan = {
        "project": project.model_dump(mode="json"),
        "seed": project.train.seed,
        "code": code_version(root).to_json(),
        "environment": environment().to_json(),
        **(more or {}),
    }
    return RunDirectory.create(root, project.name, plan)


def project_of(run: RunDirectory) -> Project:
    """The resolved project of a run."""
    return Project.model_validate(run.plan["project"])


def table_of(project: Project, root: Path, only: Collection[str] | None = None) -> Table:
    """The project's rows, or those in the files ``only``, with every column that any stage needs."""
    slices = [name for name in project.evaluate.slices if named_part(name, project.data.dates) is None]
    extra = [*project.data.keys, *project.split.row_key, *slices]
    extra += [c for c in (project.split.column, project.evaluate.reference, project.data.weight) if c is not None]
    extra += project.data.series.groups if project.data.series is not None else ()
    own = {*project.data.features, project.data.target}
    return open_table(project.data, project.task, root, tuple(dict.fromkeys(c for c in extra if c not in own)), only)


def documents_of(project: Project, table: Table) -> Documents:
    """The documents of a project without a target."""
    return Documents(table, project.split, project.data.max_bytes)


def contents_of(run: RunDirectory, table: Table) -> dict[str, str]:
    """For `rows_of`: each file of a table, from the project's folder, to its content's digest."""
    return {_name_of(run, file): content for file, content in table.contents.items()}


def rows_of(run: RunDirectory, project: Project, root: Path) -> Table:
    """The project's rows in the files of the run's validation; a newer file is for the next run.

    Raises DataError where one of them is missing or has changed. For a run of an early version, which has no list, all files are read.
    """
    contents: dict[str, str] | None = read_or_empty(run.path / "data.json").get("contents")
    if contents is None:
        return table_of(project, root)
    files = {name: name if "://" in name else str(run.root / name) for name in contents}
    for name, file in files.items():
        is_missing = "://" not in file and not Path(file).is_file()
        if is_missing or file_digests([file], root)[file] != contents[name]:
            fix = f"put it back and run: headway resume {run.path.name}; or start a new run: headway run {project.name}"
            fact = "is missing" if is_missing else "has changed"
            raise DataError(f"{name} must stay as it was when {run.path.name} validated it, but it {fact}; {fix}")
    return table_of(project, root, set(files.values()))


def row_cache(root: Path) -> Cache:
    """What is kept of the rows of files that were read before."""
    return Cache(root / "data" / "prepared" / "profiles" / "rows")


def store_of(
    table: Table, project: Project, root: Path, takes: Collection[str], warn: Callable[[str], None] = lambda _: None
) -> tuple[Store, bool]:
    """The prepared rows for a model that ``takes`` these arrays beside numbers and codes, and whether they were there already."""
    from headway.data.split import Division
    from headway.data.storing import make_store

    config = project.prepare if project.model.uses_bins else project.prepare.model_copy(update={"bins": 0})
    division = Division(table, project.split, cache=row_cache(root))
    return make_store(root / "data" / "prepared", division, project.data, config, warn, takes)


def _name_of(run: RunDirectory, file: str) -> str:
    return file if "://" in file else run.from_root(Path(file))


@dataclass(frozen=True)
class Prepared(Record):
    """store.json: the prepared data. ``path``: from the project's folder; ``rows``, or tokens, of each part."""

    path: str
    digest: str
    reused: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def timed(run: RunDirectory, stage: str) -> Iterator[None]:
    """Keep a stage's seconds in stages.json, also when it fails."""
    start = time.perf_counter()
    try:
        with naming(run.path):  # for errors of writes that do not name their file
            yield
    finally:
        path = run.path / "stages.json"
        write_json(path, {**read_or_empty(path), stage: round(time.perf_counter() - start, 3)})


def recall(run: RunDirectory, root: Path) -> None:
    """Write decision.json where the registry has the decision about a run that was killed before it wrote the file.

    Does nothing where MLflow does not answer: registering checks again.
    """
    from headway import tracking

    run_id = read_or_empty(run.path / "tracking.json").get("run_id")
    if run_id is None or (run.path / "decision.json").exists() or not (run.path / "evaluation.json").exists():
        return
    with contextlib.suppress(ConfigError):
        decision = tracking.decision_of_run(root, run.plan["project"]["name"], run_id)
        if decision is not None:
            decision.write(run.path / "decision.json")


def track(run: RunDirectory, root: Path, kind: str = "") -> str | None:
    """Open the run in MLflow; ``kind``: its kind, if it is no retraining.

    Returns a warning where a server does not answer: the run goes on without it.
    """
    from headway import tracking

    lifetime.own(run)
    project = project_of(run)
    if not kind:  # hours of training must not end with a name that is taken
        tracking.check_purpose(root, run.plan["project"], bool(run.plan.get("replace_champion")))
    model = project.model.name
    name = tracking.title(run, root, f"{kind} {model}" if kind else f"{model} s{project.train.seed}")
    return tracking.begin(run, root, project.flat(), name, project.to_yaml())


def conclude(run: RunDirectory, root: Path, error: BaseException | None = None) -> str | None:
    """Send everything in the run directory to MLflow and close the run there. Returns a warning where it does not answer."""
    from headway import tracking

    status, problem = ending_of(error)
    warning = tracking.conclude(run, root, status, tracking.final_metrics(run), problem)
    lifetime.release(run)  # after a kill before this line, the run is still to be closed
    return warning


def ending_of(error: BaseException | None) -> tuple[str, str | None]:
    """How a run ended, as MLflow calls it, and why if it did not finish."""
    if error is None:
        return "FINISHED", None
    return "FAILED" if isinstance(error, Exception) else "KILLED", str(error) or "interrupted"


@dataclass(frozen=True)
class Summary:
    """The results of a run's finished stages, without damaged files."""

    run: RunDirectory
    project: str | None
    run_id: str | None
    stages: Mapping[str, float]
    evaluation: Evaluation | None
    decision: Decision | None

    def to_json(self) -> dict[str, object]:
        """As `headway run --json` prints it."""
        evaluation, decision = self.evaluation or Evaluation(), self.decision
        return {
            "project": self.project,
            "run_id": self.run_id,
            "run_directory": str(self.run.path),
            "stages": self.stages,
            "metrics": plain(evaluation.metrics),
            "baselines": {name: plain(baseline.metrics) for name, baseline in evaluation.baselines.items()},
            "undefined": plain(evaluation.undefined),
            "reference": plain(evaluation.reference),
            "importance": plain(evaluation.importance),
            "earns_its_keep": plain(evaluation.earns_its_keep),
            "decision": {} if decision is None else {"promoted": decision.promoted, "reason": decision.reason},
            "model": {} if decision is None else {"name": decision.name, "version": decision.version},
            "train": (self.run.result or Result()).figures,
        }


def summary(run: RunDirectory) -> Summary:
    """What a run has come to."""
    return Summary(
        run,
        read_or_empty(run.path / "run.json").get("project", {}).get("name"),
        read_or_empty(run.path / "tracking.json").get("run_id"),
        read_or_empty(run.path / "stages.json"),
        Evaluation.read_if_whole(run.path / "evaluation.json"),
        Decision.read_if_whole(run.path / "decision.json"),
    )
