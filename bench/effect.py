"""Whether the effect study finds what is there and nothing else: `make bench NAME=effect`. An hour or two on two cores;
`--minutes 10` makes a part of the studies, and the next run the next ones.

A hundred studies each of the baseline against itself, of a technique that sleeps 5 % of each step, and of one that removes a sleep of 10 %
that was planted in the baseline; on this machine, with its noise. A ratio is the share of studies that failed, over the share allowed:
a false verdict in at most 5 of 100, a planted effect missed in at most 5, an interval beside the truth in at most 7.

What the planted sleep really costs is more than its length: the caches meanwhile forget some of what the step needs next. A pause of 10 %
made the rest of the step 4 % slower on the machine of the committed results, whether it span or multiplied matrices. The truth for a
study's interval is therefore the ratio over the pairs of all the other studies; for A/A it is 1.

Each core has a study at a time, held to it with one thread: both processes of a pair then share what the core is like. Not held, a step's
threads wait for whichever core is slower, and on a virtual machine with busy neighbours the same certainty took five times the pairs.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.samples import FOLDER, options, origin_of
from bench.side_by_side import Ratio, tell
from headway.base import write_json
from headway.data.prepare import Number, Preparation, Target
from headway.effect.lab import Lab
from headway.effect.main import describe, setting_of
from headway.effect.notebook import Notebook
from headway.effect.study import Study
from headway.effect.technique import Technique
from headway.run import RunDirectory

STUDIES = 100
ROWS, COLUMNS = 20_000, 32
CASES = {  # name: sleep planted in the baseline, in the technique, the true verdict, the true ratio
    "A/A": (0.0, 0.0, None, 1.0),
    "sleeps 5 %": (0.0, 0.05, "hurts", 1.05),
    "removes a sleep of 10 %": (0.10, 0.0, "helps", 1 / 1.10),
}
PLAN = {"budget": 120.0, "seeds": 2, "target": None}


def main(words: list[str]) -> None:
    """Make the studies that are missing and keep the shares once all are there."""
    studies = int(words.pop(0)) if words and words[0].isdigit() else STUDIES
    chosen, folder = options(words), FOLDER / f"effect-{origin_of('effect')}"
    if chosen.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    code = "import sys; from bench.effect import work; work(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:]))"
    running = []
    for number, core in enumerate(cores):
        counts = map(str, (chosen.minutes, core, number, studies, len(cores)))
        running.append(subprocess.Popen([sys.executable, "-u", "-c", code, str(folder / f"{number}.jsonl"), *counts]))
    ended = [process.wait() for process in running]
    if any(ended):
        raise SystemExit("a part of the studies ended early")
    done = [study for path in folder.glob("*.jsonl") for study in studies_in(path)]
    if len(done) < studies * len(CASES):
        print(f"{len(done)} of {studies * len(CASES)} studies; run it again to go on")
        return
    tell("effect", judge(done))


def studies_in(path: Path) -> list[dict[str, Any]]:
    """The studies of a file; a line that was half written is none."""
    studies = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            studies.append(json.loads(line))
    return studies


def judge(found: list[dict[str, Any]]) -> dict[str, Ratio]:
    """The shares that went wrong, of studies as `work` tells them."""
    ratios: dict[str, Ratio] = {}
    for name, (_, _, verdict, planted) in CASES.items():
        of = [one for one in found if one["case"] == name]
        label = f"{name}: false verdicts" if verdict is None else f"{name}: missed"
        ratios[label] = _share(sum(one["wrong"] for one in of) / len(of), 0.05)
        truths = [planted if verdict is None else _elsewhere(of, study) for study in of]
        beside = sum(not one["ratio"][1] <= truth <= one["ratio"][2] for one, truth in zip(of, truths, strict=True))
        ratios[f"{name}: intervals beside the truth"] = _share(beside / len(of), 0.07)
        print(f"{name}: planted {planted:.3f}, over all pairs {_pooled(of):.3f}")
    return ratios


def _elsewhere(studies: list[dict[str, Any]], study: dict[str, Any]) -> float:
    """The ratio in all other studies: independent of this one, and a hundred times as certain."""
    return _pooled([one for one in studies if one is not study])


def _pooled(studies: list[dict[str, Any]]) -> float:
    """The ratio over the pairs of all studies. That they stopped by what they had seen does not matter over all pairs (Wald)."""
    pairs = sum(one["pairs"] for one in studies)
    return math.exp(sum(one["pairs"] * math.log(one["ratio"][0]) for one in studies) / pairs)


def work(path: str, minutes: float, core: int, first: int, studies: int, step: int) -> None:
    """Every ``step``-th study from ``first`` on that ``path`` lacks, held to a core; a line of JSON for each."""
    os.sched_setaffinity(0, {core})
    done = {(study["case"], study["number"]) for study in studies_in(Path(path))}
    deadline = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        run = table_run(Path(folder))
        setting = setting_of(describe(run))
        lab = Lab(run.path, window=0.015, warm_up=0.1, pair=0.6)
        lab.load()
        for number in range(first, studies, step):
            for name, (planted, slower, verdict, _) in CASES.items():
                if (name, number) in done or time.monotonic() >= deadline:
                    continue
                technique = Technique(name, "Sleeps.", "planted", "step", "nothing", lambda _: {}, slower=slower)
                book = Notebook(run.path / f"{name.replace('/', '')}-{number}.jsonl")
                found = Study(lab, setting, [technique], book, {**PLAN, "slower": planted}, lambda *_: None).run()
                said, seconds = found.verdicts()[name], found.time(f"technique/{name}")
                told = {
                    "case": name,
                    "number": number,
                    "verdict": said,
                    "ratio": [round(v, 4) for v in (seconds.value, seconds.low, seconds.high)],
                    "pairs": len(found.pairs(f"technique/{name}")),
                    "wrong": said in ("helps", "hurts") if verdict is None else said != verdict,
                }
                with open(path, "ab") as file:
                    file.write(b"\n" + json.dumps(told).encode() + b"\n")  # apart from a line that was half written
                print(json.dumps(told), flush=True)


def _share(value: float, goal: float) -> Ratio:
    """Without an interval: the goal is of this very hundred."""
    return Ratio(value, value, value, goal)


def table_run(folder: Path) -> RunDirectory:
    """A prepared table of random rows whose target can be learnt in part, and a run directory that studies an MLP on it."""
    rng = np.random.default_rng(0)
    store = folder / "store"
    for split, rows in {"train": ROWS, "validation": 1000, "test": 1000}.items():
        (store / split).mkdir(parents=True)
        numeric = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
        np.save(store / split / "numeric.npy", numeric)
        np.save(store / split / "categorical.npy", np.empty((rows, 0), np.int32))
        np.save(store / split / "target.npy", (numeric[:, :4].sum(1) + rng.normal(0, 2, rows) > 0).astype(np.int64))
    numbers = tuple(Number(f"x{n}", "numeric", 0.0, 0.0, 1.0) for n in range(COLUMNS))
    preparation = Preparation(numbers, (), (), Target("y", "classification", ("no", "yes")))
    write_json(store / "preparation.json", preparation.to_json())
    write_json(store / "store.json", {"rows": {"train": ROWS, "validation": 1000, "test": 1000}})
    project = {
        "name": "planted",
        "task": "classification",
        "model": {"name": "mlp", "width": 64, "depth": 2},
        "train": {"batch_size": 256},
        "gate": {},
    }
    run = RunDirectory.create(folder, "planted", {"project": project})
    write_json(run.path / "store.json", {"path": str(store)})
    return run


if __name__ == "__main__":
    main(sys.argv[1:])
