"""Findings about columns, leaks and overlap."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from headway.data.alone import Alone, auc, sum_of_columns
from headway.data.checks import (
    Finding,
    check_classes,
    check_columns,
    check_leaks,
    check_overlap,
    check_shares,
)
from headway.data.config import DataConfig, SplitConfig, ValidationConfig
from headway.data.identity import row_hashes
from headway.data.opening import open_table
from headway.data.passes import run
from headway.data.profile import profile_table
from headway.data.sample import Sample
from headway.data.source import Table
from headway.data.split import TEST, TRAIN, VALIDATION, Division
from headway.errors import DataError
from headway.tasks import TaskName

RNG = np.random.default_rng(1)


def _table(tmp_path: Path, frame: pd.DataFrame, features: dict[str, Any], task: TaskName = "classification") -> Table:
    frame.to_parquet(tmp_path / "rows.parquet")
    data = DataConfig.parse({"source": str(tmp_path / "rows.parquet"), "target": "y", "features": features}, "data")
    return open_table(data, task, tmp_path)


def _columns(
    tmp_path: Path, frame: pd.DataFrame, features: dict[str, Any], task: TaskName = "classification", **data: Any
) -> list[Finding]:
    table = _table(tmp_path, frame, features, task)
    config = DataConfig.parse({"source": "x", "target": "y", "features": features, **data}, "data")
    return check_columns(profile_table(table), table, config, task)


def _frame(n: int = 3000) -> pd.DataFrame:
    return pd.DataFrame({"y": RNG.choice(["no", "yes"], n), "a": RNG.normal(size=n), "c": RNG.choice(list("xyz"), n)})


FEATURES = {"a": "numeric", "c": "categorical"}


def test_sound_columns_give_no_finding(tmp_path: Path) -> None:
    assert _columns(tmp_path, _frame(), FEATURES) == []


@pytest.mark.parametrize(
    ("change", "severity", "reason"),
    [
        ({"a": np.nan}, "stop", "a must hold values, but is missing in every row"),
        ({"a": 3.0}, "warn", "a should vary, but is the same in every row"),
        (
            {"a": [np.inf, -np.inf, *[1.0] * 1499, *[2.0] * 1499]},
            "stop",
            "a must be finite, but 2 values are infinite",
        ),
        ({"c": [f"p{i}" for i in range(3000)]}, "stop", "3,000 of its 3,000 values differ, so it is likely an id"),
        ({"y": None}, "stop", "the target y must be given"),
        ({"y": "no"}, "stop", "the target y must have two classes, but every row has no"),
        ({"y": [str(i // 2) for i in range(3000)]}, "stop", "at most 1,000 classes, but it has 1,500"),
        ({"y": ["rare", *["no", "yes"] * 1499, "no"]}, "warn", "but rare has under 3"),
        ({"extra": 1}, "warn", "every column should have a role, but extra is not named"),
    ],
)
def test_a_column_that_cannot_be_learnt_from_is_found(
    tmp_path: Path, change: dict[str, Any], severity: str, reason: str
) -> None:
    finding = _columns(tmp_path, _frame().assign(**change), FEATURES)
    assert [(f.severity, reason in f.text) for f in finding] == [(severity, True)], finding


def test_numbers_called_text_and_text_called_numbers_are_told_with_the_fix(tmp_path: Path) -> None:
    frame = _frame(300)[["y"]].assign(age=np.arange(300) % 62 + 18, note=["red car", "blue car", "a house"] * 100)
    (finding,) = _columns(tmp_path, frame, {"age": "text", "note": "text"})
    assert finding.severity == "warn"
    assert finding.text.startswith("age should be text, but its values have no letters, for example '")
    assert finding.text.endswith("'; is it numeric or categorical? change data.features.age")
    with pytest.raises(DataError, match=r"note must be numeric, but 300 values are not .*; change data.features.note"):
        profile_table(_table(tmp_path, frame, {"note": "numeric"}))


def test_an_id_says_where_to_put_it(tmp_path: Path) -> None:
    (finding,) = _columns(tmp_path, _frame().assign(c=[f"p{i}" for i in range(3000)]), FEATURES)
    assert "data.keys or data.ignore" in finding.text


def test_the_positive_class_must_be_a_class(tmp_path: Path) -> None:
    (finding,) = _columns(tmp_path, _frame(), FEATURES, positive="Yes")
    assert finding.severity == "stop"
    assert "Yes is none of" in finding.text


def test_a_regression_target_must_vary_and_be_finite(tmp_path: Path) -> None:
    (finding,) = _columns(tmp_path, _frame().assign(y=2.5), FEATURES, "regression")
    assert finding.text == "the target y must have different values, but every row has 2.5"
    (finding,) = _columns(tmp_path, _frame().assign(y=[np.inf, *range(2999)]), FEATURES, "regression")
    assert "1 value is infinite" in finding.text


def _parts(n: int) -> np.ndarray:
    return (np.arange(n) % 5 == 4).astype(np.uint8) * 2


def test_a_numeric_leak_is_found_in_either_direction_and_noise_is_not(tmp_path: Path) -> None:
    frame = _frame()
    frame["up"] = (frame.y == "yes") + RNG.normal(0, 0.1, 3000)
    frame["down"] = -frame.up
    frame["weak"] = (frame.y == "yes") + RNG.normal(0, 1, 3000)
    kinds = {**FEATURES, "up": "numeric", "down": "numeric", "weak": "numeric"}
    finding = check_leaks(_table(tmp_path, frame, kinds), _parts(3000), ValidationConfig())
    assert [(f.column, f.severity) for f in finding] == [("up", "stop"), ("down", "stop")]
    warned = check_leaks(_table(tmp_path, frame, kinds), _parts(3000), ValidationConfig(leaks="warn"))
    assert {f.severity for f in warned} == {"warn"}


def test_a_leak_hidden_in_categories_or_in_missing_values_is_found(tmp_path: Path) -> None:
    frame = _frame()
    frame["code"] = np.where(frame.y == "yes", RNG.choice(["p", "q"], 3000), RNG.choice(["r", "s"], 3000))
    frame["gone"] = np.where(frame.y == "yes", np.nan, RNG.normal(size=3000))
    frame["own"] = [f"p{i}" for i in range(3000)]
    kinds = {**FEATURES, "code": "categorical", "gone": "numeric", "own": "categorical"}
    finding = check_leaks(_table(tmp_path, frame, kinds), _parts(3000), ValidationConfig())
    assert [f.column for f in finding] == ["code", "gone"]


def test_a_regression_leak_and_a_sum_are_found(tmp_path: Path) -> None:
    frame = pd.DataFrame({k: RNG.integers(0, 1000, 3000) for k in ("p", "q", "r", "z")})
    frame["y"] = frame.p + frame.q + frame.r
    kinds = dict.fromkeys(("p", "q", "r", "z"), "numeric")
    (finding,) = check_leaks(_table(tmp_path, frame, kinds, "regression"), _parts(3000), ValidationConfig())
    assert "p + q + r = y" in finding.text
    frame["twin"] = np.exp(frame.y / 1000)
    kinds["twin"] = "numeric"
    finding = check_leaks(_table(tmp_path, frame, kinds, "regression"), _parts(3000), ValidationConfig())[0]
    assert finding.column == "twin"
    assert "R²" in finding.text


def test_a_sum_is_found_that_is_rounded_or_lacks_a_fee_and_a_sum_with_noise_is_not() -> None:
    parts = {name: pd.Series(RNG.uniform(0, 50, 2000).round(2)) for name in ("fare", "tip", "tolls")}
    total = sum(parts.values(), pd.Series(np.zeros(2000)))
    names = tuple(parts)
    assert sum_of_columns(parts, (total + 0.8).round(2)) == names
    assert sum_of_columns(parts, (total + RNG.choice([0.0, 2.5], 2000)).round(2)) == names
    assert sum_of_columns({n: x.round(1) for n, x in parts.items()}, total.round(1)) == names
    assert sum_of_columns(parts, (total + RNG.normal(0, 1, 2000)).round(2)) == ()
    assert sum_of_columns(parts, parts["fare"] + parts["tip"] * 1.02) == ()
    flags = {name: pd.Series(RNG.integers(0, 2, 2000)) for name in ("p", "q", "r")}
    assert sum_of_columns(flags, sum(flags.values(), pd.Series(RNG.integers(0, 3, 2000)))) == ()


def test_a_column_that_separates_one_class_of_three_is_no_leak_and_one_that_separates_all_is() -> None:
    chance = np.random.default_rng(2)  # of its own: of 600 rows, others put some of two species in one bin
    species = pd.Series(chance.choice(["a", "b", "c"], 600))
    centre = species.map({"a": 1.4, "b": 4.3, "c": 4.9})
    petal, copy = centre + chance.normal(0, 0.4, 600), centre + chance.normal(0, 0.01, 600)
    assert Alone(species, "classification").power(petal, "numeric")[0] < 0.95
    assert Alone(species, "classification").power(copy, "numeric")[0] > 0.995


def test_bike_sharing_counts_add_up_to_its_target() -> None:
    source = Path(os.environ.get("HEADWAY_DATASETS", "")) / "bike_sharing" / "hour.csv"
    if not source.exists():
        pytest.skip("the data sets are not here")
    frame = pd.read_csv(source)
    numbers = {str(n): frame[n] for n in frame.select_dtypes("number") if n != "cnt"}
    assert sum_of_columns(numbers, frame["cnt"]) == ("casual", "registered")


def test_the_area_under_the_curve_is_scikit_learns() -> None:
    event = RNG.random(500) < 0.3
    score = np.round(RNG.normal(size=500) + event, 1)
    assert auc(score, event) == pytest.approx(roc_auc_score(event, score))
    power, _ = Alone(pd.Series(np.where(event, "1", "0")), "classification").power(pd.Series(score), "numeric")
    assert power >= roc_auc_score(event, score) - 1e-12


def test_test_rows_among_training_rows_are_counted(tmp_path: Path) -> None:
    frame = _frame(1000)
    frame.loc[4] = frame.loc[0]  # row 5 is a test row
    table = _table(tmp_path, frame, FEATURES)
    (finding,) = check_overlap(table, _parts(1000), ValidationConfig())
    assert (finding.severity, finding.examples) == ("warn", (5,))
    (finding,) = check_overlap(table, _parts(1000), ValidationConfig(max_overlap=0.001))
    assert finding.severity == "stop"
    assert "0.50% of them (1 of 200)" in finding.text
    assert check_overlap(_table(tmp_path, _frame(1000), FEATURES), _parts(1000), ValidationConfig()) == []


def test_rows_have_equal_hashes_exactly_when_they_are_equal(tmp_path: Path) -> None:
    n = 2000
    frame = pd.DataFrame(
        {
            "y": RNG.choice(["a", "b"], n),
            "a": RNG.choice([1.0, 2, np.nan], n),
            "c": np.array(["x", None], object)[RNG.integers(0, 2, n)],
        }
    )
    table = _table(tmp_path, frame, FEATURES)
    groups = frame.fillna({"a": -1, "c": "-"}).groupby(["y", "a", "c"]).ngroup()
    hashes = row_hashes(table, ["a", "c", "y"])
    assert len(set(zip(groups, hashes, strict=True))) == groups.nunique() == len(set(hashes))


def test_a_test_far_from_its_share_is_said_with_the_rows_that_stay_together(tmp_path: Path) -> None:
    frame = _frame().assign(key=np.arange(3000.0))
    table, split = _table(tmp_path, frame, FEATURES), SplitConfig(by="random", row_key=("key",))
    assert check_shares(Division(table, split)) == []
    frame.loc[:999, "key"] = np.nan
    (report,) = check_shares(Division(_table(tmp_path, frame, FEATURES), split))
    assert report.severity == "warn"
    assert "rows of one key stay together, 1,000 in the largest case; rows without a key count as" in report.text


def test_classes_with_few_test_rows_are_named_with_the_rows_that_were_expected(tmp_path: Path) -> None:
    frame = _frame(1000).assign(y=["rare"] * 8 + ["no"] * 500 + ["yes"] * 492)
    table, classes = _table(tmp_path, frame, FEATURES), ("no", "rare", "yes")
    codes = frame.y.map({name: code for code, name in enumerate(classes)}).to_numpy()
    for by in ("stratified", "random"):
        division = Division(table, SplitConfig(by=by, test=0.25, validation=0.1))
        rows = np.bincount(codes[division.parts == TEST], minlength=3)
        result = check_classes(division, classes, codes)
        line = f"each class should have 5 test rows at least, but rare has {rows[1]} (2.0 expected of 8); add rows or "
        assert result[0].text == f"{line}raise split.test"
        assert result[0].severity == "warn"
        is_validated = (codes[division.parts == VALIDATION] == 1).any()
        assert (
            [one.text for one in result[1:]] == []
            if is_validated
            else [
                "each class should have 1 validation row at least, but rare has 0 (0.6 expected of 8); add rows or raise split.validation"
            ]
        )
    assert check_classes(Division(table, SplitConfig(by="time", column="a")), classes, codes) == []
    assert check_classes(Division(table, SplitConfig(by="random")), (), codes) == []
    both = (codes == 2).astype(int)
    assert check_classes(Division(table, SplitConfig(by="random")), ("other", "yes"), both) == []


def _sampled(table: Table, size: int, eligible: np.ndarray | None = None) -> Sample:
    sample = Sample(table.columns, size, eligible)
    run(table, [sample], 2, block_rows=50)
    return sample


def test_a_sample_of_rows_that_are_chosen_afterwards_is_the_sample_of_those_rows(tmp_path: Path) -> None:
    rows, among = 3000, np.arange(3000) % 3 > 0
    whole = _table(tmp_path, _frame(rows), FEATURES)
    afterwards = _sampled(whole, 400).frame(200, among)
    before = _sampled(whole, 200, among).frame(200)
    assert afterwards is not None
    assert before is not None
    pd.testing.assert_frame_equal(afterwards, before)
    every = pd.concat([c.batch.to_pandas() for c in whole.chunks()], ignore_index=True)[among]
    assert len(before) == 200
    assert len(before.merge(every.drop_duplicates())) == 200


def test_a_sample_does_not_depend_on_which_blocks_were_begun_before_others_were_added(tmp_path: Path) -> None:
    rows, among = 20_000, np.arange(20_000) >= 19_000
    table = _table(tmp_path, _frame(rows), FEATURES)
    sample = Sample(table.columns, 200)
    for block in [sample.block(chunk) for chunk in table.chunks(rows=70)]:  # all begun before the first is added
        sample.add(block)
    few = sample.frame(5, among)
    truth = _sampled(table, 5, among).frame(5)
    assert few is not None
    assert truth is not None
    pd.testing.assert_frame_equal(few, truth)
    assert sample.frame(50, among) is None, "some of the 50 least were left out"


def test_a_sample_with_too_few_of_the_rows_says_so_unless_they_are_all_there_are(tmp_path: Path) -> None:
    few, table = np.arange(3000) % 100 == 0, _table(tmp_path, _frame(3000), FEATURES)
    assert _sampled(table, 400).frame(200, few) is None
    all_of_them = _sampled(table, 4000).frame(200, few)
    assert all_of_them is not None
    assert len(all_of_them) == 30


def test_overlap_is_counted_by_pieces_as_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = _frame(1000)
    table = _table(tmp_path, pd.concat([frame, frame.iloc[:100]], ignore_index=True), FEATURES)
    parts = np.where(np.arange(1100) < 1000, TRAIN, TEST)
    whole = check_overlap(table, parts, ValidationConfig())
    assert "100.00%" in whole[0].text
    monkeypatch.setattr("headway.data.checks.ROWS", 70)
    assert check_overlap(table, parts, ValidationConfig()) == whole


def test_classes_of_too_few_rows_are_told_in_one_line(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(300) % 7 / 4, "y": ["odd", "rare", *["no", "yes"] * 149]})
    (finding,) = _columns(tmp_path, frame, {"a": "numeric"})
    assert "but odd, rare have under 3" in finding.text
