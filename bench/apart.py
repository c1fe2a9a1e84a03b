"""The sides of a comparison in processes of their own, so that the memory of each can be told. Imports are outside the clock."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.samples import ROOT, Options, Samples, options
from bench.side_by_side import OTHERS, Comparison, measure, summarise, tell

ROWS = 10_000_000


def of_so_many_rows(name: str, words: Sequence[str]) -> tuple[int, Options, Samples]:
    """What the command line asks for: rows, if the first word is a number, and their samples, which have a name of their own then."""
    rows, words = (int(words[0]), words[1:]) if words and words[0].isdigit() else (ROWS, words)
    settings = options(words)
    return rows, settings, Samples(name if rows == ROWS else f"{name}-{rows}", fresh=settings.fresh)


def compare(
    samples: Samples,
    comparisons: Sequence[Comparison],
    settings: Options,
    check: Callable[[], None],
    sides: Iterable[str],
    memory_bytes: float,
) -> None:
    """Take turns, ``check`` that the sides answered alike, and judge the times, and the memory of the side called ours."""
    if not measure(samples, comparisons, settings):
        print("more is to be measured; run it again to go on")
    check()
    ratios = {one.label: summarise(samples.of(one.label), one.goal) for one in comparisons if samples.of(one.label)}
    most = peaks(samples, sides)
    if "ours" in most:
        label = f"memory within {memory_bytes / 1e9:g} GB"
        ratios[label] = summarise(np.log([most["ours"] / memory_bytes]), 1.0)
    itself = {"": ratios["A/A"]} if "A/A" in ratios else {}
    tell(samples.path.stem, ratios, itself, max(samples.of(OTHERS), default=None))


def apart(
    module: str, side: str, words: Iterable[str | Path], samples: Samples, answers: dict[str, Any]
) -> Callable[[], float]:
    """The work of one side. It returns its seconds, keeps its memory and CPU seconds, and leaves what it answered."""

    def work() -> float:
        command = [sys.executable, "-m", module, side, *map(str, words)]
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if process.returncode:
            raise SystemExit(process.stderr)
        values = json.loads(process.stdout.splitlines()[-1])
        samples.add(f"{side}: peak", values["peak"])
        samples.add(f"{side}: cpu", values["cpu"])
        answers[side] = values["answers"]
        return float(values["seconds"])

    return work


def measured(work: Callable[[], Any]) -> None:
    """In that process: do the work, and print what it took and what it answered."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = work()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": after.ru_maxrss * 1024, "answers": answers}))


def peaks(samples: Samples, sides: Iterable[str]) -> Mapping[str, float]:
    """The most bytes that each side had in memory; printed, too, with its CPU seconds."""
    most = {side: max(samples.of(f"{side}: peak")) for side in sides if samples.of(f"{side}: peak")}
    for side, peak in most.items():
        print(f"{side}: at most {peak / 1e9:.2f} GB, {float(np.median(samples.of(f'{side}: cpu'))):.1f} s of a core")
    return most
