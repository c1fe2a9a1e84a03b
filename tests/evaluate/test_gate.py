"""The gate's error rates by simulation, and the sentence that each decision earns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from headway.evaluate.config import GateConfig
from headway.evaluate.gate import Decision, decide

ROWS = 2000


def right(rng: np.random.Generator, share: float) -> np.ndarray:
    """Predictions of class 1, right for ``share`` of rows whose target is all ones but for a few zeros."""
    p = np.where(rng.random(ROWS) < share, 0.8, 0.2)
    return np.stack([1 - p, p], 1)


def put(candidate: np.ndarray, champion: np.ndarray | None, gate: GateConfig | None = None, **more: Any) -> Decision:
    options: dict[str, Any] = {
        "slice_values": {},
        "latency_ms": 1.0,
        "size_mb": 1.0,
        "champion_label": "3",
        "resamples": 300,
        "seed": 0,
    }
    target = more.pop("target", np.ones(len(candidate), int))
    trivial = more.pop("trivial", np.tile([0.6, 0.4], (len(candidate), 1)))
    chosen = gate or GateConfig(metric="accuracy", margin=0.05)
    return decide(chosen, "classification", target, candidate, champion, trivial, **(options | more))


def test_an_equal_model_passes_and_one_that_is_worse_by_the_margin_passes_at_most_one_time_in_twenty() -> None:
    rng = np.random.default_rng(0)
    equal = sum(put(right(rng, 0.8), right(rng, 0.8)).promoted for _ in range(60))
    worse = sum(put(right(rng, 0.75), right(rng, 0.8)).promoted for _ in range(60))
    # sd of the difference is sqrt(2 * .8 * .2 / 2000) = .0126: an equal one clears the margin .05 by 4 sd, 2 of them the interval's.
    assert equal >= 55
    # 2.5 in 100 expected: 7 or more of 60 would happen once in a thousand times.
    assert worse <= 6


def test_a_better_model_is_promoted_with_the_numbers() -> None:
    rng = np.random.default_rng(1)
    decision = put(right(rng, 0.9), right(rng, 0.8))
    assert decision.promoted
    assert re.match(
        r"promoted: accuracy 0\.\d{4} against version 3's 0\.\d{4}, difference \+0\.\d{4} \[.*\]; better$",
        decision.reason,
    )
    assert decision.low is not None
    assert decision.difference is not None
    assert decision.low < decision.difference


def test_a_worse_model_is_not_promoted_and_an_undecided_one_is_told_so() -> None:
    rng = np.random.default_rng(2)
    assert put(right(rng, 0.6), right(rng, 0.8)).reason.endswith("; worse than the margin 0.05")
    few = slice(0, 60)
    decision = put(right(rng, 0.8)[few], right(rng, 0.8)[few])
    assert not decision.promoted
    assert "the test rows cannot tell" in decision.reason


def test_a_first_model_must_beat_the_trivial_baseline() -> None:
    rng = np.random.default_rng(3)
    target = rng.integers(0, 2, ROWS)
    trivial = np.tile([0.5, 0.5], (ROWS, 1))
    noise = rng.random(ROWS)
    guess = put(np.stack([1 - noise, noise], 1), None, GateConfig(), target=target, trivial=trivial)
    assert not guess.promoted
    assert guess.reason.endswith("it must beat the trivial baseline")
    informed = np.clip(0.5 + 0.2 * (target - 0.5) + 0.2 * rng.normal(size=ROWS), 0.01, 0.99)
    decision = put(np.stack([1 - informed, informed], 1), None, GateConfig(), target=target, trivial=trivial)
    assert decision.promoted
    assert "the first model, better than the trivial baseline" in decision.reason


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"max_latency_ms": 0.5}, "1,000 rows take 1.0 ms, more than gate.max_latency_ms 0.5"),
        ({"max_size_mb": 0.5}, "its files take 1.0 MB, more than gate.max_size_mb 0.5"),
    ],
)
def test_a_stated_limit_holds_a_good_model_back(limit: dict[str, float], text: str) -> None:
    rng = np.random.default_rng(4)
    decision = put(right(rng, 0.9), right(rng, 0.8), GateConfig(metric="accuracy", **limit))
    assert not decision.promoted
    assert decision.reason.endswith(text)


def test_a_slice_that_loses_more_than_its_margin_holds_a_better_model_back() -> None:
    rng = np.random.default_rng(5)
    champion, candidate = right(rng, 0.8), right(rng, 0.95)
    group = np.where(np.arange(ROWS) < 200, "few", "many")
    candidate[:200] = [0.8, 0.2]
    gate = GateConfig(metric="accuracy", slice_margin=0.1)
    decision = put(candidate, champion, gate, slice_values={"group": group})
    assert not decision.promoted
    assert "group = few loses" in decision.reason


def test_rows_that_cannot_tell_anything_promote_nothing() -> None:
    decision = put(np.tile([0.3, 0.7], (50, 1)), None, GateConfig(metric="auc"))
    assert not decision.promoted
    assert decision.reason == "not promoted: AUC is not defined on these test rows"
