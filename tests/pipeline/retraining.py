"""A retraining as the flow runs it, without Prefect around it."""

from __future__ import annotations

from pathlib import Path

from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent


def retrained(root: Path, name: str, *settings: str) -> RunDirectory:
    """All stages of a project, and its end in MLflow."""
    run = runs.start(load_project(name, root, settings), root)
    runs.track(run, root)
    for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register):
        stage(run, root, Silent())
    runs.conclude(run, root)
    return run
