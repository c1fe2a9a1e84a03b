"""What is measured next, and when it is settled.

1. The baseline's step, part by part: what each technique could gain at most.
2. Techniques that leave the maths alone beside the baseline, many in a session; after every look, time goes only to those that are still
   open. Predictions and what must be compiled come after these, and have some of the time for themselves.
3. All of these that help, together; that stack with each other one that may gain, and without each of its own.
4. Techniques that change the maths: the same seeds as the baseline, to the same quality, a training on each core; then the steps of those
   that keep it, unless their step is the baseline's own.
5. The recommended recipe against the baseline, on fresh samples.
6. What is left of the budget goes to whatever is still open.

Whatever was measured is in the notebook; this only decides what is missing there, so that a killed study goes on.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
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
from headway.effect.findings import LOOKS, SESSION, Findings
from headway.effect.lab import PAIR_SECONDS, WARM_UP_SECONDS, WINDOW_SECONDS, Bench
from headway.effect.notebook import Notebook
from headway.effect.stack import helpful, stack, to_add
from headway.effect.station import Answer, Unsupported
from headway.effect.technique import Setting, Technique
from headway.effect.together import Session, share_a_process, starts_slowly
from headway.effect.trainers import cores_each
from headway.effect.trainings import Trainings
from headway.errors import ConfigError, TrainingError

QUICK, SCREENED, STACKED, TRAINED, JUDGED, ALL = 0.42, 0.58, 0.66, 0.86, 0.89, 1.0
"""Shares of the budget by which each part must have ended; `QUICK` leaves some for what takes long to be ready."""

MATHS_LOOKS = 4
"""Looks at the step time of what changes the maths: its seeds decide, and differ by more than the rest of the time's error."""

BREAKDOWN_SECONDS, BREAKDOWN_SHARE = 2.0, 0.02
SAME_STEPS = 20
READY_SHARE = 0.15
"""Share of the budget that a variant may take to be ready; compiling takes minutes."""

SLOW_SECONDS = {"step": 40.0, "prediction": 25.0}
"""What a first look takes at something that must be compiled, about: a prediction has no backward pass."""

Say = Callable[[float, str], None]

Comparison = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Two variants."""


class Study:
    """One study. ``say`` hears how far it is, as a share of the budget, and with what it is occupied."""

    def __init__(
        self,
        bench: Bench,
        setting: Setting,
        techniques: Sequence[Technique],
        book: Notebook,
        plan: Mapping[str, Any],
        say: Say,
    ) -> None:
        self._bench, self._setting, self._book, self._say = bench, setting, book, say
        self._budget: float = plan["budget"]
        self._seeds: int = plan["seeds"]
        self.findings = Findings(setting, techniques, book, plan)
        self._trainings = Trainings(bench, setting, self.findings, self._budget, self._seeds, self._tell)

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

    def _over(self, share: float) -> bool:
        return self._book.spent >= share * self._budget

    def _tell(self, text: str) -> None:
        self._say(min(1.0, self._book.spent / self._budget), text)

    def _ask(self, key: str, variant: Mapping[str, Any], what: str, **values: Any) -> Answer | None:
        """An answer, from the notebook or else from a process; None where it cannot be had."""
        if self._book.answer(key) is None and self._book.failure(key) is None:
            self._tell(key)
            begun = time.perf_counter()
            try:
                answer = self._bench.ask(variant, what, **values)
            except Unsupported as error:
                self._book.add_failure(key, str(error), time.perf_counter() - begun)
            else:
                self._book.add_answer(key, answer, time.perf_counter() - begun)
        return self._book.answer(key)

    def _breakdown(self) -> None:
        """Raises ConfigError when the baseline itself does not run, or the budget does not allow one pair."""
        seconds = min(BREAKDOWN_SECONDS, BREAKDOWN_SHARE * self._budget)
        found = self._ask("breakdown", self.findings.variant(), "breakdown", seconds=seconds)
        if found is None:
            raise ConfigError(f"the baseline must run, but it {self._book.failure('breakdown')}")
        window = max(2 * WINDOW_SECONDS, sum(found.values()))  # with the step before it
        pair = self._book.spent + 2 * WARM_UP_SECONDS + max(PAIR_SECONDS, 4 * SESSION * window)
        if pair > self._budget and not self._book.compared():  # a study that goes on has had its first pair
            raise ConfigError(f"--budget must allow one pair, about {pair:.0f} s here, but is {self._budget:.0f} s")

    def _look(self, comparisons: Mapping[str, Comparison], look: int, share: float) -> None:
        """Bring comparisons to a look, a session of each in turn, until ``share`` of the budget is spent.

        What else the machine does changes from minute to minute, and with it some ratios: of sessions in a row, each would see the same.
        Where not all can be brought to the look, the first are: a few settled are worth more than all begun.
        """
        comparisons = self._affordable(comparisons, look, share)
        for done in range(LOOKS[look - 1] if look else 0, LOOKS[look]):
            missing = {key: pair for key, pair in comparisons.items() if len(self._book.sessions(key)) <= done}
            for together in sessions_of(missing):
                if self._over(share):
                    return
                self._session({key: missing[key] for key in together})

    def _affordable(self, comparisons: Mapping[str, Comparison], look: int, share: float) -> dict[str, Comparison]:
        """Those, in their order, that can be brought to a look before ``share`` of the budget is spent; the first in any case, unless it
        starts slowly and others were measured: it alone would take more than there is."""
        left, taken = share * self._budget - self._book.spent, {}
        for key, comparison in comparisons.items():
            left -= self._session_seconds(key, comparison[1]) * max(0, LOOKS[look] - len(self._book.sessions(key)))
            if left < 0 and (taken or (starts_slowly(comparison[1]) and self._book.compared())):
                break
            taken[key] = comparison
        return taken

    def _session_seconds(self, key: str, second: Mapping[str, Any]) -> float:
        """What a session of a comparison takes: as its own before; else as the others'; else half of a pair's time, as it shares one."""
        own = self._book.sessions(key)
        if not own and starts_slowly(second):
            return SLOW_SECONDS.get(second["measure"], SLOW_SECONDS["step"]) / LOOKS[0]
        others = [session for other in self._book.compared() for session in self._book.sessions(other)]
        sessions = own[-2:] or others
        return sum(s.seconds for s in sessions) / len(sessions) if sessions else PAIR_SECONDS / 2 + WARM_UP_SECONDS

    def _session(self, comparisons: Mapping[str, Comparison]) -> None:
        """One session of comparisons that have their first variant in common."""
        comparisons = {key: pair for key, pair in comparisons.items() if self._book.failure(key) is None}
        if not comparisons:
            return
        self._tell(next(iter(comparisons)) + (f" and {len(comparisons) - 1} more" if len(comparisons) > 1 else ""))
        begun = time.perf_counter()
        swapped = len(self._book.sessions(next(iter(comparisons)))) % 2 == 1
        first = next(first for first, _ in comparisons.values())
        limit = max(20.0, READY_SHARE * self._budget)
        seconds = {key: second for key, (_, second) in comparisons.items()}
        answers: dict[str, Session | Unsupported]
        try:
            answers = self._bench.compare_all(first, seconds, SESSION, limit, swapped=swapped)
        except Unsupported as error:
            answers = dict.fromkeys(comparisons, error)
        lost = time.perf_counter() - begun - sum(s.seconds for s in answers.values() if isinstance(s, Session))
        for key, answer in answers.items():
            if isinstance(answer, Session):
                self._book.add_session(key, answer)
            else:
                self._book.add_failure(key, str(answer), max(0.0, lost))
                lost = 0.0

    def _still_open(self, key: str, look: int) -> bool:
        return self.findings.looks(key) <= look and self.findings.open(key)

    def _screen(self, share: float, quickly: float) -> None:
        """What leaves the maths alone: until ``quickly`` what starts at once, then predictions and what is compiled, then that again."""
        found = self.findings
        timed = [t for t in found.in_order() if t.changes != "maths"]
        quick = [t for t in timed if t.measure != "prediction" and not starts_slowly(found.variant(t))]
        predictions = [t for t in timed if t.measure == "prediction"]
        slow = [t for t in timed if t not in quick and t not in predictions]
        for techniques, until in ((quick, quickly), (predictions, share), (slow, share), (quick, share)):
            for look in range(len(LOOKS)):
                comparisons = {
                    f"technique/{t.name}": (found.variant(measure=t.measure), found.variant(t))
                    for t in techniques
                    if self._still_open(f"technique/{t.name}", look)
                }
                self._look(comparisons, look, until)

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
            self._look(comparisons, look, share)

    def _keeps_quality(self, technique: Technique) -> bool:
        """Whether its trainings do not say that it loses quality: that would settle it, whatever its step takes."""
        judged = self.findings.quality(technique)
        return judged is not None and judged[1] != "worse"

    def _stack(self) -> None:
        """All that help together, without each, and with what else may gain: whether each earns a place among the others."""
        if not self._over(STACKED):
            for technique in helpful(self.findings):
                self._same(technique)
        chosen = stack(self.findings)
        self._keep("stack", chosen)
        whole = self.findings.combined(chosen)
        keys: dict[str, Comparison] = {}
        if len(chosen) > 1:
            keys["stack"] = (self.findings.variant(), whole)
        for technique in to_add(self.findings):
            keys[f"with/{technique.name}"] = (whole, self.findings.combined([*chosen, technique]))
        for technique in chosen if len(chosen) > 1 else []:
            rest = [other for other in chosen if other is not technique]
            keys[f"without/{technique.name}"] = (whole, self.findings.combined(rest))
        if "stack" in keys:
            self._look({"stack": keys["stack"]}, 0, math.inf)
        for look in range(len(LOOKS)):
            self._look({key: pair for key, pair in keys.items() if self._still_open(key, look)}, look, STACKED)

    def _keep(self, key: str, chosen: Sequence[Technique]) -> None:
        """What is measured together from here on."""
        if self._book.answer(key) is None:
            self._book.add_answer(key, {"names": [technique.name for technique in chosen]}, 0.0)

    def _same(self, technique: Technique) -> None:
        """Whether what is said to leave the maths alone does: the losses of the first steps beside the baseline's."""
        self._ask("losses/baseline", self.findings.variant(), "losses", count=SAME_STEPS)
        self._ask(f"losses/{technique.name}", self.findings.variant(technique), "losses", count=SAME_STEPS)

    def _quality(self, share: float) -> None:
        """Seed by seed, the techniques that could help first."""
        candidates = self.findings.to_judge()
        if not candidates or self._over(share):
            return
        recipes = {"baseline": self._setting.recipe.model_dump(mode="json")}
        for technique in candidates:
            if self.findings.runs_again(technique):
                recipes[technique.name] = technique.applied(self._setting).model_dump(mode="json")
        for technique in candidates:
            timed = self._book.sessions(f"technique/{technique.name}")
            if technique.measure == "prediction" and timed and not self._over(share):
                self._ask(f"quality/{technique.name}", self.findings.variant(technique), "quality")
        self._trainings.train(recipes, share)

    def _check_target(self) -> None:
        curves = self.findings.curves("baseline")
        best = max((max(curve["quality"]) for curve in curves), default=float("-inf"))
        target = self.findings.wanted_target
        if curves and target is not None and best < target:
            shown, bound = abs(best), abs(target)
            raise TrainingError(
                f"--target must be a quality that the baseline reaches, but the best of {len(curves)} seeds "
                f"had {shown:.4g} and not {bound:.4g} after {len(curves[0]['quality'])} epochs"
            )

    def _confirm(self) -> None:
        """What is recommended, as a whole, on fresh sessions and seeds; what takes its place where that fails."""
        if self._book.answer("candidates") is None:
            if self._over(ALL):
                return
            chosen = candidates(self.findings, self._affords_trainings())
            self._book.add_answer("candidates", {"names": [names_of(few) for few in chosen]}, 0.0)
        for attempt, few in enumerate(candidates(self.findings)):
            for look in range(len(CONFIRM_LOOKS)):
                if not self._confirmed_at(attempt, few, look):
                    return
                if look_at(self.findings, attempt).outcome == "not confirmed":
                    break

    def _confirmed_at(self, attempt: int, few: Sequence[Technique], look: int) -> bool:
        """Bring a candidate to a look. Returns whether to go on: not where it is confirmed, or there is no more time."""
        key, variant = key_of(attempt), self.findings.combined(few)
        for _ in range(len(self._book.sessions(key)), CONFIRM_LOOKS[look]):
            if self._over(ALL):
                return False
            self._session({key: (self.findings.variant(), variant)})
        if touched(few) and not self._fresh_trainings(key, variant["recipe"], ROUNDS[look]) and self._over(ALL):
            return False  # else a training failed or diverged, which the look says
        return look_at(self.findings, attempt).outcome != "confirmed"

    def _fresh_trainings(self, key: str, recipe: Mapping[str, Any], rounds: int) -> bool:
        """The baseline and a candidate from seeds that had no part in choosing it. Returns whether they are there."""
        recipes = {FRESH_BASELINE: self._setting.recipe.model_dump(mode="json"), key: recipe}
        return self._trainings.train(recipes, ALL, range(FRESH, FRESH + rounds * self._seeds))

    def _affords_trainings(self) -> bool:
        """Whether a first round of fresh trainings fits what is left of the budget."""
        curves = self.findings.curves("baseline")
        each = sum(curve["seconds"] for curve in curves) / len(curves) if curves else math.inf
        at_once, _ = cores_each(self._setting.device)
        return 2 * self._seeds * each / at_once <= self._budget - self._book.spent


def sessions_of(comparisons: Mapping[str, Comparison]) -> list[list[str]]:
    """The keys of comparisons by session: those of one first variant that share its process, and those that do not.

    These are compared with a first that is as alone as they are: memory that companions have left in a process makes its steps faster.
    Those that start slowly have sessions of their own: the others would wait.
    """
    groups: dict[str, list[str]] = {}
    for key, (first, second) in comparisons.items():
        slow = second["measure"] == "step" and starts_slowly(second)
        way = "shared" if share_a_process(first, second) else "slow" if slow else "own"
        groups.setdefault(json.dumps([first, way], sort_keys=True), []).append(key)
    return list(groups.values())
