"""A run whose process was killed is closed in MLflow; one that goes on is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.pipeline import zombies
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.tracking.record import Tracking
from headway.tracking.runs import begin, conclude
from headway.tracking.store import open_store
from tests.support.dying import die


def make(root: Path) -> RunDirectory:
    project = {"name": "flowers", "task": "classification", "model": {"name": "mlp"}, "train": {}, "gate": {}}
    run = RunDirectory.create(root, "flowers", {"project": project})
    begin(run, root, {}, "mlp", "")
    return run


def test_only_the_run_whose_process_was_killed_is_closed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    killed, going = make(root), make(root)
    die(killed)
    lifetime.own(going)
    assert [run.path for run in lifetime.dead(root)] == [killed.path]
    assert zombies.close_dead(root) == [f"{killed.path.name}: its process was killed; closed as killed"]
    assert zombies.close_dead(root) == []
    assert "The run was interrupted" in (killed.path / "report.html").read_text()
    status = {
        run.path: open_store(root).get_run(str(Tracking.read(run.path / "tracking.json").run_id)).info.status
        for run in (killed, going)
    }
    assert status == {killed.path: "KILLED", going.path: "RUNNING"}
    assert conclude(going, root, "FINISHED", {}) is None
    lifetime.release(going)
    assert list(lifetime.dead(root)) == []


def test_a_run_whose_end_could_not_be_written_down_is_closed_by_the_next_command(root: Path) -> None:
    """As on a full disk: the process lives on, or ends by itself, and MLflow was told nothing."""
    run = make(root)
    lifetime.own(run)
    lifetime.release(run)
    assert zombies.close_dead(root) == [f"{run.path.name}: its process was killed; closed as killed"]
    assert zombies.close_dead(root) == []
