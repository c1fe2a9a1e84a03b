"""Sessions of several variants: what shares a process, in which order windows come, and what they say, whatever the machine does."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from headway.effect.corrections import false_discovery
from headway.effect.findings import Findings
from headway.effect.lab import Lab
from headway.effect.main import plain
from headway.effect.notebook import Notebook
from headway.effect.sessions import sessions_of
from headway.effect.station import Unsupported
from headway.effect.statistics import correlation, estimate, judge_time, log_ratios, ratio, spread_of
from headway.effect.techniques import select
from headway.effect.together import Session, Together, Variant, Window, beside, share_a_process, there_and_back
from headway.effect.trainers import Job
from headway.run.directory import RunDirectory
from headway.train.recipe import Recipe
from tests.effect.simulated import BASE, setting

MakeRun = Callable[..., RunDirectory]


def variant(run: RunDirectory, **changes: Any) -> dict[str, Any]:
    recipe = plain(Recipe.parse(run.plan["project"]["train"], "train"), "cpu", 1)
    return {"recipe": {**recipe.model_dump(mode="json"), **changes}, "measure": "step"}


@pytest.fixture
def lab(make_run: MakeRun) -> tuple[Lab, RunDirectory]:
    run = make_run()
    return Lab(run.path, window=0.005, warm_up=0.02, pair=0.02), run


def test_what_changes_the_process_has_one_of_its_own() -> None:
    findings = Findings(setting(), select([]), Notebook.__new__(Notebook), {})
    together = {t.name: share_a_process(findings.variant(), findings.variant(t)) for t in select([])}
    alone = {
        "kept memory",
        "compile default",
        "prefetch",
        "tf32",
        "fp8",
        "int8 prediction",
        "CUDA graphs",
        "thread count",
    }
    assert {name for name in alone if together[name]} == set()
    for name in ("fused optimizer", "resident data", "recorded step", "bf16", "EMA", "Muon", "larger batch"):
        assert together[name]
    compiled = {"recipe": {**findings.variant()["recipe"], "compile": "default"}, "measure": "step"}
    assert not share_a_process(compiled, compiled), "two compiled networks of one process may stand in each other's way"
    assert BASE.compile == "none"


def test_variants_of_one_process_are_measured_beside_one_baseline(lab: tuple[Lab, RunDirectory]) -> None:
    base = variant(lab[1])
    seconds = {
        "slow": {**base, "slower": 3.0},
        "fused": variant(lab[1], optimizer_kernel="fused"),
        "tf32": variant(lab[1], precision="tf32"),
    }
    answers = lab[0].compare_all(base, seconds, 6)
    assert isinstance(answers["tf32"], Unsupported)
    for key in ("slow", "fused"):
        session = answers[key]
        assert isinstance(session, Session)
        assert session.blocks.shape[0] >= 6
        assert session.peak is not None
        assert min(session.peak) > 0
        assert min(session.startup) > 0
        assert session.contention is not None
    slow, fused = answers["slow"], answers["fused"]
    assert isinstance(slow, Session)
    assert isinstance(fused, Session)
    assert np.median(log_ratios(slow.blocks)) > 0.7  # four times the time, whatever the machine does
    assert slow.contention == fused.contention


def test_a_shared_process_that_ends_gives_each_variant_its_own(
    lab: tuple[Lab, RunDirectory], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, rooms = Together.measure, []

    def dies_at_first(self: Together, blocks: int) -> None:
        rooms.append(len({seat.station for seat in [self._baseline, *self._seats.values()]}))
        if len(rooms) == 1:
            raise Unsupported("its process was killed (out of memory?)")
        measure(self, blocks)

    monkeypatch.setattr(Together, "measure", dies_at_first)
    base, fused = variant(lab[1]), variant(lab[1], optimizer_kernel="fused")
    answers = lab[0].compare_all(base, {"fused": fused, "EMA": variant(lab[1], ema=0.9)}, 2)
    assert rooms == [1, 3]
    assert all(isinstance(answer, Session) for answer in answers.values())


def test_trainings_beside_each_other_are_those_of_one_alone(lab: tuple[Lab, RunDirectory]) -> None:
    base, wrong = variant(lab[1]), variant(lab[1], precision="tf32")
    jobs = [Job("a", base, 0, 2), Job("wrong", wrong, 0, 2), Job("b", base, 1, 2), Job("c", base, 0, 2)]
    curves = dict(lab[0].train(iter(jobs)))
    assert isinstance(curves["wrong"], Unsupported)
    for key, seed in (("a", 0), ("b", 1), ("c", 0)):
        alone = lab[0].ask(base, "train", seed=seed, epochs=2)
        curve = curves[key]
        assert not isinstance(curve, Unsupported)
        assert curve["quality"] == alone["quality"]
        assert curve["loss"] == alone["loss"]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_variant_stands_between_two_windows_of_the_baseline_in_both_ways(count: int, swapped: bool) -> None:
    keys = [f"t{k}" for k in range(count)]
    order = [*there_and_back(keys, swapped), None]
    places = {key: [at for at, name in enumerate(order) if name == key] for key in keys}
    assert all(len(at) == 2 for at in places.values())
    gaps = np.diff([at for at, name in enumerate(order) if name is None])
    assert gaps.max() <= math.ceil(math.sqrt(count)) + 1
    assert order[0] is None


def test_a_drift_of_the_machine_cancels_between_the_baselines_windows() -> None:
    order = [*there_and_back(["a", "b", "c"]), *there_and_back(["a", "b", "c"]), None]
    truth = {None: 1.0, "a": 0.5, "b": 1.0, "c": 2.0}
    windows: list[Window] = [(key, {"seconds": truth[key] * math.exp(0.03 * at)}) for at, key in enumerate(order)]
    for key in ("a", "b", "c"):
        assert log_ratios(beside(windows, key, "seconds")) == pytest.approx([math.log(truth[key])] * 2)


KEYS = [f"t{k}" for k in range(8)]
EFFECTS = {"t0": math.log(1.05), "t1": math.log(0.9)}


def simulated_session(rng: np.random.Generator, swapped: bool) -> list[float]:
    """The estimates of a session on a machine as it is: white noise with a heavy tail, disturbances that last for many windows, a drift,
    and processes and networks that differ for all of their lives."""
    order = [*(there_and_back(KEYS, swapped) * 6), None]
    lasting = np.empty(len(order))
    state = rng.normal(0, 0.05)
    for at in range(len(order)):
        state = 0.95 * state + rng.normal(0, 0.05 * math.sqrt(1 - 0.95**2))
        lasting[at] = state
    noise = (
        0.08 * rng.standard_t(3, len(order)) / math.sqrt(3) + lasting + np.linspace(0, rng.normal(0, 0.1), len(order))
    )
    life = {key: rng.normal(0, 0.013) for key in [None, *KEYS]}
    logs = [EFFECTS.get(str(key), 0.0) + life[key] + noise[at] for at, key in enumerate(order)]
    windows: list[Window] = [(key, {"seconds": math.exp(log)}) for key, log in zip(order, logs, strict=True)]
    return [estimate(beside(windows, key, "seconds")) for key in KEYS]


def test_intervals_cover_and_hardly_anything_false_is_called_with_one_baseline_for_all() -> None:
    """Over looks after 2, 4 and 8 sessions, each with its share of the error, as a study takes them."""
    rng, misses, false, settled = np.random.default_rng(0), 0, 0, 0
    studies = 60
    for _ in range(studies):
        logs = np.array([simulated_session(rng, bool(number % 2)) for number in range(8)]).T
        outside, is_called = np.zeros(len(KEYS), bool), False
        for look in (2, 4, 8):
            spread = spread_of([one[:look] for one in logs], correlation(len(KEYS)))
            ratios = [ratio(one[:look], 3, spread) for one in logs]
            verdicts = [
                judge_time(one, p) for one, p in zip(ratios, false_discovery([one.p for one in ratios]), strict=True)
            ]
            truths = [math.exp(EFFECTS.get(key, 0.0)) for key in KEYS]
            outside |= [not one.low <= truth <= one.high for one, truth in zip(ratios, truths, strict=True)]
            is_called |= any(
                v in ("helps", "hurts") for key, v in zip(KEYS, verdicts, strict=True) if key not in EFFECTS
            )
        misses, false = misses + int(outside.sum()), false + is_called
        settled += (verdicts[0] == "hurts") + (verdicts[1] == "helps")
    assert misses <= 0.05 * studies * len(KEYS)
    assert false <= 6  # 5 % of 60, and 1.8 deviations of luck
    assert settled >= 1.6 * studies, "an effect of 5 and one of 10 per cent are mostly found in eight sessions"


def test_a_study_measures_what_shares_a_process_in_one_session() -> None:
    findings = Findings(setting(), select([]), Notebook.__new__(Notebook), {})
    names = ["fused optimizer", "kept memory", "bf16", "compile default", "compile max-autotune", "thread count"]
    pairs = {t.name: (findings.variant(), findings.variant(t)) for t in select(names)}
    groups = {frozenset(group) for group in sessions_of(pairs)}
    assert groups == {
        frozenset({"fused optimizer", "bf16"}),
        frozenset({"kept memory", "thread count"}),
        frozenset({"compile default", "compile max-autotune"}),
    }


class Attempt:
    """Processes that compute nothing: what was begun, and what was waited for, in its order."""

    window, warm_up, pair = 0.1, 0.3, 2.0

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextlib.contextmanager
    def station(self, variants: Sequence[Variant], limit: float | None = None, wait: bool = True) -> Iterator[Any]:
        name = variants[0]["recipe"]["compile"]
        self.told += [f"begin {name}"]

        class Process:
            def wait(process) -> None:
                self.told += [f"wait {name}"]
                if name == "max-autotune":
                    raise Unsupported("was not ready within 20 s")

        yield Process()


def test_what_is_compiled_begins_at_once_and_before_the_others_whose_start_it_would_slow_down() -> None:
    bench = Attempt()
    own = {name: {"recipe": {"compile": name}, "measure": "step"} for name in ("none", "default", "max-autotune")}
    with contextlib.ExitStack() as stack:
        session = Together(stack, bench, own["none"], {}, own, 20.0, False, random.Random(0))  # pyrefly: ignore
    assert bench.told[:2] == ["begin default", "begin max-autotune"]
    assert bench.told[2:4] == ["wait default", "wait max-autotune"]
    assert bench.told[4:] == ["begin none", "begin none"]
    assert list(session.failures) == ["max-autotune"]
