"""The profile against exact answers, and a merge of parts against the whole."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns import Kind
from headway.data.profile import WIDE, Profile, Profiler

KINDS: dict[str, Kind] = {"x": "numeric", "c": "categorical", "day": "date", "note": "text", "id": "categorical"}
ROWS = 150_000


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.lognormal(sigma=2, size=ROWS), "c": rng.choice(list("aaaabbc"), ROWS)})
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 2000, ROWS), "D")
    frame["note"] = rng.choice(["short", "a longer text", "ü"], ROWS)
    frame["id"] = [f"id-{i}" for i in range(ROWS)]
    frame.loc[::10, "x"] = None
    frame.loc[1, "x"] = np.inf
    frame.loc[::7, "c"] = None
    return frame


def profiled(frame: pd.DataFrame, batches: int = 4) -> Profiler:
    profiler = Profiler(KINDS)
    for rows in np.array_split(np.arange(len(frame)), batches):
        profiler.update(pa.RecordBatch.from_pandas(frame.iloc[rows], preserve_index=False))
    return profiler


def check(profile: Profile, frame: pd.DataFrame) -> None:
    x = profile.columns["x"]
    finite = frame["x"][np.isfinite(frame["x"])]
    assert (x.rows, x.nulls, x.infinite) == (ROWS, ROWS // 10, 1)
    assert x.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert x.std == pytest.approx(finite.std(ddof=0), rel=1e-9)
    assert (x.min, x.max) == (finite.min(), finite.max())
    assert x.distinct == pytest.approx(finite.nunique(), rel=0.06)
    shares = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    ranks = [(finite <= q).mean() for q in x.quantiles(shares)]
    np.testing.assert_allclose(ranks, shares, atol=0.002)
    np.testing.assert_array_equal(x.quantiles([0, 1]), [finite.min(), finite.max()])
    c = profile.columns["c"]
    assert c.counts == frame["c"].value_counts().to_dict()
    assert c.nulls == frame["c"].isna().sum()
    assert c.distinct == 3
    day = profile.columns["day"]
    assert day.min == frame["day"].min().timestamp()
    assert day.mean == pytest.approx(pd.Timestamp(frame["day"].mean()).timestamp())
    assert day.distinct == frame["day"].nunique()
    note = profile.columns["note"]
    assert note.longest == frame["note"].str.len().max()
    lengths = frame["note"].str.len()
    assert note.characters == lengths.sum()
    assert (note.min, note.max, note.mean) == (lengths.min(), lengths.max(), pytest.approx(lengths.mean()))
    assert profile.columns["id"].counts is None, "too many values to keep"
    assert profile.columns["id"].distinct == pytest.approx(ROWS, rel=0.06)


def test_a_profile_says_what_pandas_says(frame: pd.DataFrame) -> None:
    check(profiled(frame).profile(), frame)


def test_profiles_of_parts_merge_to_the_profile_of_the_whole(frame: pd.DataFrame) -> None:
    first = profiled(frame.iloc[:50_000])
    first.merge(profiled(frame.iloc[50_000:120_000]))
    first.merge(profiled(frame.iloc[120_000:]).profile())
    check(first.profile(), frame)


def test_a_profile_survives_json_and_can_be_merged_again(frame: pd.DataFrame) -> None:
    half = profiled(frame.iloc[: ROWS // 2]).profile()
    again = Profile.from_json(json.loads(json.dumps(half.to_json())))
    rest = profiled(frame.iloc[ROWS // 2 :])
    rest.merge(again)
    check(rest.profile(), frame)


def test_a_profile_holds_no_long_text_and_still_tells_them_apart() -> None:
    texts = ["a" * 1000 + str(n % 5) for n in range(50)]
    profiler = Profiler({"note": "text"})
    profiler.update(pa.record_batch({"note": texts}))
    note = profiler.profile().columns["note"]
    assert note.distinct == 5
    assert note.longest == 1001
    assert all(len(value) < 300 for value, _ in note.frequent)


def test_columns_without_values_are_profiled_without_a_fuss() -> None:
    profiler = Profiler(KINDS)
    empty = pd.DataFrame({name: [None, None] for name in KINDS})
    schema = pa.schema(
        [
            ("x", pa.float64()),
            ("c", pa.string()),
            ("day", pa.timestamp("us")),
            ("note", pa.string()),
            ("id", pa.string()),
        ]
    )
    profiler.update(pa.RecordBatch.from_pandas(empty, schema=schema, preserve_index=False))
    column = profiler.profile().columns["x"]
    assert (column.mean, column.std, column.min, column.nulls) == (None, None, None, 2)
    assert np.isnan(column.quantiles([0.5])).all()


def test_a_wide_profile_is_kept_as_an_outline_that_has_no_part_of_the_rows() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, WIDE + 1))
    profiler = Profiler({f"x{i}": "numeric" for i in range(WIDE + 1)})
    profiler.update(pa.RecordBatch.from_arrays(list(values.T), names=[f"x{i}" for i in range(WIDE + 1)]))
    profile = profiler.profile()
    assert profile.is_wide
    outline = json.loads(json.dumps(profile.outline()))
    own, whole = outline["columns"]["x7"], profile.columns["x7"].to_json()
    assert {name: own[name] for name in ("nulls", "mean", "min", "max", "distinct")} == {
        name: whole[name] for name in ("nulls", "mean", "min", "max", "distinct")
    }
    below = [(values[:, 7] <= edge).mean() for edge in own["tenths"]]
    np.testing.assert_allclose(below, np.arange(1, 10) / 10, atol=0.003)
    assert len(json.dumps(own)) < 600 < len(json.dumps(whole)) / 10
