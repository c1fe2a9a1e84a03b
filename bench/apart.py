"""The sides of a comparison in processes of their own, so that the memory of each can be told. Imports are outside the clock."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.samples import ROOT, Samples


def apart(
    module: str, side: str, words: Iterable[str | Path], samples: Samples, answers: dict[str, Any]
) -> Callable[[], float]:
    """The work of one side. It returns its seconds, keeps its memory and CPU seconds, and leaves what it answered."""

    def work() -> float:
        command = [sys.executable, "-m", module, side, *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        values = json.loads(done.stdout.splitlines()[-1])
        samples.add(f"{side}: peak", values["peak"])
        samples.add(f"{side}: cpu", values["cpu"])
        answers[side] = values["answers"]
        return float(values["seconds"])

    return work


def measured(work: Callable[[], Any]) -> None:
    """In that process: do the work, and print what it took and what it answered."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = work()
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": after.ru_maxrss * 1024, "answers": answers}))


def peaks(samples: Samples, sides: Iterable[str]) -> Mapping[str, float]:
    """The most bytes that each side had in memory; printed, too, with its CPU seconds."""
    most = {side: max(samples.of(f"{side}: peak")) for side in sides if samples.of(f"{side}: peak")}
    for side, peak in most.items():
        print(f"{side}: at most {peak / 1e9:.2f} GB, {float(np.median(samples.of(f'{side}: cpu'))):.1f} s of a core")
    return most
