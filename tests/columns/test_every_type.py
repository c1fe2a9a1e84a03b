"""What every type of column promises, whoever adds it: asked of all files in columns/."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from headway.columns import column_type, column_types, groups, read_encoding
from headway.columns.base import Encoding, Fitter
from headway.columns.config import PrepareConfig
from headway.columns.continuous import Continuous
from headway.columns.values import Place
from headway.data.profile import read_summary
from headway.errors import DataError

CANONICAL = (pa.float64(), pa.timestamp("us"), pa.string())
DAYS = [20240101 + day for day in range(28)]
"""Whole numbers that can also be read as dates, as texts and as codes."""

every_type = pytest.mark.parametrize("kind", list(column_types()))


def values(kind: str, rows: Sequence[int | None]) -> pa.Array:
    return column_type(kind).canonical(pa.array(rows, pa.int64()), Place("x", "rows"), None, look=True)


def some(kind: str, size: int = 400) -> pa.Array:
    """Canonical values, a tenth of them missing."""
    chance = np.random.default_rng(0)
    return values(kind, [None if chance.random() < 0.1 else int(chance.choice(DAYS)) for _ in range(size)])


def fitted(kind: str, column: pa.Array) -> Encoding:
    fitter = column_type(kind).fitter("x", PrepareConfig(), numbers=True)
    for start in range(0, len(column), 150):
        block = column.slice(start, 150)
        fitter.update(block, pa.array(["yes", "no"] * len(block), pa.string()).slice(0, len(block)))
    encoding = fitter.finish()
    assert encoding is not None
    return encoding


@every_type
def test_values_become_one_of_the_canonical_types_and_stay_what_they_are(kind: str) -> None:
    column = some(kind)
    assert column.type in CANONICAL
    assert column.null_count == 400 - len(column.drop_null())
    assert column_type(kind).canonical(column, Place("x", "rows"), None, look=True).equals(column)


@every_type
def test_a_column_of_nulls_is_read_and_one_of_lists_is_refused_in_one_line(kind: str) -> None:
    empty = column_type(kind).canonical(pa.nulls(3), Place("x", "rows"), None, look=True)
    assert empty.type == some(kind).type
    assert empty.null_count == 3
    with pytest.raises(DataError, match="^rows: column x must hold single values, but it holds list") as refusal:
        column_type(kind).canonical(pa.array([[1]]), Place("x", "rows"), None, look=True)
    assert "\n" not in str(refusal.value)


@every_type
def test_summaries_of_parts_merge_to_that_of_the_whole_and_survive_json(kind: str) -> None:
    column = some(kind)
    whole, first, second = (column_type(kind).summary("x") for _ in range(3))
    whole.update(column)
    first.update(column.slice(0, 130))
    second.update(column.slice(130))
    first.merge(read_summary(json.loads(json.dumps(second.to_json()))))
    for name in ("kind", "rows", "nulls", "finite", "infinite", "distinct", "counts", "min", "max"):
        assert getattr(first, name) == getattr(whole, name), name
    assert read_summary(json.loads(json.dumps(whole.to_json()))).to_json() == whole.to_json()


@every_type
def test_all_rows_with_a_value_lie_in_the_bins_by_which_drift_is_judged(kind: str) -> None:
    summary = column_type(kind).summary("x")
    summary.update(some(kind))
    edges, categories = summary.bins(10, 5)
    counts = summary.bin_counts(edges, categories)
    assert not (edges and categories), "a column is compared by one or the other"
    assert len(counts) in (0, len(edges) + 1, len(categories) + 1)
    if len(counts):
        assert counts.sum() == pytest.approx(summary.finite)


@every_type
def test_an_encoding_fills_its_columns_and_is_the_same_from_json(kind: str) -> None:
    column = some(kind)
    encoding = fitted(kind, column)
    assert (encoding.column, encoding.kind_name()) == ("x", kind)
    assert encoding.group in groups()
    again = read_encoding(encoding.group, json.loads(json.dumps(encoding.to_json())))
    assert again == encoding
    prepared, arrays = encoding.outputs(), encoding.apply(column)
    assert len(arrays) == len(prepared)
    for one, array, same in zip(prepared, arrays, again.apply(column), strict=True):
        assert array.shape == (len(column),)
        assert np.isfinite(array).all(), "nulls are filled"
        assert (one.codes is not None) == (encoding.array == "categorical")
        assert one.codes is None or 0 <= array.min() <= array.max() < one.codes
        np.testing.assert_array_equal(array, same)


@every_type
def test_a_row_is_encoded_alike_alone_and_among_others(kind: str) -> None:
    column = some(kind)
    encoding = fitted(kind, column)
    whole = np.stack(encoding.apply(column), 1)
    alone = np.concatenate([np.stack(encoding.apply(column.slice(row, 1)), 1) for row in range(20)])
    np.testing.assert_array_equal(alone, whole[:20])


@every_type
def test_a_line_has_a_place_for_each_value_and_none_for_nulls(kind: str) -> None:
    column = some(kind)
    line = column_type(kind).line(column.to_pandas())
    assert (line is None) == (not issubclass(column_type(kind).summary_class, Continuous))
    if line is not None:
        np.testing.assert_array_equal(np.isnan(line), column.is_null().to_numpy(zero_copy_only=False))
        order = np.argsort(column.drop_null().to_numpy(zero_copy_only=False), kind="stable")
        assert (np.diff(line[~np.isnan(line)][order]) >= 0).all()


@pytest.mark.parametrize("takes", [set(), {"tokens"}, {"ngrams"}], ids=str)
@every_type
def test_a_fit_that_goes_on_from_what_was_kept_is_that_of_all_rows(kind: str, takes: set[str]) -> None:
    def new() -> Fitter:
        return column_type(kind).fitter_for(takes, "x", PrepareConfig(), numbers=True)

    column, labels = some(kind), pa.array(["yes", "no"] * 200, pa.string())
    whole, first, second = new(), new(), new()
    for start in (0, 150, 300):
        rows = column.slice(start, 150), labels.slice(start, 150)
        whole.update(*rows)
        if start < 300:
            first.update(*rows)
    second.take(json.loads(json.dumps(first.to_json())))
    second.update(column.slice(300), labels.slice(300))
    assert second.finish() == whole.finish()
    assert whole.finish() is not None
