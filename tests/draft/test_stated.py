"""Settings of `headway init --set` decide before the table is drafted, and what is written fits them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.errors import HeadwayError
from headway.evaluate.metrics import primary
from headway.pipeline.validation import refuse
from headway.project import Project, load_project

ROWS = 500


@pytest.fixture
def table(root: Path) -> Path:
    rng = np.random.default_rng(0)
    grade = rng.integers(1, 6, ROWS)
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS) + 7,
            "x": rng.normal(size=ROWS).round(3),
            "m": grade,
            "w": rng.random(ROWS).round(2) + 0.1,
            "when": pd.date_range("2024-01-01", periods=ROWS, freq="h").astype(str),
            "team": rng.choice(list("abcdefghijkl"), ROWS),
            "ok": rng.choice(["Yes", "No"], ROWS, p=[0.3, 0.7]),
            "grade": grade + rng.integers(0, 2, ROWS),
        }
    )
    frame.to_csv(root / "t.csv", index=False)
    return root


def drafted(root: Path, target: str, *settings: str) -> Project:
    """The project that is written, after what a run would refuse was looked for."""
    draft("t.csv", target, "t", root, Choices(settings=settings), lambda project: refuse(project, root))
    project = load_project("t", root)
    assert load_project("t", root, settings) == project, "the settings are in it"
    (root / "conf" / "t.yaml").unlink()
    return project


def expectations_of(project: Project) -> dict[str | None, list[str]]:
    """The names of the expectations, by column."""
    names: dict[str | None, list[str]] = {}
    for one in project.validation.expectations:
        names.setdefault(one.column, []).append(one.expect.removeprefix("column_values_to_be_"))
    return names


def deciding(project: Project) -> str:
    """The metric that decides on a number."""
    return primary(project.task, 1, project.gate_of(1).metric)


def test_a_stated_task_has_its_split_its_expectations_and_its_metric(table: Path) -> None:
    numbers = drafted(table, "grade", "task=regression", "data.series=null")
    assert (numbers.split.by, deciding(numbers), numbers.gate.margin) == ("random", "rmse", "1%")
    assert "in_set" not in expectations_of(numbers)["grade"]
    classes = drafted(table, "grade", "task=classification")
    assert (classes.split.by, classes.gate.metric) == ("stratified", "log_loss")
    assert "in_set" in expectations_of(classes)["grade"]


def test_a_stated_loss_decides_on_the_metric_and_a_stated_metric_on_the_margin(table: Path) -> None:
    settings = ("task=regression", "data.series=null", "train.loss=mae")
    assert deciding(drafted(table, "grade", *settings)) == "mae"
    draft("t.csv", "grade", "plain", table, Choices(settings=settings[:2]))
    assert deciding(load_project("plain", table, ["train.loss=quantile", "train.quantile=0.9"])) == "pinball_90"
    numbers = drafted(table, "grade", *settings, "gate.metric=rmse")
    assert numbers.gate.metric == deciding(numbers) == "rmse"
    gate = drafted(table, "ok", "gate.metric=log_loss").gate
    assert (gate.metric, gate.margin) == ("log_loss", "1%")


def test_a_column_has_its_stated_role(table: Path) -> None:
    data = drafted(table, "ok", "data.weight=w", "data.features.m=categorical", "data.keys=[team]").data
    assert (data.weight, data.keys) == ("w", ("team",))
    assert data.ignore == {"id": "a different whole number in every row"}
    assert data.features == {"x": "numeric", "m": "categorical", "when": "date", "grade": "numeric"}
    only = drafted(table, "ok", "data.features={x: numeric, team: categorical}", "data.ignore.m=too late").data
    assert only.features == {"x": "numeric", "team": "categorical"}
    assert only.ignore["m"] == "too late"
    assert set(only.ignore) == {"id", "m", "w", "when", "grade"}


def test_a_stated_split_is_the_whole_section(table: Path) -> None:
    assert drafted(table, "ok", "split.by=time").split.column == "when"
    by_id = drafted(table, "ok", "split.by=time", "split.column=id", "split.test=0.3").split
    assert (by_id.by, by_id.column, by_id.test) == ("time", "id", 0.3)
    assert drafted(table, "ok", "split.by=group", "split.column=team").split.column == "team"
    assert drafted(table, "grade", "task=regression", "split.by=random").data.series is None
    assert drafted(table, "grade", "task=regression").data.series is not None


def test_a_stated_event_and_weights_of_classes_are_those_of_the_table(table: Path) -> None:
    project = drafted(table, "ok", "data.positive=No", "train.class_weights={Yes: 2, No: 1}", "model=linear")
    assert project.data.positive == "No"
    assert project.train.class_weights == {"Yes": 2, "No": 1}
    assert (project.model.name, project.evaluate.baselines) == ("linear", ("trivial",))


@pytest.mark.parametrize(
    ("target", "setting", "line"),
    [
        ("ok", "task=regression", "the target of regression must be numbers, but ok holds texts such as"),
        (
            "ok",
            "task=language",
            "--set task must be classification or regression for a table with a target, but is language",
        ),
        ("ok", "data.weight=team", "data.weight team must be a column of numbers, but it is not"),
        ("ok", "data.weight=wx", "--set data.weight must name a column, but wx is none"),
        ("ok", "data.target=x", "--target must be the only target, but is ok, and --set names x"),
        ("ok", "data.features.team=numeric", "column team must be numeric, but 500 values are not"),
        ("ok", "data.features.m=number", "--set data.features.m must be one of "),
        (
            "ok",
            "data.positive=maybe",
            "--set data.positive must be one of two classes, but maybe is none; there is No, Yes",
        ),
        (
            "ok",
            "train.class_weights={yes: 2}",
            "train.class_weights must name classes of ok, but yes is none; did you mean Yes?",
        ),
        ("ok", "split.by=group", "conf/t.yaml: split: column must be given when rows are split by group"),
        ("grade", "threshold.by=f1", "threshold must be left out for 6 classes of grade"),
        ("x", "train.loss=gamma", "gamma needs a target of at least"),
        ("ok", "model=tree", "conf/t.yaml: model.name must be one of"),
    ],
)
def test_a_setting_that_no_run_can_train_is_one_line_and_nothing_is_written(
    table: Path, target: str, setting: str, line: str
) -> None:
    with pytest.raises(HeadwayError) as error:
        drafted(table, target, setting)
    assert line.split(" of at least")[0] in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((table / "conf").iterdir())
