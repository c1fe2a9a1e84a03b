"""What a study measures, in which order, and what it says, on benches whose truth is known."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.effect.conclusions import conclusions
from headway.effect.confirmation import winner
from headway.effect.findings import Findings
from headway.effect.lab import Session
from headway.effect.main import in_quality
from headway.effect.notebook import Notebook
from headway.effect.results import Surroundings
from headway.effect.stack import proposal, stack
from headway.effect.station import Unsupported
from headway.effect.statistics import Interval, Verdict
from headway.effect.study import Study
from headway.effect.technique import Technique
from headway.effect.techniques import select
from headway.errors import ConfigError, TrainingError
from headway.files.records import plain
from tests.effect.simulated import Simulated, setting

PLAN = {"budget": 3600.0, "seeds": 5, "target": None}


def study(folder: Path, bench: Simulated, names: Sequence[str] = (), **plan: Any) -> Findings:
    folder.mkdir(exist_ok=True)
    return Study(
        bench, setting(), select(names), Notebook(folder / "effect.jsonl"), {**PLAN, **plan}, lambda *_: None
    ).run()


def cost(**factors: float) -> Any:
    """Seconds of a row, multiplied for each field=value that the recipe has."""

    def of(recipe: Any) -> float:
        value = 1e-4
        for name, factor in factors.items():
            field, text = name.split("__")
            value *= factor if str(recipe[field]) == text else 1.0
        return value

    return of


def proven(findings: Findings) -> list[Technique]:
    """What is recommended: what was confirmed."""
    one = winner(findings)
    return [] if one is None else list(one.techniques)


def planted(name: str, slower: float) -> Technique:
    return Technique(name, "Sleeps.", "planted 2026", "step", "nothing", lambda _: {}, slower=slower)


def test_verdicts_are_the_truth(tmp_path: Path) -> None:
    truth = {"optimizer_kernel__fused": 0.8, "residence__device": 0.9, "precision__bf16": 2.2, "keep_memory__True": 1.0}
    names = ["fused optimizer", "resident data", "bf16", "kept memory", "tf32"]
    findings = study(tmp_path, Simulated(cost(**truth), noise=0.04), names)
    assert findings.verdicts() == {
        "fused optimizer": "helps",
        "resident data": "helps",
        "bf16": "hurts",
        "kept memory": "no measurable effect",
        "tf32": "unsupported here",
    }
    assert [t.name for t in stack(findings)] == ["fused optimizer", "resident data"]
    assert findings.time("stack").value == pytest.approx(0.72, rel=0.05)


@pytest.mark.parametrize(("budget", "reached"), [(40.0, 2), (4000.0, 3)])
def test_time_goes_first_to_what_needs_the_least_and_not_to_what_is_out_of_reach(
    tmp_path: Path, budget: float, reached: int
) -> None:
    names = ["recorded step", "resident data", "fused optimizer", "kept memory"]
    ratios = {"recorded step": 0.93, "resident data": 1.0, "fused optimizer": 0.8, "kept memory": 0.97}
    book = Notebook(tmp_path / "effect.jsonl")
    for name, ratio in ratios.items():
        for off in (0.94, 1.0, 1.06, 1.0):
            book.add_session(
                f"technique/{name}",
                Session(np.array([[1.0, ratio * off, ratio * off, 1.0]] * 4), (0.1, 0.1), None, None, 1.0),
            )
    one = Study(Simulated(), setting(), select(names), book, {**PLAN, "budget": budget}, lambda *_: None)
    by_need = ["fused optimizer", "recorded step", "kept memory"]
    first = [t.name for t in one._soonest(select(names), 0.5)]
    assert first[:reached] == by_need[:reached]
    assert len(first) == (reached if budget < 100 else 4)
    assert [t.name for t in one._soonest(select(names), 1.0)][:3] == by_need, "at the end all of them"
    assert len(one._soonest(select(names), 1.0)) == 4


def test_what_is_slower_is_not_trained_to_compare_its_quality(tmp_path: Path) -> None:
    bench = Simulated(cost(precision__bf16=2.0))
    study(tmp_path, bench, ["bf16"])
    assert "train" not in bench.questions


def test_a_stack_is_measured_without_each_and_leaves_out_what_no_longer_helps(tmp_path: Path) -> None:
    def clash(recipe: Any) -> float:
        """Each of the two gains a fifth alone; together the second costs a tenth."""
        fused, resident = recipe["optimizer_kernel"] == "fused", recipe["residence"] == "device"
        return 1e-4 * (0.88 if fused and resident else 0.8 if fused or resident else 1.0)

    findings = study(tmp_path, Simulated(clash, noise=0.04), ["fused optimizer", "resident data"])
    assert len(stack(findings)) == 2
    assert len(proven(findings)) == 1
    assert plain(conclusions(findings))["recommended"]["time"]["value"] == pytest.approx(0.8, rel=0.05)
    assert {row["name"] for row in plain(conclusions(findings))["without"]} == {"fused optimizer", "resident data"}


@pytest.mark.parametrize(("quality", "names"), [(0.9, ["kept memory", "bf16"]), (0.8, ["kept memory"])])
def test_what_gains_only_on_the_stack_is_found_there_and_taken_at_equal_quality(
    tmp_path: Path, quality: float, names: list[str]
) -> None:
    def hidden(recipe: Any) -> float:
        """bf16 is hidden behind page faults until memory is kept."""
        is_kept, halved = recipe["keep_memory"], recipe["precision"] == "bf16"
        return 1e-4 * (0.6 if is_kept and halved else 0.9 if is_kept else 1.0)

    bench = Simulated(hidden, quality=lambda r: quality if r["precision"] == "bf16" else 0.9, noise=0.04)
    findings = study(tmp_path, bench, ["kept memory", "bf16", "activation checkpointing"])
    assert findings.verdicts()["bf16"] in ("no measurable effect", "changes quality")
    assert [t.name for t in stack(findings)] == ["kept memory"]
    assert [row["name"] for row in plain(conclusions(findings))["with"]] == ["bf16"], "what cannot gain is not tried"
    assert plain(conclusions(findings))["with"][0]["time"]["value"] == pytest.approx(0.667, rel=0.05)
    assert [t.name for t in proven(findings)] == names
    if len(names) > 1:
        assert plain(conclusions(findings))["recommended"]["to_target"]["value"] == pytest.approx(0.6, rel=0.1)


def test_a_stack_that_was_measured_stays_what_it_was_whatever_is_found_later(tmp_path: Path) -> None:
    bench = Simulated(cost(keep_memory__True=0.8, optimizer_kernel__fused=0.9), noise=0.04)
    findings = study(tmp_path, bench, ["kept memory", "fused optimizer"])
    assert {t.name for t in stack(findings)} == {"kept memory", "fused optimizer"}
    slow = Simulated(cost(keep_memory__True=1.4), noise=0.04)
    for _ in range(40):
        findings.book.add_session(
            "technique/kept memory", slow.compare(findings.variant(), findings.variant(findings.techniques[0]), 4)
        )
    assert findings.verdicts()["kept memory"] != "helps"
    assert {t.name for t in stack(findings)} == {"kept memory", "fused optimizer"}


def test_maths_is_judged_by_quality_then_by_time_to_it(tmp_path: Path) -> None:
    bench = Simulated(
        quality=lambda r: 0.9 if r["label_smoothing"] == 0 else 0.8,
        half=lambda r: 0.4 if r["schedule"] == "one_cycle" else 1.0,
    )
    findings = study(tmp_path, bench, ["label smoothing", "one-cycle"])
    assert findings.verdicts() == {"label smoothing": "changes quality", "one-cycle": "helps"}
    assert [t.name for t in proposal(findings)] == ["one-cycle"]
    row = next(row for row in plain(conclusions(findings))["techniques"] if row["name"] == "one-cycle")
    assert row["to_target"]["value"] < 0.9
    assert row["quality"]["says"] == "equal"
    assert findings.margin is not None
    assert findings.margin.value > 0


def fused_and_cycled(together: float) -> Any:
    """Fused saves a fifth; one-cycle nothing; both together cost this."""

    def of(recipe: Any) -> float:
        fused, cycled = recipe["optimizer_kernel"] == "fused", recipe["schedule"] == "one_cycle"
        return 1e-4 * (together if fused and cycled else 0.8 if fused else 1.0)

    return of


def sooner(recipe: Any) -> float:
    return 0.4 if recipe["schedule"] == "one_cycle" or recipe["label_smoothing"] else 1.0


def test_what_disappoints_as_a_whole_gives_way_to_the_best_of_its_parts(tmp_path: Path) -> None:
    bench = Simulated(fused_and_cycled(4.0), half=sooner, noise=0.04)
    findings = study(tmp_path, bench, ["fused optimizer", "one-cycle"])
    assert findings.verdicts() == {"fused optimizer": "helps", "one-cycle": "helps"}
    assert {t.name for t in proposal(findings)} == {"fused optimizer", "one-cycle"}
    assert [t.name for t in proven(findings)] == ["one-cycle"]


def test_what_loses_quality_as_a_whole_or_does_not_run_is_not_recommended(tmp_path: Path) -> None:
    names = ["fused optimizer", "one-cycle", "label smoothing"]

    def spoiled(recipe: Any) -> float:
        return 0.7 if recipe["schedule"] == "one_cycle" and recipe["label_smoothing"] else 0.9

    bench = Simulated(fused_and_cycled(0.8), quality=spoiled, half=sooner, noise=0.04)
    findings = study(tmp_path, bench, names)
    assert len(proposal(findings)) == 3
    assert len(proven(findings)) == 1
    assert plain(conclusions(findings))["recommended"]["quality"]["says"] == "equal"
    stopped = study(tmp_path / "other", Together(fused_and_cycled(0.8), half=sooner, noise=0.04), names)
    assert len(proposal(stopped)) == 3
    assert len(proven(stopped)) == 1


class Together(Simulated):
    """Cannot do all three at once."""

    def compare(self, first: Any, second: Any, *arguments: Any, **named: Any) -> Any:
        if second["recipe"]["label_smoothing"] and second["recipe"]["schedule"] == "one_cycle":
            raise Unsupported("cannot do both")
        return super().compare(first, second, *arguments, **named)


def test_a_recipe_holds_what_it_was_measured_with(tmp_path: Path) -> None:
    bench = Simulated(cost(optimizer_kernel__fused=0.8, precision__bf16=2.0, keep_memory__True=1.3), noise=0.04)
    findings = study(tmp_path, bench, ["fused optimizer", "bf16", "kept memory"])
    fields = plain(conclusions(findings))["recommended"]["fields"]
    assert fields["optimizer_kernel"] == "fused"
    assert (fields["precision"], fields["keep_memory"]) == ("fp32", False), "what hurts is left out by name"
    assert "residence" not in fields, "the project's own, not the loader that is there to compare with"


def test_a_training_that_loses_its_loss_changes_the_quality(tmp_path: Path) -> None:
    class Diverges(Simulated):
        def ask(self, variant: Any, what: str, **values: Any) -> Any:
            answer = super().ask(variant, what, **values)
            lost = what == "train" and variant["recipe"]["schedule"] == self.schedule
            return {**answer, "passes": [], "quality": [], "loss": [], "diverged": True} if lost else answer

        schedule = "one_cycle"

    findings = study(tmp_path, Diverges(), ["one-cycle", "label smoothing"])
    assert findings.verdicts()["one-cycle"] == "changes quality"
    row = next(row for row in plain(conclusions(findings))["techniques"] if row["name"] == "one-cycle")
    assert row["reason"] == "its loss did not stay finite"
    everything = Diverges()
    everything.schedule = "constant"
    with pytest.raises(TrainingError, match="the baseline must train, but its loss did not stay finite; lower"):
        study(tmp_path / "baseline", everything, ["one-cycle"])


def test_trainings_that_no_budget_allows_are_not_begun(tmp_path: Path) -> None:
    bench = Slow()
    findings = study(tmp_path, bench, ["one-cycle"])
    assert "train" not in bench.questions
    assert plain(conclusions(findings))["open"][0]["why"] == "its quality was not compared: no time for trainings"


class Slow(Simulated):
    """An epoch takes an hour."""

    def ask(self, variant: Any, what: str, **values: Any) -> Any:
        answer = super().ask(variant, what, **values)
        return {**answer, "seconds": 3600.0 * answer["count"] / 6400} if what == "steps" else answer


def test_a_process_that_dies_after_others_ran_leaves_what_these_measured(tmp_path: Path) -> None:
    class Dies(Simulated):
        def compare(self, *arguments: Any, **named: Any) -> Any:
            if len(self.questions) > 7:
                raise Unsupported("its process was killed (out of memory?)")
            return super().compare(*arguments, **named)

    findings = study(tmp_path, Dies(cost(optimizer_kernel__fused=0.5), noise=0.04), ["fused optimizer"])
    assert findings.verdicts() == {"fused optimizer": "helps"}


def test_what_needs_longer_than_the_budget_allows_is_not_called_unsupported(tmp_path: Path) -> None:
    class Late(Simulated):
        def compare(self, *arguments: Any, **named: Any) -> Any:
            raise Unsupported("was not ready within 90 s")

    findings = study(tmp_path, Late(), ["compile default"])
    assert findings.verdicts() == {"compile default": "not settled"}
    assert plain(conclusions(findings))["open"][0]["why"] == "was not ready within 90 s"


def test_a_technique_that_does_something_else_is_found_by_its_losses(tmp_path: Path) -> None:
    class Wrong(Simulated):
        def ask(self, variant: Any, what: str, **values: Any) -> Any:
            answer = super().ask(variant, what, **values)
            wrong = what == "losses" and variant["recipe"]["optimizer_kernel"] == "fused"
            return {"losses": [0.62] * values["count"]} if wrong else answer

    findings = study(tmp_path, Wrong(cost(optimizer_kernel__fused=0.5), noise=0.04), ["fused optimizer"])
    assert findings.verdicts() == {"fused optimizer": "changes quality"}
    assert (
        plain(conclusions(findings))["techniques"][0]["reason"]
        == "the losses of its first steps are 3.3% from the baseline's"
    )


def test_a_study_goes_on_though_its_budget_is_all_but_spent(tmp_path: Path) -> None:
    study(tmp_path, Simulated(), ["kept memory"], budget=30.0)
    book = Notebook(tmp_path / "effect.jsonl")
    book.add_answer("long", {}, 30.0)
    assert study(tmp_path, Simulated(), ["kept memory"], budget=30.0).book.seconds > 30.0


def test_where_not_all_can_be_settled_those_are_that_could_gain_the_most(tmp_path: Path) -> None:
    """A pair takes 0.8 s here: there is time for a first look at a few of them."""
    names = ["fused optimizer", "foreach optimizer", "resident data", "prefetch", "kept memory", "recorded step"]
    findings = study(tmp_path, Simulated(cost(keep_memory__True=0.5), noise=0.04), names, budget=14.0)
    some = [t.name for t in findings.techniques if findings.book.sessions(f"technique/{t.name}")]
    assert 0 < len(some) < len(names)
    assert findings.verdicts()["kept memory"] == "helps"


def test_what_is_left_of_the_budget_goes_to_what_is_open(tmp_path: Path) -> None:
    findings = study(tmp_path, Simulated(noise=0.6), ["kept memory", "fused optimizer"], budget=3000.0)
    for name in ("kept memory", "fused optimizer"):
        assert len(findings.book.sessions(f"technique/{name}")) >= 64 or findings.verdicts()[name] != "not settled"


def test_a_target_is_asked_for_in_the_metrics_own_unit() -> None:
    plan = {"target": 0.5, "seeds": 5}
    assert in_quality(plan, True)["target"] == 0.5
    assert in_quality(plan, False)["target"] == -0.5
    assert in_quality({"target": None}, False)["target"] is None


def test_of_two_that_set_one_field_the_faster_is_taken(tmp_path: Path) -> None:
    bench = Simulated(cost(optimizer_kernel__fused=0.7, optimizer_kernel__foreach=0.85), noise=0.04)
    findings = study(tmp_path, bench, ["fused optimizer", "foreach optimizer"])
    assert [t.name for t in stack(findings)] == ["fused optimizer"]


def test_a_killed_study_goes_on_and_measures_nothing_twice(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Mortal(Simulated):
        def compare(self, *arguments: Any, **named: Any) -> Any:
            if len(self.questions) == 4:
                raise Killed
            return super().compare(*arguments, **named)

    names = ["fused optimizer", "resident data", "kept memory"]
    with pytest.raises(Killed):
        study(tmp_path, Mortal(), names)
    path = tmp_path / "effect.jsonl"
    with open(path, "ab") as file:
        file.write(b'{"what":"session","key":"technique/kept me')  # half a line, as a kill leaves it
    before = [json.loads(line) for line in path.read_bytes().splitlines()[:-1]]
    study(tmp_path, Simulated(), names)
    after = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert after[: len(before)] == before
    again = Simulated()
    study(tmp_path, again, names)
    assert again.questions == [], "a study that is done asks for nothing"


def test_time_goes_to_what_is_open_and_the_rest_is_said(tmp_path: Path) -> None:
    bench = Simulated(cost(optimizer_kernel__fused=0.5, keep_memory__True=0.985), noise=0.3)
    findings = study(tmp_path, bench, ["fused optimizer", "kept memory"], budget=60.0)
    blocks = {name: len(findings.book.blocks(f"technique/{name}")) for name in ("fused optimizer", "kept memory")}
    assert blocks["fused optimizer"] < blocks["kept memory"]
    left = plain(conclusions(findings))["open"]
    assert [row["name"] for row in left] == ["kept memory"]
    assert left[0]["seconds"] > 60
    assert plain(conclusions(findings))["noise"]["block"] > 0.1


def test_no_time_is_foretold_from_a_busy_machine_or_without_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = study(tmp_path, Simulated(noise=0.3), ["kept memory"], budget=60.0)
    assert conclusions(findings).open[0].seconds is not None
    with monkeypatch.context() as busy:
        busy.setattr("headway.effect.conclusions._contention", lambda _: Surroundings("unusable", "load 15 on 2 cores"))
        assert [(one.name, one.seconds) for one in conclusions(findings).open] == [("kept memory", None)]
    monkeypatch.setattr(Findings, "time", lambda *_: Interval(1.2, 0.01, 144.0))
    assert conclusions(findings).open[0].seconds is None, "what is too uncertain to say foretells nothing"


def test_pairs_of_a_technique_lie_far_apart_in_time(tmp_path: Path) -> None:
    names = ["fused optimizer", "kept memory", "foreach optimizer"]
    study(tmp_path, Simulated(), names)
    lines = [json.loads(line) for line in (tmp_path / "effect.jsonl").read_text().splitlines()]
    keys = [line["key"] for line in lines if line["what"] == "session"]
    turns = [set(keys[at : at + 3]) for at in range(0, 12, 3)]
    assert turns == [{f"technique/{name}" for name in names}] * 4


def test_what_cannot_be_had_is_unsupported_with_its_reason(tmp_path: Path) -> None:
    findings = study(tmp_path, Simulated(cannot={"compile": "max-autotune"}), ["compile max-autotune"])
    assert findings.verdicts() == {"compile max-autotune": "unsupported here"}
    assert plain(conclusions(findings))["techniques"][0]["reason"] == "cannot do max-autotune"


def test_a_budget_too_small_for_one_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--budget must allow one pair, about . s here, but is 1 s"):
        study(tmp_path, Simulated(), budget=1.0)


def test_a_target_that_the_baseline_never_reaches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"--target must be a quality that the baseline reaches, but the best of 10 seeds"
    ):
        study(tmp_path, Simulated(), target=0.99)


def test_a_bound_follows_from_the_breakdown(tmp_path: Path) -> None:
    findings = study(tmp_path, Simulated(), ["resident data", "fused optimizer", "EMA"])
    bounds = {t.name: findings.bound(t) for t in findings.techniques}
    assert bounds == pytest.approx({"resident data": 0.8, "fused optimizer": 0.8, "EMA": 1.0})


@pytest.mark.parametrize(
    ("baseline", "slower", "verdict"), [(0.0, 0.0, None), (0.0, 0.05, "hurts"), (0.1, 0.0, "helps")]
)
def test_planted_effects_are_found_and_none_where_there_is_none(
    tmp_path: Path, baseline: float, slower: float, verdict: Verdict | None
) -> None:
    """Few repetitions; `make bench NAME=effect` has a hundred of each, on the machine instead of a simulation."""
    verdicts: list[Verdict] = []
    for seed in range(20):
        bench, book = Simulated(noise=0.06, life=0.013, seed=seed), Notebook(tmp_path / f"{seed}.jsonl")
        plan = {**PLAN, "slower": baseline}
        findings = Study(bench, setting(), [planted("sleep", slower)], book, plan, lambda *_: None).run()
        verdicts.append(findings.verdicts()["sleep"])
    if verdict is None:
        assert sum(v in ("helps", "hurts") for v in verdicts) <= 2
    else:
        assert verdicts.count(verdict) >= 18


@pytest.mark.parametrize(("budget", "measured"), [(60.0, False), (3600.0, True)])
def test_what_must_be_compiled_comes_last_and_only_where_it_fits(tmp_path: Path, budget: float, measured: bool) -> None:
    names = ["compile default", "fused optimizer"]
    study(tmp_path, Simulated(cost(optimizer_kernel__fused=0.8), noise=0.04), names, budget=budget)
    keys = [json.loads(line).get("key") for line in (tmp_path / "effect.jsonl").read_text().splitlines()]
    screened = [key for key in keys[: keys.index("candidates")] if key.startswith("technique/")]
    assert ("technique/compile default" in screened) is measured
    assert screened[0] == "technique/fused optimizer"


def test_what_loses_quality_is_settled_although_its_step_is_not_timed(tmp_path: Path) -> None:
    bench = Simulated(quality=lambda r: 0.8 if r["label_smoothing"] else 0.9, noise=0.04)
    findings = study(tmp_path, bench, ["label smoothing", "EMA"])
    assert findings.verdicts()["label smoothing"] == "changes quality"
    assert not findings.book.sessions("technique/label smoothing")
    assert findings.book.sessions("technique/EMA"), "what keeps it is timed"


def test_a_schedule_is_judged_by_its_passes_as_its_step_is_the_baselines_own(tmp_path: Path) -> None:
    bench = Simulated(half=lambda r: 0.5 if r["schedule"] == "one_cycle" else 1.0, noise=0.04)
    findings = study(tmp_path, bench, ["one-cycle", "gradient clipping"])
    assert not findings.book.sessions("technique/one-cycle")
    assert findings.book.sessions("technique/gradient clipping")
    assert findings.verdicts()["one-cycle"] == "helps"
    one_cycle = next(t for t in findings.techniques if t.name == "one-cycle")
    effect, passes = findings.effect(one_cycle), findings.passes(one_cycle)
    assert effect is not None
    assert passes is not None
    assert effect.value == pytest.approx(math.exp(np.mean(passes.logs)))


def test_what_reaches_the_target_later_hurts_although_its_quality_in_the_end_is_open(tmp_path: Path) -> None:
    slow = Simulated(half=lambda r: 1.5 if r["ema"] else 1.0, quality=lambda r: 0.905 if r["ema"] else 0.9, noise=0.02)
    findings = study(tmp_path, slow, ["EMA"])
    judged = findings.quality(findings.techniques[0])
    assert judged is not None
    assert judged[1] == "open"
    assert findings.verdicts()["EMA"] == "hurts"


def test_what_cannot_be_trained_is_unsupported_with_the_reason(tmp_path: Path) -> None:
    findings = study(tmp_path, Simulated(cannot={"optimizer": "muon"}), ["Muon", "EMA"])
    assert findings.verdicts()["Muon"] == "unsupported here"
    assert findings.unsupported(findings.techniques[0]) == "cannot do muon"


def test_the_last_trainings_fit_the_budget_and_are_in_the_order_of_promise(tmp_path: Path) -> None:
    """All seeds of one before the next, the baseline first, its further ones last, and none begun when the time is over."""
    study(tmp_path, Simulated(noise=0.04), ["one-cycle", "EMA"])
    keys = [json.loads(line).get("key") for line in (tmp_path / "effect.jsonl").read_text().splitlines()]
    curves = [key.rsplit("/", 1)[0] for key in keys if key.startswith("curve/") and "fresh" not in key]
    assert curves[0] == "curve/baseline"
    turns = [one for one, before in zip(curves, [None, *curves], strict=False) if one != before]
    assert turns == ["curve/baseline", "curve/one-cycle", "curve/EMA", "curve/baseline"]
