"""Whether a study recommends what gains nothing: `make bench NAME=recommend`. Ten minutes on two cores, or in parts: `ARGS="--minutes 3"`.

Fifty studies of the baseline against itself, from choosing to confirming, so that whatever is recommended is wrong. Goal: at most 2 of 50.

- 10 are measured: a small network beside itself under the names of six techniques that change nothing, half a minute each.
- 40 are drawn: all techniques of a CPU, half an hour of budget each, and the truth is the same: each session is one that two processes
  of one program gave (`bench/recorded/itself.jsonl`, kept by `record`), the sides swapped at random; each training one of the baseline's.

The committed recordings come from a busy machine: a session's log-ratio has a deviation of .15 there. `record` adds to them.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.effect import table_run
from bench.samples import Samples, options
from bench.side_by_side import Ratio, tell
from headway.effect.confirmation import confirmations, winner
from headway.effect.findings import Findings
from headway.effect.lab import Lab
from headway.effect.main import describe
from headway.effect.notebook import Notebook
from headway.effect.station import Answer, Unsupported
from headway.effect.study import Study
from headway.effect.technique import Setting, Technique
from headway.effect.techniques import techniques
from headway.effect.together import Session
from headway.effect.trainers import Job
from headway.run.directory import RunDirectory

MEASURED, DRAWN = 10, 40
GOAL = 2.0
REAL_PLAN = {"budget": 30.0, "seeds": 2, "target": None}
DRAWN_PLAN = {"budget": 1800.0, "seeds": 5, "target": None}
RECORDED = Path(__file__).parent / "recorded" / "itself.jsonl"
LABELS = {"measured": MEASURED, "drawn": DRAWN}


def main() -> None:
    """Run the studies that are missing, the drawn ones first: they need no quiet machine."""
    choice = options()
    samples = Samples("recommend", fresh=choice.fresh)
    deadline = choice.deadline()
    for number in range(len(samples.of("drawn")), DRAWN):
        if time.monotonic() >= deadline:
            break
        samples.add("drawn", _is_wrong(drawn_study(number), f"drawn {number}"))
    if len(samples.of("measured")) < MEASURED and time.monotonic() < deadline:
        for findings in measured_studies(deadline, MEASURED - len(samples.of("measured"))):
            samples.add("measured", _is_wrong(findings, f"measured {len(samples.of('measured'))}"))
    conclude(samples)


def conclude(samples: Samples) -> None:
    """Say the counts, and keep them when all studies are there."""
    for label, answer in LABELS.items():
        print(f"{label}: {sum(samples.of(label)):.0f} recommendations in {len(samples.of(label))} of {answer} studies")
    values = [value for label in LABELS for value in samples.of(label)]
    if len(values) < MEASURED + DRAWN:
        print("run it again to go on")
        return
    wrong = float(sum(values))
    label = f"recommended although nothing is gained, of {len(values)} studies of the baseline against itself"
    tell("recommend", {label: Ratio(wrong, wrong, wrong, GOAL, len(values))})


def _is_wrong(findings: Findings, name: str) -> float:
    """1 where anything is recommended."""
    one = winner(findings)
    tried = "; ".join(
        f"{', '.join(t.name for t in each.techniques)}: {each.outcome}" for each in confirmations(findings)
    )
    print(f"{name}: {tried or 'no candidate'}", flush=True)
    return float(one is not None)


# ---- studies that are measured


def no_ops() -> list[Technique]:
    """Techniques that change nothing, whatever they say that they change."""

    def technique(name: str, changes: Any) -> Technique:
        return Technique(
            name, "Changes nothing.", "https://en.wikipedia.org/wiki/A/B_testing", "step", changes, lambda _: {}
        )

    kinds = {
        "one": "nothing",
        "two": "nothing",
        "three": "nothing",
        "four": "nothing",
        "five": "rounding",
        "six": "maths",
    }
    return [technique(name, changes) for name, changes in kinds.items()]


def measured_studies(deadline: float, count: int) -> Iterator[Findings]:
    """So many studies on this machine, each held to one core with one thread, until the deadline."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {min(cores)})
        try:
            run = table_run(Path(folder))
            setting, lab = describe(run), _lab(run)
            for number in range(count):
                if time.monotonic() >= deadline:
                    return
                book = Notebook(run.path / f"{number}.jsonl")
                yield Study(lab, setting, no_ops(), book, REAL_PLAN, lambda *_: None).run()
        finally:
            os.sched_setaffinity(0, cores)


def _lab(run: RunDirectory) -> Lab:
    lab = Lab(run.path, window=0.015, warm_up=0.1, pair=0.6)
    lab.load()
    return lab


# ---- studies that are drawn


@dataclass
class Pool:
    """What the baseline gave beside itself: sessions, and trainings of many seeds."""

    sessions: list[Session] = field(default_factory=list)
    curves: list[Mapping[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, books: Iterable[Notebook]) -> Pool:
        """Everything in these notebooks of studies of the baseline against itself."""
        pool = cls()
        for book in books:
            pool.sessions += [session for key in book.comparisons() for session in book.sessions(key)]
            pool.curves += [curve for name, curve in book.answers("curve/").items() if name.startswith("baseline")]
        return pool


class Recorded:
    """A bench whose variants are all the baseline: sessions and trainings are drawn from a pool."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self._pool, self._rng = pool, np.random.default_rng(seed)

    def compare(
        self,
        first: Mapping[str, Any],
        second: Mapping[str, Any],
        blocks: int,
        limit: float | None = None,
        swapped: bool = False,
    ) -> Session:
        """One of the recorded sessions; which of its two processes is the baseline is drawn, too."""
        session = self._pool.sessions[self._rng.integers(len(self._pool.sessions))]
        order = [1, 0, 3, 2] if self._rng.random() < 0.5 else [0, 1, 2, 3]
        return Session(session.blocks[:, order], (0.1, 0.1), (1.0, 1.0), None, session.seconds)

    def compare_all(
        self, first: Mapping[str, Any], seconds: Mapping[str, Mapping[str, Any]], *rest: Any, **named: Any
    ) -> dict[str, Session | Unsupported]:
        """A session of its own for each."""
        return {key: self.compare(first, second, *rest, **named) for key, second in seconds.items()}

    def train(self, jobs: Iterable[Job]) -> Iterator[tuple[str, Answer | Unsupported]]:
        """A recorded training for each."""
        for job in jobs:
            yield job.key, self._curve()

    def ask(self, variant: Mapping[str, Any], what: str, **values: Any) -> Answer:
        """What a baseline answers."""
        if what == "train":
            return self._curve()
        if what == "quality":
            value = self._rng.normal(0, 1e-4)
            return {"value": value, "low": value - 2e-4, "high": value + 2e-4}
        if what == "steps":
            return {"seconds": 1e-5 * values["count"], "count": values["count"]}
        if what == "losses":
            return {"losses": [0.6] * values["count"]}
        return {"batches": 1e-4, "forward": 2e-4, "backward": 3e-4, "optimizer": 2e-4}

    def _curve(self) -> Answer:
        return self._pool.curves[self._rng.integers(len(self._pool.curves))]


class Unwritten(Notebook):
    """In memory only: what is drawn can be drawn again."""

    def _add(self, **line: Any) -> None:
        self._lines.append(json.loads(json.dumps(line)))


def recorded_pool() -> Pool:
    """What is committed."""
    return Pool.of([Notebook(RECORDED)])


def drawn_study(seed: int, names: Sequence[str] = (), pool: Pool | None = None) -> Findings:
    """A study of all techniques of a CPU that has nothing to find."""
    choice = [technique for name, technique in techniques().items() if not names or name in names]
    book = Unwritten(Path(os.devnull) / "none")
    return Study(Recorded(pool or recorded_pool(), seed), setting(), choice, book, DRAWN_PLAN, lambda *_: None).run()


def setting() -> Setting:
    """Two cores without a GPU, and a recipe that has nothing yet."""
    from headway.effect.main import plain
    from headway.train.recipe import Recipe

    recipe = plain(Recipe.parse({"epochs": 4, "batch_size": 256}, "train"), "cpu", 2)
    return Setting(recipe, "mlp", "classification", 20_000, 20_000, "cpu", 2, stackable=True)


def record(seconds: float = 100.0, seeds: int = 20) -> None:
    """Measure the baseline beside itself for so long, train it from so many seeds, and add both to `bench/recorded/itself.jsonl`."""
    cores = os.sched_getaffinity(0)
    plan = {"budget": seconds, "seeds": seeds, "target": None}
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {min(cores)})
        run = table_run(Path(folder))
        findings = Study(_lab(run), describe(run), no_ops(), Notebook(run.path / "e.jsonl"), plan, lambda *_: None)
        findings.run()
        keep([json.loads(line) for line in (run.path / "e.jsonl").read_text().splitlines()])
    os.sched_setaffinity(0, cores)


def keep(lines: Iterable[Mapping[str, Any]]) -> None:
    """Add the sessions and the baseline's trainings of a notebook to what is recorded."""
    RECORDED.parent.mkdir(exist_ok=True)
    with open(RECORDED, "a", encoding="utf-8") as file:
        for line in lines:
            if line["what"] == "session":
                blocks = [[float(f"{value:.4g}") for value in block] for block in line["blocks"]]
                file.write(json.dumps({**line, "blocks": blocks}, separators=(",", ":")) + "\n")
            elif line["key"].startswith("curve/baseline"):
                file.write(json.dumps(line, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
