"""Intervals and verdicts against SciPy, statsmodels' published example for Holm, and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from headway.effect.statistics import (
    Interval,
    estimate,
    holm,
    judge_quality,
    judge_time,
    log_ratios,
    margin_of,
    mean_difference,
    pairs_needed,
    product,
    ratio,
)


def test_a_linear_drift_cancels_in_a_block() -> None:
    drift = np.exp(0.1 * np.arange(4))
    assert log_ratios(np.array([[1.0, 2.0, 2.0, 1.0] * drift]))[0] == pytest.approx(math.log(2))


@pytest.mark.parametrize("pairs", [4, 8, 32])
def test_the_interval_is_students_over_pairs(pairs: int) -> None:
    logs = np.random.default_rng(pairs).normal(0.05, 0.1, pairs)
    found, trusted = ratio(logs, 4), stats.ttest_1samp(logs, 0.0)
    interval = trusted.confidence_interval(1 - 0.05 / 4)
    assert (math.log(found.low), math.log(found.high)) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(min(1.0, 4 * trusted.pvalue))
    assert found.value == pytest.approx(math.exp(logs.mean()))


def test_a_pairs_estimate_shrugs_off_a_window_that_went_wrong() -> None:
    logs = np.random.default_rng(0).normal(0.05, 0.005, 8)
    blocks = np.exp(np.stack([np.zeros(8), logs, logs, np.zeros(8)], 1))
    blocks[3, 1] *= 20.0
    assert estimate(blocks) == pytest.approx(0.05, abs=0.01)


def test_no_pairs_or_one_say_nothing() -> None:
    for logs in (np.array([]), np.array([0.3])):
        assert ratio(logs).low == 0.0
        assert ratio(logs).high == math.inf
        assert ratio(logs).p == 1.0


def test_coverage_holds_at_every_look_together_although_processes_differ_for_life() -> None:
    rng, truth = np.random.default_rng(0), math.exp(0.05)
    missed = 0
    for _ in range(300):
        logs = 0.05 + rng.normal(0, 0.018, 32) + np.median(rng.standard_t(3, (32, 4)) * 0.03, 1)
        found = [ratio(logs[:n], 4) for n in (4, 8, 16, 32)]
        missed += any(not one.low <= truth <= one.high for one in found)
    assert missed <= 26  # 5 % of 300, and three deviations of luck


def test_holm_is_the_textbooks() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("found", "p", "verdict"),
    [
        (Interval(0.90, 0.88, 0.92), 0.001, "helps"),
        (Interval(1.10, 1.08, 1.12), 0.001, "hurts"),
        (Interval(1.10, 0.98, 1.22), 0.2, "not settled"),
        (Interval(1.00, 0.99, 1.01), 0.9, "no measurable effect"),
        (Interval(0.995, 0.992, 0.998), 0.001, "no measurable effect"),
        (Interval(0.90, 0.88, 0.92), 0.06, "not settled"),
        (Interval(0.9, 0.0, math.inf), 1.0, "not settled"),
    ],
)
def test_verdicts_by_time(found: Interval, p: float, verdict: str) -> None:
    assert judge_time(found, p) == verdict


def test_the_difference_of_qualities_is_students() -> None:
    values = np.array([0.1, 0.2, 0.15, 0.12, 0.22])
    found, trusted = mean_difference(values), stats.ttest_1samp(values, 0.0)
    assert (found.low, found.high) == pytest.approx(tuple(trusted.confidence_interval(0.95)))
    assert found.p == pytest.approx(trusted.pvalue)
    assert mean_difference(np.zeros(4)) == Interval(0.0, 0.0, 0.0, 1.0)


def test_quality_is_judged_against_the_margin() -> None:
    assert judge_quality(Interval(0.0, -0.01, 0.01), 0.02) == "equal"
    assert judge_quality(Interval(0.05, 0.03, 0.07), 0.02) == "better"
    assert judge_quality(Interval(-0.05, -0.07, -0.03), 0.02) == "worse"
    assert judge_quality(Interval(-0.01, -0.04, 0.02), 0.02) == "open"
    assert margin_of(np.array([0.90, 0.91, 0.92])) == pytest.approx(0.02)
    assert margin_of(np.array([0.9, 0.9])) > 0


def test_time_to_a_quality_multiplies_and_its_errors_add() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        time = math.exp(rng.normal(math.log(0.8), 0.02))
        half = 1.96 * 0.02
        found = product(
            Interval(time, time * math.exp(-half), time * math.exp(half)), rng.normal(math.log(0.5), 0.05, 5)
        )
        covered += found.low <= 0.4 <= found.high
    assert covered >= 370
    exact = product(Interval(0.5, 0.5, 0.5), np.zeros(3))
    assert (exact.value, exact.low, exact.high) == (0.5, 0.5, 0.5)


def test_the_pairs_that_are_missing_follow_from_the_noise() -> None:
    quiet, loud = (np.random.default_rng(0).normal(0, s, 32) for s in (0.01, 0.2))
    assert pairs_needed(quiet, 4) == 33
    assert 400 < pairs_needed(loud, 4) < 1_200  # (2.5 * 0.2 / 0.0198)^2 = 640
