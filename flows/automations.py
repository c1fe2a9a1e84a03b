"""What Prefect does by itself: the event of a project's drift starts its retraining."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture

from flows.watch import EVENT, resource_of

PREFIX = "headway: retrain on drift: "


def retrain_on_drift(project: str, deployment: UUID) -> Automation:
    """One event, one retraining: drift that was reported before emits no event (headway.pipeline.watching)."""
    return Automation(
        name=f"{PREFIX}{project}",
        description=f"When headway watch finds drift in {project}, it is retrained.",
        trigger=EventTrigger(
            expect={EVENT},
            match={"prefect.resource.id": resource_of(project)},  # pyrefly: ignore
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(source="selected", deployment_id=deployment)],
    )


def settle(client: SyncPrefectClient, retrainings: Mapping[str, UUID]) -> None:
    """Leave exactly one automation for each project: ``retrainings`` names its deployment. Done twice, it is as done once.

    An automation that a person switched off stays off.
    """
    known = _ours(client)
    for project, deployment in retrainings.items():
        wanted = retrain_on_drift(project, deployment)
        same = known.pop(wanted.name, [])
        if same:
            first, *others = same
            wanted.enabled = first.enabled
            wanted.id = first.id
            wanted.update()
            _delete(others)
        else:
            wanted.create()
    _delete([one for many in known.values() for one in many])


def _ours(client: SyncPrefectClient) -> dict[str, list[Automation]]:
    found: dict[str, list[Automation]] = {}
    for one in _all(client):
        if one.name.startswith(PREFIX):
            found.setdefault(one.name, []).append(one)
    return found


def _all(client: SyncPrefectClient) -> list[Automation]:
    found: list[Automation] = []
    while True:
        page = client.request("POST", "/automations/filter", json={"limit": 200, "offset": len(found)}).json()
        found += [Automation.model_validate(one) for one in page]
        if len(page) < 200:
            return found


def _delete(automations: Collection[Automation]) -> None:
    for one in automations:
        one.delete()
