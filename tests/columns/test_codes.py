"""Codes of texts against what Arrow makes of the texts themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headway.columns.category import Category, canonical_text
from headway.columns.codes import by_value, decoded, in_order, is_coded
from headway.columns.counts import counts_of
from headway.columns.values import Place, refusal

WORDS = ["b", "a", "4.0", "4", "+4", "", "ü", "TRUE", "true", "a longer one"]


def random_codes(seed: int) -> pa.DictionaryArray:
    """Of texts in any order, some of which do not occur or occur twice in the dictionary, with nulls, perhaps a part of more rows."""
    rng = np.random.default_rng(seed)
    dictionary = rng.choice(WORDS, int(rng.integers(1, 30)))
    rows = int(rng.integers(0, 500))
    missing = rng.random(rows) < rng.choice([0.0, 0.3, 1.0])
    index = pa.array(rng.integers(0, len(dictionary), rows).astype(rng.choice(["i1", "i4"])), mask=missing)
    values = pa.array([None if word == "ü" and seed % 3 == 0 else word for word in dictionary.tolist()], pa.string())
    start = int(rng.integers(0, rows + 1))
    return pa.DictionaryArray.from_arrays(index, values).slice(start)


@pytest.mark.parametrize("seed", range(30))
def test_values_are_converted_once_and_their_codes_are_those_of_the_texts(seed: int) -> None:
    column, calls = random_codes(seed), list[int]()

    def convert(values: pa.Array) -> pa.Array:
        calls.append(len(values))
        return canonical_text(values, Place("c", "rows"), look=True)

    coded = by_value(column, convert)
    plain = canonical_text(column.dictionary_decode(), Place("c", "rows"), look=True)
    assert sum(calls) <= max(len(plain), len(WORDS) + 1)
    if not is_coded(coded):
        assert coded.equals(plain)
        return
    truth = plain.dictionary_encode()
    assert coded.indices.equals(truth.indices)
    assert coded.dictionary.equals(truth.dictionary)
    assert decoded(pa.record_batch({"c": coded})).column("c").equals(plain)


@pytest.mark.parametrize("different", [1, 5, 300, 6000])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_many_codes_are_numbered_by_their_first_rows(different: int, missing: float) -> None:
    rng = np.random.default_rng(different)
    codes = pa.array(rng.integers(0, different, 20_000), pa.int32(), mask=rng.random(20_000) < missing)
    column = pa.DictionaryArray.from_arrays(codes, [f"text {n}" for n in range(different)])
    for some in (column, column.slice(7000), column.slice(19_999), column.slice(0, 0)):
        assert in_order(some).equals(some.dictionary_decode().dictionary_encode())


@pytest.mark.parametrize("seed", range(30))
def test_codes_are_numbered_by_their_first_rows(seed: int) -> None:
    column = random_codes(seed)
    if len(set(column.dictionary.to_pylist())) < len(column.dictionary):
        return
    truth = column.dictionary_decode().dictionary_encode()
    assert in_order(column).equals(truth)


def test_texts_become_numbers_once_each_and_a_text_that_does_not_occur_is_no_error() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 2] * 10), ["1.5", "no number", "-2"])
    numbers = by_value(column, lambda values: pc.cast(values, pa.float64()))
    assert numbers.to_pylist() == [-2.0, 1.5, None, -2.0] * 10


def test_an_error_names_rows() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0, 1, 0, 1, 0, 0]), ["good", "bad"])

    def convert(values: pa.Array) -> pa.Array:
        bad = pc.equal(values, "bad").to_numpy(zero_copy_only=False)
        if bad.any():
            raise refusal(values, bad, Place("c", "rows.parquet", 100), "good")
        return values

    with pytest.raises(ValueError, match=r"but 2 values are not \(row 103: 'bad', row 105: 'bad'\)"):
        by_value(column, convert)


@pytest.mark.parametrize("seed", range(30))
def test_a_category_gives_codes_of_texts_the_numbers_of_the_texts(seed: int) -> None:
    column = random_codes(seed)
    plain = column.dictionary_decode()
    category = Category("c", ("a", "4", "true"))
    for missing in ((), ("b", "ü")):
        (truth,), (numbers,) = category.apply(plain, missing), category.apply(column, missing)
        assert numbers.dtype == truth.dtype == np.int32
        assert numbers.tolist() == truth.tolist()


@pytest.mark.parametrize("seed", range(30))
def test_codes_of_texts_are_counted_as_the_texts(seed: int) -> None:
    column = in_order(random_codes(seed))
    some = column.filter(pa.array(np.random.default_rng(seed).random(len(column)) < 0.3))
    if len(set(some.dictionary.to_pylist())) == len(some.dictionary):
        assert counts_of(some).equals(counts_of(some.dictionary_decode()))
