"""The trainings of a study, for quality by epoch: which seeds of which variants are still missing, and how many epochs a run has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from headway.effect.findings import Findings
from headway.effect.lab import Bench
from headway.effect.station import Unsupported
from headway.effect.technique import Setting
from headway.effect.together import Variant
from headway.effect.trainers import Job, cores_each
from headway.errors import TrainingError

FEWEST_EPOCHS = 2

BASELINE = "baseline"

BASELINE_TIMES = 2
"""The baseline has so many times the seeds of a technique, if there is time: its deviation is the margin of every technique."""

SLACK = 1.3
"""Factor for validation, starting, and the slow-down by other trainings at the same time."""

Recipes = Mapping[str, Mapping[str, Any]]
"""The recipes of variants by their names."""


class Trainings:
    """Trains variants seed by seed. ``budget``: the study's, in seconds; ``say`` is called with the key of each training that ended."""

    def __init__(
        self, bench: Bench, setting: Setting, findings: Findings, budget: float, seeds: int, say: Callable[[str], None]
    ) -> None:
        self._bench, self._setting, self._findings, self._say = bench, setting, findings, say
        self._book, self._budget, self._seeds = findings.book, budget, seeds

    def epochs(self, variants: int, share: float) -> int:
        """The epochs of a run: the project's where the budget allows them, otherwise as many as it allows; 0 where it allows none."""
        answer = self._book.answer("epochs")
        if answer is None:
            trainings, threads = cores_each(self._setting.device)
            alone = {**self._setting.recipe.model_dump(mode="json"), "threads": threads}
            epoch = SLACK * self._setting.counts * self._row_seconds(self.carried(alone)) / trainings
            rest = max(0.0, share * self._budget - self._book.seconds)
            affordable = rest / (self._seeds * max(2, min(variants, 8)) * epoch)
            if 2 * self._seeds * FEWEST_EPOCHS * epoch > self._budget - self._book.seconds:
                return 0  # not even one technique beside the baseline
            answer = {"epochs": min(self._setting.epochs, max(FEWEST_EPOCHS, int(affordable)))}
            self._book.add_answer("epochs", answer, 0.0)
        return int(answer["epochs"])

    def _row_seconds(self, variant: Mapping[str, Any]) -> float:
        """Seconds for a row, or a token, of a training; infinite where it fails."""
        if self._book.answer("pace") is None:
            start = time.perf_counter()
            try:
                pace = self._bench.ask(variant, "steps", count=20, lead=5)
            except Unsupported:
                return math.inf
            self._book.add_answer("pace", pace, time.perf_counter() - start)
        pace = self._book.answer("pace")
        assert pace is not None
        return float(pace["seconds"] / pace["count"])

    def carried(self, recipe: Mapping[str, Any]) -> Variant:
        """A variant with the recipe's maths, computed in the way that is usually fastest, because only its quality counts."""
        fast = {"residence": "auto", "keep_memory": True, "record": True}
        if recipe["residence"] == "stream":
            fast.pop("residence")
        if recipe["optimizer"] != "muon" and recipe["optimizer_kernel"] == "plain":
            fast["optimizer_kernel"] = "fused"
        return {"recipe": {**recipe, **fast}, "measure": "step"}

    def train(self, recipes: Recipes, share: float, seeds: Sequence[int] | None = None) -> bool:
        """All seeds of these variants, in their order, until ``share`` of the budget is spent. Returns whether all are there.

        ``seeds``: those of the study where it is None.
        """
        seeds = range(self._seeds) if seeds is None else seeds
        epochs = self.epochs(1 + len(self._findings.to_judge()), share)
        if not epochs:
            return False
        before = time.perf_counter()
        for key, curve in self._bench.train(self._jobs(recipes, seeds, epochs, share)):
            seconds, before = time.perf_counter() - before, time.perf_counter()
            self._say(key)
            if isinstance(curve, Unsupported):
                self._book.add_failure(key, str(curve), seconds)
            else:
                self._book.add_answer(key, curve, seconds)
            if self._findings.diverged("baseline"):
                raise TrainingError(
                    "the baseline must train, but its loss did not stay finite; lower train.learning_rate"
                )
        return all(self._book.answer(f"curve/{name}/{seed}") is not None for name in recipes for seed in seeds)

    def _jobs(self, recipes: Recipes, seeds: Sequence[int], epochs: int, share: float) -> Iterator[Job]:
        """The trainings that are missing. Each is chosen when a process is free: what diverged or failed has no further seed."""
        order = [(name, seed) for name in recipes for seed in seeds]
        if BASELINE in recipes:  # its own deviation is the margin of all the others
            order += [(BASELINE, seed) for seed in range(len(seeds), BASELINE_TIMES * len(seeds))]
        for name, seed in order:
            if self._book.seconds >= share * self._budget:
                return
            failure = any(self._book.failure(f"curve/{name}/{k}") for k in seeds)
            if self._findings.diverged(name) or failure:
                continue
            key = f"curve/{name}/{seed}"
            if self._book.answer(key) is None:
                yield Job(key, self.carried(recipes[name]), seed, epochs)
