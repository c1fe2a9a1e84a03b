"""Whether the effect study finds what is there and nothing else: `make bench NAME=effect`. An hour or two on two cores;
`--minutes 10` makes a part of the studies, and the next run the next ones.

A hundred studies each of two kinds, on this machine, with its noise. In one the baseline is plain, and beside techniques that are the
baseline itself (A/A), most in its process and one in a process of its own, there is one that sleeps 5 % of each step. In the other a sleep
of 10 % is planted in the baseline and in the A/A, and one technique removes it. A ratio is the share that failed, over the share allowed:
a false verdict on any A/A in at most 5 of 100 studies, a planted effect missed in at most 5, an interval beside the truth in at most 7.

What the planted sleep really costs is more than its length: the caches meanwhile forget some of what the step needs next. A pause of 10 %
made the rest of the step 4 % slower on the machine of the committed results, whether it span or multiplied matrices. The truth for a
study's interval is therefore the ratio over the sessions of all the other studies; for A/A it is 1.

Each core has a study at a time, held to it with one thread: all processes of a session then share what the core is like. Not held, a step's
threads wait for whichever core is slower, and on a virtual machine with busy neighbours the same certainty took five times the sessions.
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
from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.effect.findings import Findings
from headway.effect.lab import Lab
from headway.effect.main import describe
from headway.effect.notebook import Notebook
from headway.effect.study import Study
from headway.effect.technique import Setting, Technique
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from headway.tasks import Target

STUDIES = 100
ROWS, COLUMNS = 20_000, 32
KINDS = {  # the sleep planted in the baseline and the A/A; the technique that differs, its sleep, the true verdict
    "plain": (0.0, "sleeps 5 %", 0.05, "hurts"),
    "slowed": (0.10, "removes a sleep of 10 %", 0.0, "helps"),
}
ALIKE = {"A/A 1": {}, "A/A 2": {}, "A/A 3": {}, "A/A in its own process": {"threads": "auto"}}
"""Techniques that do nothing. With one core `auto` is one thread, as the baseline has it, but threads are a process's own."""

PLAN = {"budget": 120.0, "seeds": 2, "target": None}


def main(words: list[str]) -> None:
    """Make the studies that are missing and keep the shares once all are there."""
    studies = int(words.pop(0)) if words and words[0].isdigit() else STUDIES
    settings, folder = options(words), FOLDER / f"effect-{origin_of('effect')}"
    if settings.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    code = "import sys; from bench.effect import work; work(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:]))"
    running = []
    for number, core in enumerate(cores):
        counts = map(str, (settings.minutes, core, number, studies, len(cores)))
        running.append(subprocess.Popen([sys.executable, "-u", "-c", code, str(folder / f"{number}.jsonl"), *counts]))
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("a part of the studies ended early")
    rows = [row for path in folder.glob("*.jsonl") for row in rows_in(path)]
    count = len({(row["kind"], row["number"]) for row in rows})
    if count < studies * len(KINDS):
        print(f"{count} of {studies * len(KINDS)} studies; run it again to go on")
        if count >= 2 * len(KINDS):  # a planted truth is that of the other studies
            judge(rows)
        return
    tell("effect", judge(rows))


def rows_in(path: Path) -> list[dict[str, Any]]:
    """The comparisons of a file; a line that was half written is none."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            rows += json.loads(line)
    return rows


def judge(rows: list[dict[str, Any]]) -> dict[str, Ratio]:
    """The shares that went wrong, of comparisons as `work` tells them; what was never measured beside the baseline is missed."""
    ratios: dict[str, Ratio] = {}
    alike = [row for row in rows if row["truth"] is None]
    studies = {(row["kind"], row["number"]) for row in alike}
    verdicts = {(row["kind"], row["number"]) for row in alike if row["verdict"] in ("helps", "hurts")}
    ratios["A/A: studies with a false verdict"] = _share(len(verdicts) / len(studies), 0.05)
    for shared, label in ((True, "A/A in one process"), (False, "A/A in two processes")):
        of = [row for row in alike if (row["name"] != "A/A in its own process") is shared]
        ratios[f"{label}: intervals beside the truth"] = _share(_beside(of, [1.0] * len(of)), 0.07)
    for _, name, _, _ in KINDS.values():
        of = [row for row in rows if row["name"] == name]
        ratios[f"{name}: missed"] = _share(sum(row["verdict"] != row["truth"] for row in of) / len(of), 0.05)
        timed = [row for row in of if row["pairs"] > 0]
        ratios[f"{name}: intervals beside the truth"] = _share(
            _beside(timed, [_elsewhere(timed, row) for row in timed]), 0.07
        )
        print(f"{name}: over all sessions {_pooled(timed):.3f}")
    for label, ratio in ratios.items():
        print(f"{label}: {ratio.ratio:.3f} goal {ratio.goal}")
    print(f"{len(studies)} studies, {len(alike)} comparisons of the baseline with itself")
    return ratios


def _beside(rows: list[dict[str, Any]], truths: list[float]) -> float:
    """The share of intervals that do not hold the truth."""
    return sum(not row["ratio"][1] <= truth <= row["ratio"][2] for row, truth in zip(rows, truths, strict=True)) / len(
        rows
    )


def _elsewhere(studies: list[dict[str, Any]], study: dict[str, Any]) -> float:
    """The ratio in all other studies: independent of this one, and a hundred times as certain."""
    return _pooled([one for one in studies if one is not study])


def _pooled(studies: list[dict[str, Any]]) -> float:
    """The ratio over the pairs of all studies. That they stopped by what they had seen does not matter over all pairs (Wald)."""
    pairs = sum(one["pairs"] for one in studies)
    return math.exp(sum(one["pairs"] * math.log(one["ratio"][0]) for one in studies) / pairs)


def work(path: str, minutes: float, core: int, first: int, studies: int, step: int) -> None:
    """Every ``step``-th study from ``first`` on that ``path`` lacks, held to a core; a line of JSON for each, with its comparisons."""
    os.sched_setaffinity(0, {core})
    numbers = {(row["kind"], row["number"]) for row in rows_in(Path(path))}
    deadline = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        run = table_run(Path(folder))
        setting = describe(run)
        lab = Lab(run.path, window=0.015, warm_up=0.1, pair=0.6)
        lab.load()
        for number in range(first, studies, step):
            for kind in KINDS:
                if (kind, number) in numbers or time.monotonic() >= deadline:
                    continue
                rows = _study(lab, setting, Notebook(run.path / f"{kind}-{number}.jsonl"), kind, number)
                with open(path, "ab") as file:
                    file.write(b"\n" + json.dumps(rows).encode() + b"\n")  # apart from a line that was half written
                print("\n".join(json.dumps(row) for row in rows), flush=True)


def _study(lab: Lab, setting: Setting, book: Notebook, kind: str, number: int) -> list[dict[str, Any]]:
    """One study, comparison by comparison."""
    planted, name, slower, truth = KINDS[kind]
    techniques = [_planted(alike, planted, edit) for alike, edit in ALIKE.items()]
    techniques.append(_planted(name, slower, {}))
    findings = Study(lab, setting, techniques, book, {**PLAN, "slower": planted}, lambda *_: None).run()
    study = {"kind": kind, "number": number, "seconds": round(findings.book.seconds, 1)}
    return [{**study, **_row(findings, t), "truth": truth if t.name == name else None} for t in techniques]


def _planted(name: str, slower: float, edit: dict[str, Any]) -> Technique:
    return Technique(name, "Sleeps.", "planted", "step", "nothing", lambda _: edit, slower=slower)


def _row(findings: Findings, technique: Technique) -> dict[str, Any]:
    key = f"technique/{technique.name}"
    ratio = findings.time(key)
    return {
        "name": technique.name,
        "verdict": findings.verdicts()[technique.name],
        "ratio": [round(v, 4) for v in (ratio.value, ratio.low, ratio.high)],
        "pairs": len(findings.pairs(key)),
    }


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
    preparation = Preparation(numbers, Target("y", "classification", ("no", "yes")))
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
