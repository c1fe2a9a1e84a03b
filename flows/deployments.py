"""The deployments of a project: its flows with the project's own values in their forms, for `headway up` and for a work pool."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment

from flows.effect import effect
from flows.retrain import retrain
from flows.rollback import rollback
from flows.score import score
from flows.watch import watch
from headway import __version__
from headway.errors import HeadwayError
from headway.project import Project, load_project, project_files
from headway.server.prefect_api import TAG

SLUG = "yaml"
"""The slug of the YAML's schedule, beside those that people add in the UI."""


def deployments_of(project: Project) -> list[RunnerDeployment]:
    """All deployments of a project: retrain, roll back, study (for a network), score and watch."""
    name = project.name
    results = [
        deployment(project),
        _of(rollback, project, f"Put the previous champion of {name}, or another version, in charge."),
    ]
    if project.model.is_network:
        results.append(_of(effect, project, f"What each efficiency technique gains on {name}, at equal quality."))
    results.append(_of(score, project, f"Predict rows with the champion of {name}, to Parquet."))
    text = f"Whether the newest rows of {name} still are as in its champion's training."
    results.append(_of(watch, project, text))
    return results


def _of(flow: Any, project: Project, description: str, **more: Any) -> RunnerDeployment:
    """A flow of a project. ``more``: further defaults of its form, under ``parameters``, and schedules."""
    result = flow.to_deployment(
        name=project.name,
        parameters={"project": project.name, **more.pop("parameters", {})},
        description=description,
        tags=[TAG, project.task],
        version=version_of(project),
        entrypoint_type=EntrypointType.MODULE_PATH,
        **more,
    )
    assert isinstance(result, RunnerDeployment)
    return result


def deployment(project: Project) -> RunnerDeployment:
    """To retrain it: the form is filled with the project's own values."""
    own = {
        "model": project.model_dump()["model"]["name"],
        "epochs": project.train.epochs,
        "batch_size": project.train.batch_size,
        "learning_rate": project.train.learning_rate,
        "precision": project.train.precision,
        "seed": project.train.seed,
        "recipe": project.schedule is not None and project.schedule.recipe,
        "settings": [],
    }
    text = project.description or f"Retrain {project.name}."
    return _of(retrain, project, text, parameters=own, schedules=schedules_of(project))


def version_of(project: Project) -> str:
    """Changes with headway and with anything in the resolved YAML."""
    return hashlib.sha256(f"{__version__}\n{project.to_yaml()}".encode()).hexdigest()[:12]


def schedules_of(project: Project) -> list[DeploymentScheduleCreate]:
    """The project's own schedule."""
    if project.schedule is None:
        return []
    when = CronSchedule(cron=project.schedule.cron, timezone=project.schedule.timezone)
    return [DeploymentScheduleCreate(schedule=when, slug=SLUG)]


def deployments(root: Path) -> tuple[list[RunnerDeployment], list[str]]:
    """The deployments of every YAML, and one line for each YAML that does not load."""
    results, problems = [], []
    for path in project_files(root):
        try:
            results.extend(deployments_of(load_project(path.stem, root)))
        except HeadwayError as error:
            problems.extend(str(error).splitlines())
    return results, problems
