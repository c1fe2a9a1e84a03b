"""Serve one deployment for each YAML in conf/: `python -m flows.serve`, started by `headway up`.

.prefect/serving.json holds the served projects, each YAML that was left out with the reason, and the addresses of
"Start here" and of each project's list of runs in MLflow.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowRunFilter
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, TerminationSignal
from prefect.runner import Runner
from prefect.states import Crashed

from flows.automations import settle
from flows.deployment import SLUG, name_of
from flows.deployments import deployments
from flows.welcome import start_here, views_of
from flows.zombies import keep_closing
from headway.config import find_root
from headway.files.atomic import write_json
from headway.server.local import MLFLOW_PAGE
from headway.server.prefect_api import TAG, TERMINAL


def tidy(client: SyncPrefectClient, names: set[str]) -> None:
    """Delete deployments without a YAML, and those of earlier versions, which had other names; crash runs whose runner was killed."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    for deployment in client.read_deployments(deployment_filter=ours):
        if deployment.name not in names:
            client.delete_deployment(deployment.id)
    going_on = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    runs = client.read_flow_runs(flow_run_filter=going_on, deployment_filter=ours)
    for run in (run for run in runs if TERMINAL not in run.tags):
        client.set_flow_run_state(run.id, Crashed(message="The runner was stopped while this ran."), force=True)


def keep_schedules(client: SyncPrefectClient, deployment: RunnerDeployment) -> None:
    """Add the schedules that people created in the UI: registering the deployment replaces all schedules.

    Also those of a deployment of an early version, which was named after the project alone.
    """
    fields = {"schedule", "active", "slug", "parameters"}
    theirs = []
    for name in (deployment.name, str(deployment.parameters["project"])):
        with contextlib.suppress(ObjectNotFound):
            before = client.read_deployment_by_name(f"{deployment.flow_name}/{name}").schedules
            theirs += [one.model_dump(include=fields) for one in before if one.slug != SLUG]
    deployment.schedules = [
        *(deployment.schedules or ()),
        *(DeploymentScheduleCreate.model_validate(one) for one in theirs),
    ]


def main() -> None:
    """Register the deployments, write serving.json, and run scheduled and started flows, one at a time."""
    root = find_root()
    os.environ["HEADWAY_RUNNER"] = "1"
    by_project, problems = deployments(root)
    results = [one for many in by_project.values() for one in many]
    with get_client(sync_client=True) as client:
        for one in results:
            keep_schedules(client, one)
        tidy(client, {result.name for result in results})
    runner = Runner(name=TAG, limit=1, pause_on_shutdown=False)
    ids = {one.name: cast(UUID, runner.add_deployment(one)) for one in results}
    retrainings = {project: ids[name_of("retrain", project)] for project in by_project}
    with get_client(sync_client=True) as client:
        settle(client, retrainings)
        views = views_of(root, retrainings, os.environ.get(MLFLOW_PAGE, ""))
        start = start_here(client, retrainings, views)
    state = {"names": list(by_project), "problems": problems, "start": start, "lists": views}
    write_json(root / ".prefect" / "serving.json", state)
    keep_closing(root)
    with contextlib.suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(runner.start())


if __name__ == "__main__":
    main()
