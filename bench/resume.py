"""A training killed two hundred times: `make bench NAME=resume`. About ten minutes on two cores; `--minutes 3` kills a part
of the times. The two runs stay in data/bench/resume.

Processes that have torch loaded already are forked, killed with SIGKILL at random moments, and forked again until the run is done. Counted,
and allowed none: weights that differ from those of a run that was left alone, metrics missing or sent twice, kills that lost more than one
checkpoint interval.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from bench.samples import FOLDER, Samples, options
from bench.side_by_side import Ratio, tell
from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from headway.tasks import Target
from headway.train import main as training_process
from headway.train import network, table  # noqa: F401 - loaded before the first fork

KILLS = 200
INTERVAL_SECONDS = 0.2
ROWS = {"train": 20_000, "validation": 1_000, "test": 1_000}


def main() -> None:
    """Run once whole, once killed again and again, and compare."""
    torch.set_num_threads(1)  # a forked process cannot use the threads of its parent
    settings = options()
    root = FOLDER / "resume"
    samples = Samples("resume", fresh=settings.fresh)
    if not samples.of("kill lost too much"):  # begun with other code, or not at all
        shutil.rmtree(root, ignore_errors=True)
    runs = sorted((RunDirectory(path) for path in (root / "data" / "runs").glob("bench-*")), key=lambda run: run.path)
    if not runs:
        store = _store(root)
        runs = [_run(root, store), _run(root, store)]
    whole, killed = runs
    if whole.result is None and _fork(whole, None) != 0:
        raise SystemExit("the run that is not killed must end well")
    if not _kill(killed, samples, settings.deadline()):
        print(f"{len(samples.of('kill lost too much'))} of {KILLS} kills; run it again to go on")
        return
    late = int(sum(samples.of("kill lost too much")))
    _judge(whole, killed, len(samples.of("kill lost too much")), late)


def _judge(whole: RunDirectory, killed: RunDirectory, kills: int, late: int) -> None:
    """Compare the weights and the metrics of the two runs, and keep what differs."""
    weights = [load_file(run.bundle / "weights.safetensors") for run in (whole, killed)]
    differing = sum(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    losses = [
        Counter((e.step, name, v) for e in run.events() for name, v in e.metrics.items() if "/loss" in name)
        for run in (whole, killed)
    ]
    wrong = sum(((losses[0] - losses[1]) + (losses[1] - losses[0])).values())
    print(f"{kills} kills, {differing} weights differ, {wrong} metrics missing or doubled, {late} intervals exceeded")
    ratios = {
        f"weights that differ after {kills} kills": Ratio(float(differing), float(differing), float(differing), 0.0),
        "metrics missing or doubled": Ratio(float(wrong), float(wrong), float(wrong), 0.0),
        "kills that lost more than a checkpoint interval": Ratio(float(late), float(late), float(late), 0.0),
    }
    tell("resume", ratios)


def _store(root: Path) -> Path:
    """A small table whose classes can be told apart."""
    store, rng = root / "store", np.random.default_rng(0)
    for split, rows in ROWS.items():
        (store / split).mkdir(parents=True)
        x = rng.normal(size=(rows, 16)).astype(np.float32)
        np.save(store / split / "numeric.npy", x)
        np.save(store / split / "categorical.npy", np.zeros((rows, 0), np.int32))
        np.save(store / split / "target.npy", (x[:, 0] * x[:, 1] + rng.normal(size=rows) > 0).astype(np.int64))
    numbers = tuple(Number(f"x{i}", "numeric", 0.0, 0.0, 1.0) for i in range(16))
    write_json(store / "preparation.json", Preparation(numbers, Target("t", "classification", ("no", "yes"))).to_json())
    write_json(store / "store.json", {"rows": ROWS})
    return store


def _run(root: Path, store: Path) -> RunDirectory:
    train = {
        "epochs": 120,
        "patience": 120,
        "batch_size": 64,
        "threads": 1,
        "checkpoint_seconds": INTERVAL_SECONDS,
        "ema": 0.99,
    }
    model = {"name": "mlp", "width": 32, "depth": 2, "dropout": 0.1}
    run = RunDirectory.create(
        root, "bench", {"project": {"name": "bench", "model": model, "train": {**train, "schedule": "cosine"}}}
    )
    write_json(run.path / "store.json", {"path": str(store)})
    return run


def _fork(run: RunDirectory, seconds: float | None) -> int | None:
    """Train in a forked process; killed after ``seconds``, then None; otherwise its exit code."""
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        os._exit(training_process.main(str(run.path)))
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)


def _kill(run: RunDirectory, samples: Samples, deadline: float) -> bool:
    """Kill at random moments until KILLS are done, then let it end. Returns whether it has ended before the deadline."""
    label = "kill lost too much"
    while len(samples.of(label)) < KILLS and run.result is None:
        if time.monotonic() >= deadline:
            return False
        chance = random.Random(len(samples.of(label)))
        if _fork(run, chance.uniform(0.05, 1.2)) is None:
            samples.add(label, _lost(run) > 2 * INTERVAL_SECONDS)  # an interval, and the one that was being written
    if run.result is None and _fork(run, None) != 0:
        raise SystemExit("the killed run must end well")
    return True


def _lost(run: RunDirectory) -> float:
    """Seconds of training between the newest checkpoint and the last event told."""
    events = list(run.events())
    saved = [e.time for e in events if e.kind == "checkpoint"]
    starts = [e.time for e in events if e.kind == "stage"]
    last = max([*saved, *starts], default=None)
    return 0.0 if last is None or not events else events[-1].time - last


if __name__ == "__main__":
    main()
