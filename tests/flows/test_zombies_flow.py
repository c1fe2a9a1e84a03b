"""A run whose process was killed ends in Prefect as Crashed; one that goes on, and one that had ended, are left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Completed, Running, State

from flows.zombies import attended, close_dead
from headway.files.atomic import write_json
from headway.pipeline import zombies
from headway.run import lifetime
from headway.run.directory import RunDirectory
from tests.support.dying import die

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow
def nothing() -> None:
    """Stands for a retraining."""


def begin(client: SyncPrefectClient, root: Path, state: State[Any]) -> tuple[RunDirectory, Any]:
    """A run directory, and the Prefect run that it knows."""
    run = RunDirectory.create(root, "flowers", {"project": {"name": "flowers"}})
    flow_run = client.create_flow_run(nothing, state=state)
    write_json(run.path / "flow.json", {"flow_run_id": str(flow_run.id)})
    return run, flow_run.id


def test_only_the_run_whose_process_was_killed_crashes(root: Path) -> None:
    with get_client(sync_client=True) as client:
        killed, killed_id = begin(client, root, Running())
        going, going_id = begin(client, root, Running())
        finished_run, ended_id = begin(client, root, Completed())
        for run in (killed, finished_run):
            die(run)
        lifetime.own(going)
        (going.path / "owner.gone").touch()  # it died once, was closed, and was resumed
        assert close_dead(client, root) == [killed.path.name]
        states = {one: client.read_flow_run(one).state for one in (killed_id, going_id, ended_id)}
        assert {one: state.type.value for one, state in states.items() if state} == {
            killed_id: "CRASHED",
            going_id: "RUNNING",
            ended_id: "COMPLETED",
        }
        crashed = states[killed_id]
        assert crashed is not None
        assert crashed.message == "Its process was killed."
        assert close_dead(client, root) == []
        lifetime.release(going)


def test_a_run_that_was_closed_in_mlflow_first_still_ends_in_prefect(root: Path) -> None:
    """`headway up` and the runner both look; whichever comes first, the other still does its part."""
    with get_client(sync_client=True) as client:
        killed, killed_id = begin(client, root, Running())
        die(killed)
        zombies.close_dead(root)
        assert list(lifetime.dead(root)) == []
        assert close_dead(client, root) == [killed.path.name]
        state = client.read_flow_run(killed_id).state
        assert state is not None
        assert state.is_crashed()


def test_a_damaged_or_unmovable_file_of_one_dead_run_stops_none_behind_it(root: Path) -> None:
    with get_client(sync_client=True) as client:
        runs = [begin(client, root, Running()) for _ in range(6)]
        for run, _ in runs:
            die(run)
        for (run, _), damage in zip(runs[:4], (b"", b"[1", b'{"flow_run_id": "no id"}', b"\xff\xfe"), strict=True):
            (run.path / "flow.json").write_bytes(damage)
        blocked, blocked_id = runs[4]
        (blocked.path / "owner.gone" / "inner").mkdir(parents=True)
        assert set(close_dead(client, root)) <= {blocked.path.name, runs[5][0].path.name}
        states = [client.read_flow_run(one).state for one in (blocked_id, runs[5][1])]
        assert [state is not None and state.is_crashed() for state in states] == [True, True]
        assert close_dead(client, root) == [], "nothing is told twice"


def test_a_command_without_a_run_directory_that_was_killed_ends_as_crashed(root: Path) -> None:
    with get_client(sync_client=True) as client:
        killed, going = (client.create_flow_run(nothing, state=Running()).id for _ in range(2))
        code = (
            "import os, pathlib, signal, sys, uuid\nfrom flows.zombies import attended\n"
            "with attended(uuid.UUID(sys.argv[1]), pathlib.Path(sys.argv[2])): os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", code, str(killed), str(root)], check=False)
        with attended(going, root):
            assert close_dead(client, root) == []
            states = [client.read_flow_run(one).state for one in (killed, going)]
        assert [state.type.value for state in states if state] == ["CRASHED", "RUNNING"]
        assert list((root / ".prefect" / "terminal").iterdir()) == []
