"""Summaries of random columns against numpy and pandas, and in parts that are merged in any grouping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns import column_type
from headway.columns.frequencies import EXACT_VALUES
from headway.columns.hashes import HASHES, of_numbers
from headway.columns.summary import LARGEST, Summary
from headway.data.profile import read_summary

EXACT = ("rows", "nulls", "infinite", "finite", "min", "max", "counts", "frequent", "characters", "longest", "distinct")


def summarised(kind: str, parts: Sequence[pa.Array]) -> Summary:
    result = column_type(kind).summary("x")
    for part in parts:
        result.update(part)
    return result


def random_numbers(seed: int) -> np.ndarray:
    """Some of them null (NaN here), infinite, equal, zero of either sign, extreme."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=int(rng.integers(1, 20_000))) * 10.0 ** float(rng.integers(-5, 20))
    values[rng.random(len(values)) < rng.choice([0.0, 0.1, 0.9])] = np.nan
    values[rng.random(len(values)) < rng.choice([0.0, 0.01])] = np.inf
    values[rng.random(len(values)) < rng.choice([0.0, 0.01])] = -np.inf
    values[rng.random(len(values)) < 0.3] = float(rng.choice([0.0, -0.0, 7.5, 1e-300, -1e140]))
    return values


@pytest.mark.parametrize("seed", range(15))
def test_a_summary_of_numbers_says_what_numpy_says(seed: int) -> None:
    values = random_numbers(seed)
    result = summarised("numeric", [pa.array(values, from_pandas=True)])
    finite = values[np.isfinite(values)]
    assert (result.rows, result.nulls) == (len(values), int(np.isnan(values).sum()))
    assert (result.infinite, result.finite) == (int(np.isinf(values).sum()), len(finite))
    if not len(finite):
        assert (result.mean, result.std, result.min, result.max, result.distinct) == (None, None, None, None, 0)
        return
    assert (result.min, result.max) == (finite.min(), finite.max())
    assert result.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert result.std == pytest.approx(finite.std(), rel=1e-12)
    distinct = len(set(finite.tolist()))
    assert result.distinct == pytest.approx(distinct, rel=0.06 if distinct >= HASHES else 0)
    ordered, shares = np.sort(finite), np.linspace(0, 1, 101)
    at = result.quantiles(list(shares))
    assert (at[0], at[-1]) == (ordered[0], ordered[-1])
    assert (np.searchsorted(ordered, at) / len(finite) <= shares + 0.002).all()
    assert (np.searchsorted(ordered, at, side="right") / len(finite) >= shares - 0.002).all()


def texts(seed: int) -> pd.Series:
    """Few or many different ones, some null, empty or long."""
    rng = np.random.default_rng(seed)
    different = int(rng.choice([1, 5, 300, 5000]))
    words = ["", "ü" * 199, "x" * 500, *(f"word {i}" for i in range(different))]
    column = pd.Series(rng.choice(words, int(rng.integers(1, 20_000))))
    return column.mask(pd.Series(rng.random(len(column)) < rng.choice([0.0, 0.2, 1.0])), None)


def test_numbers_are_hashed_as_pandas_hashes_them() -> None:
    for rows in (0, 1, 16_384, 40_001):
        values = np.random.default_rng(rows).normal(size=rows) * 1e5
        values[::7] = -0.0
        assert of_numbers(values).tolist() == pd.util.hash_array(values + 0.0).tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["categorical", "text"])
@pytest.mark.parametrize("coded", [False, True])
def test_a_summary_of_texts_says_what_pandas_says(kind: str, seed: int, coded: bool) -> None:
    column = texts(seed)
    array = pa.array(column, pa.string(), from_pandas=True)
    result = summarised(kind, [array.dictionary_encode() if coded else array])
    counts = column.value_counts()
    assert (result.rows, result.nulls) == (len(column), int(column.isna().sum()))
    assert result.distinct == len(counts)
    assert result.counts is not None
    assert list(result.counts.items()) == sorted(result.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    assert sorted(result.counts.values()) == sorted(counts)
    assert [n for _, n in result.frequent] == counts.head(20).tolist()
    short = {value: n for value, n in result.counts.items() if kind == "categorical" or len(value) < 200}
    assert short == {value: n for value, n in counts.items() if value in short}
    if kind == "text" and len(counts):
        lengths = column.dropna().str.len()
        assert (result.min, result.max, result.longest) == (lengths.min(), lengths.max(), lengths.max())
        assert result.characters == lengths.sum()
        assert result.std == pytest.approx(lengths.std(ddof=0), rel=1e-12)


def columns() -> list[tuple[str, pa.Array]]:
    rng = np.random.default_rng(3)
    numbers = [pa.array(random_numbers(seed), from_pandas=True) for seed in (1, 4, 5)]
    days = pa.array(rng.integers(0, 10**15, 9000), pa.int64()).cast(pa.timestamp("us"))
    words = [pa.array(texts(seed), pa.string(), from_pandas=True) for seed in (0, 3, 7)]
    kinds = [*zip(["numeric"] * 3, numbers, strict=True), ("date", days)]
    return [*kinds, *(("categorical", one) for one in words), *(("text", one) for one in words)]


@pytest.mark.parametrize(("kind", "column"), columns())
def test_parts_merge_to_the_same_counts_in_any_grouping(kind: str, column: pa.Array) -> None:
    whole = summarised(kind, [column])
    cuts = np.sort(np.random.default_rng(1).integers(0, len(column), 9)).tolist()
    bounds = zip([0, *cuts], [*cuts, len(column)], strict=True)
    parts = [column.slice(start, stop - start) for start, stop in bounds]
    left = summarised(kind, parts)
    pairs = [summarised(kind, parts[i : i + 2]) for i in range(0, len(parts), 2)]
    tree = column_type(kind).summary("x")
    for pair in reversed(pairs):
        tree.merge(read_summary(json.loads(json.dumps(pair.to_json()))))
    for other in (left, tree):
        for name in EXACT:
            assert getattr(other, name) == getattr(whole, name), name
        assert (other.mean is None) == (whole.mean is None)
        if whole.mean is not None:
            assert other.mean == pytest.approx(whole.mean, rel=1e-12)
            assert other.std == pytest.approx(whole.std, rel=1e-12)


@pytest.mark.parametrize(("kind", "column"), columns())
def test_blocks_that_threads_summarise_apart_give_the_same_to_the_bit(kind: str, column: pa.Array) -> None:
    blocks = [column.slice(start, 700) for start in range(0, len(column), 700)]
    result = column_type(kind).summary("x")
    with ThreadPoolExecutor(4) as pool:
        for part in pool.map(result.apart, blocks):
            result.merge(part)
    assert result.to_json() == summarised(kind, blocks).to_json()


def test_one_huge_value_leaves_moments_finite_and_is_said() -> None:
    rng = np.random.default_rng(0)
    for huge in (1e200, -1.7e308):
        blocks = [rng.normal(size=1000) for _ in range(5)]
        blocks[2][17] = huge
        result = summarised("numeric", [pa.array(block) for block in blocks])
        for one in (result, read_summary(json.loads(json.dumps(result.to_json())))):
            assert one.mean == pytest.approx(huge / 5000)
            assert one.sum_of_squares == LARGEST
            assert one.std is not None
            assert np.isfinite(one.std)
            assert one.spreads_too_far
            assert huge in (one.min, one.max)
    plain = summarised("numeric", [pa.array([1e150, 1.0])])
    assert not plain.spreads_too_far


@pytest.mark.parametrize("kind", ["categorical", "text"])
def test_of_very_many_texts_the_most_frequent_stay_and_the_number_is_estimated(kind: str) -> None:
    rare = [f"row {i}" for i in range(2 * EXACT_VALUES)]
    blocks = [pa.array([*rare[start : start + 20_000], *["often"] * 5000]) for start in range(0, len(rare), 20_000)]
    result = summarised(kind, blocks)
    halves = summarised(kind, blocks[:4])
    halves.merge(read_summary(json.loads(json.dumps(summarised(kind, blocks[4:]).to_json(heavy=None)))))
    for one in (result, halves):
        assert one.counts is None
        assert one.distinct == pytest.approx(len(rare) + 1, rel=0.06)
        assert one.frequent[0] == ("often", 50_000)
    assert result.distinct == halves.distinct


def test_a_profile_of_an_earlier_form_is_read() -> None:
    earlier: dict[str, Any] = {
        **{"name": "x", "kind": "numeric", "rows": 5, "nulls": 1, "infinite": 1, "mean": -0.03333333333333335},
        **{"sum_of_squares": 10.8888, "min": -2.56, "max": 2.04, "characters": 0, "longest": 0, "distinct": 3},
        **{"std": 1.9, "values": {}, "heavy": {}, "hashes": "AQAAAAAAAAACAAAAAAAAAAMAAAAAAAAA"},
        "sketch": "BQEPAEAGCAADAAAAAAAAAEAGAQA9BgAAexSuR+F6BMBSuB6F61EAQOF6FK5H4do/exSuR+F6BMBSuB6F61EAQA==",
    }
    result = read_summary(earlier)
    assert (result.rows, result.finite, result.distinct, float(result.quantiles([0.5])[0])) == (5, 3, 3, 0.42)
    named = {**earlier, "kind": "categorical", "values": {"b": 2, "a": 2}, "sketch": None, "hashes": ""}
    assert read_summary(named).frequent == [("a", 2), ("b", 2)]
