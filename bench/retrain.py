"""Whole retrainings against what they must reach: `make bench NAME=retrain`. About ten minutes on two cores.

Every ratio is measured over allowed, so below 1 is good: seconds over the seconds allowed, and for quality the error (1 - accuracy,
1 - AUC) over the error allowed, with the interval that the run reports. Overhead is everything but training and evaluation.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from bench.side_by_side import Ratio, summarise, write
from headway.processes import free_port

RUNS = 3
ROOT = Path(__file__).parents[1]
HEADWAY = [sys.executable, "-m", "headway.cli"]


def main() -> None:
    """Run everything in a new project folder and keep the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(ROOT / "conf", root / "conf")
        ratios = _help(root)
        for model, accuracy, auc, seconds in (("boosting", 0.870, 0.926, 45), ("tabm", 0.865, 0.918, 120)):
            told = [_run(root, "adult", f"model={model}") for _ in range(RUNS if model == "boosting" else 1)]
            ratios |= _quality(f"adult, {model}", told[-1][1], {"accuracy": accuracy, "auc": auc})
            ratios[f"adult, {model}: all stages within {seconds} s"] = _times(
                [sum(t["stages"].values()) for _, t in told], seconds
            )
            if model == "boosting":
                ratios["adult: overhead within 30 s, no server"] = _times([_overhead(*t) for t in told], 30)
        ratios |= _with_servers(root)
        ratios |= _california(root)
    print(write("retrain", ratios))


def _run(root: Path, project: str, *settings: str) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole command, and what its last line says."""
    words = [*HEADWAY, "run", project, "--force", "--json"]
    for setting in settings:
        words += ["--set", setting]
    begun = time.perf_counter()
    done = subprocess.run(words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    seconds = time.perf_counter() - begun
    print(f"{project} {' '.join(settings)}: {seconds:.1f} s, {told['stages']}")
    return seconds, told


def _overhead(seconds: float, told: dict[str, Any]) -> float:
    return seconds - told["stages"]["train"] - told["stages"]["evaluate"]


def _times(seconds: list[float], allowed: float) -> Ratio:
    return summarise(np.log(np.asarray(seconds) / allowed), goal=1.0)


def _quality(label: str, told: dict[str, Any], least: dict[str, float]) -> dict[str, Ratio]:
    """The goal is asked of the value itself, as it was stated; the interval tells how sure it is."""
    found = {}
    for name, allowed in least.items():
        metric = told["metrics"][name]
        value, low, high = ((1 - metric[key]) / (1 - allowed) for key in ("value", "high", "low"))
        found[f"{label}: {name} at least {allowed}"] = Ratio(value, low, high, goal=1.0)
    return found


def _help(root: Path) -> dict[str, Ratio]:
    seconds = []
    for _ in range(10):
        begun = time.perf_counter()
        subprocess.run([*HEADWAY, "--help"], cwd=root, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - begun)
    return {"headway --help within 0.5 s": _times(seconds, 0.5)}


def _with_servers(root: Path) -> dict[str, Ratio]:
    """The overhead when `headway up` runs."""
    ports = [str(free_port()), str(free_port())]
    words = [*HEADWAY, "up", "--prefect-port", ports[0], "--mlflow-port", ports[1]]
    up = subprocess.Popen(words, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(root / ".prefect" / "up.json")
        told = [_run(root, "adult", "model=boosting") for _ in range(RUNS)]
    finally:
        up.terminate()
        up.wait(60)
    return {"adult: overhead within 15 s, servers up": _times([_overhead(*t) for t in told], 15)}


def _await(state: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if state.exists():
            address = json.loads(state.read_text())["prefect"]
            with urllib.request.urlopen(f"{address}/api/health", timeout=10):
                return
        time.sleep(0.5)
    raise TimeoutError("headway up did not answer within 180 s")


def _california(root: Path) -> dict[str, Ratio]:
    """TabM's RMSE over boosting's, allowed 3 % more."""
    found = {m: _run(root, "california-housing", f"model={m}")[1]["metrics"]["rmse"] for m in ("boosting", "tabm")}
    allowed = 1.03 * found["boosting"]["value"]
    value, low, high = (found["tabm"][key] / allowed for key in ("value", "low", "high"))
    return {"california-housing: RMSE of tabm at most 3 % above boosting's": Ratio(value, low, high, goal=1.0)}


if __name__ == "__main__":
    main()
