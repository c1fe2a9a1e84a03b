"""Serve one deployment for each YAML in conf/: `python -m flows.serve`, started by `headway up`.

.prefect/serving.json holds the served projects, and each YAML that was left out with the reason.
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
from flows.deployments import SLUG, TAG, deployments
from flows.zombies import keep_closing
from headway.config import find_root
from headway.files.atomic import write_json


def tidy(client: SyncPrefectClient, names: set[str]) -> None:
    """Delete deployments without a YAML, and crash runs whose runner was killed."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    for deployment in client.read_deployments(deployment_filter=ours):
        if deployment.name not in names:
            client.delete_deployment(deployment.id)
    going_on = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}})
    for run in client.read_flow_runs(flow_run_filter=going_on, deployment_filter=ours):
        client.set_flow_run_state(run.id, Crashed(message="The runner was stopped while this ran."), force=True)


def keep_schedules(client: SyncPrefectClient, deployment: RunnerDeployment) -> None:
    """Add the schedules that people created in the UI: registering the deployment replaces all schedules."""
    with contextlib.suppress(ObjectNotFound):
        before = client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}").schedules
        fields = {"schedule", "active", "slug", "parameters"}
        theirs = [one.model_dump(include=fields) for one in before if one.slug != SLUG]
        deployment.schedules = [
            *(deployment.schedules or ()),
            *(DeploymentScheduleCreate.model_validate(one) for one in theirs),
        ]


def main() -> None:
    """Register the deployments, write serving.json, and run scheduled and started flows, one at a time."""
    root = find_root()
    os.environ["HEADWAY_RUNNER"] = "1"
    results, problems = deployments(root)
    with get_client(sync_client=True) as client:
        tidy(client, {result.name for result in results})
        for one in results:
            keep_schedules(client, one)
    runner = Runner(name=TAG, limit=1, pause_on_shutdown=False)
    ids = {(one.flow_name, one.name): runner.add_deployment(one) for one in results}
    with get_client(sync_client=True) as client:
        projects = [name for flow, name in ids if flow == "watch"]
        settle(client, {name: cast(UUID, ids["retrain", name]) for name in projects})
    write_json(
        root / ".prefect" / "serving.json",
        {"names": list(dict.fromkeys(one.name for one in results)), "problems": problems},
    )
    keep_closing(root)
    with contextlib.suppress(KeyboardInterrupt, TerminationSignal):
        asyncio.run(runner.start())


if __name__ == "__main__":
    main()
