"""A training's own choice of threads against the best fixed number, alone and beside busy processes: `make bench NAME=threads`.

A network, boosting, and an evaluation's boosting baseline, each in a process of its own, as a run starts it. The fixed numbers are one
thread and one a core, alone also with the libraries' own long spin; the best of them over all rounds is the anchor. Four busy processes
are loops of Python, each in a session of its own, as another user's would be. Measured are the seconds of a step over five seconds of
training, in which the number is chosen, and those of a whole fit for the baseline.

A round takes about three minutes: `make bench NAME=threads ARGS="--minutes 3"` prints the ratios so far, and the next run goes on.
Ratios are kept once there are two rounds. All that it starts ends with it, even when it is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.samples import Options, Samples, options
from bench.side_by_side import OTHERS, Machine, Ratio, summarise, tell
from headway.machine.cores import allowed_cores, spin_briefly
from headway.machine.processes import die_with_parent, interrupt_on
from headway.tasks import target_task

GOAL = 1.3
ROUNDS = 3
SECONDS = 5.0
BUSY = 4
CASES = (("network", BUSY), ("boosting", BUSY), ("network", 0), ("boosting", 0), ("baseline", BUSY), ("baseline", 0))
LONGEST = 30.0
"""Seconds after which a baseline's fit with a fixed number is stopped and counted with so many: it is not the best one."""

AUTO, ONE, ALL, LONG = "auto", "1 thread", "1 a core", "1 a core, long spin"


def main() -> None:
    """Measure in turns, as long as there is time, and keep the ratios."""
    interrupt_on(signal.SIGTERM, signal.SIGINT)
    settings = options()
    samples, watched = Samples("threads", fresh=settings.fresh), Machine()
    try:
        _measure(samples, settings)
    finally:
        samples.add(OTHERS, watched.others())
    ratios: dict[str, Ratio] = {}
    for case, busy in CASES:
        label = _label(case, busy)
        times = {way: np.log(samples.of(f"{label}: {way}")) for way in (AUTO, *_fixed(busy))}
        rounds = min(len(values) for values in times.values())
        if rounds < ROUNDS:
            print(f"{label}: {rounds} of {ROUNDS} rounds; run it again to go on")
        if not rounds:
            continue
        means = {way: float(values[:rounds].mean()) for way, values in times.items()}
        print(f"{label}: " + ", ".join(f"{way} {1000 * np.exp(mean):.3g} ms" for way, mean in means.items()))
        best = min(_fixed(busy), key=lambda way: means[way])
        ratio = summarise(times[AUTO][:rounds] - times[best][:rounds], GOAL)
        if rounds > 1:
            ratios[f"{label}: against {best}"] = ratio
        else:
            print(f"{label}: against {best}: {ratio.ratio:.3f} in one round, goal {GOAL:g}")
    if ratios:
        tell("threads", ratios, others=max(samples.of(OTHERS)))


def _label(case: str, busy: int) -> str:
    return f"{case} beside {busy} busy processes" if busy else f"{case} alone"


def _measure(samples: Samples, settings: Options) -> None:
    deadline = settings.deadline()
    for number in range(ROUNDS):
        for case, busy in CASES:
            ways = (AUTO, *_fixed(busy))
            for way in ways if number % 2 == 0 else reversed(ways):
                label = f"{_label(case, busy)}: {way}"
                if len(samples.of(label)) > number:
                    continue
                if time.monotonic() >= deadline:
                    return
                samples.add(label, _child(case, way, busy))


def _fixed(busy: int) -> tuple[str, ...]:
    """Beside busy processes the long spin is known to be the worst by far."""
    return (ONE, ALL) if busy else (ONE, ALL, LONG)


BUSY_LOOP = """
import signal, sys
from headway.machine.processes import die_with_parent
die_with_parent(int(sys.argv[1]), signal.SIGKILL)
print(flush=True)
while True: pass
"""


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that compute without end while the block runs. They die with this process, but it ends."""
    words = [sys.executable, "-c", BUSY_LOOP, str(os.getpid())]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE)
            stack.callback(_end, process)
            assert process.stdout is not None
            process.stdout.readline()  # it is bound to this process and about to compute
        yield


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _child(case: str, way: str, busy: int) -> float:
    """Seconds a step in a fresh process, which starts the busy ones once its libraries are loaded."""
    environment = dict(os.environ)
    if way != LONG:
        spin_briefly(environment)
    words = [sys.executable, "-m", "bench.threads", case, way, str(busy), str(os.getpid())]
    limit = LONGEST if case == "baseline" and way != AUTO else None
    try:
        outcome = subprocess.run(
            words, env=environment, start_new_session=True, stdout=subprocess.PIPE, check=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return LONGEST
    return float(outcome.stdout)


def network(way: str, busy: int) -> float:
    """A default MLP on batches of 4,096 rows, followed as in a run."""
    import torch

    from bench.loop import CPU, Rows
    from headway.files.atomic import write_json
    from headway.run.directory import RunDirectory
    from headway.train.follow import Follower
    from headway.train.memory import keep_memory
    from headway.train.network import make_training
    from headway.train.precision import Arithmetic
    from headway.train.recipe import Recipe
    from headway.train.threads import KeptThreads
    from headway.train.tune import threads_of

    class Over(Exception):
        """The time is."""

    keep_memory()
    recipe = Recipe(batch_size=4096, epochs=10_000, patience=10_000, precision="fp32")
    rows, arithmetic = Rows(32, 256, 4096 * 20), Arithmetic("fp32", CPU, "")
    stack = contextlib.ExitStack()
    stack.enter_context(busy_processes(busy))
    count = threads_of(recipe, rows, arithmetic).count if way == AUTO else _number(way)
    torch.set_num_threads(count)
    training = make_training(rows, recipe, arithmetic)
    start, validate = time.perf_counter(), rows.validate

    def until(*observations: object) -> float:
        if time.perf_counter() - start > SECONDS:
            raise Over
        return validate(*observations)  # pyrefly: ignore

    rows.validate = until  # pyrefly: ignore
    with stack, tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder), "bench", {})
        write_json(run.path / "tuned.json", {"threads": count})
        threads_tuned = KeptThreads(run.path / "tuned.json", count, torch.set_num_threads) if way == AUTO else None
        with contextlib.suppress(Over):
            Follower(run, training, {}, threads_tuned).follow()
    return training.meter.seconds / training.meter.steps


def boosting(way: str, busy: int) -> float:
    """LightGBM on 30,000 rows of 30 columns."""
    from headway.data.inputs import Inputs
    from headway.models.boosting import Boosting, load_lightgbm
    from headway.train.growing import GrowingThreads

    numeric, target = _rows()
    part = {"numeric": numeric, "categorical": np.zeros((len(numeric), 0), np.int32), "target": target}
    start, last, steps = 0.0, 0.0, 0
    load_lightgbm()
    stack = contextlib.ExitStack()
    stack.enter_context(busy_processes(busy))
    choice = GrowingThreads("auto" if way == AUTO else _number(way))

    class Over(Exception):
        """The time is."""

    def on_tree(tree: int, *_: float) -> int | None:
        nonlocal start, last, steps
        last, steps = time.perf_counter(), tree - 1
        start = start or last
        if last - start > SECONDS:
            raise Over
        return choice.after(tree)

    model = Boosting(trees=100_000, learning_rate=0.001)
    with stack, contextlib.suppress(Over):
        model.fit(
            Inputs(30, (), (), 2),
            part,
            part,
            task=target_task("classification"),
            seed=0,
            patience=100_000,
            threads=choice.most,
            on_tree=on_tree,
        )
    return (last - start) / steps


def baseline(way: str, busy: int) -> float:
    """scikit-learn's boosting as an evaluation fits it: seconds of a fit."""
    from headway.evaluate import baselines

    numeric, target = _rows(40_000)
    part = {"numeric": numeric, "categorical": np.zeros((len(numeric), 0), np.int32), "target": target}
    if way != AUTO:
        baselines.free_cores = lambda: float(_number(way))  # pyrefly: ignore
        if way == LONG:
            baselines.spin_briefly = lambda: None  # pyrefly: ignore
    if way != LONG:
        spin_briefly()
    import sklearn.ensemble  # noqa: F401  # loaded before the busy processes begin

    with busy_processes(busy):
        start = time.perf_counter()
        baselines.fit_baselines(["boosting"], "classification", part, part, outputs=2, cardinalities=(), seed=0)
        return time.perf_counter() - start


def _rows(count: int = 30_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(count, 30)).astype(np.float32)
    return numeric, (numeric[:, 0] + rng.normal(size=count) > 0).astype(np.int64)


def _number(way: str) -> int:
    return 1 if way == ONE else len(allowed_cores())


WORK: dict[str, Callable[[str, int], float]] = {"network": network, "boosting": boosting, "baseline": baseline}

if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] in WORK:
        die_with_parent(int(sys.argv[4]), signal.SIGKILL)
        print(WORK[sys.argv[1]](sys.argv[2], int(sys.argv[3])))
    else:
        main()
