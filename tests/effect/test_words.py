"""No ratio without its interval, and nothing absurd in digits."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from headway.effect.pictures import CLAMP, forest, waterfall
from headway.effect.results import Confirmed, Effect, Reached, Recommended, Row, StudyResult, Whole
from headway.effect.statistics import Interval
from headway.effect.words import difference, faster, further, ratio, recommendation, target_counts


def effect(value: float, low: float, high: float) -> Effect:
    return Effect.of(Interval(value, low, high))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (effect(0.5, 0.4, 0.6), "0.50 [0.40, 0.60]"),
        (effect(0.0041, 0.001, 0.009), "0.0041 [0.001, 0.009]"),
        (effect(1.38, 2.4e-6, 587101.88), "too uncertain to say"),
        (effect(1.38, 0.0, math.inf), "too uncertain to say"),
        (effect(1.38, 0.3, 4.0), "too uncertain to say"),
        (effect(1.4, 1.2, math.inf), "at least 1.20"),
        (effect(0.6, 0.0, 0.8), "at most 0.80"),
        (None, ""),
    ],
)
def test_a_ratio_never_stands_without_its_interval(value: Any, text: str) -> None:
    assert ratio(value) == text


def test_differences_and_speeds_have_theirs() -> None:
    assert difference(effect(-0.001, -0.002, 0.0001)) == "-0.0010 [-0.0020, +0.0001]"
    assert faster(effect(0.5, 0.4, 0.625)) == "2.00 times as fast (1.60 to 2.50)"
    assert faster(effect(0.5, 0.0, 0.8)) == "at least 1.25 times as fast"
    assert faster(effect(0.5, 0.01, 0.8)) == "at least 1.25 times as fast"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (20.0, "; about 1 more minute would settle the time"),
        (720.0, "; about 12 more minutes would settle the time"),
        (4 * 3600.0, "; about 4 more hours would settle the time"),
        (250671 * 60.0, "; that would not settle within a day"),
    ],
)
def test_how_much_longer_is_said_as_people_say_it(seconds: float | None, text: str) -> None:
    assert further(seconds) == text


def test_trainings_that_never_reached_the_target_are_counted() -> None:
    assert target_counts(Reached(5, 5, 5)) == target_counts(None) == ""
    assert target_counts(Reached(5, 2, 5)) == (
        "the target was reached in 2 of 5 trainings with it and in 5 of the baseline's"
    )


def test_what_was_chosen_and_not_confirmed_is_said_with_its_interval() -> None:
    one = Confirmed(("bf16",), outcome="not confirmed", why="it is slower", to_target=effect(1.2, 1.1, 1.3))
    result = StudyResult((), recommended=Recommended(confirmations=(one,)))
    assert recommendation(result) == (
        "bf16 was chosen, but not confirmed: it is slower (1.20 [1.10, 1.30] of plain PyTorch's time). "
        "Nothing is recommended beyond plain PyTorch. "
    )


def row(name: str, time: Effect) -> Row:
    return Row(name, "not settled", time=time)


def test_the_forest_is_clamped_at_both_ends_and_shows_every_interval() -> None:
    rows = [
        row("wide", effect(1.0, 1e-3, 9e-3)),
        row("high", effect(30.0, 20.0, 60.0)),
        row("usual", effect(0.9, 0.8, 1.0)),
        row("lost", effect(1.38, 0.0, math.inf)),
        row("bounded", effect(1.4, 1.2, math.inf)),
    ]
    picture = forest(rows)
    assert picture is not None
    assert "lost" not in picture, "what is not known is in the table, in words"
    for text in ("0.90 [0.80, 1.00]", "at least 1.20", "30.00 [20.00, 60.00]"):
        assert text in picture
    ticks = [float(text) for text in re.findall(r">(\d+(?:\.\d+)?)</text>", picture)]
    assert ticks
    assert CLAMP[0] <= min(ticks) <= max(ticks) <= CLAMP[1]
    assert forest([row("lost", effect(1.38, 0.0, math.inf))]) is None


def test_the_waterfall_gives_each_bar_its_interval() -> None:
    rows = (row("one", effect(0.8, 0.7, 0.9)), row("two", effect(0.9, 0.85, 0.95)))
    picture = waterfall(StudyResult(rows, stack=Whole(("one", "two"), effect(0.75, 0.7, 0.8))))
    assert picture is not None
    for text in ("[0.70, 0.90]", "[0.85, 0.95]", "[0.70, 0.80]"):
        assert text in picture
    lost = Whole(("one", "two"), effect(0.75, 0.0, math.inf))
    assert waterfall(StudyResult(rows, stack=lost)) is None
