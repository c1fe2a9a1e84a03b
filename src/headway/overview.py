"""What `headway list`, `show` and `sync` answer: projects, their runs in MLflow, their model versions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.base import ConfigError, HeadwayError, suggest
from headway.project import Project, load_project, project_files
from headway.run import RunDirectory
from headway.text_project import TextProject

RUNS_SHOWN = 10


@dataclass(frozen=True)
class Overview:
    """Lines and rows to show; ``empty`` is said when there are no rows; ``problems`` are for standard error."""

    rows: list[dict[str, Any]]
    empty: str
    lines: list[str] = field(default_factory=list)
    champion: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)


def projects(root: Path) -> Overview:
    """One row a YAML in conf/. A YAML that does not load is among the problems."""
    rows, problems = [], []
    for path in project_files(root):
        try:
            rows.append(_row(load_project(path.stem, root), root))
        except HeadwayError as error:
            problems.extend(str(error).splitlines())
    return Overview(rows, "no project yet: headway init --data FILE --target COLUMN", problems=problems)


def _row(project: Project | TextProject, root: Path) -> dict[str, Any]:
    versions, runs = _tracked(root, project.name)
    champion = next((v for v in versions if "champion" in v["aliases"]), None)
    return {
        "project": project.name,
        "task": project.task,
        "data": project.data.dataset or project.data.source,
        "champion": None if champion is None else f"version {champion['version']}",
        "metric": None if champion is None else _measured(champion, runs),
        "last run": f"{_moment(runs[0]['start'])} {runs[0]['status'].lower()}" if runs else None,
    }


def project(name: str, root: Path) -> Overview:
    """One project: its champion, the decisions on its versions, its latest runs."""
    found = load_project(name, root)
    versions, runs = _tracked(root, found.name)
    champion = next((v for v in versions if "champion" in v["aliases"]), None)
    lines = [f"{found.name}  {found.description}".rstrip()]
    for version in versions[:RUNS_SHOWN]:
        aliases = f" ({', '.join(version['aliases'])})" if version["aliases"] else ""
        when = _moment(version["created"])
        lines.append(f"version {version['version']}{aliases}, {when}: {version.get('reason', 'no decision')}")
    decided = champion.get("metric") if champion else None
    rows = [_run_row(run, decided) for run in runs[:RUNS_SHOWN]]
    return Overview(rows, f"no run yet: headway run {found.name}", lines, champion)


def _run_row(run: dict[str, Any], decided: str | None) -> dict[str, Any]:
    """One run: when, what, how good, how long."""
    names = [f"test/{decided}"] if decided else ["test/auc", "test/log_loss", "test/rmse"]
    metric = next((n for n in names if n in run["metrics"]), None)
    took = None if run["end"] is None else f"{run['end'] - run['start']:.0f} s"
    return {
        "started": _moment(run["start"]),
        "run": run["name"],
        "status": run["status"].lower(),
        "result": None if metric is None else f"{metric.removeprefix('test/')} {run['metrics'][metric]:.4f}",
        "took": took,
        "run_id": run["run_id"],
    }


def _measured(champion: dict[str, Any], runs: list[dict[str, Any]]) -> str | None:
    """The deciding metric's value in the run that made the champion."""
    metric = champion.get("metric")
    run = next((r for r in runs if r["run_id"] == champion["run_id"]), None)
    value = run["metrics"].get(f"test/{metric}") if run else None
    return None if value is None else f"{metric} {value:.4f}"


def _tracked(root: Path, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Versions and runs, newest first. Nothing is created just to look at it."""
    from headway.tracking.store import database_file, is_file, tracking_uri

    uri = tracking_uri(root)
    if is_file(uri) and not database_file(uri).exists():
        return [], []
    from headway import tracking

    return tracking.versions(root, name), tracking.list_runs(root, name, 100)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def sample(name: str, root: Path, prompt: str, *, tokens: int, temperature: float, seed: int) -> str:
    """What the project's champion adds to a prompt. Raises ConfigError where there is none, or it is no language model."""
    if tokens < 1 or temperature < 0:
        raise ConfigError(
            f"--tokens must be at least 1 and --temperature at least 0, however they are {tokens} and {temperature:g}"
        )
    found = load_project(name, root)
    if not isinstance(found, TextProject):
        raise ConfigError(f"{name} must be a language project to be sampled, however its task is {found.task}")
    versions, _ = _tracked(root, found.name)
    if not any("champion" in version["aliases"] for version in versions):
        raise ConfigError(f"{name} must have a champion, however it has none yet; headway run {name}")
    from headway import tracking
    from headway.serve.text import TextPredictor

    champion = tracking.champion(root, name)
    assert champion is not None
    return TextPredictor.load(champion.bundle).sample(prompt, tokens=tokens, temperature=temperature, seed=seed)


def deliver(name: str, root: Path) -> str:
    """Bring a run's folder to MLflow; says under which id. Raises ConfigError when there is no such run."""
    from headway import tracking

    for path in (Path(name), root / "data" / "runs" / name):
        if (path / "run.json").exists():
            return f"delivered to MLflow as run {tracking.sync(RunDirectory(path.resolve()), root)}"
    folder = root / "data" / "runs"
    known = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    raise ConfigError(f"a run must be a folder with a run.json, however {name} is none{suggest(name, known)}")
