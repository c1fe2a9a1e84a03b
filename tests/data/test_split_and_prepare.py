"""Splits and preparations against scikit-learn, pandas and the slow obvious version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from rtdl_num_embeddings import compute_bins
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from headway.columns import Kind
from headway.columns.category import MISSING, UNKNOWN, Category
from headway.columns.config import PrepareConfig
from headway.columns.number import Number
from headway.columns.words import Words
from headway.data.canonical import canonical
from headway.data.config import DataConfig, SplitConfig
from headway.data.fit import column_edges, fit
from headway.data.opening import open_table
from headway.data.prepare import Preparation
from headway.data.source import Table
from headway.data.split import TEST, TRAIN, VALIDATION, Division, assign
from headway.data.storing import make_store
from headway.errors import ConfigError, DataError
from headway.tasks import Target

KINDS: dict[str, Kind] = {"x": "numeric", "z": "numeric", "c": "categorical", "day": "date", "note": "text"}


@pytest.fixture
def frame() -> pd.DataFrame:
    """400 rows with nulls in x, a rare category, a date and a few words."""
    rng = np.random.default_rng(7)
    rows = 400
    x = rng.lognormal(size=rows)
    frame = pd.DataFrame({"x": x, "z": rng.integers(0, 9, rows).astype(float), "c": rng.choice(list("abbbbccc"), rows)})
    frame["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), "D")
    frame["y"] = np.where(x + rng.normal(size=rows) > 1.2, "yes", "no")
    frame["note"] = np.where(frame["y"] == "yes", "Late again, sorry", "paid in full") + rng.choice(
        ["", " ok", " the"], rows
    )
    frame.loc[::17, "x"] = None
    frame.loc[3, "c"] = "rare"
    frame.loc[5, "c"] = None
    frame["who"] = [f"p{i // 4}" for i in range(rows)]
    return frame


def opened(frame: pd.DataFrame, folder: Path, extra: tuple[str, ...] = (), **data: Any) -> tuple[Table, DataConfig]:
    path = folder / "rows.parquet"
    frame.to_parquet(path)
    config = DataConfig.parse({"source": str(path), "target": "y", "features": KINDS, **data}, "data")
    return open_table(config, "classification", folder, extra), config


def test_a_split_by_row_has_the_stated_shares_in_each_class_as_nearly_as_chance_allows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.normal(size=20_000), "y": rng.choice(["a", "b"], 20_000, p=[0.9, 0.1])})
    table, _ = opened(frame, tmp_path, features={"x": "numeric"})
    for by in ("stratified", "random"):
        split = SplitConfig.parse({"by": by, "test": 0.25, "validation": 0.2}, "split")
        parts = assign(table, split)
        for rows in frame.groupby("y").indices.values():
            shares = np.bincount(parts[rows], minlength=3) / len(rows)
            # Four standard deviations of a share in 2,000 rows are .04.
            np.testing.assert_allclose(shares, [0.6, 0.15, 0.25], atol=0.04)
        assert not np.array_equal(parts, assign(table, split.model_copy(update={"seed": 1})))


@pytest.mark.parametrize("keys", [(), ("who",)])
@pytest.mark.parametrize("by", ["stratified", "random"])
def test_rows_do_not_move_when_others_come_or_change_places(
    frame: pd.DataFrame, tmp_path: Path, keys: tuple[str, ...], by: str
) -> None:
    split = SplitConfig.parse({"by": by}, "split")
    before = assign(opened(frame, tmp_path, keys, keys=keys)[0], split)
    (tmp_path / "more").mkdir()
    others = frame.assign(x=frame["x"] + 100, who=[f"q{i}" for i in range(len(frame))])
    more = pd.concat([others.iloc[:150], frame.iloc[::-1], others.iloc[150:]], ignore_index=True)
    after = assign(opened(more, tmp_path / "more", keys, keys=keys)[0], split)
    np.testing.assert_array_equal(after[150:550][::-1], before)


def test_equal_rows_and_rows_of_one_key_are_on_one_side(frame: pd.DataFrame, tmp_path: Path) -> None:
    twice = pd.concat([frame, frame.sample(frac=1, random_state=0)])
    parts = pd.Series(assign(opened(twice, tmp_path)[0], SplitConfig()), twice.index)
    assert (parts.groupby(level=0).nunique() == 1).all()
    keyed = pd.Series(assign(opened(frame, tmp_path, ("who",), keys=["who"])[0], SplitConfig()))
    assert (keyed.groupby(frame["who"]).nunique() == 1).all()


def test_the_same_rows_have_the_same_parts_from_csv_and_parquet(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame["id"] = np.arange(len(frame)) % 90
    frame["y"] = np.where(frame["y"] == "yes", 1, 0)
    for keys in ([], ["id"]):
        from_parquet = assign(opened(frame, tmp_path, tuple(keys), keys=keys)[0], SplitConfig())
        frame.to_csv(tmp_path / "rows.csv", index=False)
        settings = {"source": str(tmp_path / "rows.csv"), "target": "y", "features": KINDS, "keys": keys}
        table = open_table(DataConfig.parse(settings, "data"), "classification", tmp_path, tuple(keys))
        np.testing.assert_array_equal(assign(table, SplitConfig()), from_parquet)


def test_a_few_rows_fill_every_part_and_each_class_trains(tmp_path: Path) -> None:
    for rows in range(5, 40):
        frame = pd.DataFrame({"x": np.arange(rows) + 0.5, "y": ["rare" if i < 2 else "b" for i in range(rows)]})
        table, _ = opened(frame, tmp_path, features={"x": "numeric"})
        parts = assign(table, SplitConfig())
        assert set(parts) == {TRAIN, VALIDATION, TEST}
        assert "rare" in set(frame["y"][parts == TRAIN])


def test_the_files_split_draws_its_validation_by_row(frame: pd.DataFrame, tmp_path: Path) -> None:
    def parts(*names: str) -> dict[str, np.ndarray]:
        data_settings = {"source": str(tmp_path / "many"), "target": "y", "features": KINDS}
        (tmp_path / "many").mkdir(exist_ok=True)
        for i, name in enumerate(names):
            frame.iloc[100 * i : 100 * i + 100].to_parquet(tmp_path / "many" / f"{name}.parquet")
        table = open_table(DataConfig.parse(data_settings, "data"), "classification", tmp_path)
        result = assign(table, SplitConfig(by="files", test_files="test*"))
        return {name: result[100 * i : 100 * i + 100] for i, name in enumerate(sorted(names))}

    before = parts("b", "test")
    assert (before["test"] == TEST).all()
    assert 0 < (before["b"] == VALIDATION).sum() < 30
    after = parts("b", "test", "a")
    np.testing.assert_array_equal(after["b"], before["b"])
    np.testing.assert_array_equal(after["test"], before["test"])


def test_a_time_split_never_trains_on_what_is_newer_than_the_test(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, _ = opened(frame, tmp_path)
    parts = assign(table, SplitConfig(by="time", column="day"))
    days = frame["day"]
    assert days[parts == TRAIN].max() < days[parts == VALIDATION].min()
    assert days[parts == VALIDATION].max() < days[parts == TEST].min()
    assert 0.1 < (parts == TEST).mean() < 0.3


def test_a_group_stays_together_and_does_not_move_when_rows_are_added(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, _ = opened(frame, tmp_path, ("who",))
    split = SplitConfig(by="group", column="who", test=0.3)
    parts = pd.Series(assign(table, split))
    assert (parts.groupby(frame["who"]).nunique() == 1).all()
    (tmp_path / "more").mkdir()
    more = pd.concat([frame.assign(who="new"), frame.iloc[::-1]], ignore_index=True)
    again = assign(opened(more, tmp_path / "more", ("who",))[0], split)
    np.testing.assert_array_equal(again[400:][::-1], parts)


def test_a_split_that_leaves_a_part_empty_is_refused(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, _ = opened(frame.assign(who="one"), tmp_path, ("who",))
    with pytest.raises(DataError, match="each of train, validation, test must have rows, but"):
        assign(table, SplitConfig(by="group", column="who"))


def test_a_column_split_says_which_row_is_wrong(frame: pd.DataFrame, tmp_path: Path) -> None:
    names = ["train", "test", "validation", "Train "] * 100
    table, _ = opened(frame.assign(who=names), tmp_path, ("who",))
    np.testing.assert_array_equal(assign(table, SplitConfig(by="column", column="who")), [0, 2, 1, 0] * 100)
    names[7] = "tset"
    (tmp_path / "bad").mkdir()
    table, _ = opened(frame.assign(who=names), tmp_path / "bad", ("who",))
    with pytest.raises(DataError, match="row 8 says 'tset'"):
        assign(table, SplitConfig(by="column", column="who"))


def test_numbers_are_imputed_and_scaled_as_scikit_learn_does_from_training_rows_alone(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    table, data = opened(frame, tmp_path)
    parts = assign(table, SplitConfig())
    preparation = fit(table, parts, data, PrepareConfig(impute="median", words=0))
    batch = pa.RecordBatch.from_pandas(frame[list(KINDS)], preserve_index=False)
    prepared = preparation.apply(batch)["numeric"]
    train = frame[parts == TRAIN]
    present = train["x"].dropna()
    # Mean and spread are those of the known values; the median comes from a sketch with a rank error below 0.2 %.
    truth = StandardScaler().fit(present.to_numpy()[:, None]).transform(frame[["x"]].to_numpy())[:, 0]
    names = [prepared.name for _, prepared in preparation.by_array["numeric"]]
    here = frame["x"].notna().to_numpy()
    np.testing.assert_allclose(prepared[here, names.index("x")], truth[here], rtol=1e-5)
    number = preparation.columns[0]
    assert isinstance(number, Number)
    filled = number.fill
    assert abs((present <= filled).mean() - 0.5) < 0.01
    np.testing.assert_array_equal(prepared[:, names.index("x missing")], ~here)


def test_the_quantile_scale_equals_scikit_learns(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, data = opened(frame, tmp_path)
    parts = assign(table, SplitConfig())
    preparation = fit(table, parts, data, PrepareConfig(scale="quantile", words=0))
    batch = pa.RecordBatch.from_pandas(frame[list(KINDS)], preserve_index=False)
    prepared = preparation.apply(batch)["numeric"][:, 0]
    present = frame["x"][parts == TRAIN].dropna().to_numpy()[:, None]
    trusted = QuantileTransformer(n_quantiles=len(present), output_distribution="normal").fit(present)
    here = frame["x"].notna().to_numpy()
    truth = trusted.transform(frame.loc[here, ["x"]].to_numpy())[:, 0]
    np.testing.assert_allclose(prepared[here], truth, atol=0.05)


def test_categories_have_buckets_for_the_unknown_and_the_missing(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, data = opened(frame, tmp_path)
    preparation = fit(table, assign(table, SplitConfig()), data, PrepareConfig(min_count=3))
    category = preparation.by_array["categorical"][0][0]
    assert isinstance(category, Category)
    assert category.values == ("b", "c", "a"), "most frequent first; 'rare' is too rare for a code"
    (codes,) = category.apply(pa.array(["b", "never seen", None, "a"]))
    np.testing.assert_array_equal(codes, [2, UNKNOWN, MISSING, 4])
    assert preparation.inputs().categorical == (5,)


def test_codes_are_those_of_the_plain_look_up_whatever_the_words_are() -> None:
    """A word must not be taken for what stands for the unknown while codes are looked up; slices and nulls are as elsewhere."""
    category = Category("c", ("\0", "b", "\0\0"))
    column = pa.array(["b", None, "\0", "\0\0\0", "\0\0", "x", "", "b"]).slice(1)
    plain = [
        MISSING if v is None else category.values.index(v) + 2 if v in category.values else UNKNOWN
        for v in column.to_pylist()
    ]
    np.testing.assert_array_equal(category.apply(column)[0], plain)


@pytest.mark.parametrize("words", [("true", "false"), ("yes", "no")])
def test_rows_to_predict_are_read_as_the_trainings_whether_or_not_they_are_looked_at(words: tuple[str, ...]) -> None:
    numbers = (Number("n", "numeric", 0.5, 1.0, 2.0, missing=True),)
    preparation = Preparation((*numbers, Category("c", words)), Target("t", "classification", ("no", "yes")))
    assert preparation.lenient == {"n", "c"}
    rows = pa.record_batch(
        {"n": [1.0, None, float("nan"), float("inf"), -3.0], "c": ["True", "FALSE", "yes", None, "no"]}
    )
    strict, lenient = (
        preparation.apply(canonical(rows, preparation.kinds, "rows", lenient=which))
        for which in ((), preparation.lenient)
    )
    for name, values in strict.items():
        np.testing.assert_array_equal(lenient[name], values)


def test_words_are_those_that_tell_the_classes_apart(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, data = opened(frame, tmp_path)
    preparation = fit(table, assign(table, SplitConfig()), data, PrepareConfig(words=6))
    words = preparation.columns[-1]
    assert isinstance(words, Words)
    assert set(words.words) == {"late", "again", "sorry", "paid", "in", "full"}
    text = np.stack(words.apply(pa.array(["LATE, late!", None, "nothing"])))
    assert text.sum() == 1


def test_bin_edges_equal_those_of_the_authors_package() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2000).astype(np.float32)
    y = (np.sin(3 * x) + rng.normal(size=2000) > 0).astype(np.int64)
    ours = column_edges(x, y, PrepareConfig(bins=16), regression=False)
    tree = {"min_samples_leaf": 31, "random_state": 0}
    theirs = compute_bins(torch.from_numpy(x)[:, None], 16, tree_kwargs=tree, y=torch.from_numpy(y), regression=False)
    np.testing.assert_allclose(ours, theirs[0].numpy())
    quantile = column_edges(x, y, PrepareConfig(bins=16, bins_by="quantile"), regression=False)
    np.testing.assert_allclose(quantile, compute_bins(torch.from_numpy(x)[:, None], 16)[0].numpy(), atol=1e-6)


def test_a_preparation_survives_json_and_gives_the_same_arrays(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, data = opened(frame, tmp_path)
    preparation = fit(table, assign(table, SplitConfig()), data, PrepareConfig(scale="quantile"))
    again = Preparation.from_json(json.loads(json.dumps(preparation.to_json())))
    assert again == preparation
    batch = pa.RecordBatch.from_pandas(frame[list(KINDS)], preserve_index=False)
    for name, values in preparation.apply(batch).items():
        np.testing.assert_array_equal(values, again.apply(batch)[name])


def test_a_date_beyond_the_training_range_counts_as_its_edge(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, data = opened(frame, tmp_path)
    preparation = fit(table, assign(table, SplitConfig()), data, PrepareConfig())
    day = next(n for n in preparation.columns if n.column == "day")
    times = pa.array([pd.Timestamp("2031-05-05"), pd.Timestamp("2099-01-01")], pa.timestamp("us"))
    later, latest = day.apply(times)[0]
    assert later == latest


def test_a_store_holds_what_applying_the_preparation_gives_and_is_made_once(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    table, data = opened(frame, tmp_path, ("who",))
    division = Division(table, SplitConfig())
    parts = division.parts
    store, reused = make_store(tmp_path / "prepared", division, data, PrepareConfig())
    assert not reused
    again, reused = make_store(tmp_path / "prepared", division, data, PrepareConfig())
    assert reused
    assert again.path == store.path
    for name, part in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        rows = frame[parts == part]
        truth = store.preparation.apply(pa.RecordBatch.from_pandas(rows[list(KINDS)], preserve_index=False))
        arrays = store.arrays(name)  # type: ignore[arg-type]
        np.testing.assert_array_equal(arrays["numeric"], truth["numeric"])
        np.testing.assert_array_equal(arrays["categorical"], truth["categorical"])
        np.testing.assert_array_equal(arrays["target"], (rows["y"] == "yes").astype(int))
    raw = store.raw_test().to_pandas()
    assert raw["who"].tolist() == frame["who"][parts == TEST].tolist()
    other, reused = make_store(tmp_path / "prepared", division, data, PrepareConfig(bins=7))
    assert not reused
    assert other.path != store.path


def test_a_store_that_cannot_be_finished_leaves_nothing_behind(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, data = opened(frame, tmp_path)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        make_store(tmp_path / "prepared", Division(table, SplitConfig()), data, PrepareConfig())
    assert list((tmp_path / "prepared").iterdir()) == []


def test_the_positive_class_comes_last_and_must_exist(frame: pd.DataFrame, tmp_path: Path) -> None:
    table, data = opened(frame, tmp_path, positive="no")
    parts = assign(table, SplitConfig())
    assert fit(table, parts, data, PrepareConfig()).target.classes == ("yes", "no")
    wrong = data.model_copy(update={"positive": "maybe"})
    with pytest.raises(ConfigError, match="data.positive must be a class of y, but is 'maybe'"):
        fit(table, parts, wrong, PrepareConfig())
