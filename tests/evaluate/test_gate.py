"""The gate's error rates by simulation, and the sentence that each decision earns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from headway.errors import ConfigError
from headway.evaluate.config import GateConfig
from headway.evaluate.gate import Decision, decide, replacing, stays
from headway.evaluate.metrics import METRICS, differences
from headway.evaluate.resample import Units
from headway.evaluate.standing import Standing

ROWS = 2000


def right(rng: np.random.Generator, share: float) -> np.ndarray:
    """Predictions of class 1, right for ``share`` of rows whose target is all ones but for a few zeros."""
    p = np.where(rng.random(ROWS) < share, 0.8, 0.2)
    return np.stack([1 - p, p], 1)


def put(candidate: np.ndarray, champion: np.ndarray | None, gate: GateConfig | None = None, **more: Any) -> Decision:
    options: dict[str, Any] = {
        "model": "mlp",
        "standing": None,
        "units": Units("row", len(candidate)),
        "usable": None,
        "note": "",
        "slice_values": {},
        "latency_ms": 1.0,
        "size_mb": 1.0,
        "champion_label": "3",
        "resamples": 300,
        "seed": 0,
    }
    target = more.pop("target", np.ones(len(candidate), int))
    trivial = more.pop("trivial", np.tile([0.6, 0.4], (len(candidate), 1)))
    config = gate or GateConfig(metric="accuracy", margin=0.05)
    return decide(config, "classification", target, candidate, champion, trivial, **(options | more))


def test_an_equal_model_passes_and_one_that_is_worse_by_the_margin_passes_at_most_one_time_in_twenty() -> None:
    rng = np.random.default_rng(0)
    equal = sum(put(right(rng, 0.8), right(rng, 0.8)).promoted for _ in range(60))
    worse = sum(put(right(rng, 0.75), right(rng, 0.8)).promoted for _ in range(60))
    # sd of the difference is sqrt(2 * .8 * .2 / 2000) = .0126: an equal one clears the margin .05 by 4 sd, 2 of them the interval's.
    assert equal >= 55
    # 2.5 in 100 expected: 7 or more of 60 would happen once in a thousand times.
    assert worse <= 6


def test_a_better_model_is_promoted_with_the_numbers() -> None:
    rng = np.random.default_rng(1)
    decision = put(right(rng, 0.9), right(rng, 0.8))
    assert decision.promoted
    assert re.match(
        r"promoted: accuracy 0\.\d{4} against version 3's 0\.\d{4}, difference \+0\.\d{4} \[.*\] on 2,000 rows; better$",
        decision.reason,
    )
    assert decision.low is not None
    assert decision.difference is not None
    assert decision.low < decision.difference


@pytest.mark.parametrize(
    ("share", "rows", "statement"),
    [
        (0.6, ROWS, "worse than version 3 by more than the margin, 0.05"),
        (0.76, ROWS, "worse than version 3; it is not clear whether by more than the margin, 0.05"),
        (0.8, 60, "it is not clear whether it is worse than version 3 by more than the margin, 0.05"),
    ],
)
def test_a_model_that_may_be_worse_is_not_promoted_and_told_what_is_known(
    share: float, rows: int, statement: str
) -> None:
    rng = np.random.default_rng(2)
    candidate, champion = right(rng, share)[:rows], right(rng, 0.8)[:rows]
    decision = put(candidate, champion)
    assert not decision.promoted
    assert decision.reason.endswith(f"; {statement}")
    assert decision.sample == f"{rows:,} rows"


@pytest.mark.parametrize(("groups", "rows"), [(50, 40), (20, 100)])
def test_a_model_that_is_worse_by_the_margin_passes_as_seldom_when_rows_belong_together(groups: int, rows: int) -> None:
    """How much worse differs from group to group with sd .1; rows taken as independent let it pass 17 and 24 times in 100."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(groups), rows)
    units, target, trials, passed = Units("group", groups * rows, codes), np.ones(groups * rows, int), 400, 0
    for _ in range(trials):
        share = np.clip(0.75 + rng.normal(0, 0.1, groups), 0, 1)[codes]
        hits = rng.random(len(codes)) < share, rng.random(len(codes)) < 0.8
        candidate, champion = (np.stack([1 - p, p], 1) for p in (np.where(hit, 0.8, 0.2) for hit in hits))
        passed += put(candidate, champion, target=target, units=units).promoted
    # 2.5 in 100 expected: 10, with an sd of 3.1.
    assert passed <= 0.035 * trials


@pytest.mark.parametrize(
    ("metric", "rows"), [("accuracy", 12), ("accuracy", 30), ("accuracy", 120), ("auc", 12), ("auc", 60)]
)
def test_few_rows_that_show_no_loss_do_not_let_a_worse_model_pass(metric: str, rows: int) -> None:
    """.98 against .99, twice the margin; taken by the bootstrap alone, 12 rows let 70 of 100 pass: they hold no case of a loss."""
    rng, trials, passed = np.random.default_rng(0), 150, 0
    apart = norm.ppf([0.98, 0.99]) * 2**0.5  # of two normal scores whose AUC is this
    for _ in range(trials):
        target = rng.integers(0, 2, rows)
        target[:2] = 0, 1
        if metric == "accuracy":
            models = [np.eye(2)[np.where(rng.random(rows) < share, target, 1 - target)] for share in (0.98, 0.99)]
        else:
            models = [np.stack([-x, x], 1) for x in (target * gap + rng.normal(size=rows) for gap in apart)]
        passed += put(models[0], models[1], GateConfig(metric=metric, margin=0.005), target=target).promoted
    assert passed <= 0.035 * trials


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
@pytest.mark.parametrize("rows", [12, 30, 100])
def test_few_rows_without_a_mistake_do_not_let_an_overconfident_model_pass(metric: str, rows: int) -> None:
    """Both are right for .97 of the rows; the candidate says .999 where .97 is true. By the bootstrap alone, 12 rows let 70 of 100 pass."""
    rng, trials, passed = np.random.default_rng(0), 150, 0
    margin = {"log_loss": 0.05, "brier": 0.0007}[metric]  # it is worse by .074 and .00084
    for _ in range(trials):
        target = rng.integers(0, 2, rows)
        predictions = np.where(rng.random(rows) < 0.97, target, 1 - target)
        models = [np.eye(2)[predictions] * (2 * sure - 1) + 1 - sure for sure in (0.999, 0.97)]
        passed += put(models[0], models[1], GateConfig(metric=metric, margin=margin), target=target).promoted
    assert passed <= 0.035 * trials


@pytest.mark.parametrize(("metric", "share"), [("rmse", 0.13), ("mae", 0.08)])
def test_few_rows_with_some_large_errors_let_a_worse_regression_pass_less_often(metric: str, share: float) -> None:
    """Its errors' spread is lognormal. By percentiles 20 (RMSE) and 9 (MAE) of 100 pass on 30 rows; no 30 rows can show the whole tail."""
    rng, trials, passed = np.random.default_rng(0), 400, 0

    def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
        error = rng.normal(size=rows)
        return error * np.sqrt(1 + 0.3 * rng.lognormal(0, 1, rows)), error

    worse = METRICS[metric]
    candidate, champion = drawn(1_000_000)
    margin = worse.value(np.zeros(len(candidate)), candidate) - worse.value(np.zeros(len(candidate)), champion)
    for trial in range(trials):
        passed += differences(metric, np.zeros(30), *drawn(30), 300, trial)[1] >= -margin
    assert passed <= share * trials


def test_the_very_same_model_is_no_worse_whatever_the_margin() -> None:
    model = right(np.random.default_rng(3), 0.8)
    decision = put(model, model, GateConfig(metric="accuracy", margin=0))
    assert decision.promoted
    assert "difference +0.0000 [+0.0000, +0.0000]" in decision.reason
    assert "no different from version 3 on any of these rows" in decision.reason


def test_a_better_model_still_passes_on_few_rows() -> None:
    rng = np.random.default_rng(4)
    target = rng.integers(0, 2, 200)
    models = [np.stack([-x, x], 1) for x in (target * gap + rng.normal(size=200) for gap in (3.0, 1.0))]
    assert put(models[0], models[1], GateConfig(metric="auc", margin=0.005), target=target).promoted


def test_the_default_margin_is_a_share_of_an_errors_own_size() -> None:
    rng = np.random.default_rng(6)
    target = rng.normal(200_000, 50_000, ROWS)
    champion, candidate = target + rng.normal(0, 30_000, ROWS), target + rng.normal(0, 25_000, ROWS)
    decision = dollars(target, candidate, champion)
    assert decision.promoted
    assert decision.reason.endswith("; better")
    near = champion + rng.normal(0, 600, ROWS)
    decision = dollars(target, near, champion)
    assert decision.promoted
    assert re.search(r"; at most \d\d\d\.\d\d \(1% of version 3's\) worse \(the margin\)$", decision.reason)
    assert not dollars(target, target + rng.normal(0, 31_000, ROWS), champion).promoted


def dollars(target: np.ndarray, candidate: np.ndarray, champion: np.ndarray) -> Decision:
    """Two regressions before a gate whose margin is left out."""
    return decide(
        GateConfig(),
        "regression",
        target,
        candidate,
        champion,
        np.full(len(target), target.mean()),
        model="mlp",
        standing=None,
        units=Units("row", len(target)),
        usable=None,
        note="",
        slice_values={},
        latency_ms=1.0,
        size_mb=1.0,
        champion_label="3",
        resamples=300,
        seed=0,
    )


@pytest.mark.parametrize("margin", [-0.1, "-1%", "some", "1 %%", True])
def test_a_margin_is_a_number_or_a_percentage(margin: object) -> None:
    with pytest.raises(ConfigError, match="a margin must be at least 0, or a percentage such as 1%, but is"):
        GateConfig.parse({"margin": margin}, "gate")
    assert GateConfig.parse({"margin": "2.5%"}, "gate").margin == "2.5%"


def test_rows_that_the_champion_has_learnt_from_are_not_used_and_are_counted() -> None:
    rng = np.random.default_rng(7)
    candidate, champion, usable = right(rng, 0.8), right(rng, 0.7), np.arange(ROWS) < 800
    champion[800:] = [0.2, 0.8]  # it knows these by heart
    assert not put(candidate, champion).promoted
    decision = put(
        candidate, champion, usable=usable, note="1,200 of 2,000 test rows are left out: version 3 learnt from them"
    )
    assert decision.promoted
    assert decision.left_out == 1200
    assert "on 800 rows; better; 1,200 of 2,000 test rows are left out" in decision.reason
    decision = put(candidate, champion, usable=np.arange(ROWS) < 9, note="1,991 are left out")
    assert not decision.promoted
    assert decision.reason == (
        "not promoted: nothing is decided on fewer than 10 rows (gate.min_units), but there are 9 rows; 1,991 are left out"
    )
    assert not put(candidate, champion, usable=np.zeros(ROWS, bool), note="all are left out").promoted


@pytest.mark.parametrize("metric", ["auc", "average_precision", "f1"])
def test_nothing_is_decided_on_a_handful_of_the_rarer_class(metric: str) -> None:
    """Of 300 rows with 6 positives, an AUC of .97 passes beside one of .99 in 12 to 17 of 100 cases: 6 rows tell where these are ranked."""
    rng = np.random.default_rng(9)
    target = (np.arange(300) < 9).astype(int)
    scores = [target * gap + rng.normal(size=300) for gap in (4.0, 1.0)]
    models = [np.stack([-x, x], 1) for x in scores]
    gate = GateConfig(metric=metric, margin=0.005)
    refused = put(models[0], models[1], gate, target=target)
    assert refused.reason == (
        "not promoted: nothing is decided on fewer than 10 rows with the rarer class (gate.min_units), but there are 9 rows"
    )
    assert put(models[0], models[1], gate, target=1 - target).difference is None
    by_group = put(models[0], models[1], gate, target=target, units=Units("group", 300, np.arange(300) // 20))
    assert "there is 1 group" in by_group.reason
    assert put(models[0], models[1], GateConfig(metric="accuracy"), target=target).difference is not None
    assert put(models[0], models[1], gate, target=(np.arange(300) < 10).astype(int)).difference is not None


def test_few_rows_of_the_rarer_class_get_students_interval_of_as_many() -> None:
    rng, widths = np.random.default_rng(10), []
    for trial in range(20):
        target = (np.arange(2000) < 10).astype(int)
        models = [np.stack([-x, x], 1) for x in (target * gap + rng.normal(size=2000) for gap in (1.2, 1.2))]
        _, low, high = differences("auc", target, models[0], models[1], 400, trial)
        positives = [(models[k][target == 0, 1] < models[k][target == 1, 1][:, None]).mean(1) for k in (0, 1)]
        spread = np.std(positives[0] - positives[1], ddof=1) / np.sqrt(10)
        widths.append((high - low) / (2 * 2.262 * spread))  # Student's, of 9 degrees of freedom
    assert 1.4 < np.mean(widths) < 1.6  # one more unit than was seen makes it wider still; of 2,000 rows it is 1.3


def test_a_first_model_that_a_baseline_beats_is_not_promoted_and_the_baseline_is_offered() -> None:
    rng = np.random.default_rng(8)
    standing = Standing.of(
        "mlp", "boosting", "AUC 0.80 against 0.90, difference -0.10 [-0.12, -0.08]", -0.1, -0.12, -0.08
    )
    model, trivial = right(rng, 0.8), np.tile([0.6, 0.4], (ROWS, 1))
    refused = put(model, None, trivial=trivial, standing=standing)
    assert not refused.promoted
    assert "--set model=boosting, or promote mlp anyway with gate.first: beat_trivial" in refused.reason
    allowed = put(model, None, GateConfig(metric="accuracy", first="beat_trivial"), trivial=trivial, standing=standing)
    assert allowed.promoted
    assert "though the baseline boosting is better" in allowed.reason
    open_question = Standing.of("mlp", "boosting", "AUC 0.8 against 0.8", -0.01, -0.03, 0.01)
    assert put(model, None, trivial=trivial, standing=open_question).promoted


def test_a_first_boosting_far_behind_scikit_learns_is_not_promoted_in_silence() -> None:
    model, trivial = right(np.random.default_rng(8), 0.8), np.tile([0.6, 0.4], (ROWS, 1))
    behind = Standing.of("boosting", "boosting", "accuracy 0.80 against 0.90", -0.1, -0.12, -0.08)
    refused = put(model, None, trivial=trivial, standing=behind, model="boosting")
    assert not refused.promoted
    assert "scikit-learn's boosting is better (accuracy 0.80 against 0.90); train boosting longer" in refused.reason
    near = Standing.of("boosting", "boosting", "accuracy 0.80 against 0.81", -0.01, -0.02, -0.005)
    allowed = put(model, None, trivial=trivial, standing=near, model="boosting")
    assert allowed.promoted
    assert "and within the margin of scikit-learn's boosting" in allowed.reason


def test_a_first_model_must_beat_the_trivial_baseline() -> None:
    rng = np.random.default_rng(3)
    target = rng.integers(0, 2, ROWS)
    trivial = np.tile([0.5, 0.5], (ROWS, 1))
    noise = rng.random(ROWS)
    guess = put(np.stack([1 - noise, noise], 1), None, GateConfig(), target=target, trivial=trivial)
    assert not guess.promoted
    assert guess.reason.endswith("a first model must beat the trivial baseline")
    informed = np.clip(0.5 + 0.2 * (target - 0.5) + 0.2 * rng.normal(size=ROWS), 0.01, 0.99)
    decision = put(np.stack([1 - informed, informed], 1), None, GateConfig(), target=target, trivial=trivial)
    assert decision.promoted
    assert "the first model, better than the trivial baseline" in decision.reason


def test_a_champion_that_cannot_be_compared_stays_and_the_reason_names_the_way_out() -> None:
    decision = stays("auc", "3", "its classes are a, b, but the candidate's are a, b, c")
    assert (decision.promoted, decision.difference, decision.low) == (False, None, None)
    assert decision.reason.startswith(
        "not promoted: the champion, version 3, cannot be compared: its classes are a, b, but the candidate's are a, b, c; "
    )
    assert "--replace-champion" in decision.reason


def test_a_model_that_replaces_a_champion_on_request_is_judged_as_a_first_one_and_not_called_the_first() -> None:
    model, note = right(np.random.default_rng(4), 0.9), replacing("3", "it predicts age, the candidate income")
    decision = put(model, None, note=note)
    assert decision.promoted
    assert (
        "; judged as a first model, better than the trivial baseline; version 3 cannot be compared" in decision.reason
    )
    assert "replaced on request: it predicts age, the candidate income" in decision.reason
    guess = put(np.tile([0.6, 0.4], (ROWS, 1)), None, note=note)
    assert not guess.promoted, "a request replaces the comparison, not the trivial baseline"
    assert replacing(None, None) == ""


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"max_latency_ms": 0.5}, "1,000 rows take 1.0 ms, more than gate.max_latency_ms 0.5"),
        ({"max_size_mb": 0.5}, "its files take 1.0 MB, more than gate.max_size_mb 0.5"),
    ],
)
def test_a_stated_limit_holds_a_good_model_back(limit: dict[str, Any], text: str) -> None:
    rng = np.random.default_rng(4)
    decision = put(right(rng, 0.9), right(rng, 0.8), GateConfig(metric="accuracy", **limit))
    assert not decision.promoted
    assert decision.reason.endswith(text)


def test_a_slice_that_loses_more_than_its_margin_holds_a_better_model_back() -> None:
    rng = np.random.default_rng(5)
    champion, candidate = right(rng, 0.8), right(rng, 0.95)
    group = np.where(np.arange(ROWS) < 200, "few", "many")
    candidate[:200] = [0.8, 0.2]
    gate = GateConfig(metric="accuracy", slice_margin=0.1)
    decision = put(candidate, champion, gate, slice_values={"group": group})
    assert not decision.promoted
    assert "group = few loses" in decision.reason


def test_rows_that_cannot_tell_anything_promote_nothing() -> None:
    decision = put(np.tile([0.3, 0.7], (50, 1)), None, GateConfig(metric="auc"))
    assert not decision.promoted
    assert decision.reason == "not promoted: AUC is not defined on these test rows"
