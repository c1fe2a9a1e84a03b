"""Every metric and every resample against scikit-learn."""

from __future__ import annotations

import tracemalloc
from functools import partial, partialmethod
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from headway.errors import ConfigError
from headway.evaluate.classes import event_rate, measure_classes
from headway.evaluate.metrics import METRICS, differences, label_of, measure, primary
from headway.evaluate.resample import Units
from headway.evaluate.result import Estimate
from headway.evaluate.undefined import reasons
from headway.tasks import task_of
from headway.tasks.metric import Groups


def binary(rows: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, rows)
    p = np.clip(0.5 + 0.25 * (target - 0.5) + 0.25 * rng.normal(size=rows), 0.01, 0.99)
    p = np.round(p, 1).clip(0.1, 0.9) if ties else p
    return target, np.stack([1 - p, p], 1)


def multi(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 4, rows)
    logits = rng.normal(size=(rows, 4)) + 2 * np.eye(4)[target]
    return target, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


NUMBERS = {
    "rmse": sk.root_mean_squared_error,
    "mae": sk.mean_absolute_error,
    "r2": sk.r2_score,
    "mape": sk.mean_absolute_percentage_error,
    "poisson_deviance": sk.mean_poisson_deviance,
    "gamma_deviance": sk.mean_gamma_deviance,
    "tweedie_deviance_150": partial(sk.mean_tweedie_deviance, power=1.5),
    "tweedie_deviance_120": partial(sk.mean_tweedie_deviance, power=1.2),
    "pinball_90": partial(sk.mean_pinball_loss, alpha=0.9),
    "pinball_05": partial(sk.mean_pinball_loss, alpha=0.05),
}


LABELS = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "mcc": sk.matthews_corrcoef,
}


def trusted(name: str, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None) -> float:
    """scikit-learn's answer, with the rows' weights."""
    w: dict[str, Any] = {"sample_weight": weight}
    if name in NUMBERS:
        return float(NUMBERS[name](target, prediction, **w))
    options: dict[str, Any]
    two = prediction.shape[1] == 2
    labels = list(range(prediction.shape[1]))
    if name in LABELS:
        return float(LABELS[name](target, prediction.argmax(1), **w))
    if name in ("precision", "recall"):
        options = {"zero_division": 0} | ({} if two else {"average": "macro", "labels": labels})
        function = {"precision": sk.precision_score, "recall": sk.recall_score}[name]
        return float(function(target, prediction.argmax(1), **options, **w))
    if name == "f1":
        options = {} if two else {"average": "macro", "labels": labels}
        return float(sk.f1_score(target, prediction.argmax(1), **options, **w))
    if name == "log_loss":
        return float(sk.log_loss(target, prediction, labels=labels, **w))
    if name == "brier":
        if two:
            return float(sk.brier_score_loss(target, prediction[:, 1], **w))
        return float(np.average(((prediction - np.eye(len(labels))[target]) ** 2).sum(1), weights=weight))
    function = {"auc": sk.roc_auc_score, "average_precision": sk.average_precision_score}[name]
    if two:
        return float(function(target, prediction[:, 1], **w))
    return float(np.mean([function(target == c, prediction[:, c], **w) for c in labels]))


def many(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of twelve classes, each of which occurs."""
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(12), rng.integers(0, 12, rows - 12)])
    logits = rng.normal(size=(rows, 12)) + 2 * np.eye(12)[target]
    return target, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


CASES = {
    "binary": binary(300, 0),
    "ties": binary(300, 1, ties=True),
    "multiclass": multi(300, 2),
    "many classes": many(2000, 14),
    "far": tuple(1e7 + np.random.default_rng(11).normal(size=(2, 300))),
    "float32": tuple((2e5 + 1e3 * np.random.default_rng(12).normal(size=(2, 300))).astype(np.float32)),
    "regression": (np.random.default_rng(3).normal(size=300), np.random.default_rng(4).normal(size=300)),
}


@pytest.mark.parametrize("case", CASES)
def test_each_value_and_each_resample_equals_scikit_learns(case: str) -> None:
    target, prediction = CASES[case]
    task = "regression" if target.dtype.kind == "f" else "classification"
    rng = np.random.default_rng(5)
    weights = rng.multinomial(len(target), np.full(len(target), 1 / len(target)), size=8).astype(float)
    for metric in task_of(task).metrics:
        if metric.name == "ece":
            continue
        assert metric.value(target, prediction) == pytest.approx(
            trusted(metric.name, target, prediction, None), abs=1e-12
        )
        truth = [trusted(metric.name, target, prediction, w) for w in weights]
        np.testing.assert_allclose(
            metric.resampled(target, prediction, {})(weights), truth, atol=1e-9, err_msg=metric.name
        )


@pytest.mark.parametrize("name", [name for name in NUMBERS if METRICS[name] not in task_of("regression").metrics])
def test_the_metric_of_each_loss_equals_scikit_learns_also_resampled(name: str) -> None:
    rng = np.random.default_rng(13)
    target, prediction = rng.gamma(2.0, 3.0, 200), rng.gamma(2.0, 3.0, 200)
    if name != "gamma_deviance":
        target[:40] = 0
    weights = rng.multinomial(200, np.full(200, 1 / 200), size=6).astype(float)
    assert METRICS[name].value(target, prediction) == pytest.approx(trusted(name, target, prediction, None))
    truth = [trusted(name, target, prediction, w) for w in weights]
    np.testing.assert_allclose(METRICS[name].resampled(target, prediction, {})(weights), truth, rtol=1e-9)


def test_a_share_of_zero_and_a_deviance_of_a_negative_prediction_are_undefined_with_the_reason() -> None:
    target, prediction = np.array([0.0, 1, 2]), np.array([-1.0, 1, 2])
    measured = measure("regression", target, prediction, 100, further=("poisson_deviance", "gamma_deviance"))
    why = reasons((), target, prediction, measured)
    assert why == {
        "mape": "an error cannot be a share of a target of 0",
        "poisson_deviance": "a prediction or a target is not above 0",
        "gamma_deviance": "a prediction or a target is not above 0",
    }


def test_each_class_has_scikit_learns_precision_recall_and_f1_with_its_rows() -> None:
    target, prediction = multi(400, 15)
    names = ("a", "b", "c", "d")
    measured = measure_classes(names, target, prediction, 100, Units("row", len(target)))
    theirs = sk.precision_recall_fscore_support(target, prediction.argmax(1), labels=range(4), zero_division=0)
    for code, name in enumerate(names):
        one = measured[name]
        for k, metric in enumerate(("precision", "recall", "f1")):
            assert one.metrics[metric].value == pytest.approx(theirs[k][code])
        assert one.rows == theirs[3][code]  # pyrefly: ignore
        assert all(m.low <= m.value <= m.high for m in one.metrics.values())  # pyrefly: ignore


def test_a_metric_says_of_which_class_it_is_and_at_which_threshold_or_that_it_is_a_mean_over_classes() -> None:
    assert label_of("precision", ("no", "yes")) == "precision of yes at 0.5"
    assert label_of("accuracy", ("no", "yes")) == "accuracy at 0.5"
    assert label_of("auc", ("no", "yes")) == "auc"
    assert label_of("f1", ("a", "b", "c")) == "f1, macro"
    assert label_of("log_loss", ("a", "b", "c")) == "log loss"


def test_all_right_or_all_wrong_has_the_exact_interval_of_a_share_and_never_one_of_no_width() -> None:
    """Of n right in n, Clopper and Pearson's lower end is 0.025^(1/n)."""
    target = (np.arange(200) < 60).astype(int)
    prediction = np.stack([1 - target, target], 1).astype(float)
    measured = measure("classification", target, prediction, 200)
    for name, rows in {"accuracy": 200, "precision": 60, "recall": 60}.items():
        assert (measured[name].value, measured[name].high) == (1.0, 1.0)
        assert measured[name].low == pytest.approx(0.025 ** (1 / rows))
    assert measured["mcc"].is_point
    wrong = measure("classification", 1 - target, prediction, 200)
    assert wrong["accuracy"].high == pytest.approx(1 - 0.025 ** (1 / 200))
    together = measure("classification", target, prediction, 200, units=Units.of("group", np.arange(200) // 10))
    assert together["accuracy"].is_point, "rows that belong together are not so many independent ones"
    of_each = measure_classes(("no", "yes"), target, prediction, 200, Units("row", 200))
    assert of_each["no"].metrics["recall"].low == pytest.approx(0.025 ** (1 / 140))
    of_many = measure("classification", target, np.pad(prediction, ((0, 0), (0, 1))), 200)
    assert of_many["accuracy"].low == pytest.approx(0.025 ** (1 / 200))
    assert of_many["recall"].is_point, "a mean over classes is no share of rows"


def test_few_rows_of_which_all_are_right_have_the_exact_interval_though_a_resample_may_hold_none_of_them() -> None:
    """A resample without the only alarm has the precision 0; Clopper and Pearson's lower end of 1 in 1 is 0.025."""
    target, score = (np.arange(300) < 3).astype(int), np.where(np.arange(300) == 1, 0.9, 0.1)
    prediction = np.stack([1 - score, score], 1)
    measured = measure("classification", target, prediction, 200)
    assert (measured["precision"].value, measured["precision"].high) == (1.0, 1.0)
    assert measured["precision"].low == pytest.approx(0.025)
    of_each = measure_classes(("no", "yes"), target, prediction, 200, Units("row", 300))
    assert of_each["yes"].metrics["precision"] == measured["precision"]
    all_found = measure("classification", target, np.stack([1 - target, target], 1) * 0.8 + 0.1, 200)
    assert all_found["recall"].low == pytest.approx(0.025 ** (1 / 3))
    together = measure("classification", target, prediction, 200, units=Units.of("group", np.arange(300) // 2))
    assert together["precision"].low == 0.0, "rows that belong together keep the interval of their resamples"


def test_a_difference_of_a_rare_event_is_as_uncertain_as_all_its_rows_say_also_where_a_sample_holds_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(4)
    rows = 30_000
    sample = Units("row", rows).sample(0, 3000)
    assert sample is not None
    target = np.zeros(rows, np.int64)
    target[np.setdiff1d(np.arange(rows), sample)[::5000]] = 1
    scores = [0.2 * target + 0.8 * rng.random(rows) for _ in range(2)]
    a, b = (np.stack([1 - score, score], 1) for score in scores)
    of_all = differences("auc", target, a, b, 200)
    monkeypatch.setattr(Units, "sample", partialmethod(Units.sample, most=3000))
    assert differences("auc", target, a, b, 200) == of_all


def test_average_precision_decides_where_the_event_is_rare_and_the_rate_is_said() -> None:
    target = (np.arange(1000) < 40).astype(int)
    assert primary("classification", 2, None, target) == "average_precision"
    assert primary("classification", 2, "auc", target) == "auc"
    assert primary("classification", 2, None, 1 - target) == "auc"
    assert primary("classification", 3, None, target) == "log_loss"
    rate = event_rate(("no", "yes"), target, rare=True)
    assert rate is not None
    assert rate.text == (
        "yes: 4 % [2.95, 5.4] of the test rows, 40 of 1,000; so rare that average precision decides. By chance it would be 0.0400"
    )


def test_the_calibration_error_equals_the_slow_obvious_version() -> None:
    target, prediction = binary(1500, 6)
    order = np.argsort(prediction[:, 1])
    slow = (
        sum(abs(target[rows].mean() - prediction[rows, 1].mean()) * len(rows) for rows in np.array_split(order, 15))
        / 1500
    )
    assert METRICS["ece"].value(target, prediction) == pytest.approx(slow, abs=2e-3)


def test_the_interval_of_an_accuracy_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        hit = rng.random(400) < 0.8
        prediction = np.where(hit, 0.9, 0.1)
        target = np.ones(400, int)
        interval = measure("classification", target, np.stack([1 - prediction, prediction], 1), 200, trial)["accuracy"]
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 0.8 <= interval.high
    assert 180 <= covered <= 199


def test_the_interval_of_an_auc_has_the_width_that_delong_gives() -> None:
    target, prediction = binary(2000, 7)
    score = prediction[:, 1]
    positive, negative = score[target == 1], score[target == 0]
    above = (positive[:, None] > negative).mean(1), (positive[:, None] > negative).mean(0)
    delong = np.sqrt(above[0].var(ddof=1) / len(positive) + above[1].var(ddof=1) / len(negative))
    interval = measure("classification", target, prediction, 2000, 0)["auc"]
    assert interval.low is not None
    assert interval.high is not None
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * delong, rel=0.08)


def test_rows_that_define_no_metric_give_null_not_a_crash() -> None:
    target = np.zeros(20, int)
    measured = measure("classification", target, np.tile([0.7, 0.3], (20, 1)), 100, 0)
    assert measured["auc"] == Estimate(None)
    assert measured["accuracy"].value == 1.0
    constant = measure("regression", np.ones(20), np.ones(20), 100, 0)
    assert constant["rmse"].value == 0.0
    assert constant["r2"] == Estimate(None)


def test_a_paired_difference_is_positive_when_the_first_is_better_whichever_way_the_metric_runs() -> None:
    target, good = binary(3000, 8)
    bad = 0.5 + 0.3 * (good - 0.5) + np.random.default_rng(9).normal(scale=0.2, size=good.shape)
    bad = np.clip(bad, 0.01, 0.99)
    for name in ("auc", "log_loss"):
        difference, low, high = differences(name, target, good, bad / bad.sum(1, keepdims=True), 300)
        assert 0 < low < difference < high
    assert differences("auc", target, good, good)[1:] == (0.0, 0.0)


def test_one_seed_gives_one_interval() -> None:
    target, prediction = binary(500, 10)
    assert measure("classification", target, prediction, 100, 3) == measure(
        "classification", target, prediction, 100, 3
    )


def test_a_metric_that_does_not_fit_is_refused_with_the_one_meant() -> None:
    assert primary("classification", 2, None) == "auc"
    assert primary("classification", 3, None) == "log_loss"
    with pytest.raises(
        ConfigError, match=r"gate.metric must be a metric of regression, but is 'rsme'; did you mean rmse\?"
    ):
        primary("regression", 1, "rsme")


def test_the_calibration_errors_interval_holds_its_own_value() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        p = rng.random(1000)
        metric = measure("classification", (rng.random(1000) < p).astype(int), np.stack([1 - p, p], 1), 200, 0)["ece"]
        assert metric.value is not None
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.value <= metric.high


def test_the_interval_of_few_groups_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    for groups in (8, 20):
        codes, covered, trials = np.repeat(np.arange(groups), 30), 0, 300
        for trial in range(trials):
            truth = rng.normal(0, 1, groups)[codes]
            residual = np.exp(0.3 * truth + 0.3 * rng.normal(size=len(codes)))
            units = Units("group", len(codes), codes)
            metric = measure("regression", np.zeros(len(codes)), residual, 400, trial, units)["mae"]
            assert metric.low is not None
            assert metric.high is not None
            covered += metric.low <= np.exp(0.09) <= metric.high
        # 95 in 100 are promised; plain percentiles of eight groups cover 88.
        assert covered / trials >= 0.92


def test_of_many_rows_groups_are_resampled_and_the_interval_is_that_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headway.evaluate.resample.MOST_ROWS", 5000)
    target, prediction = binary(20_000, 12)
    score = prediction[:, 1]
    order = np.argsort(score)
    ranks = np.empty(len(score))
    ranks[order] = np.arange(len(score))
    positive, negative = ranks[target == 1], ranks[target == 0]
    above = np.searchsorted(np.sort(negative), positive) / len(negative)
    below = 1 - np.searchsorted(np.sort(positive), negative) / len(positive)
    delong = np.sqrt(above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative))
    metric = measure("classification", target, prediction, 500, 0)["auc"]
    assert metric.value == pytest.approx(sk.roc_auc_score(target, score))
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < sk.roc_auc_score(target, score) < metric.high
    assert metric.high - metric.low == pytest.approx(2 * 1.96 * delong, rel=0.12)


@pytest.mark.parametrize("case", CASES)
def test_sums_by_group_give_what_weights_of_all_their_rows_give(case: str) -> None:
    target, prediction = CASES[case]
    task = "regression" if target.dtype.kind == "f" else "classification"
    rng = np.random.default_rng(15)
    groups = Groups(rng.integers(0, 20, len(target)), 20)
    weights = rng.integers(0, 4, (6, 20)).astype(float)
    for metric in task_of(task).metrics:
        statistic = metric.resampled(target, prediction, {})
        by_row, by_group = statistic(weights[:, groups.codes]), statistic.by_group(groups)(weights)
        if metric.name in ("auc", "average_precision"):  # of so few rows, each score is a range of its own
            np.testing.assert_allclose(by_group, by_row, atol=0.02, err_msg=metric.name)
            by_group += statistic(np.ones((1, len(target)))) - statistic.by_group(groups)(np.ones((1, 20)))
            np.testing.assert_allclose(by_group, by_row, atol=2e-3, err_msg=metric.name)
        else:
            np.testing.assert_allclose(by_group, by_row, rtol=1e-9, atol=1e-9, err_msg=metric.name)
        assert metric.value_of_many(target, prediction, statistic, groups) == pytest.approx(
            metric.value(target, prediction), rel=1e-9, abs=1e-12
        )


def test_ranges_of_the_score_leave_the_spread_of_rank_metrics_as_it_is() -> None:
    target, prediction = binary(30_000, 16)
    groups = Groups(np.random.default_rng(0).integers(0, 100, len(target)), 100)
    weights = np.random.default_rng(1).multinomial(100, np.full(100, 0.01), 40).astype(float)
    for name in ("auc", "average_precision"):
        statistic = METRICS[name].resampled(target, prediction, {})
        exact = statistic(weights[:, groups.codes]) - statistic(np.ones((1, len(target))))
        near = statistic.by_group(groups)(weights) - statistic.by_group(groups)(np.ones((1, 100)))
        assert np.abs(near - exact).max() < 0.02 * exact.std()


def test_the_ranks_of_fifty_classes_take_little_memory_and_have_the_spread_of_weighted_rows() -> None:
    rng = np.random.default_rng(21)
    target = rng.integers(0, 50, 25_000)
    prediction = rng.dirichlet(np.full(50, 0.2), 25_000) + 0.05 * np.eye(50)[target]
    groups = Units("row", 25_000).groups
    assert groups is not None
    weights = rng.multinomial(groups.count, np.full(groups.count, 1 / groups.count), 20).astype(float)
    tracemalloc.start()
    by_group = METRICS["average_precision"].resampled(target, prediction, {}).by_group(groups)
    near = by_group(weights)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 700e6, "with 1,000 ranges a class 1.7 GB"
    exact = METRICS["average_precision"].resampled(target, prediction, {})(weights[:, groups.codes])
    assert near.std() == pytest.approx(exact.std(), rel=0.05)
    assert np.corrcoef(near, exact)[0, 1] > 0.95


def test_the_interval_of_rare_and_large_errors_is_as_skewed_by_group_as_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(17)
    residual = np.where(rng.random(20_000) < 0.002, 50.0, 1.0) * rng.exponential(size=20_000)
    by_row = measure("regression", np.zeros(20_000), residual, 4000, 0)["mae"]
    monkeypatch.setattr("headway.evaluate.resample.MOST_ROWS", 5000)
    by_group = measure("regression", np.zeros(20_000), residual, 4000, 0)["mae"]
    assert by_row.low is not None
    assert by_row.high is not None
    assert by_group.low == pytest.approx(by_row.low, abs=0.1 * (by_row.high - by_row.low))
    assert by_group.high == pytest.approx(by_row.high, abs=0.1 * (by_row.high - by_row.low))


def test_a_difference_of_many_rows_is_that_of_weighted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    target, a = binary(12_000, 18)
    b = np.stack([1 - a[:, 1] ** 1.3, a[:, 1] ** 1.3], 1) * 0.7 + 0.3 * binary(12_000, 19)[1]
    units = Units("group", 12_000, np.random.default_rng(2).integers(0, 150, 12_000))
    for units_of in (units, Units("row", 12_000)):
        for name in ("auc", "f1", "log_loss"):
            by_row = differences(name, target, a, b, 1000, 0, units_of)
            with monkeypatch.context() as patch:
                patch.setattr("headway.evaluate.resample.MOST_ROWS", 5000)
                patch.setattr("headway.evaluate.metrics.MOST_ROWS", 5000)
                by_group = differences(name, target, a, b, 1000, 0, Units("row", 12_000, units_of.codes))
            assert by_group == pytest.approx(by_row, abs=0.1 * (by_row[2] - by_row[1])), name


def test_units_of_some_rows_are_numbered_without_gaps() -> None:
    units = Units.of("group", np.array(["b", "a", "b", "c", "a"]))
    assert (units.count, units.description()) == (3, "3 groups of 5 rows")
    some = units.take(np.array([True, False, True, True, False]))
    assert (some.count, some.description()) == (2, "2 groups of 3 rows")
    assert Units.of("key", np.arange(7)).description() == "7 rows"


def test_few_groups_of_very_many_rows_are_all_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.evaluate.resample.MOST_ROWS", 2000)
    rng = np.random.default_rng(3)
    groups, rows = 30, 500
    means = rng.normal(0, 1, groups)
    errors = np.abs(5 + means[np.repeat(np.arange(groups), rows)] + rng.normal(0, 1, groups * rows))
    units = Units("group", groups * rows, np.repeat(np.arange(groups), rows))
    measured = measure("regression", np.zeros(len(errors)), errors, 2000, 0, units)["mae"]
    assert measured.low is not None
    assert measured.high is not None
    of_groups = errors.reshape(groups, rows).mean(1)
    student = 2.045 * of_groups.std(ddof=1) / np.sqrt(groups)  # of 29 degrees of freedom
    assert measured.value == pytest.approx(errors.mean())
    assert (measured.high - measured.low) / 2 == pytest.approx(student, rel=0.15)


@pytest.mark.parametrize("classes", [3, 30])
def test_a_model_that_is_never_right_has_metrics_of_nothing(classes: int) -> None:
    target = np.arange(90) % classes
    prediction = np.eye(classes)[(target + 1) % classes] * 0.8 + 0.2 / classes
    measured = measure("classification", target, prediction, 20)
    assert [measured[name].value for name in ("accuracy", "f1", "precision", "recall")] == [0.0] * 4
