"""Serve one deployment for each YAML in conf/: `python -m flows.serve`, started by `headway up`.

.prefect/serving.json says what is served, and which YAML was left out and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowRunFilter
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import TerminationSignal
from prefect.runner import Runner
from prefect.states import Crashed

from flows.automations import settle
from flows.effect import effect
from flows.retrain import retrain
from flows.rollback import rollback
from flows.score import score
from flows.watch import watch
from flows.zombies import keep_closing
from headway import __version__
from headway.base import HeadwayError, find_root, write_json
from headway.project import Project, load_project, project_files
from headway.text_project import TextProject

TAG = "headway"


def deployments_of(project: Project | TextProject) -> list[RunnerDeployment]:
    """The project's deployments: to retrain it, to study it where it trains a network, to score rows of a table, to roll back."""
    made = [deployment(project), rollback_deployment(project)]
    if project.model.name != "boosting":
        made.append(study_deployment(project))
    if isinstance(project, Project):
        made += [score_deployment(project), watch_deployment(project)]
    return made


def rollback_deployment(project: Project | TextProject) -> RunnerDeployment:
    """To put an earlier version in charge."""
    made = rollback.to_deployment(
        name=project.name,
        parameters={"project": project.name},
        description=f"Put the previous champion of {project.name}, or another version, in charge.",
        tags=[TAG, project.task],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def score_deployment(project: Project) -> RunnerDeployment:
    """To predict rows with its champion."""
    made = score.to_deployment(
        name=project.name,
        parameters={"project": project.name},
        description=f"Predict rows with the champion of {project.name}, to Parquet.",
        tags=[TAG, project.task],
        version=version_of(project),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def watch_deployment(project: Project) -> RunnerDeployment:
    """Whether the newest rows are still as training knew them; drift starts a retraining."""
    made = watch.to_deployment(
        name=project.name,
        parameters={"project": project.name},
        description=f"Whether the newest rows of {project.name} are still as its champion's training knew them.",
        tags=[TAG, project.task],
        version=version_of(project),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def study_deployment(project: Project | TextProject) -> RunnerDeployment:
    """What each technique gains, asked from the form."""
    made = effect.to_deployment(
        name=project.name,
        parameters={"project": project.name},
        description=f"What each efficiency technique gains on {project.name}, at equal quality.",
        tags=[TAG, project.task],
        version=version_of(project),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def deployment(project: Project | TextProject) -> RunnerDeployment:
    """To retrain it: the form is filled with the project's own values."""
    made = retrain.to_deployment(
        name=project.name,
        parameters={
            "project": project.name,
            "model": project.model_dump()["model"]["name"],
            "epochs": project.train.epochs,
            "batch_size": project.train.batch_size,
            "learning_rate": project.train.learning_rate,
            "precision": project.train.precision,
            "seed": project.train.seed,
            "settings": [],
        },
        description=project.description or f"Retrain {project.name}.",
        schedules=schedules_of(project),
        tags=[TAG, project.task],
        version=version_of(project),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


def version_of(project: Project | TextProject) -> str:
    """Changes with headway and with anything in the resolved YAML."""
    return hashlib.sha256(f"{__version__}\n{project.to_yaml()}".encode()).hexdigest()[:12]


def schedules_of(project: Project | TextProject) -> list[DeploymentScheduleCreate]:
    """The project's own schedule. Its slug lets a later start of the runner change it instead of adding one."""
    if project.schedule is None:
        return []
    when = CronSchedule(cron=project.schedule.cron, timezone=project.schedule.timezone)
    return [DeploymentScheduleCreate(schedule=when, slug="yaml")]


def deployments(root: Path) -> tuple[list[RunnerDeployment], list[str]]:
    """The deployments of every YAML, and one line for each YAML that does not load."""
    made, problems = [], []
    for path in project_files(root):
        try:
            made.extend(deployments_of(load_project(path.stem, root)))
        except HeadwayError as error:
            problems.extend(str(error).splitlines())
    return made, problems


def tidy(client: SyncPrefectClient, names: set[str]) -> None:
    """Forget deployments whose YAML has gone, and runs that ended without saying so when their runner was killed."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    for found in client.read_deployments(deployment_filter=ours):
        if found.name not in names:
            client.delete_deployment(found.id)
    going_on = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    for run in client.read_flow_runs(flow_run_filter=going_on, deployment_filter=ours):
        client.set_flow_run_state(run.id, Crashed(message="The runner was stopped while this ran."), force=True)


def main() -> None:
    """Register the deployments, say so, and run what is asked for, one training at a time."""
    root = find_root()
    os.environ["HEADWAY_RUNNER"] = "1"
    made, problems = deployments(root)
    with get_client(sync_client=True) as client:
        tidy(client, {found.name for found in made})
    runner = Runner(name=TAG, limit=1, pause_on_shutdown=False)
    ids = {(one.flow_name, one.name): runner.add_deployment(one) for one in made}
    with get_client(sync_client=True) as client:
        watched = [name for flow, name in ids if flow == "watch"]
        settle(client, {name: cast(UUID, ids["retrain", name]) for name in watched})
    write_json(
        root / ".prefect" / "serving.json",
        {"names": list(dict.fromkeys(one.name for one in made)), "problems": problems},
    )
    keep_closing(root)
    with contextlib.suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(runner.start())


if __name__ == "__main__":
    main()
