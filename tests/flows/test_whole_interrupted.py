"""Whole processes that are killed or ended while they train, and go on: `headway resume`, `headway run --resume`, Ctrl-C, `| head`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from headway import tracking
from headway.files.atomic import read_json
from tests.support.whole import make

pytestmark = pytest.mark.slow

LONG = ("train.epochs=400", "train.patience=400", "train.checkpoint_seconds=0.2")
"""Long enough that it is met while it trains, and not longer."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("PREFECT", "MLFLOW", "HEADWAY_DATABASE"))]:
        monkeypatch.delenv(name)
    make(tmp_path)
    return tmp_path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "headway.cli", *words, *(word for text in LONG for word in ("--set", text))]


def headway(root: Path, *words: str) -> str:
    """What a command that is left alone says."""
    line = command(*words) if words[0] == "run" else [sys.executable, "-m", "headway.cli", *words]
    outcome = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout + outcome.stderr


@contextmanager
def training(root: Path, *settings: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`headway run`, met when its first checkpoint is on disk; its folder."""
    runs_before = runs(root)
    words = [word for text in settings for word in ("--set", text)]
    with subprocess.Popen(
        command("run", "rows", *words), cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while not (
                starts := [path for path in runs(root) - runs_before if any((path / "checkpoints").glob("*-*"))]
            ):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process, starts[0]
        finally:
            process.kill()


def runs(root: Path) -> set[Path]:
    return set((root / "data" / "runs").glob("*"))


def statuses(root: Path) -> list[str]:
    return [str(one.status) for one in reversed(tracking.list_runs(root, "rows"))]


def weights(run: Path) -> bytes:
    return (run / "bundle" / "weights.safetensors").read_bytes()


def test_a_killed_run_is_offered_and_goes_on_to_the_weights_of_one_that_was_left_alone(root: Path) -> None:
    with training(root) as (process, killed):
        process.kill()
    output = " ".join(headway(root, "run", "rows").split())  # lines end where COLUMNS says
    assert f"{killed.name} ended while it was training" in output
    assert f"to resume it instead: headway resume {killed.name}" in output
    (alone,) = runs(root) - {killed}
    headway(root, "resume", killed.name)
    assert weights(killed) == weights(alone)
    assert statuses(root) == ["FINISHED", "FINISHED"]
    assert [read_json(run / "decision.json")["version"] for run in (alone, killed)] == ["1", "2"]
    with training(root, "train.seed=1") as (process, second):
        process.kill()
    headway(root, "run", "rows", "--resume", "--set", "train.seed=1")
    assert runs(root) == {killed, alone, second}, "it went on with the run that was killed"
    assert statuses(root) == ["FINISHED", "FINISHED", "FINISHED"]
    assert len(tracking.versions(root, "rows")) == 3


@pytest.mark.parametrize("ending", ["Ctrl-C", "SIGTERM", "| head"])
def test_a_run_that_is_ended_while_it_trains_says_one_line_and_is_closed_as_killed(ending: str, root: Path) -> None:
    with training(root) as (process, run):
        children = psutil.Process(process.pid).children(recursive=True)
        if ending == "| head":
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
        else:
            process.send_signal(signal.SIGINT if ending == "Ctrl-C" else signal.SIGTERM)
        _, output = process.communicate(timeout=120)
        assert process.returncode == 130, output
    assert output.count("headway: interrupted") == 1, output
    assert "Traceback" not in output
    assert statuses(root) == ["KILLED"]
    assert not (run / "decision.json").exists()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == [], "nothing that it started is left"
