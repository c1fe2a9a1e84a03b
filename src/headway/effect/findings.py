"""What follows from the notebook so far: intervals and verdicts. A pure function of the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headway.effect import statistics
from headway.effect.corrections import false_discovery
from headway.effect.equality import Comparison, Equality, Margin, judge_together, margin_of
from headway.effect.looks import LOOKS, share_at
from headway.effect.notebook import Memory, Notebook
from headway.effect.quality import Curve, Passes, differences_of, final_quality, passes_until, stop_early
from headway.effect.statistics import EXACT, Interval, Mean, Verdict
from headway.effect.technique import PARTS, Setting, Technique
from headway.effect.together import Variant
from headway.effect.verdict import verdict_of
from headway.errors import ConfigError
from headway.train.recipe import Recipe

TOO_LONG = "was not ready within"
"""How the lab's reason begins for a variant that would need a larger budget."""

APART = 0.01
"""Where a technique leaves the maths alone, losses differ only by the order of sums, far less than this share."""


class Findings:
    """A view of a notebook. ``plan``: {"seeds", "target", "baseline"}."""

    def __init__(
        self, setting: Setting, techniques: Sequence[Technique], book: Notebook, plan: Mapping[str, Any]
    ) -> None:
        self.setting, self.techniques, self.book = setting, list(techniques), book
        self.wanted_target: float | None = plan.get("target")
        self._baseline_slower = float(plan.get("slower", 0.0))
        self._estimates: dict[str, list[float]] = {}
        self._memory = Memory(book)

    # ---- variants

    def variant(self, technique: Technique | None = None, measure: str | None = None) -> Variant:
        """The baseline, or the baseline with one technique, as it is sent to a process."""
        recipe = self.setting.recipe if technique is None else technique.applied(self.setting)
        quantity = measure or (technique.measure if technique is not None else "step")
        if technique is None and quantity == "seeds":  # a step of many is compared with a step of one
            quantity = "step"
        variant: Variant = {"recipe": recipe.model_dump(mode="json"), "measure": quantity}
        if quantity == "prediction" and technique is not None:
            variant = {**variant, "way": technique.name.split()[0]}
        slower = self._baseline_slower if technique is None else technique.slower
        return {**variant, "slower": slower} if slower else variant

    def combination(self, techniques: Sequence[Technique]) -> Variant:
        """The baseline with several techniques."""
        fields = self.setting.recipe.model_dump(mode="json")
        for technique in techniques:
            fields |= technique.edit(self.setting)
        return {"recipe": Recipe.parse(fields, "train").model_dump(mode="json"), "measure": "step"}

    # ---- times

    def time(self, key: str) -> Interval:
        """The ratio of times of a comparison, so far."""
        return statistics.ratio(self.pairs(key), self.share(key), self.spread())

    def mean_time(self, key: str) -> Mean | None:
        """The mean log-ratio of a comparison's times; None before two pairs."""
        logs = self.pairs(key)
        return statistics.mean_of(logs, self.spread()) if len(logs) > 1 else None

    def share(self, key: str) -> float:
        """By how much a look at a comparison, as it stands, must be stricter than a single one."""
        return share_at(len(self.book.sessions(key)))

    def spread(self) -> statistics.Spread | None:
        """How much pairs usually differ, over all comparisons so far."""

        def work() -> statistics.Spread | None:
            logs = [self.pairs(key) for key in self.book.comparisons()]
            return statistics.spread_of(logs, statistics.correlation(max(1, len(logs))))

        return self._memory.of("spread", work)

    def pairs(self, key: str) -> np.ndarray:
        """The log-ratios (P,) of a comparison's pairs of processes."""
        estimates = self._estimates.setdefault(key, [])
        estimates += [statistics.estimate(session.blocks) for session in self.book.sessions(key)[len(estimates) :]]
        return np.array(estimates)

    def looks(self, key: str) -> int:
        """How many looks a comparison has had."""
        pairs = len(self.book.sessions(key))
        return sum(look <= pairs for look in LOOKS)

    def open(self, key: str) -> bool:
        """Whether a comparison is not settled, and a further look could settle it."""
        if self.book.failure(key) is not None:
            return False
        return not self.book.sessions(key) or self.by_time(key) == "not settled"

    def by_time(self, key: str) -> Verdict:
        """The verdict of a comparison's times so far, among the effects of all techniques; what was not measured yet counts as none."""
        interval = self.time(key)
        others = [effect.p for name, effect in self._effects().items() if key != f"technique/{name}"]
        corrected = false_discovery([interval.p, *others], len(self.available()))
        return statistics.judge_time(interval, corrected[0])

    def pairs_needed(self, key: str, *, hopeful: bool = False) -> int | None:
        """The sessions in all after which a comparison is to be settled; None where there is no knowing."""
        tests = max(1, len(self.available()))
        return statistics.pairs_needed(self.pairs(key), self.share(key), self.spread(), tests, hopeful=hopeful)

    def _effects(self) -> dict[str, Interval]:
        """Of every technique that has one by now."""

        def work() -> dict[str, Interval]:
            effects = {t.name: self.effect(t) for t in self.available()}
            return {name: effect for name, effect in effects.items() if effect is not None}

        return self._memory.of("effects", work)

    def available(self) -> list[Technique]:
        """The techniques that this machine and project support."""
        return [t for t in self.techniques if self.unsupported(t) is None]

    def unsupported(self, technique: Technique) -> str | None:
        """Why a technique is not supported here."""
        try:
            reason = technique.unsupported(self.setting)
            if reason is None:
                technique.applied(self.setting)
        except ConfigError as error:
            reason = str(error)
        key = f"technique/{technique.name}"
        failure = self.book.failure(key)  # a technique that ran once is supported, even where a later process failed
        if failure is None and not self.book.answers(f"curve/{technique.name}/"):
            failure = self.book.failure(f"curve/{technique.name}/0")
        return reason or (None if failure is None or TOO_LONG in failure or self.book.sessions(key) else failure)

    def bound(self, technique: Technique) -> float:
        """The least ratio of step times that it could reach: the parts of the step that it does not change stay."""
        parts = self.book.answer("breakdown") or {}
        total = sum(parts.values())
        return 1 - sum(parts[part] for part in PARTS[technique.part]) / total if total else 0.0

    def in_order(self) -> list[Technique]:
        """The techniques that are timed, those first that could gain the most."""
        techniques = [t for t in self.available() if t.measure != "run"]
        return sorted(techniques, key=self.bound)

    # ---- quality

    def curves(self, name: str) -> list[Curve]:
        """The trainings of a variant, in the order of their seeds; none of one whose loss became non-finite."""
        return list(self._by_seed(name).values())

    def _by_seed(self, name: str) -> dict[int, Curve]:
        answers = {} if self.diverged(name) else self.book.answers(f"curve/{name}/")
        return {int(seed): Curve(**answers[seed]) for seed in sorted(answers, key=int)}  # pyrefly: ignore

    def trained_pairs(self, first: str, second: str) -> list[tuple[Curve, Curve]]:
        """The trainings of two variants with the same seeds."""
        ours, theirs = self._by_seed(first), self._by_seed(second)
        return [(curve, theirs[seed]) for seed, curve in ours.items() if seed in theirs]

    def diverged(self, name: str) -> bool:
        """Whether the loss of a training of this variant became non-finite."""
        return any(curve["diverged"] for curve in self.book.answers(f"curve/{name}/").values())

    @property
    def margin(self) -> Margin | None:
        """The non-inferiority margin; None before the baseline's seeds are there."""
        qualities = [final_quality(curve) for curve in self.curves("baseline")]
        return margin_of(np.array(qualities)) if len(qualities) > 1 else None

    @property
    def target(self) -> float | None:
        """The quality that counts as the same: --target, or the baseline's mean minus the margin."""
        if self.wanted_target is not None:
            return self.wanted_target
        margin = self.margin
        return (
            None
            if margin is None
            else float(np.mean([final_quality(c) for c in self.curves("baseline")])) - margin.value
        )

    def quality(self, technique: Technique) -> tuple[Mean, Equality] | None:
        """The difference of quality over the seeds that both have, and its verdict among all others; None while there is none."""
        return self._qualities().get(technique.name)

    def quality_spread(self) -> statistics.Spread | None:
        """How much differences of quality usually differ between seeds, over all techniques so far."""
        return self._memory.of("quality spread", lambda: statistics.spread_of(list(self._differences().values())))

    def _differences(self) -> dict[str, np.ndarray]:
        """The differences (S,) of quality of each technique that was trained, technique less baseline."""
        pairs = {t.name: self._pairs(t) for t in self.available() if t.changes != "nothing"}
        return {name: differences_of(both) for name, both in pairs.items() if len(both) > 1}

    def _qualities(self) -> dict[str, tuple[Mean, Equality]]:
        return self._memory.of("qualities", self._compare_qualities)

    def _compare_qualities(self) -> dict[str, tuple[Mean, Equality]]:
        margin, spread = self.margin, self.quality_spread()
        if margin is None:
            return {}
        means = {name: statistics.mean_of(values, spread) for name, values in self._differences().items()}
        for technique in self.available():
            answer = self.book.answer(f"quality/{technique.name}")
            if technique.measure == "prediction" and answer is not None:
                means[technique.name] = statistics.mean_from(answer["value"], answer["low"], answer["high"])
        verdicts = judge_together({name: Comparison.of(mean, margin) for name, mean in means.items()})
        return {name: (mean, verdicts[name]) for name, mean in means.items()}

    def _pairs(self, technique: Technique) -> list[tuple[Curve, Curve]]:
        if technique.measure == "run":
            patience, baseline = technique.edit(self.setting)["patience"], self.curves("baseline")
            return [(curve, stop_early(curve, patience)) for curve in baseline if len(curve["loss"]) > patience]
        return self.trained_pairs("baseline", technique.name)

    def passes(self, technique: Technique) -> Passes | None:
        """Passes over the data to the target; None while there is none."""
        pairs, target = self._pairs(technique), self.target
        if technique.measure == "run":
            logs = [math.log(b["passes"][-1] / a["passes"][-1]) for a, b in pairs]
            return Passes(np.array(logs), len(pairs), len(pairs), len(pairs), frozenset())
        return None if target is None or not pairs else passes_until(pairs, target)

    def apart(self, technique: Technique) -> float | None:
        """How far the mean loss of the first steps is from the baseline's, as a share of it; None where it was not measured."""
        ours, theirs = self.book.answer(f"losses/{technique.name}"), self.book.answer("losses/baseline")
        if ours is None or theirs is None:
            return None
        a, b = np.mean(theirs["losses"]), np.mean(ours["losses"])
        return float(abs(b - a) / abs(a))

    def differs(self, technique: Technique) -> str | None:
        """Why its weights clearly differ from the baseline's; None where they do not."""
        if technique.changes == "nothing" and (self.apart(technique) or 0.0) > APART:
            return f"the losses of its first steps are {self.apart(technique):.1%} from the baseline's"
        return "its loss did not stay finite" if self.diverged(technique.name) else None

    def runs_again(self, technique: Technique) -> bool:
        """Whether its quality needs trainings of its own."""
        return technique.measure == "step" and technique.changes != "nothing"

    def to_judge(self) -> list[Technique]:
        """Techniques whose quality must be measured: they change the maths, or round and are not slower, alone or on the stack.

        The fastest first; among equally fast ones, first those whose step need not be timed, then those that could gain the most.
        """
        rows = []
        for technique in self.available():
            keys = [key for key in (f"technique/{technique.name}", f"with/{technique.name}") if self.book.sessions(key)]
            slower = bool(keys) and all(self.by_time(key) == "hurts" for key in keys)
            if technique.changes == "maths" or (technique.changes == "rounding" and not slower):
                time = min((self.time(key).value for key in keys), default=1.0)
                bound = 0.0 if technique.keeps_the_step(self.setting) else self.bound(technique)
                rows.append((time, bound, technique))
        return [technique for *_, technique in sorted(rows, key=lambda row: row[:2])]

    # ---- verdicts

    def effect(self, technique: Technique) -> Interval | None:
        """The ratio that its verdict is based on: of step times, or of times to the target where the maths differs; None while open."""
        key = f"technique/{technique.name}"
        if technique.measure == "run" or technique.keeps_the_step(self.setting):
            return self.to_target(EXACT, self.passes(technique))
        if technique.changes != "maths":
            return self.time(key) if self.book.sessions(key) else None
        return self.to_target(self.mean_time(key), self.passes(technique), self.share(key))

    def to_target(self, time: Mean | None, passes: Passes | None, looks: float = 1) -> Interval | None:
        """The ratio of times to the target; None where either is not known."""
        if time is None or passes is None or passes.bound is None or len(passes.logs) < 2:
            return None
        return statistics.product(time, statistics.mean_of(passes.logs), looks, passes.bound)

    def verdicts(self) -> dict[str, Verdict]:
        """Of every technique, corrected for their number."""
        present = self._effects()
        corrected = dict(zip(present, false_discovery([e.p for e in present.values()]), strict=True))
        return {t.name: self._verdict(t, present.get(t.name), corrected.get(t.name, 1.0)) for t in self.techniques}

    def _verdict(self, technique: Technique, effect: Interval | None, p: float) -> Verdict:
        if self.unsupported(technique) is not None:
            return "unsupported here"
        if self.differs(technique):
            return "changes quality"
        quality = self.quality(technique) if technique.changes != "nothing" else None
        by_time = None if effect is None else statistics.judge_time(effect, p)
        return verdict_of(technique.changes, by_time, None if quality is None else quality[1])
