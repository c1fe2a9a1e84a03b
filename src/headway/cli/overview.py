"""For `headway list`, `show`, `sample` and `sync`: projects, their runs in MLflow, their model versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError, HeadwayError
from headway.files.records import Record, plain
from headway.machine.clock import moment
from headway.project import Project, load_project, project_files
from headway.run.directory import find_run
from headway.tasks import has_target

if TYPE_CHECKING:
    from headway.tracking import DecisionRecord, RunRow, VersionRow

SHOWN = 10


@dataclass(frozen=True)
class Overview:
    """Rows to show; ``empty``: the text when there are none; ``problems``: lines for standard error."""

    rows: list[Mapping[str, str | None]]
    empty: str
    problems: list[str] = field(default_factory=list)


def projects(root: Path) -> Overview:
    """One row a YAML in conf/. A YAML that does not load is among the problems, as is an MLflow that cannot be read."""
    rows: list[Mapping[str, str | None]] = []
    problems: list[str] = []
    for path in project_files(root):
        try:
            project = load_project(path.stem, root)
            rows.append(_described(project))
            rows[-1] = {**rows[-1], **_standing(project, root)}
        except HeadwayError as error:
            problems.extend(str(error).splitlines())
    empty = "no project yet: headway init --data FILE --target COLUMN"
    return Overview(rows, empty, problems=list(dict.fromkeys(problems)))


def _described(project: Project) -> Mapping[str, str | None]:
    return {"project": project.name, "task": project.task, "data": project.data.dataset or project.data.source}


def _standing(project: Project, root: Path) -> Mapping[str, str | None]:
    versions, runs = _tracked(root, project.name)
    champion = next((v for v in versions if "champion" in v.aliases), None)
    return {
        "champion": None if champion is None else f"version {champion.version}",
        "metric": None if champion is None else _result_of(champion, runs),
        "last run": f"{moment(runs[0].start)} {runs[0].status.lower()}" if runs else None,
    }


@dataclass(frozen=True)
class RunLine(Record):
    """One run: when, its name in data/runs/, how it ended, how good, how long, its id in MLflow."""

    started: str
    run: str
    status: str
    result: str | None
    took: str | None
    run_id: str


@dataclass(frozen=True)
class ProjectOverview:
    """One project: its champion, its versions, every decision about them, its latest runs. Rows are the newest first."""

    lines: list[str]
    versions: list[VersionRow]
    decisions: list[DecisionRecord]
    runs: list[RunLine]
    champion: VersionRow | None

    def to_json(self) -> dict[str, object]:
        """All of it as plain values."""
        values = {"champion": self.champion, "versions": self.versions, "decisions": self.decisions, "runs": self.runs}
        return {name: plain(value) for name, value in values.items()}

    def run_rows(self, most: int | None = SHOWN) -> list[Mapping[str, object]]:
        """The runs as a table for people, without what only programs need."""
        return [{k: v for k, v in run.to_json().items() if k != "run_id"} for run in self.runs[:most]]

    def version_rows(self, most: int | None = SHOWN) -> list[Mapping[str, str]]:
        """The versions as a table for people."""
        return [
            {
                "version": row.version,
                "alias": ", ".join(row.aliases),
                "registered": moment(row.created),
                "last decision": row.tags.get("decision", "none"),
            }
            for row in self.versions[:most]
        ]

    def decision_rows(self, most: int | None = SHOWN) -> list[Mapping[str, str]]:
        """The decisions as a table for people."""
        return [
            {
                "when": moment(record.when),
                "decision": record.kind,
                "champion": record.change(),
                "why": record.why,
                "by": record.who,
            }
            for record in self.decisions[:most]
        ]


def project(name: str, root: Path) -> ProjectOverview:
    """One project: its champion, its versions, every decision about them, its latest runs."""
    project = load_project(name, root)
    versions, runs = _tracked(root, project.name)
    champion = next((v for v in versions if "champion" in v.aliases), None)
    decisions: list[DecisionRecord] = []
    if versions:
        from headway import tracking

        decisions = tracking.history(root, project.name)[::-1]
    lines = [f"{project.name}  {project.description}".rstrip()]
    if champion is not None:
        since = next((d.when for d in decisions if d.after == champion.version and d.before != d.after), None)
        result = _result_of(champion, runs)
        lines.append(
            f"champion: version {champion.version}"
            + (f", since {moment(since)}" if since else "")
            + (f", {result} on its test rows" if result else "")
        )
    elif versions:
        lines.append("no version is champion")
    metric = champion.tags.get("metric") if champion else None
    rows = [_line_of(run, metric) for run in runs]
    return ProjectOverview(lines, versions, decisions, rows, champion)


def _line_of(run: RunRow, metric: str | None) -> RunLine:
    from headway.tracking.runs import FOLDER_TAG

    names = [f"test/{metric}"] if metric else ["test/auc", "test/log_loss", "test/rmse"]
    name = next((n for n in names if n in run.metrics), None)
    took = None if run.end is None else f"{run.end - run.start:.0f} s"
    result = None if name is None else f"{name.removeprefix('test/')} {run.metrics[name]:.4f}"
    name = run.tags.get(FOLDER_TAG, run.name)  # what resume, report and sync take
    return RunLine(moment(run.start), name, run.status.lower(), result, took, run.run_id)


def _result_of(champion: VersionRow, runs: Sequence[RunRow]) -> str | None:
    """The deciding metric's value in the run that made the champion."""
    metric = champion.tags.get("metric")
    run = next((r for r in runs if r.run_id == champion.run_id), None)
    value = run.metrics.get(f"test/{metric}") if run else None
    return None if value is None else f"{metric} {value:.4f}"


def _tracked(root: Path, name: str) -> tuple[list[VersionRow], list[RunRow]]:
    """Versions and runs, newest first. Creates nothing."""
    from headway import tracking
    from headway.tracking.store import is_there

    if not is_there(root):
        return [], []

    return tracking.versions(root, name), tracking.list_runs(root, name, 100)


def sample(
    name: str, root: Path, prompt: str, params: Mapping[str, Any], say: Callable[[str], object] | None = None
) -> str:
    """The champion's continuation of a prompt. ``say`` is given the prompt, and the pieces of its continuation as they are written.

    Raises ConfigError where there is no champion, or it is no language model, or a parameter is none.
    """
    from headway.serve.sampling import sampling_of

    sampling = sampling_of(params, lambda name: f"--{name.replace('_', '-')}", ConfigError, math.inf)
    settings = load_project(name, root)
    if has_target(settings.task):
        raise ConfigError(f"{name} must be a language project to be sampled, but its task is {settings.task}")
    versions, _ = _tracked(root, settings.name)
    if not any("champion" in version.aliases for version in versions):
        raise ConfigError(f"{name} has no champion yet. Run: headway run {name}")
    from headway import tracking
    from headway.serve.bundle import load_predictor
    from headway.serve.text import TextPredictor

    champion = tracking.champion(root, name)
    assert champion is not None
    predictor = load_predictor(champion.bundle)
    if not isinstance(predictor, TextPredictor):
        task = predictor.preparation.target.task
        raise ConfigError(f"the champion of {name} must be a language model to be sampled, but its task is {task}")
    if say is not None:
        say(prompt)
    return predictor.sample([prompt], sampling, say)[0]


def deliver(name: str, root: Path) -> tuple[str, str]:
    """Send a run's folder to MLflow. Returns its name, and its id there. Raises ConfigError when there is no such run."""
    from headway import tracking
    from headway.pipeline.page import page_warning

    run = find_run(name, root)
    page_warning(run)
    return run.path.name, tracking.sync(run, root)
