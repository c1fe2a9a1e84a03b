"""One deployment: a flow of a project under the name of what it does, with the project's own values in its form.

This imports no flow, so that a retraining's process need not import what the study needs.
"""

from __future__ import annotations

import hashlib
from typing import Any

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.flows import Flow

from headway import __version__
from headway.project import Project
from headway.server.prefect_api import TAG

SLUG = "yaml"
"""The slug of the YAML's schedule, beside those that people add in the UI."""
VERBS = {"retrain": "retrain", "rollback": "roll back", "effect": "study", "score": "score", "watch": "watch"}
"""What each flow does, in the names of its deployments."""
_TEXTS = {
    "retrain": "Start here: Run, then Quick run, retrains {name} with its own settings.",
    "rollback": "Make the previous champion of {name}, or another version, the champion.",
    "effect": "Measure what each efficiency technique gains on {name}, at equal quality.",
    "score": "Predict rows with the champion of {name}, to Parquet.",
    "watch": "Compare the newest rows of {name} with those that its champion was trained on.",
}


def name_of(flow: str, project: str) -> str:
    """The name of a deployment: `retrain adult`."""
    return f"{VERBS[flow]} {project}"


def tags_of(project: Project) -> list[str]:
    """The tags of a project's deployments and of their runs."""
    return [TAG, project.task]


def deployment_of(flow: Flow[..., Any], project: Project) -> RunnerDeployment:
    """A flow of a project. The form's defaults are the project's own, and the project itself cannot be changed in it."""
    is_retraining = flow.name == "retrain"
    own = _own_values(project) if is_retraining else {}
    result = flow.to_deployment(
        name=name_of(flow.name, project.name),
        parameters={"project": project.name, **own},
        description=_description(flow.name, project),
        tags=tags_of(project),
        version=version_of(project),
        entrypoint_type=EntrypointType.MODULE_PATH,
        schedules=schedules_of(project) if is_retraining else None,
    )
    assert isinstance(result, RunnerDeployment)
    _fix_project(result, project.name)
    return result


def _description(flow: str, project: Project) -> str:
    text = _TEXTS[flow].format(name=project.name)
    return f"{project.description}\n\n{text}" if flow == "retrain" and project.description else text


def _fix_project(deployment: RunnerDeployment, name: str) -> None:
    """Only this project may stand in the form. Prefect's own `freeze` has no effect on deployments made from a flow (3.8)."""
    schema = deployment._parameter_openapi_schema.model_copy(deep=True)  # it is the flow's, which all projects share
    schema.properties["project"] |= {"readOnly": True, "enum": [name]}
    deployment._parameter_openapi_schema = schema


def _own_values(project: Project) -> dict[str, Any]:
    return {
        "model": project.model_dump()["model"]["name"],
        "epochs": project.train.epochs,
        "batch_size": project.train.batch_size,
        "learning_rate": project.train.learning_rate,
        "precision": project.train.precision,
        "seed": project.train.seed,
        "recipe": project.schedule is not None and project.schedule.recipe,
        "settings": [],
    }


def version_of(project: Project) -> str:
    """Changes with headway and with anything in the resolved YAML."""
    return hashlib.sha256(f"{__version__}\n{project.to_yaml()}".encode()).hexdigest()[:12]


def schedules_of(project: Project) -> list[DeploymentScheduleCreate]:
    """The project's own schedule."""
    if project.schedule is None:
        return []
    when = CronSchedule(cron=project.schedule.cron, timezone=project.schedule.timezone)
    return [DeploymentScheduleCreate(schedule=when, slug=SLUG)]
