"""Conditions on single rows, vectorised: which rows break one. Names and meanings are Great Expectations'."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def violations(condition: str, arrays: Sequence[pa.Array], parameters: Mapping[str, Any]) -> pa.BooleanArray:
    """True for each row that breaks the condition; a missing value breaks only conditions on missing values and on pairs.

    A column may be coded as a dictionary, each value of which is looked at once.
    """
    array = arrays[0]
    if condition == "column_values.nonnull":
        return pc.is_null(array)
    if condition == "column_values.null":
        return pc.is_valid(array)
    if condition.startswith("column_pair_values."):
        return _pair(condition, array, arrays[1], parameters)
    if pa.types.is_dictionary(array.type):
        fulfilled = _fulfilment(condition, array.dictionary, parameters).take(array.indices)
    else:
        fulfilled = _fulfilment(condition, array, parameters)
    return pc.and_(pc.is_valid(array), pc.invert(pc.fill_null(fulfilled, False)))


def _fulfilment(condition: str, array: pa.Array, parameters: Mapping[str, Any]) -> pa.BooleanArray:
    if condition == "column_values.between":
        return _within(array, parameters)
    if condition == "column_values.value_length.between":
        return _within(pc.utf8_length(array), parameters)
    if condition == "column_values.match_regex":
        return _matching(array, parameters["regex"])
    inside = pc.is_in(array, value_set=pa.array(list(parameters["value_set"]), array.type))
    assert condition in ("column_values.in_set", "column_values.not_in_set")
    return inside if condition == "column_values.in_set" else pc.invert(inside)


def _within(array: pa.Array, parameters: Mapping[str, Any]) -> pa.BooleanArray:
    mask = pc.is_valid(array)
    low, high = parameters.get("min_value"), parameters.get("max_value")
    if low is not None:
        above = pc.greater if parameters.get("strict_min") else pc.greater_equal
        mask = pc.and_(mask, above(array, low))
    if high is not None:
        below = pc.less if parameters.get("strict_max") else pc.less_equal
        mask = pc.and_(mask, below(array, high))
    return mask


def _matching(array: pa.Array, regex: str) -> pa.BooleanArray:
    """Python's regular expressions, which know more than Arrow's."""
    pattern = re.compile(regex)
    return pa.array(
        [value is not None and pattern.search(value) is not None for value in array.to_pylist()], pa.bool_()
    )


def _exempt(a: pa.Array, b: pa.Array, parameters: Mapping[str, Any]) -> pa.BooleanArray:
    how = parameters.get("ignore_row_if", "both_values_are_missing")
    if how == "neither":
        return pa.array([False] * len(a), pa.bool_())
    join = pc.or_ if how == "either_value_is_missing" else pc.and_
    return join(pc.is_null(a), pc.is_null(b))


def rows_at_stake(arrays: Sequence[pa.Array], parameters: Mapping[str, Any]) -> int:
    """Rows of a pair that are not ignored for missing values."""
    return len(arrays[0]) - (pc.sum(_exempt(arrays[0], arrays[1], parameters)).as_py() or 0)


def _pair(condition: str, a: pa.Array, b: pa.Array, parameters: Mapping[str, Any]) -> pa.BooleanArray:
    if condition == "column_pair_values.equal":
        mask = pc.equal(a, b)
    else:
        assert condition == "column_pair_values.a_greater_than_b"
        mask = (pc.greater_equal if parameters.get("or_equal") else pc.greater)(a, b)
    return pc.and_(pc.invert(pc.fill_null(mask, False)), pc.invert(_exempt(a, b, parameters)))
