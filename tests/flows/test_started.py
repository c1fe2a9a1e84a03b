"""Runs from the terminal: in Prefect they are runs of the same deployment as the form's, with the same tags."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.deployment import deployment_of
from flows.retrain import outcome, retrain
from flows.serve import tidy
from headway import tracking
from headway.cli import commands as cli
from headway.cli.in_prefect import in_prefect
from headway.files.atomic import read_json
from headway.pipeline.terminal import Terminal
from headway.project import load_project
from headway.server import local
from headway.tracking.rollback import Rollback
from tests.flows.pretended import Pretended

pytestmark = pytest.mark.usefixtures("prefect_server")


def flow_run(path: Path) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(read_json(path / "flow.json")["flow_run_id"])


def test_a_retraining_from_the_terminal_has_deployment_tags_and_the_final_states_name(
    root: Path, pretended: Pretended
) -> None:
    yaml = root / "conf" / "flowers.yaml"
    yaml.write_text(f"{yaml.read_text()}\nschedule: {{cron: '30 6 * * *'}}\n")
    first = flow_run(outcome("flowers", ["train.epochs=3"]))
    assert set(first.tags) == {"headway", "classification", "terminal"}
    assert (first.state_name, first.name.split(" · ")[0]) == ("Promoted", "flowers")
    assert first.parameters["settings"] == ["train.epochs=3"]
    with get_client(sync_client=True) as client:
        assert first.deployment_id is not None
        deployment = client.read_deployment(first.deployment_id)
        assert (deployment.name, deployment.parameters["epochs"]) == ("retrain flowers", 7)
        assert deployment.schedules == [], "no server that ends with the run plans others"
        assert deployment_of(retrain, load_project("flowers", root)).apply() == deployment.id
        second = flow_run(outcome("flowers", []))
        assert second.deployment_id == deployment.id


def test_up_leaves_a_run_alone_that_goes_on_in_a_terminal(root: Path, pretended: Pretended) -> None:
    during: list[str | None] = []

    def look() -> None:
        with get_client(sync_client=True) as client:
            tidy(client, {"retrain flowers"})
            runs = [one for one in client.read_flow_runs(limit=200) if one.parameters.get("project") == "flowers"]
            (running,) = [one for one in runs if one.state_name == "Running"]
            during.append(running.state_name)

    pretended.on_stage = look
    assert flow_run(outcome("flowers", [])).state_name == "Promoted"
    assert during == ["Running"] * 5


def test_a_rollback_shows_up_in_prefect_where_a_server_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requests: list[Any] = []

    def back(*words: Any) -> Rollback:
        requests.append(words)
        return Rollback("1", "2", "complaints", False)

    monkeypatch.setattr(tracking, "rollback", back)
    monkeypatch.setattr(local, "running", lambda _: local.Servers(1, "http://127.0.0.1:1", "http://127.0.0.1:1"))
    monkeypatch.setattr(local, "reach_prefect", lambda _: lambda: None)  # the test's own server is reached already
    assert cli.main(["rollback", "flowers", "--to", "1", "--reason", "complaints", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"project": "flowers", **Rollback("1", "2", "complaints", False).to_json()}
    assert "flowers: version 1 is champion, in place of version 2" in output.err
    assert requests[0][2:4] == ("1", "complaints")
    assert "by the form" not in requests[0][4], "the person at the terminal decided"
    with get_client(sync_client=True) as client:
        (run,) = [one for one in client.read_flow_runs(limit=200) if one.parameters.get("reason") == "complaints"]
        assert run.deployment_id is not None
        assert client.read_deployment(run.deployment_id).name == "roll back flowers"


def test_where_prefect_does_not_answer_a_command_does_its_work_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    stream = io.StringIO()
    assert in_prefect("rollback", "flowers", {}, lambda: "done", Terminal(stream), root) == "done"
    assert "not shown in Prefect: Prefect at http://127.0.0.1:9/api must answer" in stream.getvalue()


def test_where_prefect_ends_meanwhile_a_command_does_its_work_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "running", lambda _: local.Servers(1, "http://127.0.0.1:1", "http://127.0.0.1:1"))
    monkeypatch.setattr(local, "reach_prefect", lambda _: lambda: None)
    stream = io.StringIO()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):  # it has ended since
        assert in_prefect("rollback", "flowers", {}, lambda: "done", Terminal(stream), root) == "done"
    assert "not shown in Prefect" in stream.getvalue()
