"""Units of very unequal size, or few very bad ones: how often a model that is worse by the margin passes."""

from __future__ import annotations

import numpy as np
import pytest

from headway.evaluate.metrics import differences
from headway.evaluate.resample import Units
from headway.evaluate.studentised import widened


def skewed(rng: np.random.Generator, groups: int) -> np.ndarray:
    """Effects of mean 0 and sd about .13: most groups are a little better, a few far worse."""
    return 0.1 * (rng.lognormal(0, 1, groups) / np.exp(0.5) - 1)


def passed(groups: int, rows: int, unequal: bool, skew: bool, trials: int) -> float:
    """The share of trials in which the candidate, worse by the margin .01 on average over rows, passes."""
    rng, count = np.random.default_rng(0), 0
    for trial in range(trials):
        drawn = rows * rng.lognormal(0, 1.2, groups) / np.exp(0.72) if unequal else np.full(groups, rows)
        codes = np.repeat(np.arange(groups), np.maximum(1, drawn.astype(int)))
        champion = 1 + rng.normal(0, 0.05, len(codes))
        effect = skewed(rng, groups) if skew else rng.normal(0, 0.1, groups)
        candidate = champion + 0.01 + effect[codes] + rng.normal(0, 0.05, len(codes))
        units = Units.of("group", codes)
        count += differences("mae", np.zeros(len(codes)), candidate, champion, 200, trial, units)[1] > -0.01
    return count / trials


@pytest.mark.parametrize(
    ("groups", "rows", "unequal", "skew", "most"),
    [
        (20, 10, False, False, 0.035),
        (50, 10, True, False, 0.035),
        (20, 10, True, False, 0.035),
        (50, 10, False, True, 0.08),
        (20, 10, False, True, 0.10),
    ],
)
def test_a_model_that_is_worse_by_the_margin_passes_as_seldom_on_unequal_groups(
    groups: int, rows: int, unequal: bool, skew: bool, most: float
) -> None:
    """Percentiles of the mean let it pass 5 times in 100 where sizes differ, 10 to 13 times where a few groups are very bad."""
    share = passed(groups, rows, unequal, skew, 400)
    assert share <= most


def test_equal_groups_keep_students_interval() -> None:
    rng, groups, rows = np.random.default_rng(1), 20, 10
    codes, ratios = np.repeat(np.arange(groups), rows), []
    for trial in range(60):
        effect = rng.normal(0, 0.1, groups)
        better = 1 - effect[codes]
        units = Units.of("group", codes)
        value, low, high = differences("mae", np.zeros(len(codes)), better, np.ones(len(codes)), 400, trial, units)
        student = 2.093 * effect.std(ddof=1) / np.sqrt(groups)  # of 19 degrees of freedom
        assert low < value < high
        ratios.append((high - low) / 2 / student)
    assert 0.98 < np.mean(ratios) < 1.15


def test_ends_never_move_inward_and_stay_where_there_is_nothing_to_go_by() -> None:
    codes, sizes, values = np.repeat(np.arange(12), 2), np.ones(24), np.random.default_rng(2).normal(size=24)

    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(1)

    value = float(values.mean())
    assert widened(-9.0, 9.0, value, mean, codes, sizes, 200, 0) == (-9.0, 9.0)
    low, high = widened(value, value, value, mean, codes, sizes, 200, 0)
    assert low is not None
    assert high is not None
    assert low < value < high
    assert widened(1.0, 1.0, 1.0, lambda w: np.ones(len(w)), codes, sizes, 200, 0) == (1.0, 1.0), "all units are alike"
    assert widened(None, None, value, mean, codes, sizes, 200, 0) == (None, None)


def test_very_unequal_groups_are_called_so() -> None:
    codes = np.repeat(np.arange(20), [1000] + [10] * 19)
    assert Units.of("group", codes).description() == "20 groups of 1,190 rows (so unequal in size that they count as 1)"
    assert Units.of("group", np.repeat(np.arange(20), 10)).description() == "20 groups of 200 rows"
