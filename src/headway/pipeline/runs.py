"""A run of a project: opened, timed, tracked in MLflow, concluded, summed up.

run.json       the resolved project and what it is made with
stages.json    seconds of each stage
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.data.digests import file_digests
from headway.data.documents import Documents
from headway.data.source import Table, open_table
from headway.errors import ConfigError, DataError
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.files.atomic import naming, read_or_empty, write_json
from headway.files.records import Record, plain
from headway.machine.clock import moment
from headway.machine.environment import code_version, environment
from headway.project import Project
from headway.run import lifetime
from headway.run.directory import RunDirectory


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
    extra = [*project.data.keys, *project.split.row_key, *project.evaluate.slices]
    extra += [c for c in (project.split.column, project.evaluate.reference) if c is not None]
    known = {*project.data.features, project.data.target}
    return open_table(project.data, project.task, root, tuple(dict.fromkeys(c for c in extra if c not in known)), only)


def documents_of(project: Project, table: Table) -> Documents:
    """The documents of a project that learns from these alone."""
    return Documents(table, project.split, project.data.max_bytes)


def contents_of(run: RunDirectory, table: Table) -> dict[str, str]:
    """What `rows_of` needs to find the files of a table again: each, from the project's folder, to its content's digest."""
    return {_named(run, file): content for file, content in table.contents.items()}


def rows_of(run: RunDirectory, project: Project, root: Path) -> Table:
    """The project's rows in the files that the run's validation saw; a file that has come since is for the next run.

    Raises DataError where one of them is gone or has changed. A run of earlier code does not say which they were: it reads all.
    """
    contents: dict[str, str] | None = read_or_empty(run.path / "data.json").get("contents")
    if contents is None:
        return table_of(project, root)
    files = {name: name if "://" in name else str(run.root / name) for name in contents}
    for name, file in files.items():
        gone = "://" not in file and not Path(file).is_file()
        if gone or file_digests([file], root)[file] != contents[name]:
            fix = f"put it back and run: headway resume {run.path.name}; or start a new run: headway run {project.name}"
            raise DataError(
                f"{name} must stay as it was when {run.path.name} validated it, but it {'is gone' if gone else 'has changed'}; {fix}"
            )
    return table_of(project, root, set(files.values()))


def _named(run: RunDirectory, file: str) -> str:
    return file if "://" in file else run.from_root(Path(file))


@dataclass(frozen=True)
class Prepared(Record):
    """store.json: the prepared data. ``path``: from the project's folder; ``rows``, or tokens, of each part; ``kind``: of tokens."""

    path: str
    digest: str
    reused: bool = False
    rows: Mapping[str, int] = field(default_factory=dict)
    kind: str | None = None


@contextlib.contextmanager
def timed(run: RunDirectory, stage: str) -> Iterator[None]:
    """Keep a stage's seconds in stages.json, also when it fails."""
    begun = time.perf_counter()
    try:
        with naming(run.path):  # for those that write without naming their file
            yield
    finally:
        path = run.path / "stages.json"
        write_json(path, {**read_or_empty(path), stage: round(time.perf_counter() - begun, 3)})


def recall(run: RunDirectory, root: Path) -> None:
    """Write decision.json where the registry has a decision about a run whose process was killed before it could write it.

    Nothing is known where MLflow does not answer: registering asks again.
    """
    from headway import tracking

    made = read_or_empty(run.path / "tracking.json").get("run_id")
    if made is None or (run.path / "decision.json").exists() or not (run.path / "evaluation.json").exists():
        return
    with contextlib.suppress(ConfigError):
        decision = tracking.decision_of_run(root, run.plan["project"]["name"], made)
        if decision is not None:
            decision.write(run.path / "decision.json")


def track(run: RunDirectory, root: Path, kind: str = "") -> str | None:
    """Open the run in MLflow; ``kind`` is what it is called if it is no retraining.

    Returns a warning where a server is away: the run goes on without it.
    """
    from headway import tracking

    lifetime.own(run)
    project = project_of(run)
    if not kind:  # hours of training must not end at a name that is taken
        tracking.check_purpose(root, run.plan["project"], bool(run.plan.get("replace_champion")))
    model = project.model.name
    # The list of runs cuts names at about twenty-five characters.
    name = f"{kind} {model}" if kind else f"{model} s{project.train.seed}"
    name = f"{name} · {moment(form='%m-%d %H:%M')}"
    return tracking.begin(run, root, project.flat(), name, project.to_yaml())


def conclude(run: RunDirectory, root: Path, error: BaseException | None = None) -> str | None:
    """Deliver everything that the run directory holds to MLflow and close the run there. Returns a warning where it is away."""
    from headway import tracking

    status = "FINISHED"
    if error is not None:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
    warning = tracking.conclude(
        run, root, status, tracking.final_metrics(run), None if error is None else str(error) or "interrupted"
    )
    lifetime.release(run)  # not where we are killed before: then the run is still to be closed
    return warning


@dataclass(frozen=True)
class Summary:
    """Everything that the finished stages of a run left; without what is damaged."""

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
            "earns_its_keep": plain(evaluation.earns_its_keep),
            "decision": {} if decision is None else {"promoted": decision.promoted, "reason": decision.reason},
            "model": {} if decision is None else {"name": decision.name, "version": decision.version},
            "train": self.run.figures,
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
