"""A champion is never examined on rows that it learnt from: data grow, splits change, and the model knows what it learnt by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from headway.data.learnt_rows import Examinable, LearntRows, examinable
from headway.data.reading import FileReading
from headway.data.split import TEST, TRAIN, Division
from headway.data.store import Store
from headway.data.storing import make_store
from headway.evaluate.metrics import measure
from headway.evaluate.resample import Units
from headway.evaluate.result import Estimate
from headway.files.atomic import read_json, write_json
from headway.pipeline.other_columns import Reading, file_reading, unlearnt_rows, write_test_rows
from headway.pipeline.runs import table_of
from headway.project import Project

ROWS = 3000
FEATURES = {"a": "numeric", "b": "numeric", "c": "categorical"}


def rows(count: int, seed: int, first_day: int) -> pd.DataFrame:
    """Noisy rows of forty customers, a few a day, some of them labelled as test by somebody else."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a": rng.normal(size=count), "b": rng.normal(size=count), "c": rng.choice(list("xyz"), count)}
    )
    frame["y"] = frame["a"] + (frame["c"] == "x") + rng.normal(0, 1, count)
    frame["grade"] = np.select([frame["y"] < 0, frame["y"] < 1, frame["y"] < 4], ["low", "middle", "high"], "rare")
    frame["id"] = np.arange(count) + 1_000_000 * seed
    frame["customer"] = rng.integers(0, 400, count)
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(first_day + np.arange(count) // 10, "D")
    frame["part"] = rng.choice(["train", "validation", "test"], count, p=[0.7, 0.1, 0.2])
    return frame


@dataclass(frozen=True)
class Version:
    """A model that knows its training rows by heart, and what was kept beside it."""

    project: Project
    store: Store
    tree: DecisionTreeRegressor | DecisionTreeClassifier
    folder: Path

    def error(self, store: Store, mask: np.ndarray) -> Estimate:
        """RMSE, or accuracy of classes, with its interval on some test rows of a store."""
        units = Units.of(*store.units("test")).take(mask)
        applied = [self.store.preparation.apply(batch) for batch in store.raw_test_batches()]  # its own preparation
        name = "rmse" if self.project.task == "regression" else "accuracy"
        predict = self.tree.predict_proba if isinstance(self.tree, DecisionTreeClassifier) else self.tree.predict
        prediction = np.concatenate([predict(inputs(arrays)) for arrays in applied])
        target = store.arrays("test")["target"][mask]
        return measure(self.project.task, target, prediction[mask], 400, units=units)[name]

    def project_reading(self, root: Path) -> FileReading:
        """How it reads files."""
        return table_of(self.project, root).reading


def inputs(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([arrays["numeric"], arrays["categorical"]], 1)


def train(root: Path, name: str, split: dict[str, Any], **data: Any) -> Version:
    """Prepare the rows in root/rows, and learn them by heart; classes where the split is by them."""
    has_classes = split["by"] == "stratified"
    task, target = ("classification", "grade") if has_classes else ("regression", "y")
    settings = {"source": "rows", "target": target, "features": FEATURES, "keys": ["id"], **data}
    project = Project.parse({"name": name, "task": task, "data": settings, "split": split}, name)
    assert project.split.by == split["by"]
    store, _ = make_store(
        root / "prepared", Division(table_of(project, root), project.split), project.data, project.prepare
    )
    arrays = store.arrays("train")
    kind = DecisionTreeClassifier if has_classes else DecisionTreeRegressor
    tree = kind(random_state=0).fit(inputs(arrays), arrays["target"])
    folder = root / name
    folder.mkdir()
    store.learnt.write(folder)
    return Version(project, store, tree, folder)


def examine(root: Path, champion: Version, candidate: Version, earlier: bool = False) -> Examinable:
    """``earlier``: the champion's bundle is of code that did not keep how its rows were read."""
    learnt = LearntRows.read(champion.folder)
    if earlier:
        described = read_json(champion.folder / "learnt.json")
        del described["rule"]["reading"]
        write_json(champion.folder / "learnt.json", described)
        write_json(champion.folder / "bundle.json", {"format": 1, "task": champion.project.task})
        write_json(champion.folder / "preparation.json", champion.store.preparation.to_json())
        (champion.folder / "project.yaml").write_text(champion.project.to_yaml())
        learnt = LearntRows.read(champion.folder)
        assert learnt is not None
        learnt = learnt.read_as(file_reading(champion.folder, table_of(candidate.project, root).reading))
    own = candidate.store.learnt
    return examinable(
        own,
        learnt,
        "version 1",
        candidate.store.rows["test"],
        lambda it: unlearnt_rows(candidate.store, candidate.project, lambda: table_of(candidate.project, root), it),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two files that training reads, and an official test file."""
    (tmp_path / "rows").mkdir()
    everything = rows(ROWS, 1, 0)
    everything.iloc[: ROWS // 2].to_csv(tmp_path / "rows" / "m1.csv", index=False)
    everything.iloc[ROWS // 2 :].to_csv(tmp_path / "rows" / "m2.csv", index=False)
    rows(600, 2, 150).to_csv(tmp_path / "rows" / "official-test.csv", index=False)
    return tmp_path


def grow(root: Path) -> None:
    """A file that sorts first and holds some of the old rows again, as full exports do, beside new ones."""
    old = pd.read_csv(root / "rows" / "m1.csv").iloc[:300]
    new = rows(400, 3, 400)
    new["day"] = new["day"].dt.strftime("%Y-%m-%d")
    pd.concat([new, old]).to_csv(root / "rows" / "a0.csv", index=False)


SPLITS: dict[str, dict[str, Any]] = {
    "random": {"by": "random"},
    "stratified": {"by": "stratified"},
    "content": {"by": "random", "row_key": ["a", "b", "c", "y"]},
    "time": {"by": "time", "column": "day"},
    "group": {"by": "group", "column": "customer"},
    "files": {"by": "files", "test_files": "official*"},
    "column": {"by": "column", "column": "part"},
}


@pytest.mark.parametrize("name", SPLITS)
def test_on_grown_data_the_champions_figure_is_its_honest_one(root: Path, name: str) -> None:
    champion = train(root, "one", SPLITS[name])
    honest = champion.error(champion.store, np.ones(champion.store.rows["test"], bool))
    grow(root)
    candidate = train(root, "two", SPLITS[name])
    examined = examine(root, champion, candidate)
    figure = champion.error(candidate.store, examined.mask)
    assert honest.low is not None
    assert honest.high is not None
    assert figure.value is not None
    assert honest.low <= figure.value <= honest.high
    assert examined.mask.mean() > 0.8, "rows that keep their part are still used"
    assert bool(examined.left_out) == bool(examined.sentence()), "nothing is said where no row is left out"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SPLITS["random"], {"by": "random", "seed": 1}),
        (SPLITS["random"], SPLITS["time"]),
        (SPLITS["time"], SPLITS["random"]),
        (SPLITS["column"], SPLITS["random"]),
        (SPLITS["files"], SPLITS["group"]),
        (SPLITS["group"], SPLITS["column"]),
        (SPLITS["content"], SPLITS["random"]),
    ],
    ids=["another seed", "random then time", "time then random", "column", "files then group", "group", "another key"],
)
def test_a_changed_split_leaves_out_what_the_champion_learnt_and_says_why(
    root: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    champion = train(root, "one", before)
    honest = champion.error(champion.store, np.ones(champion.store.rows["test"], bool))
    candidate = train(root, "two", after)
    everything = champion.error(candidate.store, np.ones(candidate.store.rows["test"], bool))
    examined = examine(root, champion, candidate)
    figure = champion.error(candidate.store, examined.mask)
    assert honest.low is not None
    assert honest.high is not None
    assert figure.value is not None
    assert everything.value is not None
    assert everything.value < honest.low, "without leaving rows out, it would look better than it is"
    assert figure.low is not None
    assert figure.high is not None
    assert honest.value is not None
    # Few rows are left, whose chance differs from that of the honest figure's.
    widths = (honest.high - honest.low) / 2, (figure.high - figure.low) / 2
    assert abs(figure.value - honest.value) <= math.hypot(*widths)
    assert examined.left_out > 100
    assert "test rows are left out: version 1 learnt from them (" in examined.sentence()
    assert "was" in examined.sentence() or "lost" in examined.sentence()


def test_a_champion_that_reads_other_columns_is_examined_by_its_own(root: Path) -> None:
    content = {"by": "random"}
    champion = train(root, "one", content, keys=[])
    candidate = train(root, "two", content, keys=[], features={"a": "numeric", "b": "numeric"})
    examined = examine(root, champion, candidate)
    truth = Division(table_of(champion.project, root), champion.project.split).parts == TEST
    here = Division(table_of(candidate.project, root), candidate.project.split).parts == TEST
    np.testing.assert_array_equal(examined.mask, truth[here])
    assert "the columns that tell rows apart lost c" in examined.sentence()
    for file in (root / "rows").iterdir():
        pd.read_csv(file).drop(columns="c").to_csv(file, index=False)
    examined = examine(root, champion, candidate)
    assert not examined.mask.any()
    assert "the training rows of version 1 cannot be recognised" in examined.sentence()


@pytest.mark.parametrize(
    ("split", "settings", "csv"),
    [
        ({"by": "random"}, {"keys": []}, {"strip": True}),
        ({"by": "group", "column": "customer"}, {}, {"strip": True}),
        ({"by": "random", "row_key": ["customer", "b"]}, {}, {"strip": True}),
        ({"by": "random"}, {"keys": []}, {"null_values": ["", " x"]}),
    ],
    ids=["content", "group", "row_key", "null_values"],
)
@pytest.mark.parametrize("earlier", [False, True], ids=["kept", "told by the bundle's project"])
def test_rows_that_are_read_otherwise_are_still_those_that_the_champion_learnt(
    root: Path, split: dict[str, Any], settings: dict[str, Any], csv: dict[str, Any], earlier: bool
) -> None:
    for file in (root / "rows").iterdir():
        pd.read_csv(file).assign(c=lambda f: " " + f["c"], customer=lambda f: " c" + f["customer"].astype(str)).to_csv(
            file, index=False
        )
    champion = train(root, "one", split, **settings)
    candidate = train(root, "two", split, **settings, csv=csv)
    examined = examine(root, champion, candidate, earlier)
    truth = Division(table_of(champion.project, root), champion.project.split).parts == TEST
    here = Division(table_of(candidate.project, root), candidate.project.split).parts == TEST
    np.testing.assert_array_equal(examined.mask, truth[here])
    assert 100 < examined.left_out < len(examined.mask)
    assert f"data.csv.{next(iter(csv))}" in examined.sentence()


def test_dates_that_are_read_otherwise_are_still_those_that_the_champion_learnt(root: Path) -> None:
    for file in (root / "rows").iterdir():
        pd.read_csv(file).assign(
            day=lambda f: f["a"].abs().mul(3).astype(int).clip(0, 8).add(1).map("0{}/05/2024".format)
        ).to_csv(file, index=False)
    settings: dict[str, Any] = {"keys": [], "features": {**FEATURES, "day": "date"}}
    champion = train(root, "one", {"by": "random"}, **settings, date_format="%d/%m/%Y")
    candidate = train(root, "two", {"by": "random"}, **settings, date_format="%m/%d/%Y")
    examined = examine(root, champion, candidate)
    truth = Division(table_of(champion.project, root), champion.project.split).parts == TEST
    here = Division(table_of(candidate.project, root), candidate.project.split).parts == TEST
    np.testing.assert_array_equal(examined.mask, truth[here])
    assert "data.date_format was %d/%m/%Y, is %m/%d/%Y" in examined.sentence()


def test_a_new_word_for_null_does_not_keep_the_champion_from_reading_a_new_file(root: Path) -> None:
    champion = train(root, "one", {"by": "random"}, keys=[])
    new = rows(400, 3, 400)
    new.assign(a=new["a"].where(new["a"] > 0, " ?").astype(str)).to_csv(root / "rows" / "a0.csv", index=False)
    candidate = train(root, "two", {"by": "random"}, keys=[], csv={"null_values": ["", "?"], "strip": True})
    assert examine(root, champion, candidate).mask.all()
    reading = Reading(FEATURES, champion.project_reading(root), (), False)
    test_rows = write_test_rows(
        root / "given", candidate.project, table_of(candidate.project, root), reading
    ).raw_test()
    assert test_rows.equals(candidate.store.raw_test(["a", "b", "c"]))


def test_a_version_is_given_the_rows_as_it_reads_them(root: Path) -> None:
    for file in (root / "rows").iterdir():
        pd.read_csv(file).assign(c=lambda f: " " + f["c"]).to_csv(file, index=False)
    champion = train(root, "one", {"by": "random"})
    candidate = train(root, "two", {"by": "random"}, csv={"strip": True})
    reading = Reading(FEATURES, champion.project_reading(root), (), False)
    rows_again = write_test_rows(
        root / "given", candidate.project, table_of(candidate.project, root), reading
    ).raw_test()
    assert set(rows_again.column("c").to_pylist()) == {" x", " y", " z"}
    assert rows_again.column("a").equals(candidate.store.raw_test(["a"]).column("a"))


@pytest.mark.parametrize("is_gone", [False, True], ids=["all rows are there", "some are gone"])
def test_files_of_another_form_are_compared_only_where_every_row_that_was_learnt_is_found(
    root: Path, is_gone: bool
) -> None:
    champion = train(root, "one", {"by": "random"}, keys=[])
    (root / "packed").mkdir()
    for file in sorted((root / "rows").iterdir())[is_gone:]:
        pq.write_table(pacsv.read_csv(file), root / "packed" / f"{file.stem}.parquet")
    candidate = train(root, "two", {"by": "random", "seed": 1}, keys=[], source="packed")
    examined = examine(root, champion, candidate)
    truth = Division(table_of(champion.project, root), champion.project.split).parts == TEST
    here = Division(table_of(candidate.project, root), candidate.project.split).parts == TEST
    if is_gone:
        assert not examined.mask.any()
        assert "its rows were read as csv, and are now read as parquet" in examined.sentence()
    else:
        np.testing.assert_array_equal(examined.mask, truth[here])


def test_a_column_of_another_kind_divides_the_rows_anew(root: Path) -> None:
    for file in (root / "rows").iterdir():
        pd.read_csv(file, dtype={"b": str}).assign(b=lambda frame: frame["b"] + "0").to_csv(file, index=False)
    content = {"by": "random"}
    champion = train(root, "one", content, keys=[], features={"a": "numeric", "b": "categorical"})
    candidate = train(root, "two", content, keys=[], features={"a": "numeric", "b": "numeric"})
    examined = examine(root, champion, candidate)
    truth = Division(table_of(champion.project, root), champion.project.split).parts == TEST
    here = Division(table_of(candidate.project, root), candidate.project.split).parts == TEST
    np.testing.assert_array_equal(examined.mask, truth[here])
    assert examined.left_out > 100


def test_rows_that_all_have_other_values_are_said_to_be_unknown(root: Path) -> None:
    """As after a column was computed anew, or written with fewer digits: the champion learnt these rows, and nothing can tell."""
    champion = train(root, "one", {"by": "random"}, keys=[])
    for file in (root / "rows").iterdir():
        pd.read_csv(file).round(6).to_csv(file, index=False)
    candidate = train(root, "two", {"by": "random"}, keys=[])
    examined = examine(root, champion, candidate)
    assert examined.mask.all()
    assert examined.sentence() == (
        "no training row of version 1 is in these files (rows are recognised by a, b, c, y): if these are the same rows with "
        "other values, its metric may be too good"
    )


def test_a_champions_column_that_is_no_number_any_more_leaves_every_row_out(root: Path) -> None:
    champion = train(root, "one", {"by": "random"}, keys=[])
    for file in (root / "rows").iterdir():
        pd.read_csv(file).assign(b="far").to_csv(file, index=False)
    candidate = train(root, "two", {"by": "random"}, keys=[], features={"a": "numeric", "c": "categorical"})
    examined = examine(root, champion, candidate)
    assert not examined.mask.any()
    assert "the training rows of version 1 cannot be recognised: " in examined.sentence()


def test_groups_keep_their_part_when_rows_without_a_group_come(root: Path) -> None:
    split = {"by": "group", "column": "customer"}
    before = train(root, "one", split)
    rows(50, 9, 300).assign(customer=None).to_csv(root / "rows" / "z.csv", index=False)
    after = train(root, "two", split)
    tests = [set(version.store.raw_test(["id"]).column("id").to_pylist()) for version in (before, after)]
    assert tests[0] <= tests[1]


def test_a_version_older_than_the_record_is_compared_with_a_word_of_caution(root: Path) -> None:
    candidate = train(root, "two", SPLITS["random"])
    examined = examinable(candidate.store.learnt, None, "version 1", 10, lambda _: np.zeros(10, bool))
    assert examined.mask.all()
    assert "its metric may be too good" in examined.sentence()


def test_of_very_many_rows_a_sample_is_kept_and_rows_beyond_it_are_not_decided_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("headway.data.learnt_rows.MOST", 1000)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 5000, dtype=np.uint64)
    new = rng.integers(0, 2**64, 10_000, dtype=np.uint64)
    learnt = LearntRows.of(_rule(), None, hashes)
    assert learnt.unlearnt(new).all(), "none of 2,000 in the sample was learnt"
    few = learnt.unlearnt(new[:100])
    np.testing.assert_array_equal(few, new[:100] < learnt.below, "20 in the sample say too little about the other 80")
    mask = learnt.unlearnt(np.concatenate([hashes, new]))
    assert not mask[:5000].any()
    assert 0.1 < mask[5000:].mean() < 0.3


def _rule() -> Any:
    from headway.data.learnt_rows import Rule

    return Rule({}, "digest")


def test_the_tree_knows_its_training_rows_by_heart(root: Path) -> None:
    version = train(root, "one", SPLITS["random"])
    arrays = version.store.arrays("train")
    assert np.abs(version.tree.predict(inputs(arrays)) - arrays["target"]).max() < 1e-9
    assert (Division(table_of(version.project, root), version.project.split).parts == TRAIN).sum() == len(
        arrays["target"]
    )
