"""The projects in conf/ against the data they name, and that data against what was published of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.data.opening import open_table
from headway.data.split import TEST, Division
from headway.project import Project, load_project
from headway.tasks import has_target

ROOT = Path(__file__).parents[1]
TEXTS = ["python-code", "shakespeare"]
ALL = sorted(path.stem for path in (ROOT / "conf").glob("*.yaml"))
NAMES = [name for name in ALL if name not in TEXTS]
OWN = {"loans": {"data.options.rows_per_month": 50}, "breast-cancer": {}}
"""Projects whose data need no network, with settings that make them small."""

PUBLISHED = {
    "adult": {"<=50K": 24_720 + 12_435, ">50K": 7_841 + 3_846},
    "credit-default": {"0": 23_364, "1": 6_636},
    "german-credit": {"good": 700, "bad": 300},
    "sms-spam": {"ham": 4_827, "spam": 747},
    "breast-cancer": {"malignant": 212, "benign": 357},
}


def _read(project: Project, root: Path, *columns: str) -> dict[str, list[Any]]:
    table = open_table(project.data, project.task, root, (*project.data.keys, *columns))
    read: dict[str, list[Any]] = {name: [] for name in columns}
    for chunk in table.chunks(columns):
        for name in columns:
            read[name] += chunk.batch.column(name).to_pylist()
    return read


@pytest.fixture(params=NAMES)
def project(request: pytest.FixtureRequest) -> Project:
    if request.param not in OWN:
        request.getfixturevalue("datasets")
    return load_project(request.param, ROOT, OWN.get(request.param, {}))


@pytest.mark.parametrize("name", ALL)
def test_a_project_loads_and_describes_itself(name: str) -> None:
    project = load_project(name, ROOT)
    assert project.name == name
    assert project.description.endswith(".")
    assert project.validation.expectations or not has_target(project.task)


def test_the_projects_are_those_of_the_documentation() -> None:
    names = {"adult", "breast-cancer", "california-housing", "credit-default", "german-credit", "loans", *TEXTS}
    assert names | {"banking77", "sms-spam"} <= set(ALL)


def test_every_column_of_the_files_has_a_role(project: Project, root: Path) -> None:
    evaluate = project.evaluate
    named = [*project.data.keys, *evaluate.slices, *([evaluate.reference] if evaluate.reference else [])]
    named += [project.split.column] if project.split.column else []
    named += [e.column for e in project.validation.expectations if e.column]
    table = open_table(project.data, project.task, root, named)
    assert table.unlisted == []
    assert set(project.data.ignore) <= set(table.present)
    chunk = next(table.chunks())
    assert chunk.batch.num_rows > 0


def test_values_are_of_the_kinds_stated(project: Project, root: Path) -> None:
    table = open_table(project.data, project.task, root)
    rows = sum(chunk.batch.num_rows for chunk in table.chunks())
    assert rows == table.count()


@pytest.mark.parametrize("name", PUBLISHED)
def test_classes_are_as_many_as_published(name: str, root: Path, request: pytest.FixtureRequest) -> None:
    if name not in OWN:
        request.getfixturevalue("datasets")
    project = load_project(name, ROOT)
    target = str(project.data.target)
    counts = Counter(_read(project, root, target)[target])
    assert counts == PUBLISHED[name]
    assert project.data.positive in counts


def test_adult_keeps_the_official_files_apart(datasets: Path, root: Path) -> None:
    project = load_project("adult", ROOT)
    table = open_table(project.data, project.task, root)
    rows = Counter[str]()
    for chunk in table.chunks(["income"]):
        rows[Path(table.files[chunk.file]).name] += chunk.batch.num_rows
    assert rows == {"adult-train.csv": 32_561, "adult-test.csv": 16_281}
    assert project.split.test_files == "adult-test.csv"
    assert not (root / "data").exists()  # the mirror is read where it lies


def test_quotes_in_messages_are_text_and_equal_messages_are_on_one_side(datasets: Path, root: Path) -> None:
    project = load_project("sms-spam", ROOT)
    read = _read(project, root, "text")["text"]
    lines = (datasets / "sms_spam" / "SMSSpamCollection").read_text("utf-8").splitlines()
    assert read == [line.partition("\t")[2] for line in lines]
    assert len(read) - len(set(read)) == 403
    table = open_table(project.data, project.task, root)
    sides: dict[str, set[int]] = {}
    for text, part in zip(read, Division(table, project.split).parts.tolist(), strict=True):
        sides.setdefault(text, set()).add(part)
    assert {len(parts) for parts in sides.values()} == {1}


def test_banking_has_its_77_intents_in_both_official_files_and_no_question_twice(datasets: Path, root: Path) -> None:
    project = load_project("banking77", ROOT)
    read = _read(project, root, "text", "category")
    table = open_table(project.data, project.task, root)
    is_test = Division(table, project.split).parts == TEST
    intents = np.array(read["category"])
    assert (int(is_test.sum()), int((~is_test).sum())) == (3_080, 10_003)
    assert len(set(read["text"])) == 13_083
    assert Counter(Counter(intents[is_test].tolist()).values()) == {40: 77}
    assert len(set(intents[~is_test].tolist())) == 77


def test_missing_values_of_adult_are_nulls(datasets: Path, root: Path) -> None:
    read = _read(load_project("adult", ROOT), root, "workclass", "occupation", "native_country")
    nulls = {name: sum(value is None for value in values) for name, values in read.items()}
    assert nulls == {"workclass": 1_836 + 963, "occupation": 1_843 + 966, "native_country": 583 + 274}
    assert all(value == value.strip() != "?" for values in read.values() for value in values if value is not None)


def test_california_has_the_blanks_that_were_made(datasets: Path, root: Path) -> None:
    read = _read(load_project("california-housing", ROOT), root, "total_bedrooms", "median_house_value")
    values = np.array(read["median_house_value"])
    assert len(values) == 20_640
    assert sum(v is None for v in read["total_bedrooms"]) == 207
    assert values.mean() == pytest.approx(206_855.8, abs=0.1)
    assert values.max() == 500_001


def test_breast_cancer_is_scikit_learns_own(root: Path) -> None:
    from sklearn.datasets import load_breast_cancer

    read = _read(load_project("breast-cancer", ROOT), root, "mean_radius", "worst_fractal_dimension")
    truth = load_breast_cancer()["data"]
    np.testing.assert_array_equal(read["mean_radius"], truth[:, 0])
    np.testing.assert_array_equal(read["worst_fractal_dimension"], truth[:, 29])


def test_bicycles_leak_as_published(datasets: Path, root: Path) -> None:
    data = {"dataset": "bike-sharing", "target": "cnt", "features": {"casual": "numeric", "registered": "numeric"}}
    project = Project.parse({"name": "bikes", "task": "regression", "data": data}, "test")
    read = _read(project, root, "casual", "registered", "cnt")
    assert len(read["cnt"]) == 17_379
    np.testing.assert_array_equal(np.add(read["casual"], read["registered"]), read["cnt"])
