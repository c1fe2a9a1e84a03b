"""A run that was ended goes on in Prefect, too; Ctrl-C ends one as killed, but not after its decision."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Running

from flows.retrain import outcome, outcome_of_resumption
from headway.files.atomic import write_json
from headway.machine import interruption
from headway.machine.processes import interrupt_on
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.result import Result
from tests.flows.pretended import Pretended
from tests.support.dying import die

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow
def nothing() -> None:
    """Stands for the flow run of the killed process."""


def trained(root: Path, pretended: Pretended) -> RunDirectory:
    run = pretended.start(load_project("flowers", root), root)
    write_json(run.path / "store.json", {"path": str(root)})
    run.bundle.mkdir()
    run.predictions("test").parent.mkdir()
    run.predictions("test").write_bytes(b"")
    run.finish(Result(epochs=1))
    return run


def test_a_killed_run_goes_on_behind_its_training_and_its_former_flow_run_crashes(
    root: Path, pretended: Pretended
) -> None:
    run = trained(root, pretended)
    with get_client(sync_client=True) as client:
        former = client.create_flow_run(nothing, state=Running()).id
        write_json(run.path / "flow.json", {"flow_run_id": str(former)})
        die(run)
        assert outcome_of_resumption(run.path) == run.path
        state = client.read_flow_run(former).state
    assert state is not None
    assert state.is_crashed()
    assert pretended.acts == ["track", "train", "evaluate", "register", "conclude"]
    assert pretended.concluded is None


def test_ctrl_c_before_the_gate_ends_the_run(root: Path, pretended: Pretended) -> None:
    pretended.failing["evaluate"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        outcome("flowers", [])
    assert isinstance(pretended.concluded, KeyboardInterrupt)
    assert "register" not in pretended.acts


@pytest.mark.parametrize("when", ["register", "conclude"])
def test_whatever_comes_from_the_gate_on_the_run_is_finished(
    when: str, root: Path, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = getattr(pretended, when)

    def disturbed(*values: Any) -> Any:
        for one in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), one)
        interruption.reader_left()
        return work(*values)

    monkeypatch.setattr(stages if when == "register" else runs, when, disturbed)
    before = signal.getsignal(signal.SIGTERM)
    interrupt_on(signal.SIGTERM)
    try:
        run = outcome("flowers", [])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert pretended.concluded is None
    assert (run / "decision.json").exists()
    assert pretended.acts[-2:] == ["register", "conclude"]
