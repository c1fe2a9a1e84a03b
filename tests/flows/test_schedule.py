"""The schedule of a project: from its YAML to the times of its deployment."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas import schedules as client_schedules
from prefect.server.schemas.schedules import CronSchedule

from flows.deployment import deployment_of, version_of
from flows.retrain import retrain
from flows.serve import keep_schedules, tidy
from headway.config import find_root
from headway.errors import ConfigError
from headway.project import Project, load_project


def scheduled(cron: str, timezone: str) -> Project:
    """Adult, with a schedule."""
    settings = {"schedule.cron": cron, "schedule.timezone": timezone}
    project = load_project("adult", find_root(), settings)
    assert isinstance(project, Project)
    return project


async def _times(when: CronSchedule, start: datetime) -> list[datetime]:
    return list(await when.get_dates(4, start=start))


@pytest.mark.parametrize("day", [datetime(2026, 3, 27), datetime(2026, 10, 23)])
def test_a_schedule_keeps_its_wall_clock_time_over_daylight_saving(day: datetime) -> None:
    zone = ZoneInfo("Europe/Berlin")
    (schedule,) = deployment_of(retrain, scheduled("30 6 * * *", "Europe/Berlin")).schedules or []
    assert schedule.slug == "yaml"
    assert schedule.schedule is not None
    when = CronSchedule.model_validate(schedule.schedule.model_dump())
    local = [one.astimezone(zone) for one in asyncio.run(_times(when, day.replace(tzinfo=zone)))]
    assert {(one.hour, one.minute) for one in local} == {(6, 30)}
    assert len({one.utcoffset() for one in local}) == 2


@pytest.mark.parametrize(
    ("cron", "zone"), [("every day", "UTC"), ("0 99 * * *", "UTC"), ("0 6 * * *", "Europe/Bärlin")]
)
def test_a_wrong_schedule_is_refused_in_one_line(cron: str, zone: str) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.(cron|timezone) must be") as error:
        scheduled(cron, zone)
    assert len(str(error.value).splitlines()) == 1


def test_without_a_schedule_nothing_runs_unasked_and_the_version_tells_yaml_apart() -> None:
    plain = load_project("adult", find_root())
    assert not deployment_of(retrain, plain).schedules
    assert version_of(plain) != version_of(scheduled("0 6 * * *", "UTC"))


def add_own(client: SyncPrefectClient, deployment: UUID, cron: str) -> None:
    """The schedule that a person adds in Prefect's page."""
    client.create_deployment_schedules(deployment, [(client_schedules.CronSchedule(cron=cron, timezone="UTC"), True)])


@pytest.mark.usefixtures("prefect_server")
def test_a_schedule_that_is_gone_from_the_yaml_is_gone_from_the_server_and_a_persons_own_stays() -> None:
    flow = deployment_of(retrain, scheduled("30 6 * * *", "Europe/Berlin"))
    result = cast(UUID, flow.apply())
    with get_client(sync_client=True) as client:
        add_own(client, result, "0 3 * * 0")
        plain = deployment_of(retrain, load_project("adult", find_root()))
        keep_schedules(client, plain)
        assert plain.apply() == result
        left = client.read_deployment(result).schedules
    assert [one.schedule.cron for one in left] == ["0 3 * * 0"]  # pyrefly: ignore


@pytest.mark.usefixtures("prefect_server")
def test_a_persons_schedule_of_an_early_deployment_moves_to_the_one_with_a_name_of_its_own() -> None:
    early = deployment_of(retrain, load_project("adult", find_root()))
    early.name = "adult"  # as earlier versions named it
    identity = cast(UUID, early.apply())
    with get_client(sync_client=True) as client:
        add_own(client, identity, "0 4 * * 0")
        present = deployment_of(retrain, load_project("adult", find_root()))
        keep_schedules(client, present)
        tidy(client, {present.name})
        result = cast(UUID, present.apply())
        left = client.read_deployment(result).schedules
        names = {one.name for one in client.read_deployments()}
    assert "0 4 * * 0" in [one.schedule.cron for one in left]  # pyrefly: ignore
    assert "adult" not in names
