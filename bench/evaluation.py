"""The evaluation of 1 and 10 million generated predictions: `make bench NAME=evaluation`. One to two minutes on two cores.

Of two classes: a model, three baselines and a slice, all metrics with their intervals, and the difference from the best baseline, each
size in a fresh process. Seconds are those of the whole evaluation, without making the predictions up; the peak is the process's, with
the predictions in it. There is no second side: every ratio is measured over allowed.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time

import numpy as np

from bench.samples import Samples, options
from bench.side_by_side import Ratio, summarise, tell

ALLOWED = {1_000_000: (15.0, 1.5e9), 10_000_000: (60.0, 6e9)}
"""By rows: seconds, and bytes of memory at the peak."""

RUNS = 3


def main() -> None:
    """Run what is not there yet and keep the ratios."""
    settings = options()
    samples, deadline = Samples("evaluation", fresh=settings.fresh), settings.deadline()
    for rows in ALLOWED:
        while len(samples.of(f"{rows} seconds")) < RUNS and time.monotonic() < deadline:
            words = [sys.executable, "-m", "bench.evaluation", "--rows", str(rows)]
            seconds, peak = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(f"{rows:,} rows: {seconds:.1f} s, {peak / 1e9:.2f} GB")
            samples.add(f"{rows} bytes", peak)
            samples.add(f"{rows} seconds", seconds)
    tell("evaluation", _judged(samples))


def _judged(samples: Samples) -> dict[str, Ratio]:
    ratios: dict[str, Ratio] = {}
    for rows, (seconds, memory) in ALLOWED.items():
        times, peaks = samples.of(f"{rows} seconds"), samples.of(f"{rows} bytes")
        if times:
            label = f"{rows:,} rows within {seconds:g} s"
            ratios[label] = summarise([math.log(one / seconds) for one in times], 1.0)
            worst = max(peaks) / memory
            ratios[f"{rows:,} rows: memory within {memory / 1e9:g} GB"] = Ratio(worst, worst, worst, goal=1.0)
    return ratios


def evaluated(rows: int) -> tuple[float, float]:
    """Seconds of evaluating so many generated predictions, and the process's peak memory in bytes."""
    from headway.evaluate.config import GateConfig
    from headway.evaluate.evaluation import evaluate
    from headway.evaluate.resample import Units

    rng = np.random.default_rng(0)
    target = (rng.random(rows, np.float32) < 0.2).astype(np.int64)
    names = ("model", "trivial", "linear", "boosting")
    predictions = {
        name: _predictions(rng, target, 0.0 if name == "trivial" else 1.0 + 0.01 * i) for i, name in enumerate(names)
    }
    slices = {"region": rng.integers(0, 4, rows).astype(np.int8)}
    start = time.perf_counter()
    evaluate(
        "classification",
        GateConfig(),
        ("no", "yes"),
        target,
        predictions,
        units=Units("row", rows),
        seconds={},
        slice_values=slices,
        reference=None,
        model_name="model",
        resamples=1000,
    )
    return time.perf_counter() - start, 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _predictions(rng: np.random.Generator, target: np.ndarray, apart: float) -> np.ndarray:
    """(N, 2) float32 probabilities, the classes' log-odds so far apart; one probability for all where that is nothing."""
    log_odds = rng.standard_normal(len(target), np.float32) + np.float32(apart) * (target - 0.5).astype(np.float32)
    event = 1 / (1 + np.exp(1.4 - log_odds)) if apart else np.full(len(target), 0.2, np.float32)
    return np.stack([1 - event, event], 1).astype(np.float32)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rows"]:
        print(json.dumps(evaluated(int(sys.argv[2]))))
    else:
        main()
