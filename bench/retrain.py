"""Whole retrainings against what they must reach: `make bench NAME=retrain`. About ten minutes on two cores; `--minutes 3` takes a part.

There is no second side here, so nothing has to have equal threads; all runs are whole commands, with whatever they start and compile. The
project's folder stays in data/bench/retrain, so that a second part goes on beside the runs of the first. Every ratio is measured over
allowed, so below 1 is good: seconds over the seconds allowed, and for quality the error (1 - accuracy, 1 - AUC) over the error allowed,
with the interval that the run reports. Overhead is everything but training and evaluation.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.samples import FOLDER, ROOT, Samples, options
from bench.side_by_side import Ratio, summarise, tell
from headway.machine.processes import free_port

RUNS = 3
LIMITS = (("boosting", 0.870, 0.926, 45), ("tabm", 0.865, 0.918, 120))
"""Of Adult: the model, accuracy and AUC at least, seconds of all stages at most."""
HEADWAY = [sys.executable, "-m", "headway.cli"]


def main() -> None:
    """Run what is not there yet and keep the ratios."""
    settings = options()
    samples, deadline = Samples("retrain", fresh=settings.fresh), settings.deadline()
    root = FOLDER / "retrain"
    if settings.fresh:
        shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / "conf", root / "conf", dirs_exist_ok=True)
    for label, count, work in _parts(root, samples):
        while len(samples.of(label)) < count and time.monotonic() < deadline:
            work()
    tell("retrain", _judged(samples))


def _parts(root: Path, samples: Samples) -> list[tuple[str, int, Callable[[], None]]]:
    """A label, how many samples of it are wanted, and what takes one."""
    return [
        ("headway --help", 10, lambda: _help(root, samples)),
        ("adult, boosting", RUNS, lambda: _adult(root, samples, "boosting")),
        ("adult, tabm", 1, lambda: _adult(root, samples, "tabm")),
        ("california, boosting", 1, lambda: _california(root, samples, "boosting")),
        ("california, tabm", 1, lambda: _california(root, samples, "tabm")),
        ("overhead, servers up", RUNS, lambda: _with_servers(root, samples)),
    ]


def _judged(samples: Samples) -> dict[str, Ratio]:
    """The ratios of what was measured so far."""
    ratios: dict[str, Ratio] = {}

    def within(label: str, seconds: tuple[float, ...], allowed: float) -> None:
        if seconds:
            ratios[label] = summarise([math.log(one / allowed) for one in seconds], 1.0)

    within("headway --help within 0.5 s", samples.of("headway --help"), 0.5)
    for model, accuracy, auc, seconds in LIMITS:
        case = f"adult, {model}"
        within(f"{case}: all stages within {seconds} s", samples.of(case), seconds)
        for metric, least in (("accuracy", accuracy), ("auc", auc)):
            if samples.of(case):
                value, low, high = ((1 - _last(samples, case, metric, key)) / (1 - least) for key in _INVERTED)
                ratios[f"{case}: {metric} at least {least}"] = Ratio(value, low, high, goal=1.0)
    within("adult: overhead within 30 s, no server", samples.of("adult, boosting: overhead"), 30)
    within("adult: overhead within 15 s, servers up", samples.of("overhead, servers up"), 15)
    if samples.of("california, tabm"):
        allowed = 1.03 * _last(samples, "california, boosting", "rmse", "value")
        value, low, high = (_last(samples, "california, tabm", "rmse", key) / allowed for key in _KEYS)
        label = "california-housing: RMSE of tabm at most 3 % above boosting's"
        ratios[label] = Ratio(value, low, high, goal=1.0)
    return ratios


_KEYS = ("value", "low", "high")
_INVERTED = ("value", "high", "low")
"""An error is low where the share of right answers is high."""


def _last(samples: Samples, case: str, metric: str, key: str) -> float:
    return samples.of(f"{case}: {metric}: {key}")[-1]


def _keep_metrics(samples: Samples, case: str, answer: dict[str, Any], *names: str) -> None:
    for name in names:
        for key in _KEYS:
            samples.add(f"{case}: {name}: {key}", answer["metrics"][name][key])


def _adult(root: Path, samples: Samples, model: str) -> None:
    seconds, answer = _run(root, "adult", f"model={model}")
    _keep_metrics(samples, f"adult, {model}", answer, "accuracy", "auc")
    samples.add(f"adult, {model}: overhead", _overhead(seconds, answer))
    samples.add(f"adult, {model}", sum(answer["stages"].values()))


def _california(root: Path, samples: Samples, model: str) -> None:
    seconds, answer = _run(root, "california-housing", f"model={model}")
    _keep_metrics(samples, f"california, {model}", answer, "rmse")
    samples.add(f"california, {model}", seconds)


def _run(root: Path, project: str, *settings: str) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole command, and what its last line says."""
    words = [*HEADWAY, "run", project, "--force", "--json"]
    words += [word for setting in settings for word in ("--set", setting)]
    start = time.perf_counter()
    outcome = subprocess.run(words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    report = json.loads(outcome.stdout.splitlines()[-1])
    seconds = time.perf_counter() - start
    print(f"{project} {' '.join(settings)}: {seconds:.1f} s, {report['stages']}")
    return seconds, report


def _overhead(seconds: float, report: dict[str, Any]) -> float:
    return seconds - report["stages"]["train"] - report["stages"]["evaluate"]


def _help(root: Path, samples: Samples) -> None:
    start = time.perf_counter()
    subprocess.run([*HEADWAY, "--help"], cwd=root, stdout=subprocess.DEVNULL, check=True)
    samples.add("headway --help", time.perf_counter() - start)


def _with_servers(root: Path, samples: Samples) -> None:
    """The overhead of one run while `headway up` runs."""
    ports = [str(free_port()), str(free_port())]
    words = [*HEADWAY, "up", "--prefect-port", ports[0], "--mlflow-port", ports[1]]
    up = subprocess.Popen(words, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(root / ".prefect" / "up.json")
        while len(samples.of("overhead, servers up")) < RUNS:
            samples.add("overhead, servers up", _overhead(*_run(root, "adult", "model=boosting")))
    finally:
        up.terminate()
        up.wait(60)


def _await(state: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if state.exists():
            address = json.loads(state.read_text())["prefect"]
            with urllib.request.urlopen(f"{address}/api/health", timeout=10):
                return
        time.sleep(0.5)
    raise TimeoutError("headway up did not answer within 180 s")


if __name__ == "__main__":
    main()
