"""Verdicts on quality, against closed forms and simulations whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from headway.effect.equality import Comparison, Equality, Margin, judge_together, margin_of, side_of
from headway.effect.statistics import Mean, mean_of, spread_of


def exactly(value: float, error: float = 0.01, freedom: float = 30.0) -> Comparison:
    return Comparison.of(Mean(value, error, freedom), Margin(0.05, math.inf))


def test_the_margin_is_two_deviations_of_the_baseline_with_the_chi_square_interval() -> None:
    qualities = np.array([0.90, 0.91, 0.92])
    margin = margin_of(qualities)
    assert margin.value == pytest.approx(0.02)
    low, high = margin.limits(0.05)
    trusted = [2 * math.sqrt(2 * 0.01**2 / stats.chi2.ppf(level, 2)) for level in (0.975, 0.025)]
    assert (low, high) == pytest.approx(trusted)


def test_seeds_that_agree_in_every_digit_leave_a_small_margin_that_is_exact() -> None:
    margin = margin_of(np.array([0.9, 0.9]))
    assert (margin.value, margin.freedom) == (pytest.approx(0.9e-4), math.inf)
    assert margin.limits(0.05) == (margin.value, margin.value)


@pytest.mark.parametrize(
    ("value", "says"), [(0.0, "equal"), (0.1, "better"), (-0.1, "worse"), (-0.04, "open"), (0.04, "equal")]
)
def test_quality_is_judged_beside_the_margin(value: float, says: Equality) -> None:
    assert exactly(value).verdict_among(1) == says


@pytest.mark.parametrize("sign", [-1, 1])
def test_beside_an_exact_margin_it_is_students_test(sign: int) -> None:
    difference = Mean(0.012, 0.01, 6.0)
    side = side_of(difference, Margin(0.02, math.inf), sign)
    distance = 0.012 - sign * 0.02
    assert side.above == (distance > 0)
    assert side.p == pytest.approx(2 * stats.t.sf(abs(distance) / 0.01, 6), rel=0.01)


def test_an_exact_difference_is_judged_by_the_margins_own_interval() -> None:
    """A difference without error is beyond minus the margin at the level at which the margin's lower limit is as large as it."""
    side = side_of(Mean(-0.014, 0.0, math.inf), Margin(0.02, 4.0), -1)
    assert side.above
    assert side.p == pytest.approx(2 * stats.chi2.sf(4 * (0.02 / 0.014) ** 2, 4), rel=0.01)


def test_a_margin_from_few_seeds_asks_for_more() -> None:
    difference = Mean(0.0, 0.006, 8.0)
    sides = [side_of(difference, Margin(0.02, freedom), -1).p for freedom in (4.0, 9.0, math.inf)]
    assert sides[0] > sides[1] > sides[2]


def test_verdicts_of_a_study_are_corrected_for_their_number() -> None:
    difference = -0.05 + 0.01 * stats.t.isf(0.01, 30)  # equal with p = .02 by itself
    assert exactly(difference).verdict_among(1) == "equal"
    many = {str(k): exactly(difference) for k in range(5)}
    assert set(judge_together(many).values()) == {"open"}
    assert judge_together({**many, "clear": exactly(0.0)})["clear"] == "equal"


def _study(rng: np.random.Generator, together: float, losses: Sequence[float], seeds: int = 5) -> list[Equality]:
    """Verdicts of a study: baseline of deviation 1; each technique's quality goes with it by so much, and loses so much."""
    baseline = rng.normal(size=seeds)
    noise = rng.normal(size=(len(losses), seeds)) * math.sqrt(1 - together**2)
    differences = [(together - 1) * baseline + own - loss for own, loss in zip(noise, losses, strict=True)]
    margin, spread = margin_of(baseline + 0.0), spread_of(differences)
    means = {str(k): Comparison.of(mean_of(one, spread), margin) for k, one in enumerate(differences)}
    return list(judge_together(means).values())


@pytest.mark.parametrize("together", [0.0, 0.7])
def test_what_loses_the_margin_is_rarely_called_equal_and_what_loses_nothing_rarely_worse(together: float) -> None:
    """Over all techniques of a study at once. Student's interval beside a margin taken as exact called 18 % of such studies."""
    rng, wrong, equal = np.random.default_rng(0), 0, 0
    for _ in range(60):
        losses = [2.0, 2.0, 0.0, 0.0, 0.0, 0.0]
        says = _study(rng, together, losses)
        wrong += any(one in ("equal", "better") for one in says[:2]) or any(
            one in ("worse", "better") for one in says[2:]
        )
        equal += says[2:].count("equal")
    assert wrong <= 6  # 5 % of 60, and 1.8 deviations of luck
    assert equal >= 0.35 * 240, "a test that never says anything would be right, too"
