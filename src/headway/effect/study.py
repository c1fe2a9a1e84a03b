"""The order of a study's measurements, and when each is settled.

1. The baseline's step, part by part: this bounds what each technique could gain.
2. Techniques that leave the maths alone beside the baseline, many in a session; after every look, time goes only to those that are still
   open. Predictions and what must be compiled come after these, and have some of the time for themselves.
3. All of these that help, together; that stack with each other one that may gain, and without each of its own.
4. Techniques that change the maths: the same seeds as the baseline, to the same quality, a training on each core; then the steps of those
   that keep it, unless their step is the baseline's own.
5. The recommended recipe against the baseline, on fresh samples.
6. The rest of the budget goes to techniques that are still open.

Every measurement is in the notebook; this module only decides what is missing there, so that a killed study resumes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headway.effect.confirmation import (
    CONFIRM_LOOKS,
    FRESH,
    FRESH_BASELINE,
    ROUNDS,
    candidates,
    key_of,
    look_at,
    names_of,
    touched,
)
from headway.effect.findings import Findings
from headway.effect.lab import PAIR_SECONDS, WARM_UP_SECONDS, WINDOW_SECONDS, Bench
from headway.effect.looks import LOOKS, SESSION
from headway.effect.notebook import Notebook
from headway.effect.sessions import Comparison, Say, Sessions
from headway.effect.stack import helpful, stack, to_add
from headway.effect.technique import Setting, Technique
from headway.effect.together import starts_slowly
from headway.effect.trainers import cores_each
from headway.effect.trainings import Trainings
from headway.errors import ConfigError, TrainingError

QUICK, SCREENED, STACKED, TRAINED, JUDGED, ALL = 0.42, 0.58, 0.66, 0.86, 0.89, 1.0
"""Shares of the budget at which each part ends; `QUICK` leaves some for variants that take long to start."""

MATHS_LOOKS = 4
"""Looks at the step time of a technique that changes the maths: seed variance dominates, so more timing adds little."""

BREAKDOWN_SECONDS, BREAKDOWN_SHARE = 2.0, 0.02
SAME_STEPS = 20


class Study:
    """One study. ``say`` is called with its progress, as a share of the budget, and with what it is occupied."""

    def __init__(
        self,
        bench: Bench,
        setting: Setting,
        techniques: Sequence[Technique],
        book: Notebook,
        plan: Mapping[str, Any],
        say: Say,
    ) -> None:
        self._setting, self._book = setting, book
        self._budget: float = plan["budget"]
        self._seeds: int = plan["seeds"]
        self.findings = Findings(setting, techniques, book, plan)
        self._sessions = Sessions(bench, book, self._budget, say)
        self._trainings = Trainings(bench, setting, self.findings, self._budget, self._seeds, self._sessions.tell)

    def run(self) -> Findings:
        """Measure until all is settled or the budget is spent. Raises ConfigError where it cannot be begun."""
        self._breakdown()
        if self.findings.wanted_target is not None:
            self._trainings.train({"baseline": self._setting.recipe.model_dump(mode="json")}, TRAINED)
            self._check_target()
        self._screen(SCREENED, QUICK)
        self._stack()
        self._quality(TRAINED)
        self._steps_of_trained(JUDGED)
        self._confirm()
        self._screen(ALL, ALL)
        self._quality(ALL)
        self._steps_of_trained(ALL)
        return self.findings

    def _breakdown(self) -> None:
        """Raises ConfigError when the baseline itself does not run, or the budget does not allow one pair."""
        seconds = min(BREAKDOWN_SECONDS, BREAKDOWN_SHARE * self._budget)
        parts = self._sessions.ask("breakdown", self.findings.variant(), "breakdown", seconds=seconds)
        if parts is None:
            raise ConfigError(f"the baseline must run, but it {self._book.failure('breakdown')}")
        window = max(2 * WINDOW_SECONDS, sum(parts.values()))  # with the step before it
        pair = self._book.seconds + 2 * WARM_UP_SECONDS + max(PAIR_SECONDS, 4 * SESSION * window)
        if pair > self._budget and not self._book.comparisons():  # a study that goes on has had its first pair
            raise ConfigError(f"--budget must allow one pair, about {pair:.0f} s here, but is {self._budget:.0f} s")

    def _still_open(self, key: str, look: int) -> bool:
        return self.findings.looks(key) <= look and self.findings.open(key)

    def _screen(self, share: float, quickly: float) -> None:
        """What leaves the maths alone: until ``quickly`` what starts at once, then predictions and what is compiled, then that again."""
        findings = self.findings
        techniques_in_order = [t for t in findings.in_order() if t.changes != "maths"]
        quick = [t for t in techniques_in_order if t.measure != "prediction" and not starts_slowly(findings.variant(t))]
        predictions = [t for t in techniques_in_order if t.measure == "prediction"]
        slow = [t for t in techniques_in_order if t not in quick and t not in predictions]
        for techniques, until in ((quick, quickly), (predictions, share), (slow, share), (quick, share)):
            for look in range(len(LOOKS)):
                open_ones = [t for t in techniques if self._still_open(f"technique/{t.name}", look)]
                comparisons = {
                    f"technique/{t.name}": (findings.variant(measure=t.measure), findings.variant(t))
                    for t in (self._soonest(open_ones, share) if look else open_ones)
                }
                self._sessions.look(comparisons, look, until)

    def _soonest(self, techniques: Sequence[Technique], share: float) -> list[Technique]:
        """Those first that need the fewest sessions; while others wait for their first, none that needs more than the budget has."""
        needs = {
            t.name: self.findings.pairs_needed(f"technique/{t.name}", hopeful=True) or math.inf for t in techniques
        }

        def within_reach(technique: Technique) -> bool:
            key = f"technique/{technique.name}"
            missing = needs[technique.name] - len(self._book.sessions(key))
            seconds = self._sessions.session_seconds(key, self.findings.variant(technique))
            return missing * seconds <= self._budget - self._book.seconds

        nearest = techniques if share == ALL else [t for t in techniques if within_reach(t)]
        return sorted(nearest, key=lambda t: needs[t.name])

    def _steps_of_trained(self, share: float) -> None:
        """The step time of what changes the maths, once it was trained: alone it says nothing."""
        for look in range(MATHS_LOOKS):
            comparisons = {
                f"technique/{t.name}": (self.findings.variant(), self.findings.variant(t))
                for t in self.findings.to_judge()
                if t.changes == "maths"
                and t.measure == "step"
                and not t.keeps_the_step(self._setting)
                and self._keeps_quality(t)
                and self._still_open(f"technique/{t.name}", look)
            }
            self._sessions.look(comparisons, look, share)

    def _keeps_quality(self, technique: Technique) -> bool:
        """Whether its trainings do not show a loss of quality, which would settle it whatever its step time."""
        quality = self.findings.quality(technique)
        return quality is not None and quality[1] != "worse"

    def _stack(self) -> None:
        """All helpful techniques together, without each of them, and with each other that may gain."""
        if not self._sessions.over(STACKED):
            for technique in helpful(self.findings):
                self._same(technique)
        techniques = stack(self.findings)
        self._keep("stack", techniques)
        whole = self.findings.combination(techniques)
        keys: dict[str, Comparison] = {}
        if len(techniques) > 1:
            keys["stack"] = (self.findings.variant(), whole)
        for technique in to_add(self.findings):
            keys[f"with/{technique.name}"] = (whole, self.findings.combination([*techniques, technique]))
        for technique in techniques if len(techniques) > 1 else []:
            rest = [other for other in techniques if other is not technique]
            keys[f"without/{technique.name}"] = (whole, self.findings.combination(rest))
        if "stack" in keys:
            self._sessions.look({"stack": keys["stack"]}, 0, math.inf)
        for look in range(len(LOOKS)):
            self._sessions.look({key: pair for key, pair in keys.items() if self._still_open(key, look)}, look, STACKED)

    def _keep(self, key: str, techniques: Sequence[Technique]) -> None:
        """Fix which techniques are measured together from here on."""
        if self._book.answer(key) is None:
            self._book.add_answer(key, {"names": [technique.name for technique in techniques]}, 0.0)

    def _same(self, technique: Technique) -> None:
        """Check that a technique leaves the maths alone: the losses of its first steps beside the baseline's."""
        self._sessions.ask("losses/baseline", self.findings.variant(), "losses", count=SAME_STEPS)
        self._sessions.ask(f"losses/{technique.name}", self.findings.variant(technique), "losses", count=SAME_STEPS)

    def _quality(self, share: float) -> None:
        """Seed by seed, the techniques that could help first."""
        candidates = self.findings.to_judge()
        if not candidates or self._sessions.over(share):
            return
        recipes = {"baseline": self._setting.recipe.model_dump(mode="json")}
        for technique in candidates:
            if self.findings.runs_again(technique):
                recipes[technique.name] = technique.applied(self._setting).model_dump(mode="json")
        for technique in candidates:
            has_sessions = self._book.sessions(f"technique/{technique.name}")
            if technique.measure == "prediction" and has_sessions and not self._sessions.over(share):
                self._sessions.ask(f"quality/{technique.name}", self.findings.variant(technique), "quality")
        self._trainings.train(recipes, share)

    def _check_target(self) -> None:
        curves = self.findings.curves("baseline")
        best = max((max(curve["quality"]) for curve in curves), default=float("-inf"))
        target = self.findings.wanted_target
        if curves and target is not None and best < target:
            best_shown, bound = abs(best), abs(target)
            raise TrainingError(
                f"--target must be a quality that the baseline reaches, but the best of {len(curves)} seeds "
                f"had {best_shown:.4g} and not {bound:.4g} after {len(curves[0]['quality'])} epochs"
            )

    def _confirm(self) -> None:
        """The first candidate on fresh sessions and seeds; the second where the first fails."""
        if self._book.answer("candidates") is None:
            if self._sessions.over(ALL):
                return
            proposals = candidates(self.findings, self._affords_trainings())
            self._book.add_answer("candidates", {"names": [names_of(few) for few in proposals]}, 0.0)
        for attempt, few in enumerate(candidates(self.findings)):
            for look in range(len(CONFIRM_LOOKS)):
                if not self._confirmed_at(attempt, few, look):
                    return
                if look_at(self.findings, attempt).outcome == "not confirmed":
                    break

    def _confirmed_at(self, attempt: int, few: Sequence[Technique], look: int) -> bool:
        """Bring a candidate to a look. Returns whether to go on: not where it is confirmed, or there is no more time."""
        key, variant = key_of(attempt), self.findings.combination(few)
        for _ in range(len(self._book.sessions(key)), CONFIRM_LOOKS[look]):
            if self._sessions.over(ALL):
                return False
            self._sessions.session({key: (self.findings.variant(), variant)})
        if (
            touched(few)
            and not self._fresh_trainings(key, variant["recipe"], ROUNDS[look])
            and self._sessions.over(ALL)
        ):
            return False  # otherwise a training failed or diverged, which the look says
        return look_at(self.findings, attempt).outcome != "confirmed"

    def _fresh_trainings(self, key: str, recipe: Mapping[str, Any], rounds: int) -> bool:
        """The baseline and a candidate from seeds that had no part in choosing it. Returns whether they are there."""
        recipes = {FRESH_BASELINE: self._setting.recipe.model_dump(mode="json"), key: recipe}
        return self._trainings.train(recipes, ALL, range(FRESH, FRESH + rounds * self._seeds))

    def _affords_trainings(self) -> bool:
        """Whether a first round of fresh trainings fits the rest of the budget."""
        curves = self.findings.curves("baseline")
        each = sum(curve["seconds"] for curve in curves) / len(curves) if curves else math.inf
        at_once, _ = cores_each(self._setting.device)
        return 2 * self._seeds * each / at_once <= self._budget - self._book.seconds
