"""Intervals and verdicts against SciPy, statsmodels' published example for Holm, and simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from headway.effect.corrections import false_discovery, holm
from headway.effect.statistics import (
    EXACT,
    Interval,
    Mean,
    Spread,
    estimate,
    judge_time,
    log_ratios,
    mean_difference,
    mean_of,
    pairs_needed,
    product,
    ratio,
    spread_of,
)


def test_a_linear_drift_cancels_in_a_block() -> None:
    drift = np.exp(0.1 * np.arange(4))
    assert log_ratios(np.array([[1.0, 2.0, 2.0, 1.0] * drift]))[0] == pytest.approx(math.log(2))


@pytest.mark.parametrize("pairs", [4, 8, 32])
def test_the_interval_is_students_over_pairs(pairs: int) -> None:
    logs = np.random.default_rng(pairs).normal(0.05, 0.1, pairs)
    estimate_of_pairs, trusted = ratio(logs, 4), stats.ttest_1samp(logs, 0.0)
    interval = trusted.confidence_interval(1 - 0.05 / 4)
    assert (math.log(estimate_of_pairs.low), math.log(estimate_of_pairs.high)) == pytest.approx(
        (interval.low, interval.high)
    )
    assert estimate_of_pairs.p == pytest.approx(min(1.0, 4 * trusted.pvalue))
    assert estimate_of_pairs.value == pytest.approx(math.exp(logs.mean()))


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
    misses = 0
    for _ in range(300):
        logs = 0.05 + rng.normal(0, 0.018, 32) + np.median(rng.standard_t(3, (32, 4)) * 0.03, 1)
        intervals = [ratio(logs[:n], 4) for n in (4, 8, 16, 32)]
        misses += any(not one.low <= truth <= one.high for one in intervals)
    assert misses <= 26  # 5 % of 300, and three deviations of luck


@pytest.mark.parametrize("freedom", [4.0, 10.0])
def test_the_spread_is_the_one_that_the_variances_were_drawn_from(freedom: float) -> None:
    rng = np.random.default_rng(0)
    variances = 0.01 * freedom / rng.chisquare(freedom, 20_000)
    spread = spread_of([rng.normal(0, math.sqrt(v), 4) for v in variances], together=0.0)
    assert spread is not None
    assert spread.variance == pytest.approx(0.01, rel=0.05)
    assert spread.freedom == pytest.approx(freedom, rel=0.2)


def test_a_moderated_variance_is_the_posterior_mean_of_the_conjugate_prior() -> None:
    logs = np.random.default_rng(1).normal(0.05, 0.1, 6)
    prior = Spread(variance=0.02, freedom=7.0, pooled=100.0)
    variance = (7 * 0.02 + 5 * logs.var(ddof=1)) / 12
    interval = stats.t.interval(0.95, 12, loc=logs.mean(), scale=math.sqrt(variance / 6))
    difference = mean_difference(logs, spread=prior)
    assert (difference.low, difference.high) == pytest.approx(interval)
    assert difference.p == pytest.approx(2 * stats.t.sf(logs.mean() / math.sqrt(variance / 6), 12))


def test_one_variance_for_all_is_pooled_and_no_better_known_than_that() -> None:
    comparisons = [np.array([-1.0, 1.0, -1.0, 1.0]) + mean for mean in range(6)]
    spread = spread_of(comparisons, together=0.0)
    assert spread is not None
    assert math.isinf(spread.freedom)
    assert spread.moderated(9.0, 3.0) == (pytest.approx(4 / 3), 18.0)
    assert spread.moderated(9.0, 20.0) == (9.0, 20.0), "a comparison that has more of its own says it best itself"
    assert spread_of(comparisons[:3]) is None, "too few to tell"


def test_comparisons_with_one_baseline_count_as_fewer() -> None:
    """The variance of the mean of correlated chi-squares: six of them with a squared correlation of 1/4 are worth 6 / 2.25."""
    spread = spread_of([np.array([-1.0, 1.0, -1.0, 1.0]) + mean for mean in range(6)])
    assert spread is not None
    assert spread.pooled == pytest.approx(18 / 2.25)
    rng, freedom = np.random.default_rng(0), 3
    drawn = rng.normal(size=(20_000, 7, freedom + 1))
    logs = (drawn[:, :1] + drawn[:, 1:]) / math.sqrt(2)  # six techniques less one baseline
    mean = logs.var(axis=2, ddof=1).mean(1)
    assert 2 / mean.var() == pytest.approx(spread.pooled, rel=0.05)


def _misses(rng: np.random.Generator, deviations: np.ndarray, shared: float) -> tuple[float, bool]:
    """The share of a study's intervals that miss at any look, and whether it falsely calls an effect where there is none.

    ``shared``: the share of the variance that is the baseline's, the same for all techniques of a session.
    """
    baseline, own = rng.normal(0, math.sqrt(shared), 16), math.sqrt(1 - shared)
    pairs = [deviation * (baseline + rng.normal(0, own, 16)) for deviation in deviations]
    misses, calls = np.zeros(len(pairs), bool), False
    for look in (4, 8, 16):
        so_far = [one[:look] for one in pairs]
        spread = spread_of(so_far)
        intervals = [ratio(one, 3, spread) for one in so_far]
        misses |= [not one.low <= 1 <= one.high for one in intervals]
        corrected = false_discovery([one.p for one in intervals])
        verdicts = [judge_time(one, p) for one, p in zip(intervals, corrected, strict=True)]
        calls |= bool({"helps", "hurts"} & set(verdicts))
    return float(misses.mean()), calls


@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("freedom", [3.0, 8.0, math.inf])
def test_moderated_intervals_cover_and_a_study_of_nothing_stays_quiet(freedom: float, shared: float) -> None:
    """Whether variances differ much between techniques, some, or not at all; with baselines of their own or one for all."""
    rng = np.random.default_rng(0)
    wide = [np.ones(18) if math.isinf(freedom) else np.sqrt(freedom / rng.chisquare(freedom, 18)) for _ in range(100)]
    misses, calls = zip(*(_misses(rng, 0.05 * deviations, shared) for deviations in wide), strict=True)
    assert np.mean(misses) <= 0.05
    assert sum(calls) <= 9  # 5 % of 100, and 1.8 deviations of luck


def test_a_comparison_that_is_far_noisier_than_the_others_is_not_called_for_it() -> None:
    rng = np.random.default_rng(0)
    calls = sum(_misses(rng, 0.05 * np.array([10.0] + [1.0] * 17), 0.5)[1] for _ in range(100))
    assert calls <= 9


def test_moderation_settles_with_fewer_pairs() -> None:
    """What it is for: of eighteen effects of 6 %, four pairs each and 2.5 % of noise, many are called; without it, hardly any."""
    rng = np.random.default_rng(0)
    pairs = [rng.normal(-0.06, 0.025, 4) for _ in range(18)]
    counts = []
    for spread in (None, spread_of(pairs)):
        intervals = [ratio(one, 4, spread) for one in pairs]
        corrected = false_discovery([one.p for one in intervals])
        counts.append(sum(judge_time(one, p) == "helps" for one, p in zip(intervals, corrected, strict=True)))
    assert counts[0] <= 4
    assert counts[1] >= 10


def test_corrections_for_the_number_are_the_textbooks() -> None:
    values = [0.01, 0.04, 0.03, 0.005]
    assert holm(values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert false_discovery(values) == pytest.approx(stats.false_discovery_control(values))
    assert false_discovery(values, 6) == pytest.approx(stats.false_discovery_control([*values, 1.0, 1.0])[:4])
    assert holm([]) == false_discovery([]) == []


@pytest.mark.parametrize("effects", [1, 9])
def test_of_the_effects_that_studies_call_hardly_any_is_false(effects: int) -> None:
    """Eighteen techniques beside one baseline, most looked at until they are settled; the rest of them is a baseline with itself."""
    rng, false, of_all = np.random.default_rng(1), 0.0, 0
    truths = np.array([-0.1] * effects + [0.0] * (18 - effects))
    studies = 60
    for _ in range(studies):
        baseline = rng.normal(0, math.sqrt(0.5), 16)
        logs = [truth + 0.05 * (baseline + rng.normal(0, math.sqrt(0.5), 16)) for truth in truths]
        verdicts = ["not settled"] * 18
        pairs = [2] * 18
        for look in (2, 4, 8, 16):
            pairs = [
                look if verdict == "not settled" else count for verdict, count in zip(verdicts, pairs, strict=True)
            ]
            so_far = [one[:count] for one, count in zip(logs, pairs, strict=True)]
            intervals = [ratio(one, 5.3125, spread_of(so_far)) for one in so_far]
            corrected = false_discovery([one.p for one in intervals])
            verdicts = [judge_time(one, p) for one, p in zip(intervals, corrected, strict=True)]
        calls = [verdict in ("helps", "hurts") for verdict in verdicts]
        of_all += sum(calls[:effects])
        false += sum(calls[effects:]) / max(1, sum(calls))
    assert false / studies <= 0.05
    assert of_all >= 0.9 * studies * effects


@pytest.mark.parametrize(
    ("value", "deviation", "least", "most"),
    [
        (math.log(0.41), 0.25, 3, 12),  # far from 1: not the hundreds that an interval of 2 % takes
        (0.0, 0.03, 16, 22),  # (2.8 * 0.03 / 0.0198)^2
        (-0.05, 0.03, 3, 40),
    ],
)
def test_a_verdict_needs_as_many_pairs_as_the_effect_is_near_1(
    value: float, deviation: float, least: int, most: int
) -> None:
    logs = value + deviation * np.array([-1.0, 1.0]) / math.sqrt(2)
    spread = Spread(deviation**2, 10.0, 20.0)
    needed = pairs_needed(logs, 5.3125, spread, 23)
    assert needed is not None
    assert least <= needed <= most
    hopeful = pairs_needed(logs, 5.3125, spread, 23, hopeful=True)
    assert hopeful is not None
    assert hopeful <= needed


@pytest.mark.parametrize(
    ("interval", "p", "verdict"),
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
def test_verdicts_by_time(interval: Interval, p: float, verdict: str) -> None:
    assert judge_time(interval, p) == verdict


def test_the_difference_of_qualities_is_students() -> None:
    values = np.array([0.1, 0.2, 0.15, 0.12, 0.22])
    interval, trusted = mean_difference(values), stats.ttest_1samp(values, 0.0)
    assert (interval.low, interval.high) == pytest.approx(tuple(trusted.confidence_interval(0.95)))
    assert interval.p == pytest.approx(trusted.pvalue)
    assert mean_difference(np.zeros(4)) == Interval(0.0, 0.0, 0.0, 1.0)


def test_time_to_a_quality_multiplies_and_its_errors_add() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        times, passes = rng.normal(math.log(0.8), 0.04, 6), rng.normal(math.log(0.5), 0.05, 5)
        interval = product(mean_of(times), mean_of(passes))
        covered += interval.low <= 0.4 <= interval.high
    assert covered >= 370
    trusted = stats.ttest_ind(
        times, -passes, equal_var=False
    ).confidence_interval()  # log t + log p, with Welch's degrees of freedom
    assert (math.log(interval.low), math.log(interval.high)) == pytest.approx((trusted.low, trusted.high))
    assert product(mean_of(times), EXACT).value == pytest.approx(math.exp(times.mean()))
    exact = product(Mean(math.log(0.5), 0.0, math.inf), EXACT)
    assert (exact.value, exact.low, exact.high) == (0.5, 0.5, 0.5)


def test_a_look_at_a_product_spends_its_part_of_the_error() -> None:
    rng = np.random.default_rng(1)
    time, passes = mean_of(rng.normal(0, 0.1, 8)), mean_of(rng.normal(0.2, 0.1, 5))
    once, of_three = product(time, passes), product(time, passes, 3)
    log = time.plus(passes)
    assert math.log(of_three.high) == pytest.approx(log.value + stats.t.ppf(1 - 0.05 / 6, log.freedom) * log.error)
    assert of_three.p == pytest.approx(3 * once.p)


def test_the_lower_limit_of_a_bound_holds_for_what_it_bounds() -> None:
    """Of trainings that need 1.2 times the passes, those that need more than were made are censored: the limit still covers."""
    rng, misses, calls = np.random.default_rng(0), 0, 0
    for _ in range(400):
        passes = rng.normal(math.log(1.2), 0.3, 5)
        interval = product(Mean(0.0, 0.01, 30.0), mean_of(np.minimum(passes, 0.4)), bound="below")
        misses += interval.low > 1.2
        calls += interval.high < 1
        assert interval.high == math.inf
    assert misses <= 18  # 2.5 % of 400, and 2.5 deviations of luck
    assert calls == 0, "what only has a lower bound is never called faster"
    other = product(EXACT, mean_of(np.array([-0.5, -0.6, -0.4])), bound="above")
    assert (other.low, other.p < 0.05) == (0.0, True)
    assert other.high < 1


def test_a_limit_that_is_not_there_is_none_in_json() -> None:
    assert Interval(1.3, 1.1, math.inf).to_json() == {"value": 1.3, "low": 1.1, "high": None, "p": 1.0}
    assert Interval(1.3, 0.0, math.inf).to_json()["low"] is None
    assert Interval(0.7, 0.0, 0.9).to_json()["low"] == 0.0
    for one in (Interval(1.3, 1.1, math.inf), Interval(0.7, 0.0, 0.9), Interval(0.7, 0.6, 0.8)):
        assert Interval.from_json(one.to_json()) == one


def test_the_pairs_that_are_missing_follow_from_the_noise() -> None:
    quiet, loud = (np.random.default_rng(0).normal(0, s, 32) for s in (0.01, 0.2))
    loud -= loud.mean()
    assert pairs_needed(quiet, 4) == 33
    many = pairs_needed(loud, 4)
    assert many is not None
    assert 400 < many < 1_200  # (2.5 * 0.2 / 0.0198)^2 = 640
    assert pairs_needed(loud[:1], 4) is None, "one pair has no interval"
    assert pairs_needed(np.array([-40.0, 40.0]), 4) is None, "two that differ by much have none either"
