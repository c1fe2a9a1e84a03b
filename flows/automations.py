"""Prefect's automations: the event of a project's drift starts its retraining."""

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
    """Keep exactly one automation for each project: ``retrainings`` has its deployment. Repeated, it changes nothing.

    An automation that a person switched off stays off.
    """
    existing = _ours(client)
    for project, deployment in retrainings.items():
        automation = retrain_on_drift(project, deployment)
        same = existing.pop(automation.name, [])
        if same:
            first, *others = same
            automation.enabled = first.enabled
            automation.id = first.id
            automation.update()
            _delete(others)
        else:
            automation.create()
    _delete([one for many in existing.values() for one in many])


def _ours(client: SyncPrefectClient) -> dict[str, list[Automation]]:
    automations: dict[str, list[Automation]] = {}
    for one in _all(client):
        if one.name.startswith(PREFIX):
            automations.setdefault(one.name, []).append(one)
    return automations


def _all(client: SyncPrefectClient) -> list[Automation]:
    automations: list[Automation] = []
    while True:
        page = client.request("POST", "/automations/filter", json={"limit": 200, "offset": len(automations)}).json()
        automations += [Automation.model_validate(one) for one in page]
        if len(page) < 200:
            return automations


def _delete(automations: Collection[Automation]) -> None:
    for one in automations:
        one.delete()
