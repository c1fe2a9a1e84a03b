"""A regression's intervals: how often they hold the target, and where they are wide."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from headway.evaluate.coverage import coverage
from headway.serve import spread
from headway.serve.interval import FEWEST_VARYING, Interval
from headway.serve.spread import FEWEST_ROWS

Rows = tuple[np.ndarray, np.ndarray]


def none() -> np.ndarray:
    """The inputs, where the width follows the prediction alone."""
    pytest.fail("the inputs were asked for")


def growing(rng: np.random.Generator, n: int) -> Rows:
    """Errors as large as the prediction."""
    prediction = rng.gamma(2.0, 50.0, n)
    return prediction, prediction + 0.3 * prediction * rng.normal(size=n)


def even(rng: np.random.Generator, n: int) -> Rows:
    prediction = rng.normal(size=n)
    return prediction, prediction + rng.normal(size=n)


def skewed(rng: np.random.Generator, n: int) -> Rows:
    """Targets above zero: small predictions are missed upward, large ones in both directions."""
    prediction = rng.uniform(0.5, 20, n)
    return prediction, rng.gamma(prediction, 1.0)


def narrowing(rng: np.random.Generator, n: int) -> Rows:
    """Negative predictions, and errors that fall where predictions rise."""
    prediction = -rng.exponential(3.0, n)
    return prediction, prediction * (1 + 0.5 * rng.uniform(-1, 1, n) ** 3)


def capped(rng: np.random.Generator, n: int) -> Rows:
    """Predictions of few values, one of them a third of all."""
    prediction = np.minimum(rng.integers(0, 12, n), 8.0)
    return prediction, prediction + (1 + prediction) * rng.standard_t(4, n)


@pytest.mark.parametrize("kind", [growing, even, skewed, narrowing, capped])
def test_intervals_hold_new_rows_as_often_as_stated_in_every_quarter_of_the_predictions(
    kind: Callable[[np.random.Generator, int], Rows],
) -> None:
    shares = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        interval = Interval.fit(*kind(rng, 1500))
        assert interval is not None
        prediction, target = kind(rng, 20_000)
        measured = coverage(interval.level, target, prediction, *interval.bounds(prediction, none))
        shares.append([measured.every.covered, *(rows.covered for rows in measured.quarters)])
    every, *quarters = np.mean(shares, 0)
    assert -0.01 < every - 0.9 < 0.02, "the ranks of conformal prediction err on the side of wide intervals"
    assert np.abs(np.array(quarters) - 0.9).max() < 0.03


def test_intervals_are_wide_where_errors_are_large() -> None:
    interval = Interval.fit(*growing(np.random.default_rng(0), 3000))
    assert interval is not None
    low, high = interval.bounds(np.array([40.0, 200.0]), none)
    np.testing.assert_allclose(high - low, 2 * 1.645 * 0.3 * np.array([40.0, 200.0]), rtol=0.15)


@pytest.mark.parametrize(("n", "below", "above"), [(19, -9.0, 9.0), (39, -18.0, 18.0), (100, -45.5, 45.5)])
def test_few_rows_give_the_order_statistics_of_conformal_prediction(n: int, below: float, above: float) -> None:
    """Rank ceil((n + 1) 0.95) of n residuals: 19 of 19, 38 of 39, 96 of 100, and as many from below."""
    residuals = np.arange(n) - (n - 1) / 2
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=n)
    interval = Interval.fit(prediction, prediction + rng.permutation(residuals))
    assert interval is not None
    assert not interval.varies
    np.testing.assert_allclose([interval.below[0], interval.above[0]], [below, above])
    assert interval.remark.endswith(f"needs {FEWEST_VARYING} validation rows, but there are {n}")


def test_too_few_rows_for_the_tails_give_no_interval() -> None:
    assert Interval.fit(np.zeros(18), np.arange(18.0)) is None


def test_one_prediction_for_all_rows_gives_one_width() -> None:
    rng = np.random.default_rng(0)
    interval = Interval.fit(np.zeros(5000), rng.exponential(size=5000))
    assert interval is not None
    assert (interval.varies, interval.remark) == (False, "")
    low, high = interval.bounds(np.zeros(1), none)
    new = rng.exponential(size=100_000)
    assert abs(((new >= low) & (new <= high)).mean() - interval.level) < 0.02


def test_predictions_that_are_right_give_intervals_of_no_width() -> None:
    values = np.arange(1000.0)
    interval = Interval.fit(values, values)
    assert interval is not None
    np.testing.assert_allclose(interval.bounds(values[:3], none), [values[:3], values[:3]])


def test_an_interval_is_read_as_it_was_written_and_one_of_an_earlier_bundle_keeps_its_width() -> None:
    interval = Interval.fit(*growing(np.random.default_rng(0), 1000))
    assert interval is not None
    assert interval.varies
    assert Interval.of(json.loads(json.dumps(interval.to_json()))) == interval
    earlier = {"level": 0.9, "below": -2.0, "above": 3.0, "rows": 100}
    read = Interval.of(earlier)
    assert read is not None
    assert read.to_json() == earlier
    np.testing.assert_array_equal(read.bounds(np.array([-5.0, 1e6]), none), [[-7.0, 1e6 - 2], [-2.0, 1e6 + 3]])


def test_coverage_of_a_sample_says_of_how_many_rows_it_is() -> None:
    target = np.random.default_rng(6).normal(size=400)
    measured = coverage(0.9, target, np.zeros(400), np.full(400, -9.0), np.full(400, 9.0), of_rows=4000)
    assert measured.text == "90 % intervals hold 100.0 % of 400 of 4,000 test rows"


def test_coverage_says_what_the_intervals_hold_in_all_and_by_quarter() -> None:
    prediction = np.arange(8.0)
    target = prediction + np.array([0, 0, 2, 0, 0, 0, 2, 2])
    measured = coverage(0.9, target, prediction, prediction - 1, prediction + 1)
    assert [rows.covered for rows in measured.quarters] == [1.0, 0.5, 1.0, 0.0]
    assert measured.every.width == 2.0
    assert measured.text == (
        "90 % intervals hold 62.5 % of the test rows; from the smallest to the largest quarter of the predictions "
        "100.0, 50.0, 100.0, 0.0 %; fewer than stated: the test rows differ from the validation rows"
    )


def of_an_input(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors whose size only the second input tells: predictions, targets, inputs."""
    prediction, quiet, loud = rng.normal(size=n), rng.normal(size=n), rng.integers(0, 2, n)
    target = prediction + (0.5 + 2.0 * loud) * rng.normal(size=n)
    return prediction, target, np.stack([quiet, loud], 1).astype(np.float32)


def test_intervals_are_wide_where_an_input_tells_of_errors_and_hold_as_many_there_as_elsewhere() -> None:
    shares = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        prediction, target, inputs = of_an_input(rng, 2000)
        interval = Interval.fit(prediction, target, inputs=inputs)
        assert interval is not None
        interval = Interval.of(json.loads(json.dumps(interval.to_json())))
        assert interval is not None
        assert interval.spread is not None
        prediction, target, inputs = of_an_input(rng, 20_000)
        low, high = interval.bounds(prediction, lambda inputs=inputs: inputs)
        is_loud, width, covered = inputs[:, 1] == 1, high - low, (low <= target) & (target <= high)
        assert 4 < width[is_loud].mean() / width[~is_loud].mean() < 6
        measured = coverage(0.9, target, prediction, low, high)
        shares.append([covered[is_loud].mean(), covered[~is_loud].mean(), *(q.covered for q in measured.quarters)])
    assert np.abs(np.mean(shares, 0) - 0.9).max() < 0.03


def test_inputs_that_tell_no_more_than_the_prediction_and_few_rows_leave_the_width_to_it() -> None:
    rng = np.random.default_rng(0)
    prediction, target = growing(rng, 2000)
    interval = Interval.fit(prediction, target, inputs=rng.normal(size=(2000, 4)))
    assert interval is not None
    assert (interval.varies, interval.spread) == (True, None)
    few = Interval.fit(*of_an_input(rng, FEWEST_ROWS - 1)[:2], inputs=of_an_input(rng, FEWEST_ROWS - 1)[2])
    assert few is not None
    assert few.spread is None


@pytest.mark.parametrize("rows", [120, 3000])
def test_the_trees_as_numbers_say_what_lightgbm_says(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 120 rows most trees have leaves above the second level."""
    boosters = []
    library = spread.load_lightgbm_alone()
    train = library.train
    monkeypatch.setattr(library, "train", lambda *a, **k: boosters.append(train(*a, **k)) or boosters[-1])
    prediction, target, inputs = of_an_input(np.random.default_rng(0), rows)
    x = np.concatenate([inputs, prediction[:, None]], 1)
    truth = spread._fit(x, np.abs(target - prediction) + 0.01).expected(x)
    np.testing.assert_allclose(truth, boosters[0].predict(x), rtol=1e-9)
    assert len(np.unique(truth)) > 1
