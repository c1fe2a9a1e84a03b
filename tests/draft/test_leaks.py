"""Columns that may be known only after the target: copies and summands are set aside, of others people are asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.data.alone import Alone, sum_of_columns
from headway.draft.drafting import draft
from headway.pipeline import stages
from headway.project import load_project
from headway.run.report import Silent

N = 600
RNG = np.random.default_rng(5)
X, DURATION, OTHER = RNG.normal(size=N), RNG.gamma(2, 100, N).round(), RNG.normal(size=N)
SOLD = np.where(DURATION + RNG.normal(0, 120, N) > 250, "yes", "no")


def _draft(root: Path, target: str, **columns: object) -> tuple[list[str], dict[str, str]]:
    """What is asked, and what is set aside; what init wrote passes check."""
    (root / "conf").mkdir(exist_ok=True)
    pd.DataFrame(columns).to_csv(root / "rows.csv", index=False)
    result = draft("rows.csv", target, None, root)
    assert stages.check("rows", root, [], Silent()).passed
    return [line for line in result.decisions if line.startswith("question: ")], load_project("rows", root).data.ignore


def test_an_honest_column_that_decides_the_target_is_kept_and_asked_about_with_the_line_to_edit(tmp_path: Path) -> None:
    (question,), ignored = _draft(tmp_path, "y", length=X, z=OTHER, y=np.where(X > 0.4, "long", "short"))
    assert not ignored
    assert question.startswith("question: is length known before y? Alone it predicts y (AUC 1.0000). It is kept")
    number = int(question.partition("move line ")[2].split()[0])
    text = (tmp_path / "conf" / "rows.yaml").read_text()
    line = text.splitlines()[number - 1]
    assert line.strip().startswith("length: numeric  # numbers from")
    assert "QUESTION: alone it predicts y" in line
    assert load_project("rows", tmp_path).validation.leaks == "warn"


def test_a_column_whose_name_says_afterwards_is_asked_about_where_it_alone_tells_much(tmp_path: Path) -> None:
    (question,), _ = _draft(tmp_path, "sold", duration=DURATION, x=X, sold=SOLD)
    assert question.startswith(
        "question: is duration known before sold? Its name contains duration, and alone it predicts sold well (AUC 0."
    )
    assert load_project("rows", tmp_path).validation.leaks == "stop"
    (tmp_path / "conf" / "rows.yaml").unlink()
    assert _draft(tmp_path, "sold", seconds=DURATION, callDuration=X, sold=SOLD)[0] == []


def test_a_trend_is_a_time_series_and_no_leak(tmp_path: Path) -> None:
    days = pd.date_range("2012-01-01", periods=5 * N).strftime("%Y-%m-%d")
    load = (np.arange(5 * N) + RNG.normal(0, 5, 5 * N)).round(3)
    questions, ignored = _draft(tmp_path, "load", day=days, load=load, split=["train", "test"] * (5 * N // 2))
    assert questions == []
    assert ignored == {"split": "says train and test, but the rows are split by time"}
    project = load_project("rows", tmp_path)
    assert project.data.series is not None
    assert project.validation.leaks == "stop"


def test_a_copy_is_the_target_in_other_words_also_where_some_are_missing() -> None:
    target = pd.Series(SOLD)
    words = target.map({"yes": "won", "no": "lost"})
    assert Alone(target, "classification").is_copy(words)
    assert Alone(target, "classification").is_copy(words.where(X > -1))
    assert Alone(target, "classification").is_copy(pd.Series(DURATION).where(target == "yes"))
    assert not Alone(target, "classification").is_copy(words.where(RNG.random(N) > 0.01, "lost"))
    assert not Alone(target, "classification").is_copy(pd.Series(DURATION))
    assert not Alone(pd.Series(np.arange(N) == 7), "classification").is_copy(
        pd.Series(np.arange(N) == 7)
    )  # one row may agree by chance


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_a_sum_is_found_where_summands_are_missing_beside_a_column_that_mostly_is(missing: float) -> None:
    fare, tip = (pd.Series(RNG.uniform(1, 50, N).round(2)).where(RNG.random(N) >= missing) for _ in range(2))
    rare = pd.Series(np.nan, range(N)).where(RNG.random(N) > 0.01, 3.0)
    total = (fare.fillna(0) + tip.fillna(0)).round(2)
    assert sum_of_columns({"fare": fare, "rare": rare, "tip": tip}, total) == ("fare", "tip")
    assert sum_of_columns({"tip": tip, "copy": total.where(RNG.random(N) >= missing)}, total) == ("copy",)


def test_a_column_of_train_and_test_divides_the_rows_and_is_no_feature(tmp_path: Path) -> None:
    part = np.where(RNG.random(N) < 0.2, "Test", "train")
    _draft(tmp_path, "sold", x=X, split=part, sold=SOLD)
    project = load_project("rows", tmp_path)
    assert (project.split.by, project.split.column, list(project.data.features)) == ("column", "split", ["x"])


def test_files_named_train_and_test_divide_the_rows(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "rows").mkdir()
    frame = pd.DataFrame({"x": X, "sold": SOLD})
    frame[:500].to_csv(tmp_path / "rows" / "train.csv", index=False)
    frame[500:].to_csv(tmp_path / "rows" / "my_test.csv", index=False)
    result = draft("rows", "sold", None, tmp_path)
    assert (project := load_project("rows", tmp_path)).split.test_files == "*test*"
    assert project.split.by == "files"
    assert any(line.startswith("split: the files *test* are the test, by their names") for line in result.decisions)


def test_rows_that_differ_in_a_key_are_no_copies(tmp_path: Path) -> None:
    few = {"x": np.arange(N) % 7, "k": np.arange(N) % 5, "sold": np.where(np.arange(N) % 7 > 3, "yes", "no")}
    (tmp_path / "conf").mkdir()
    ids = [f"id-{i}" for i in range(N)]
    for name, columns in {"keyed": {"id": ids, **few}, "plain": few}.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
    keyed, plain = (draft(f"{name}.csv", "sold", None, tmp_path).decisions for name in ("keyed", "plain"))
    assert (
        "duplicates: 100.0% of the rows differ from another only in id, so test rows may be training rows too" in keyed
    )
    assert any(line.startswith("duplicates: 100.0% of the rows occur more than once; better remove") for line in plain)
    assert stages.check("keyed", tmp_path, [], Silent()).passed
