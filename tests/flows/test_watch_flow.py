"""Watching from the form: the page, the event, and the retraining that Prefect makes of it, once."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import State

from flows import automations
from flows import watch as flow_file
from flows.deployment import deployment_of
from flows.retrain import retrain
from flows.watch import watch
from headway.errors import ConfigError
from headway.pipeline import watching
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.watch.result import WatchResult

pytestmark = pytest.mark.usefixtures("prefect_server")
COLUMN = {"column": "height", "psi": 0.4, "chance": 0.01, "jensen_shannon": 0.2, "nulls_before": 0.0, "nulls_now": 0.0}
FOUND = {
    "drifted": True,
    "summary": "drift: height (PSI 0.400)",
    "champion": "3",
    "files": ["may.csv"],
    "why": "1 files that the champion was not trained on",
    "rows": 500,
    "units": {"name": "row", "count": 500, "size": 1.0, "text": "500 rows", "note": ""},
    "digest": "d1",
    "columns": [{**COLUMN, "drifted": True}],
    "expectations": [],
    "broken": [],
}


@pytest.fixture
def drift_results(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[WatchResult]:
    """What the watch finds; a test may put another in its place."""
    report = [WatchResult.from_json(FOUND)]

    def opened(name: str, folder: Path, _data: str | None) -> RunDirectory:
        return RunDirectory.create(folder, name, {"project": {"name": name}, "watch": {}})

    monkeypatch.setattr(watching, "open_watch", opened)
    monkeypatch.setattr(watching, "watch", lambda *_: report[0])
    return report


def run() -> State[Any]:
    call: Any = watch
    return call(project="flowers", return_state=True)


def scheduled(client: SyncPrefectClient, deployment_id: UUID) -> int:
    """Runs of the deployment that an automation made; other tests' schedules and commands make others."""
    filters = {"deployments": {"id": {"any_": [str(deployment_id)]}}}
    runs = client.request("POST", "/flow_runs/filter", json=filters).json()
    return sum((one["created_by"] or {}).get("type") == "AUTOMATION" for one in runs)


def test_drift_retrains_once_and_the_automation_is_made_once(root: Path, drift_results: list[WatchResult]) -> None:
    identity = deployment_of(retrain, load_project("flowers", root)).apply()
    assert isinstance(identity, UUID)
    with get_client(sync_client=True) as client:
        automations.settle(client, {"flowers": identity, "gone": identity})
        automations.settle(client, {"flowers": identity})
        ours = [one for one in automations._all(client) if one.name.startswith(automations.PREFIX)]
        assert [one.name for one in ours] == ["headway: retrain on drift: flowers"]
        time.sleep(3)  # the server's triggers hear of a new automation a moment later
        assert run().is_completed()
        for _ in range(600):
            if scheduled(client, identity):
                break
            time.sleep(0.2)
        assert scheduled(client, identity) == 1
        assert run().is_completed()
        drift_results[0] = replace(drift_results[0], digest="d2")
        assert run().is_completed()
        for _ in range(600):
            if scheduled(client, identity) > 1:
                break
            time.sleep(0.2)
        assert scheduled(client, identity) == 2  # the same drift started none, the next one did
        automations.settle(client, {})
        pages = {one.key: one.data for one in client.read_artifacts(limit=200)}
    assert "drift: height (PSI 0.400)" in str(pages["flowers-drift"])


def test_an_event_that_prefect_does_not_take_is_emitted_by_the_next_watch(
    root: Path, drift_results: list[WatchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_event: Any) -> None:
        raise httpx.ConnectError("connection refused")

    events: list[Any] = []
    monkeypatch.setattr(flow_file, "emit", away)
    assert run().is_completed()
    monkeypatch.setattr(flow_file, "emit", events.append)
    assert run().is_completed()
    assert run().is_completed()
    assert [event.payload["columns"] for event in events] == [["height"]]


def test_no_drift_emits_nothing(root: Path, drift_results: list[WatchResult], monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    drift_results[0] = replace(drift_results[0], drifted=False)
    monkeypatch.setattr(flow_file, "emit", events.append)
    assert run().is_completed()
    assert not events


def test_nothing_new_completes_with_that_as_its_message_and_emits_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    monkeypatch.setattr(flow_file, "emit", events.append)
    monkeypatch.setattr(watching, "open_watch", lambda *_: watching.NothingNew("flowers", "3", 2))
    state = run()
    assert (state.is_completed(), state.name) == (True, "Nothing new")
    assert str(state.message).startswith("nothing new: the champion of flowers, version 3, was trained on all 2")
    assert not events


def test_a_mistake_ends_failed_with_its_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> None:
        raise ConfigError("flowers has no champion to watch yet")

    monkeypatch.setattr(watching, "open_watch", refuses)
    state = run()
    assert (state.is_failed(), state.message) == (True, "flowers has no champion to watch yet")
    properties = watch.parameters.model_dump()["properties"]
    assert all(field["description"].endswith(".") for field in properties.values())
