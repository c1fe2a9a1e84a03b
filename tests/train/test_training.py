"""The training process: what it learns, that it repeats itself bit for bit, and that killing it loses nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from sklearn.metrics import log_loss

from headway.errors import ConfigError, TrainingError
from headway.files import locks
from headway.run.directory import Event, RunDirectory
from headway.train.checkpoint import load_newest, save_checkpoint
from headway.train.launch import launch
from headway.train.main import main
from tests.train.killed import weights

MakeRun = Callable[..., RunDirectory]


def same(a: RunDirectory, b: RunDirectory) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("name", ["mlp", "tabm", "boosting", "ensemble"])
def test_each_model_predicts_better_than_the_class_shares(make_run: MakeRun, name: str) -> None:
    model = {"name": name} if name in ("boosting", "ensemble") else {"name": name, "width": 32, "depth": 2}
    run = make_run(model=model, train={"epochs": 12})
    assert main(str(run.path)) == 0
    target = np.load(run.path.parents[2] / "store" / "test" / "target.npy")
    predicted = np.load(run.predictions("test"))
    assert predicted.shape == (200, 2)
    np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-5)
    share = target.mean()
    assert log_loss(target, predicted[:, 1]) < 0.9 * log_loss(target, np.full(200, share))


def test_boosting_says_how_many_trees_it_grew_and_keeps_the_best(make_run: MakeRun) -> None:
    run = make_run(model={"name": "boosting", "learning_rate": 0.3})
    assert main(str(run.path)) == 0
    result = run.result
    assert result is not None
    assert result.epochs == result.best_epoch + 50
    assert result.fit == f"best with {result.best_epoch} of {result.epochs} trees"


@pytest.mark.parametrize("name", ["mlp", "tabm"])
def test_two_runs_with_one_seed_end_with_the_same_weights_bit_for_bit(make_run: MakeRun, name: str) -> None:
    runs = [make_run(model={"name": name, "width": 16, "dropout": 0.2}) for _ in range(3)]
    runs[2] = make_run(model={"name": name, "width": 16, "dropout": 0.2}, train={"seed": 1})
    for run in runs:
        assert main(str(run.path)) == 0
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


@pytest.mark.slow
def test_a_training_killed_again_and_again_ends_as_if_it_had_not_been(make_run: MakeRun) -> None:
    settings = {"epochs": 30, "patience": 30, "checkpoint_seconds": 0.05}
    whole, killed = make_run(train=settings), make_run(train=settings)
    assert main(str(whole.path)) == 0
    command = [sys.executable, "-m", "headway.train.main", str(killed.path)]
    for attempt in range(3):
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        events_before = len(list(killed.events()))
        while (
            len(list(killed.events())) < events_before + 4 + attempt
            and child.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
    subprocess.run(command, check=True, timeout=120)
    assert same(whole, killed)
    counts = Counter((name, event.step) for event in killed.events() for name in event.metrics)
    assert set(counts.values()) == {1}, "a metric was told twice"
    assert counts.keys() == {(name, event.step) for event in whole.events() for name in event.metrics}
    assert [e.n for e in killed.events()] == list(range(1, 1 + len(list(killed.events()))))


def test_early_stopping_keeps_the_weights_of_the_best_epoch(make_run: MakeRun) -> None:
    run = make_run(train={"epochs": 200, "patience": 3, "learning_rate": 0.05})
    assert main(str(run.path)) == 0
    result = run.result
    assert result is not None
    losses = {e.metrics["epoch"]: e.metrics["validation/loss"] for e in run.events() if "validation/loss" in e.metrics}
    best = min(losses, key=lambda epoch: losses[epoch])
    assert result.best_epoch == best
    assert result.epochs == best + 3
    target = np.load(run.path.parents[2] / "store" / "validation" / "target.npy")
    assert log_loss(target, np.load(run.predictions("validation"))[:, 1].astype(float)) == pytest.approx(
        losses[best], abs=1e-6
    )


def test_a_damaged_checkpoint_falls_back_to_the_one_before(make_run: MakeRun) -> None:
    folder = make_run().checkpoints
    for step in (1, 2, 3):
        save_checkpoint(folder, step, {"x": torch.full((3,), float(step))}, {"step": step})
    newest = sorted(folder.glob("*.safetensors"))
    assert len(newest) == 2, "only the two newest are kept"
    newest[-1].write_bytes(newest[-1].read_bytes()[:-1] + b"!")
    checkpoint = load_newest(folder)
    assert checkpoint is not None
    assert checkpoint[1] == {"step": 2}
    assert torch.equal(checkpoint[0]["x"], torch.full((3,), 2.0))


def test_a_loss_that_becomes_infinite_is_one_clear_line(make_run: MakeRun) -> None:
    run = make_run(train={"optimizer": "sgd", "learning_rate": 1000.0, "momentum": 0.99})
    with pytest.raises(TrainingError, match=r"loss must stay finite, but .* lower train.learning_rate"):
        launch(run, lambda events: None)


def test_a_batch_larger_than_the_data_is_refused(make_run: MakeRun) -> None:
    with pytest.raises(ConfigError, match="at most the 600 training rows, but is 601"):
        launch(make_run(train={"batch_size": 601}), lambda events: None)


def test_a_run_directory_has_one_process_at_a_time(make_run: MakeRun) -> None:
    run = make_run()
    with locks.hold(run.path / ".lock"), pytest.raises(TrainingError, match="another one is at work"):
        launch(run, lambda events: None)


def _at_work(log: Path) -> int:
    """The process that writes this log: the first of its session."""
    identity = log.stat()
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            output = Path(f"/proc/{one.pid}/fd/1").stat()
            if os.path.samestat(output, identity) and os.getsid(one.pid) == one.pid:
                return one.pid
    raise AssertionError(f"no process writes {log}")


def test_a_child_that_dies_is_reported_with_its_signal(make_run: MakeRun) -> None:
    run = make_run(train={"epochs": 100_000, "patience": 100_000})

    def kill(events: Sequence[Event]) -> None:
        if any(event.kind == "progress" for event in events):
            os.kill(_at_work(run.path / "training.log"), signal.SIGKILL)

    with pytest.raises(TrainingError, match="ended by SIGKILL"):
        launch(run, kill)


def test_the_training_core_imports_no_orchestrator_and_no_tracker() -> None:
    code = "import headway.train.main, headway.train.network, sys; print(set(sys.modules) & {'prefect', 'mlflow', 'great_expectations'})"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "set()"
