"""Measuring in turns, with a clock that only the works move."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.side_by_side import Ratio, compare, summarise, write


class _Clock:
    """Time that passes only when a work is done, ``drift`` slower by each work done."""

    def __init__(self, drift: float = 0.0) -> None:
        self.now, self.drift, self.done = 0.0, drift, ""

    def __call__(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def do() -> None:
            self.now += seconds * (1 + self.drift * len(self.done))
            self.done += name

        return do


def test_works_take_turns_after_a_warm_up() -> None:
    clock = _Clock()
    found = compare(clock.work("A", 1.0), clock.work("B", 4.0), pairs=2, clock=clock)
    assert clock.done == "AB" + "ABBA" * 2
    assert (found.ratio, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_machine_that_slows_down_does_not_change_the_ratio() -> None:
    clock = _Clock(drift=0.002)
    assert compare(clock.work("A", 1.0), clock.work("B", 1.0), pairs=20, clock=clock).ratio == pytest.approx(
        1, abs=1e-4
    )


def test_a_work_may_measure_itself() -> None:
    assert compare(lambda: 1.0, lambda: 2.0, pairs=3).ratio == pytest.approx(0.5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        found = summarise(rng.normal(np.log(0.8), 0.12, 40), resamples=500, seed=seed)
        held += found.low <= 0.8 <= found.high
    assert 0.90 <= held / 300 <= 0.98


@pytest.mark.parametrize("truth", [1.0, 0.8])
def test_noisy_works_straddle_their_true_ratio(truth: float) -> None:
    rng = np.random.default_rng(0)

    def work(seconds: float) -> Callable[[], float]:
        return lambda: float(seconds * np.exp(rng.normal(0, 0.12)))

    found = [compare(work(truth), work(1.0), pairs=40) for _ in range(40)]
    assert sum(r.low <= truth <= r.high for r in found) >= 34  # 95 in 100 are expected to
    assert np.mean([r.ratio for r in found]) == pytest.approx(truth, rel=0.01)


def test_a_goal_is_met_only_beyond_the_noise() -> None:
    assert Ratio(0.9, 0.8, 0.99, goal=1.0).met is True
    assert Ratio(0.9, 0.8, 1.01, goal=1.0).met is False
    assert Ratio(0.9, 0.8, 0.99).met is None


def test_results_name_the_machine_but_not_the_host(tmp_path: Path) -> None:
    path = write("epoch", {"mlp against a plain loop": Ratio(0.5, 0.4, 0.6, goal=0.7)}, tmp_path)
    kept = json.loads(path.read_text())
    assert path.name == "epoch.json"
    assert kept["ratios"] == {
        "mlp against a plain loop": {"ratio": 0.5, "low": 0.4, "high": 0.6, "goal": 0.7, "met": True}
    }
    assert {"cpu", "cores", "memory_gib", "python", "torch"} <= set(kept["machine"])
    assert platform.node() not in path.read_text()


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        compare(lambda: 1.0, lambda: 1.0, pairs=0)
