"""PSI and Jensen-Shannon distance against closed forms, and how often unchanged rows raise an alarm."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from headway.columns import column_type
from headway.columns.summary import Summary
from headway.data.profile import Profile
from headway.watch.config import WatchConfig
from headway.watch.judge import shifts
from headway.watch.reference import shape, summarise
from headway.watch.statistics import (
    critical_psi,
    expected_psi,
    jensen_shannon,
    least_by_chance,
    most_by_chance,
    psi,
    without_noise,
)


def column(values: np.ndarray, name: str = "a") -> Summary:
    summary = column_type("numeric").summary(name)
    summary.update(pa.array(values, pa.float64(), from_pandas=True))
    return summary


def profile(*columns: Summary) -> Profile:
    return Profile(columns[0].rows, {one.name: one for one in columns})


def test_psi_is_its_definition_and_symmetric() -> None:
    one, other = np.array([10.0, 30, 60]), np.array([200.0, 200, 600])
    slow = sum((p - q) * math.log(p / q) for p, q in ((0.1, 0.2), (0.3, 0.2), (0.6, 0.6)))
    assert psi(one, other) == pytest.approx(slow)
    assert psi(other, one) == pytest.approx(slow)
    assert psi(one, 7 * one) == pytest.approx(0)


def test_psi_of_two_shifted_normals_is_the_squared_shift() -> None:
    """Jeffreys' divergence of N(0, 1) and N(d, 1) is d squared; bins lose a little of it."""
    rng = np.random.default_rng(0)
    before, now = column(rng.normal(size=400_000)), column(rng.normal(0.3, 1, size=400_000))
    reference = shape(before)
    assert psi(np.array(reference.counts), reference.bin_counts(now)) == pytest.approx(0.09, rel=0.08)


def test_texts_that_become_longer_drift_and_others_do_not() -> None:
    rng = np.random.default_rng(1)

    def texts(mean: float) -> Summary:
        summary = column_type("text").summary("note")
        summary.update(pa.array(["x" * int(length) for length in rng.poisson(mean, 20_000)]))
        return summary

    reference = summarise(profile(texts(80)), None, ())
    results = {
        name: shifts(reference, profile(texts(mean)), None, WatchConfig())[0]
        for name, mean in (("same", 80), ("longer", 90))
    }
    assert not results["same"].drifted
    assert results["longer"].drifted


def test_jensen_shannon_is_0_for_equal_and_1_for_disjoint_shares_and_an_eighth_of_psi_between() -> None:
    assert jensen_shannon(np.array([1.0, 3]), np.array([10.0, 30])) == pytest.approx(0, abs=1e-7)
    assert jensen_shannon(np.array([1.0, 0]), np.array([0.0, 9])) == pytest.approx(1)
    near = np.array([500.0, 500]), np.array([510.0, 490])
    assert jensen_shannon(*near) ** 2 * 8 * math.log(2) == pytest.approx(psi(*near), rel=1e-3)
    assert without_noise(jensen_shannon(*near), psi(*near)) < 1e-3


def test_an_empty_bin_leaves_psi_finite_and_no_rows_leave_it_undefined() -> None:
    assert psi(np.array([10.0, 0]), np.array([5.0, 5])) > 1
    assert math.isnan(psi(np.array([10.0, 10]), np.zeros(2)))


def test_the_sketch_counts_what_counting_every_row_counts() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.poisson(0.7, 50_000).astype(float), rng.poisson(0.9, 20_000).astype(float)
    reference = shape(column(before))
    edges = [-np.inf, *reference.edges, np.inf]
    exact = [((now > low) & (now <= high)).sum() for low, high in itertools.pairwise(edges)]
    assert reference.bin_counts(column(now)) == pytest.approx(np.array(exact, float), abs=0.005 * len(now))


def test_without_drift_psi_has_the_stated_mean_and_exceeds_the_critical_value_as_often_as_stated() -> None:
    rng = np.random.default_rng(2)
    shares = np.full(10, 0.1)
    pairs = [(rng.multinomial(4000, shares), rng.multinomial(500, shares)) for _ in range(4000)]
    result = np.array([psi(*pair) for pair in pairs])
    limits = np.array([critical_psi(*pair, 0.05) for pair in pairs])
    assert result.mean() == pytest.approx(expected_psi(*pairs[0]), rel=0.05)
    assert 0.03 < (result > limits).mean() < 0.08


@pytest.mark.parametrize("rows", [30, 300])
def test_few_unchanged_rows_raise_hardly_an_alarm_even_where_the_limits_are_strict(rows: int) -> None:
    rng = np.random.default_rng(3)
    names = [f"c{n}" for n in range(8)]
    reference = summarise(profile(*(column(rng.normal(size=20_000), n) for n in names)), None, ())
    limits = WatchConfig(psi=0.001, jensen_shannon=0.01, false_alarms=0.05)
    alarms = 0
    for _ in range(200):
        results = shifts(reference, profile(*(column(rng.normal(size=rows), n) for n in names)), None, limits)
        alarms += any(shift.drifted for shift in results)
    assert alarms <= 0.05 * 200 * 2.5


def test_a_share_beyond_chance_is_as_rare_as_stated() -> None:
    rng = np.random.default_rng(4)
    shares = rng.binomial(200, 0.1, 20_000) / 200
    assert (shares > most_by_chance(200, 0.1, 0.01)).mean() <= 0.01
    assert (shares < least_by_chance(200, 0.1, 0.01)).mean() <= 0.01
    assert most_by_chance(0, 0.1, 0.01) == 1
