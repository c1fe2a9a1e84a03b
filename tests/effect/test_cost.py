"""What a run costs with a technique, against the sums by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from headway.effect.conclusions import conclusions
from headway.effect.cost import cost_ratio, money, ready_seconds, run_seconds
from headway.effect.lab import Session
from headway.effect.notebook import Notebook
from headway.effect.statistics import Interval
from headway.effect.study import Study
from headway.effect.techniques import select
from headway.files.records import plain
from tests.effect.simulated import BASE, Simulated, setting


def session(ready: float) -> Session:
    return Session(np.full((4, 4), 0.01), (1.0, ready), (1.0, 1.0), None, 1.0)


SESSIONS = [session(90.0), session(11.0), session(11.0)]
"""A technique that was compiled once, for 90 s, and then found its code."""

HOUR = setting(counts=36_000, recipe=BASE.model_copy(update={"epochs": 10, "price_per_hour": 2.0}))
"""Ten epochs of 36,000 rows at a hundredth of a second: an hour, of two in any currency."""


def test_a_run_costs_the_time_until_it_is_ready_and_its_steps() -> None:
    assert ready_seconds(SESSIONS) == (1.0, 11.0)
    assert run_seconds(SESSIONS, HOUR) == pytest.approx(3600.0)
    cost = cost_ratio(Interval(0.5, 0.4, 0.6, 0.01), SESSIONS, HOUR)
    assert (cost.value, cost.low, cost.high) == pytest.approx((1811 / 3601, 1451 / 3601, 2171 / 3601))
    paid = money(cost, SESSIONS, HOUR)
    assert paid == pytest.approx((2 * 3601 / 3600, 2 * 1811 / 3600))


def test_a_price_that_nobody_told_is_not_made_up_and_an_open_effect_stays_open() -> None:
    cost = cost_ratio(Interval(0.5, 0.0, math.inf), SESSIONS, HOUR)
    assert not cost.bounded
    assert money(cost, SESSIONS, setting(counts=36_000)) is None


def test_what_gains_in_a_step_and_loses_until_it_is_ready_costs_more() -> None:
    short = setting(counts=100, recipe=BASE.model_copy(update={"epochs": 1}))
    assert cost_ratio(Interval(0.5, 0.4, 0.6), SESSIONS, short).low > 1


def test_every_timed_technique_has_its_cost(tmp_path: Path) -> None:
    bench = Simulated(half=lambda r: 0.4 if r["schedule"] == "one_cycle" else 1.0)
    plan = {"budget": 3600.0, "seeds": 5, "target": None}
    names = ["resident data", "one-cycle", "int8 prediction", "tf32"]
    cost = plain(
        conclusions(Study(bench, HOUR, select(names), Notebook(tmp_path / "e.jsonl"), plan, lambda *_: None).run())
    )
    rows = {row["name"]: row for row in cost["techniques"]}
    assert rows["tf32"]["cost"] is None
    assert rows["int8 prediction"]["cost"] == rows["int8 prediction"]["time"]
    for name in ("resident data", "one-cycle"):
        assert rows[name]["cost"]["low"] < rows[name]["cost"]["value"] < rows[name]["cost"]["high"]
        assert rows[name]["money"][1] == pytest.approx(rows[name]["money"][0] * rows[name]["cost"]["value"])
    assert rows["one-cycle"]["cost"]["value"] < 0.95
