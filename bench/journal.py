"""What the journal costs a step, and an MLflow server that is away for half of a run: `make bench NAME=journal`. Two minutes.

Both loops go over the same batches with a step that computes nothing. The first ratio is the CPU microseconds a step that journal, meter,
progress and checkpoints add, in all threads of the process, over the 20 that are allowed: CPU time, because on a busy machine the other
processes' shares are larger than this cost. A checkpoint comes every 2,000 steps, which is every second for steps of 0.5 ms. The second is
the metrics that were missing or doubled in MLflow at the end: none are allowed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

from bench.loop import CPU, Rows
from bench.side_by_side import Machine, Ratio, tell
from headway import tracking
from headway.data.batches import Batch
from headway.machine.processes import free_port
from headway.run.directory import RunDirectory
from headway.train.follow import Follower
from headway.train.loop import Training
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.step import Step

ALLOWED_MICROSECONDS = 20.0
STEPS = 4000
"""A training saves before its first step and after its last: two checkpoints."""

EPOCHS = 4
PAIRS = 20
SERVER_SECONDS = 600
"""What a server may take to start: beside many other processes it takes minutes."""


def main() -> None:
    """Measure and keep the ratios."""
    machine = Machine()
    _followed(), _bare()
    costs = np.array([_pair(number) for number in range(PAIRS)]) * 1e6 / ALLOWED_MICROSECONDS
    middle, low, high = (float(value) for value in np.quantile(_means(costs), (0.5, 0.025, 0.975)))
    others = machine.others()
    ratios = {
        "20 microseconds a step for journal, meter and checkpoints": Ratio(middle, low, high, goal=1.0, samples=PAIRS),
        "metrics missing or doubled": _away(),
    }
    tell("journal", ratios, others=others)


def _means(costs: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return costs[rng.integers(0, len(costs), (10_000, len(costs)))].mean(1)


def _pair(number: int) -> float:
    """CPU seconds that following adds to a step; of two pairs, each loop comes first in one."""
    if number % 2:
        bare = _bare()
        return _followed() - bare
    return _followed() - _bare()


class Nothing(Step):
    """A step that computes nothing: what the loop takes is its own."""

    def __call__(self, batch: Batch) -> None:
        self.loss_steps += 1


def _training() -> Training:
    rows = Rows(16, 64, 128 * STEPS // EPOCHS)
    recipe = Recipe(batch_size=128, epochs=EPOCHS, precision="fp32", checkpoint_seconds=1e6)
    training = make_training(rows, recipe, Arithmetic("fp32", CPU, ""))
    step = training.step
    training.step = Nothing(step.network, step.optimizers, step.loss, step.arithmetic, recipe, 128)
    return training


def _followed() -> float:
    """CPU seconds a step as in a run."""
    with tempfile.TemporaryDirectory() as folder:
        follower = Follower(RunDirectory.create(Path(folder), "bench", {}), _training(), {})
        start = time.process_time()
        follower.follow()
        return (time.process_time() - start) / STEPS


def _bare() -> float:
    """CPU seconds a step of the same batches, without a journal."""
    training = _training()
    start = time.process_time()
    for epoch in range(EPOCHS):
        for batch in training.batches.epoch(epoch):
            training.step(batch)
    return (time.process_time() - start) / STEPS


def _away() -> Ratio:
    """Tell metrics to a real server that is stopped in the middle and comes back at the end."""
    with tempfile.TemporaryDirectory() as folder:
        root, port = Path(folder), free_port()
        (root / "conf").mkdir()
        run = RunDirectory.create(root, "bench", {"project": {"name": "bench", "task": "x", "model": {"name": "mlp"}}})
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
        server = _serve(root, port)
        try:
            tracking.begin(run, root, {}, "bench", "")
            journal, forwarder = run.journal(), tracking.Forwarder(run)
            for step in range(1, 2001):
                journal.write("metric", step=step, values={"train/loss": 1.0 / step})
                if step % 100 == 0:
                    journal.flush()
                    forwarder.poll()
                if step == 500:
                    server.terminate()
                    server.wait(60)
            journal.close()
            server = _serve(root, port)
            run_id = tracking.sync(run, root)
            history = _history(run_id, port)
        finally:
            server.terminate()
            server.wait(60)
            del os.environ["MLFLOW_TRACKING_URI"]
    wrong = sum(abs(history[step] - 1) for step in range(1, 2001)) + sum(
        n for step, n in history.items() if not 1 <= step <= 2000
    )
    return Ratio(float(wrong), float(wrong), float(wrong), goal=0.0)


def _serve(root: Path, port: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--artifacts-destination", str(root / "artifacts")]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root)
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return child
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"the MLflow server did not answer within {SERVER_SECONDS} s")


def _history(run_id: str, port: int) -> Counter[int]:
    from mlflow import MlflowClient

    history = MlflowClient(f"http://127.0.0.1:{port}").get_metric_history(run_id, "train/loss")
    return Counter(metric.step for metric in history)


if __name__ == "__main__":
    main()
