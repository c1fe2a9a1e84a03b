"""What is kept of files that were read before answers for nothing but what it was computed from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway.columns.config import PrepareConfig
from headway.data import storing
from headway.data.cache import Cache
from headway.data.config import DataConfig, SplitConfig
from headway.data.opening import open_table
from headway.data.split import Division
from headway.data.store import Store
from headway.data.storing import make_store
from headway.errors import ConfigError
from headway.pipeline.runs import table_of
from headway.pipeline.validation import examine
from headway.project import Project
from headway.run.report import Silent

FEATURES = {"age": "numeric", "town": "categorical"}
AT_MOST_200 = {"expect": "column_values_to_be_between", "column": "age", "max_value": 200}
BETWEEN = {"expect": "column_values_to_be_between", "column": "age", "min_value": 0, "max_value": 200}


def frame(month: int, rows: int = 400) -> pd.DataFrame:
    """Rows of a month."""
    rng = np.random.default_rng(month)
    towns, answers = rng.choice(["Ulm", "Bonn", "Rom"], rows), rng.choice(["yes", "no"], rows)
    return pd.DataFrame({"age": rng.normal(40, 10, rows).clip(1), "town": towns, "paid": answers})


def write(root: Path, month: int, rows: pd.DataFrame) -> Path:
    """A month's file."""
    (root / "rows").mkdir(parents=True, exist_ok=True)
    path = root / "rows" / f"2024-{month:02}.parquet"
    rows.to_parquet(path, index=False)
    return path


def verdicts(
    root: Path, expectations: Sequence[Mapping[str, Any]], data: Mapping[str, Any] | None = None
) -> list[bool]:
    """Whether each expectation holds, of all files, by what is kept in the project's folder."""
    project = Project.parse(
        {
            "name": "months",
            "task": "classification",
            "data": {"source": "rows", "target": "paid", "features": FEATURES, **(data or {})},
            "split": {"by": "random"},
            "validation": {"expectations": [{"severity": "warn", **one} for one in expectations]},
        },
        "months.yaml",
    )
    return [one.passed for one in examine(project, table_of(project, root), Silent(), root).verdict.results]


@pytest.mark.parametrize("rules", [[AT_MOST_200, BETWEEN], [BETWEEN, AT_MOST_200]])
def test_a_bound_of_zero_is_a_rule_of_its_own(tmp_path: Path, rules: list[dict[str, Any]]) -> None:
    """In one run, and where a run before had the other rule."""
    rows = frame(1)
    rows.loc[:19, "age"] = -5.0
    write(tmp_path, 1, rows)
    assert verdicts(tmp_path, rules) == [rule is AT_MOST_200 for rule in rules]
    (second := tmp_path / "second").mkdir()
    write(second, 1, rows)
    for rule in rules:
        assert verdicts(second, [rule]) == [rule is AT_MOST_200]


def test_ids_that_another_file_makes_wider_are_judged_and_divided_as_from_nothing(tmp_path: Path) -> None:
    """Whole numbers near 10**17 become floats where a later file lacks some: a customer's rows stay on one side of the split."""
    first, second = frame(1), frame(2)
    first["k"] = 10**17 + np.arange(400) * 16
    second["k"] = first["k"].astype(float)
    unique = {"expect": "column_values_to_be_unique", "column": "k"}
    data = DataConfig.parse({"source": "rows", "target": "paid", "features": FEATURES, "keys": ["k"]}, "data")

    def parts(root: Path, cache: Cache | None) -> np.ndarray:
        table = open_table(data, "classification", root, ("k",))
        return np.array(Division(table, SplitConfig.parse({"by": "group", "column": "k"}, "split"), cache=cache).parts)

    write(tmp_path, 1, first)
    assert verdicts(tmp_path, [unique], {"keys": ["k"]}) == [True]
    cache = Cache(tmp_path / "kept")
    parts(tmp_path, cache)
    write(tmp_path, 2, second)
    parts_grown = parts(tmp_path, cache)
    assert np.array_equal(parts_grown, parts(tmp_path, None))
    assert np.array_equal(parts_grown[:400], parts_grown[400:])
    assert verdicts(tmp_path, [unique], {"keys": ["k"]}) == [False]


def test_whole_numbers_beyond_those_of_64_signed_bits_are_judged_twice(tmp_path: Path) -> None:
    """What cannot be kept is computed again."""
    rows = frame(1)
    rows["k"] = np.resize(np.array([0, 2**64 - 1], np.uint64), 400)
    write(tmp_path, 1, rows)
    rules = [
        {"expect": "column_max_to_be_between", "column": "k", "max_value": 5},
        {"expect": "column_pair_values_a_to_be_greater_than_b", "column_A": "k", "column_B": "age"},
    ]
    for _ in range(2):
        assert verdicts(tmp_path, rules, {"ignore": {"k": "a number"}}) == [False, False]


def test_two_files_of_a_bucket_with_one_size_and_time_are_two(tmp_path: Path) -> None:
    """Of an address only size and time are known without reading it."""
    data = DataConfig.parse({"source": f"file://{tmp_path}/rows", "target": "paid", "features": FEATURES}, "data")
    (tmp_path / "rows").mkdir()
    for month, age in ((1, 10), (2, 99)):
        path = tmp_path / "rows" / f"{month}.csv"
        path.write_text("age,town,paid\n" + "".join(f"{age},Ulm,{'yes' if n % 2 else 'no'}\n" for n in range(50)))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    cache = Cache(tmp_path / "kept")
    for _ in range(2):
        hashes = Division(
            open_table(data, "classification", tmp_path, ()), SplitConfig(by="random"), cache=cache
        ).hashed
        assert set(hashes.values[:50]).isdisjoint(hashes.values[50:])


def store_of(root: Path, **settings: object) -> Store:
    """The prepared rows of all files, by what is kept."""
    data = DataConfig.parse({"source": "rows", "target": "paid", "features": FEATURES}, "data")
    table = open_table(data, "classification", root, ())
    division = Division(table, SplitConfig(by="random"), cache=Cache(root / "kept"))
    return make_store(root / "prepared", division, data, PrepareConfig.parse({"bins": 0, **settings}, "prepare"))[0]


def test_a_file_that_changes_while_it_is_fitted_to_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what it was before when the next preparation reads it."""
    path = write(tmp_path, 1, frame(1))
    content, inner = path.read_bytes(), storing._fit
    wrong = frame(1)
    wrong["age"] *= 1000

    def overwritten(*arguments: Any) -> Any:
        write(tmp_path, 1, wrong)
        return inner(*arguments)

    fitted: Callable[..., Any] = overwritten
    with monkeypatch.context() as patched:
        patched.setattr(storing, "_fit", fitted)
        store_of(tmp_path)
    path.write_bytes(content)
    shutil.rmtree(tmp_path / "prepared")
    again = store_of(tmp_path).preparation.to_json()
    shutil.rmtree(tmp_path / "prepared")
    shutil.rmtree(tmp_path / "kept")
    assert again == store_of(tmp_path).preparation.to_json()


def test_a_preparation_is_not_fitted_to_files_without_training_rows(tmp_path: Path) -> None:
    """The newest month of a split by time is the test."""
    for month in (1, 2, 3):
        rows = frame(month)
        rows["day"] = pd.Timestamp(2024, month, 1)
        write(tmp_path, month, rows)
    data = DataConfig.parse(
        {"source": "rows", "target": "paid", "features": FEATURES, "ignore": {"day": "a time"}}, "data"
    )
    table = open_table(data, "classification", tmp_path, ("day",))
    division = Division(
        table, SplitConfig.parse({"by": "time", "column": "day", "test": 0.3, "validation": 0.3}, "split")
    )
    with pytest.raises(
        ConfigError, match=r"prepare.fitted_on must match files that hold training rows, but those of '2024-03\*'"
    ):
        make_store(tmp_path / "prepared", division, data, PrepareConfig.parse({"fitted_on": "2024-03*"}, "prepare"))
