"""`headway report`: the report of a retraining or of an effect study, made anew from the records in its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway.errors import ConfigError, HeadwayError
from headway.files.records import Record
from headway.pipeline import page
from headway.pipeline.resuming import OTHERS
from headway.project import load_project
from headway.run.directory import RunDirectory, find_run

ELSEWHERE = {"watch": ("a watch", "watch.md"), "variants": ("a training of many seeds", "seeds.json")}
"""Runs that have no report, by their key in run.json: what they are, and the file with their result."""


@dataclass(frozen=True)
class Report(Record):
    """Where the report of a run is."""

    project: str
    run: str
    report: str


def report_of(name: str, root: Path, run_name: str | None = None) -> Report:
    """Make the report of a project's newest retraining or study, or of the named run.

    Raises ConfigError where there is no such run or it has no report, DamagedError where its run.json is damaged.
    """
    run = _newest(name, root) if run_name is None else find_run(run_name, root)
    own = run.plan["project"]["name"]
    if own != name:
        raise ConfigError(
            f"the run must be one of {name}, but {run.path.name} is one of {own}; headway report {own} {run_name}"
        )
    for mark, (what, file) in ELSEWHERE.items():
        if mark in run.plan:
            raise ConfigError(
                f"a report is made of a retraining or an effect study, but {run.path.name} is {what}; its result is in {run.path / file}"
            )
    path = _study(run) if "effect" in run.plan else page.write_page(run)
    return Report(name, run.path.name, str(path))


def _study(run: RunDirectory) -> Path:
    """The report of a study. One of an early version, whose results cannot be read, stays as it is."""
    from headway.effect.report import write_report  # imports torch
    from headway.effect.results import StudyResult

    path = run.path / "effect.html"
    result = StudyResult.read_if_whole(run.path / "effect.json")
    if result is not None:
        return write_report(path, run.plan["project"]["name"], result, run.plan["environment"])
    if not path.exists():
        fix = OTHERS["effect"].format(name=run.plan["project"]["name"])
        raise ConfigError(f"a study must have ended to have a report, but {run.path.name} has not; to resume it: {fix}")
    return path


def _newest(name: str, root: Path) -> RunDirectory:
    runs = sorted(_reported(name, root), key=lambda run: (run.number, run.path.name))
    if runs:
        return runs[-1]
    load_project(name, root)  # which names a misspelt project
    raise ConfigError(f"{name} has no run yet. Run: headway run {name}")


def _reported(name: str, root: Path) -> Iterator[RunDirectory]:
    """The retrainings and studies of a project, without unreadable ones."""
    for path in (root / "data" / "runs").glob(f"{name}-*/run.json"):
        with contextlib.suppress(OSError, HeadwayError, KeyError):
            run = RunDirectory(path.parent)
            if run.plan["project"]["name"] == name and not ELSEWHERE.keys() & run.plan.keys():
                yield run
