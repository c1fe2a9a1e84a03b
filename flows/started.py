"""Flow runs that are started from the terminal: with the tags and the deployment of the same flow in Prefect's page.

The tag `terminal` marks them: `headway up` closes what its runner left behind, and these have a process of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import Pending, State, to_state_create

from flows.deployment import deployment_of, name_of, tags_of
from headway.errors import HeadwayError
from headway.project import Project, load_project
from headway.server.prefect_api import TERMINAL

REFUSALS = (HTTPError, PrefectException, RuntimeError)
"""The errors of Prefect's client where its server does not answer, which is a RuntimeError, or refuses."""


def named_project(name: str, root: Path, settings: Sequence[str]) -> Project:
    """The project as its YAML states it, which the deployment is for; with the settings where it does not load without them."""
    try:
        return load_project(name, root)
    except HeadwayError:
        return load_project(name, root, settings)


def run_here(flow: Flow[..., Any], project: Project, parameters: Mapping[str, Any]) -> State[Any]:
    """Run a flow in this process; its final state."""
    return run_as(new_run(flow, project, parameters), flow, parameters)


def run_as(flow_run: FlowRun, flow: Flow[..., Any], parameters: Mapping[str, Any]) -> State[Any]:
    """Run a flow in this process as a flow run that Prefect lists already; its final state."""
    state = run_flow(flow, flow_run=flow_run, parameters=dict(parameters), return_type="state")
    assert isinstance(state, State)
    return state


def new_run(flow: Flow[..., Any], project: Project, parameters: Mapping[str, Any]) -> FlowRun:
    """A new flow run in Prefect. Its own `create_flow_run` cannot name a deployment, its server can.

    Raises one of REFUSALS where the server ends or refuses.
    """
    with get_client(sync_client=True) as client:
        body = FlowRunCreate(
            flow_id=client.create_flow(flow),
            flow_version=flow.version,
            deployment_id=_deployment(client, flow, project),
            parameters=flow.serialize_parameters(dict(parameters)),
            tags=[*tags_of(project), TERMINAL],
            state=to_state_create(Pending()),
        )
        answer = client.request("POST", "/flow_runs/", json=body.model_dump(mode="json", exclude_unset=True))
        return FlowRun.model_validate(answer.json())


def _deployment(client: SyncPrefectClient, flow: Flow[..., Any], project: Project) -> UUID | None:
    """The flow's deployment for the project. Where `headway up` has not made it yet, it is made now, without its schedule: a temporary
    server must not plan runs that nobody starts. None for `resume`, which has none.
    """
    if flow.name == "resume":
        return None
    try:
        return client.read_deployment_by_name(f"{flow.name}/{name_of(flow.name, project.name)}").id
    except ObjectNotFound:
        deployment = deployment_of(flow, project)
        deployment.schedules = []
        identity = deployment.apply()
        assert isinstance(identity, UUID)
        return identity
