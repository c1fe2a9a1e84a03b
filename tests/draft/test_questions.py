"""What only people can know of a table: which columns name the series, which numbers name things, which of two numbers is the event."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.project import load_project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    return tmp_path


def sales(stores: int = 4) -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=120)
    rng = np.random.default_rng(0)
    rows = [(day.date(), store, float(rng.gamma(3, 10))) for day in days for store in range(1, stores + 1)]
    return pd.DataFrame(rows, columns=["day", "store", "sold"])


def test_several_series_are_asked_about_with_the_line_to_edit(root: Path) -> None:
    sales().to_csv(root / "t.csv", index=False)
    result = draft("t.csv", "sold", None, root)
    series = load_project("t", root).data.series
    assert series is not None
    assert series.groups == ("store",)
    (question,) = (line for line in result.decisions if line.startswith("question: does each store have a series"))
    number = int(question.split("correct line ")[1].split()[0])
    assert result.text.splitlines()[number - 1] == "    groups: [store]"
    sales().query("store == 1").to_csv(root / "one.csv", index=False)
    assert not [line for line in draft("one.csv", "sold", None, root).decisions if "question: does each" in line]


@pytest.mark.parametrize("name", ["hour", "Hour Ending", "hour_of_day", "interval"])
def test_hours_beside_a_column_of_days_are_part_of_the_moment_and_name_no_series(root: Path, name: str) -> None:
    sales(24).rename(columns={"store": name}).to_csv(root / "t.csv", index=False)
    draft("t.csv", "sold", None, root)
    assert load_project("t", root).data.series is None


@pytest.mark.parametrize(
    ("form", "groups"),
    [("S{}", ("slot",)), ("aisle {}", ("slot",)), ("{:02}:30", None), ("{} pm", None), ("{}:00-{}:30", None)],
)
def test_a_slot_names_a_series_where_it_holds_neither_numbers_nor_clock_times(
    root: Path, form: str, groups: tuple[str, ...] | None
) -> None:
    rows = sales(6).rename(columns={"store": "slot"})
    rows.assign(slot=[form.format(n, n) for n in rows["slot"]]).to_csv(root / "t.csv", index=False)
    draft("t.csv", "sold", None, root)
    series = load_project("t", root).data.series
    assert (None if series is None else series.groups) == groups


@pytest.mark.parametrize(
    ("name", "kind"),
    [("user_id", "categorical"), ("StoreId", "categorical"), ("zip_code", "categorical"), ("store_size", "numeric")],
)
def test_numbers_that_name_things_are_codes_however_many_there_are(root: Path, name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(100, 400, 2000)
    pd.DataFrame({name: numbers, "x": rng.normal(size=2000), "y": rng.integers(0, 2, 2000)}).to_csv(
        root / "t.csv", index=False
    )
    draft("t.csv", "y", None, root)
    assert load_project("t", root).data.features[name] == kind


@pytest.mark.parametrize(("other", "positive"), [("0", "1"), ("2", "2")])
def test_1_is_the_event_beside_0_and_beside_2_the_rarer_is(root: Path, other: str, positive: str) -> None:
    values = ["1"] * 210 + [other] * 90 if other == "2" else ["1"] * 210 + ["0"] * 90
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=300), "y": values}).to_csv(root / "t.csv", index=False)
    draft("t.csv", "y", None, root)
    assert load_project("t", root).data.positive == positive


def test_a_target_of_whole_numbers_that_may_count_is_asked_about_unless_the_task_is_stated(root: Path) -> None:
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.normal(size=400), "claims": rng.poisson(0.8, 400)}).to_csv(root / "t.csv", index=False)
    lines = draft("t.csv", "claims", None, root).decisions
    assert any("question: do the numbers of claims count" in line and "--set task=regression" in line for line in lines)
    lines = draft("t.csv", "claims", "u", root, Choices(settings=("task=regression",))).decisions
    assert load_project("u", root).task == "regression"
    assert not any("question: do the numbers" in line for line in lines)
    pd.DataFrame({"x": rng.normal(size=400), "y": rng.choice(["a", "b", "c"], 400)}).to_csv(root / "v.csv", index=False)
    assert not any("question: do the numbers" in line for line in draft("v.csv", "y", None, root).decisions)


@pytest.mark.parametrize(("name", "is_asked"), [("weight", True), ("sample_weight", True), ("whole_weight", False)])
def test_a_column_that_is_called_weight_is_asked_about(root: Path, name: str, is_asked: bool) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({name: rng.uniform(0.2, 3, 400), "x": rng.normal(size=400), "y": rng.normal(size=400)})
    table.to_csv(root / "t.csv", index=False)
    lines = draft("t.csv", "y", None, root).decisions
    assert any(f"--set data.weight={name}" in line for line in lines) == is_asked
    lines = draft("t.csv", "y", "u", root, Choices(settings=(f"data.weight={name}",))).decisions
    assert load_project("u", root).data.weight == name
    assert not any("question: does" in line for line in lines)


def test_long_numbers_that_come_again_are_ids_and_amounts_are_none(root: Path) -> None:
    rng = np.random.default_rng(0)
    pd.DataFrame(
        {
            "card": rng.integers(4_000_000_000, 4_000_000_300, 2000),
            "price": rng.integers(20, 90, 2000) * 1_000_000,
            "people": rng.integers(1, 80, 2000) ** 2 * 12_345,
            "phone": [f"+49 170 {number}" for number in rng.integers(1_000_000, 9_999_999, 2000)],
            "y": rng.integers(0, 2, 2000),
        }
    ).to_csv(root / "t.csv", index=False)
    lines = draft("t.csv", "y", None, root).decisions
    data = load_project("t", root).data
    assert data.features == {"card": "categorical", "price": "numeric", "people": "numeric"}
    assert data.keys == ("phone",)
    assert "price: numeric, numbers from 20000000 to 89000000" in lines
