"""Measuring in turns, with a clock that only the works move."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.samples import Options, Samples, options
from bench.side_by_side import (
    Comparison,
    Machine,
    Ratio,
    against_itself,
    compare,
    conclude,
    measure,
    summarise,
    tell,
    write,
)


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
    result = compare(clock.work("A", 1.0), clock.work("B", 4.0), pairs=2, clock=clock)
    assert clock.done == "AB" + "ABBA" + "BAAB"
    assert (result.ratio, result.low, result.high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_machine_that_slows_down_does_not_change_the_ratio() -> None:
    clock = _Clock(drift=0.002)
    assert compare(clock.work("A", 1.0), clock.work("B", 1.0), pairs=20, clock=clock).ratio == pytest.approx(
        1, abs=1e-4
    )


def test_a_work_may_measure_itself() -> None:
    assert compare(lambda: 1.0, lambda: 2.0, pairs=3).ratio == pytest.approx(0.5)


@pytest.mark.parametrize("blocks", [3, 6, 40])
def test_the_interval_holds_the_truth_as_often_as_it_says(blocks: int) -> None:
    rng = np.random.default_rng(0)
    ratios = [summarise(rng.normal(np.log(0.8), 0.12, blocks)) for _ in range(1000)]
    assert 0.93 <= np.mean([one.low <= 0.8 <= one.high for one in ratios]) <= 0.97


@pytest.mark.parametrize("truth", [1.0, 0.8])
def test_noisy_works_straddle_their_true_ratio(truth: float) -> None:
    rng = np.random.default_rng(0)

    def work(seconds: float) -> Callable[[], float]:
        return lambda: float(seconds * np.exp(rng.normal(0, 0.12)))

    ratios = [compare(work(truth), work(1.0), pairs=40) for _ in range(40)]
    assert sum(r.low <= truth <= r.high for r in ratios) >= 34  # 95 in 100 are expected to
    assert np.mean([r.ratio for r in ratios]) == pytest.approx(truth, rel=0.01)


def test_a_goal_is_met_only_beyond_the_noise() -> None:
    assert Ratio(0.9, 0.8, 0.99, goal=1.0).met is True
    assert Ratio(0.9, 0.8, 1.01, goal=1.0).met is False
    assert Ratio(0.9, 0.8, 0.99).met is None


def test_results_name_the_machine_but_not_the_host(tmp_path: Path) -> None:
    path = write("epoch", {"mlp against a plain loop": Ratio(0.5, 0.4, 0.6, goal=0.7)}, tmp_path)
    content = json.loads(path.read_text())
    assert path.name == "epoch.json"
    assert content["ratios"] == {
        "mlp against a plain loop": {
            "ratio": 0.5,
            "low": 0.4,
            "high": 0.6,
            "goal": 0.7,
            "met": True,
            "samples": 0,
            "void": False,
        }
    }
    assert {"cpu", "cores", "memory_gib", "python", "torch"} <= set(content["machine"])
    assert platform.node() not in path.read_text()


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        compare(lambda: 1.0, lambda: 1.0, pairs=0)


def test_a_comparison_is_void_where_the_anchor_differs_from_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.side_by_side.RESULTS", tmp_path)
    ratios = {
        "at 4096: loop by hand": Ratio(0.5, 0.4, 0.6, goal=0.7),
        "at 4096: A/A": Ratio(0.937, 0.879, 0.991),
        "at 256: loop by hand": Ratio(0.5, 0.4, 0.6, goal=0.7),
        "at 256: A/A": Ratio(1.01, 0.95, 1.09),
    }
    tell("loop", ratios, {case: ratios[f"{case}: A/A"] for case in ("at 4096", "at 256")})
    content = json.loads((tmp_path / "loop.json").read_text())["ratios"]
    assert {label: (one["void"], one["met"]) for label, one in content.items()} == {
        "at 4096: loop by hand": (True, None),
        "at 4096: A/A": (True, None),
        "at 256: loop by hand": (False, True),
        "at 256: A/A": (False, None),
    }
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("VOID")]
    assert len(lines) == 1
    assert "at 4096: the anchor against itself is 0.937 [0.879, 0.991], which excludes 1" in lines[0]


def comparisons(order: list[str]) -> list[Comparison]:
    """Two comparisons that note when they run; each takes the seconds that it says."""

    def work(name: str, seconds: float) -> Callable[[], float]:
        def do() -> float:
            order.append(name)
            return seconds

        return do

    anchor = work("b", 2.0)
    return [Comparison("case: ours", work("a", 1.0), anchor, 3, 0.6), against_itself(anchor, 2, "case")]


def test_a_benchmark_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.side_by_side.RESULTS", tmp_path)
    order: list[str] = []
    first = Samples("x", folder=tmp_path, origin="here")
    assert not measure(first, comparisons(order), Options(minutes=0.0))
    assert order == []
    first.add("case: ours", float(np.log(0.5)))
    second = Samples("x", folder=tmp_path, origin="here")
    assert measure(second, comparisons(order), Options())
    assert order.count("a") == 1 + 2 * 2, "one run to warm up, and two blocks of two: the third block was there"
    third = Samples("x", folder=tmp_path, origin="here")
    conclude("x", third, comparisons(order))
    content = json.loads((tmp_path / "x.json").read_text())["ratios"]
    assert (content["case: ours"]["ratio"], content["case: ours"]["samples"]) == (pytest.approx(0.5), 3)
    assert (content["case: A/A"]["ratio"], content["case: A/A"]["samples"]) == (pytest.approx(1.0), 2)


def test_what_other_processes_take_is_what_the_machine_used_less_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([(0.0, 100.0, 10.0), (10.0, 112.0, 14.0)])  # seconds, CPU seconds of all, of our own
    monkeypatch.setattr(Machine, "_seconds", lambda self: next(moments))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert Machine().others() == pytest.approx((12 - 4) / (10 * 2))


def test_samples_of_other_code_do_not_count(tmp_path: Path) -> None:
    Samples("x", folder=tmp_path, origin="before").add("a", 1.0)
    now = Samples("x", folder=tmp_path, origin="now")
    assert (now.of("a"), now.others) == ((), 1)


def test_a_half_written_sample_is_left_out_and_the_next_one_stands_alone(tmp_path: Path) -> None:
    Samples("x", folder=tmp_path, origin="o").add("a", 1.0)
    path = tmp_path / "x.jsonl"
    path.write_bytes(path.read_bytes() + b'{"origin": "o", "lab')
    Samples("x", folder=tmp_path, origin="o").add("a", 2.0)
    assert Samples("x", folder=tmp_path, origin="o").of("a") == (1.0, 2.0)
    assert Samples("x", folder=tmp_path, origin="o", fresh=True).of("a") == ()


def test_a_time_of_no_minutes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert options(["--minutes", "2.5", "--fresh"]) == Options(2.5, True)
    with pytest.raises(SystemExit):
        options(["--minutes", "0"])
    assert "minutes must be more than 0, but is 0" in capsys.readouterr().err
