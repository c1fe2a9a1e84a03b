"""Intervals and verdicts against SciPy, statsmodels' published example for Holm, and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from headway.effect.statistics import (
    Interval,
    blocks_needed,
    holm,
    judge_quality,
    judge_time,
    log_ratios,
    margin_of,
    mean_difference,
    product,
    ratio,
)


def test_a_linear_drift_cancels_in_a_block() -> None:
    drift = np.exp(0.1 * np.arange(4))
    assert log_ratios(np.array([[1.0, 2.0, 2.0, 1.0] * drift]))[0] == pytest.approx(math.log(2))


@pytest.mark.parametrize("blocks", [8, 16, 50, 64])
def test_the_interval_is_the_ratios_that_scipys_test_does_not_reject(blocks: int) -> None:
    logs = np.random.default_rng(blocks).normal(0.05, 0.1, blocks)
    found = ratio(logs)
    for inside, edge, outward in (
        (True, found.low, 1),
        (True, found.high, -1),
        (False, found.low, -1),
        (False, found.high, 1),
    ):
        shift = math.log(edge) + outward * 1e-9
        p = stats.wilcoxon(logs - shift).pvalue
        assert (p > 0.05 - 2e-3) if inside else (p < 0.05 + 2e-3)
    assert found.low < found.value < found.high


def test_the_estimate_shrugs_off_windows_that_went_wrong() -> None:
    logs = np.random.default_rng(0).normal(0.05, 0.01, 64)
    logs[:6] = 3.0
    assert ratio(logs).value == pytest.approx(math.exp(0.05), rel=0.01)


def test_coverage_holds_at_every_look_together() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        logs = rng.standard_t(3, 128) * 0.05 + 0.05
        missed += any(
            not ratio(logs[:n], 4).low <= math.exp(0.05) <= ratio(logs[:n], 4).high for n in (16, 32, 64, 128)
        )
    assert missed <= 16  # 5 % of 200, and three deviations of luck


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


def test_the_blocks_that_are_missing_follow_from_the_noise() -> None:
    quiet, loud = (np.random.default_rng(0).normal(0, s, 64) for s in (0.02, 0.2))
    assert blocks_needed(quiet, 5) == 65
    assert 400 < blocks_needed(loud, 5) < 1_200  # (2.58 * 0.2 / 0.0198)^2 = 680
