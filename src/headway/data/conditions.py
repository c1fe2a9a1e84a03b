"""Conditions on single rows, vectorised: which rows break one. Names and meanings are Great Expectations'."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.spelling import moments, texts_of
from headway.columns.values import family


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
    inside = pc.is_in(hashable(array), value_set=members_of(parameters["value_set"], array.type)[0])
    assert condition in ("column_values.in_set", "column_values.not_in_set")
    return inside if condition == "column_values.in_set" else pc.invert(inside)


def measurable(column: pa.Array) -> pa.Array:
    """A column in one of few types: whole numbers and floats of 64 bits, decimals, moments, texts. Others, such as lists, stay."""
    kind = column.type
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind):
        return column.cast(pa.int64() if pa.types.is_signed_integer(kind) else pa.uint64())
    if pa.types.is_boolean(kind) or pa.types.is_time(kind):
        texts = texts_of(column)
        assert texts is not None
        return texts
    return moments(column) if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else column


def plain_number(value: Any) -> Any:
    """A decimal as a float, as bounds are; other values as they are."""
    return float(value) if isinstance(value, Decimal) else value


def hashable(array: pa.Array) -> pa.Array:
    """0.0 for -0.0, which are one number, but two values to what Arrow does by hashes: `is_in` and grouping."""
    return pc.add(array, pa.scalar(0.0, array.type)) if pa.types.is_floating(array.type) else array


def members_of(value_set: Iterable[Any], kind: pa.DataType) -> tuple[pa.Array, list[Any]]:
    """The values that a column of the type can have, as its values; and the others, such as 2.5 for whole numbers."""
    members, others = [], []
    for value in value_set:
        try:
            exact = Decimal(repr(value)) if pa.types.is_decimal(kind) else value
            members.append(pa.scalar(exact, kind))
        except (pa.ArrowException, OverflowError, ValueError):
            others.append(value)
    return hashable(pa.array(members, kind)), others


def _within(array: pa.Array, parameters: Mapping[str, Any]) -> pa.BooleanArray:
    mask = pc.is_valid(array)
    low, high = parameters.get("min_value"), parameters.get("max_value")
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.string()).cast(pa.float64())
    if low is not None:
        above = pc.greater if parameters.get("strict_min") else pc.greater_equal
        mask = pc.and_(mask, _compared(above, array, low))
    if high is not None:
        below = pc.less if parameters.get("strict_max") else pc.less_equal
        mask = pc.and_(mask, _compared(below, array, high))
    return mask


def _compared(compare: Callable[[Any, Any], pa.Array], array: pa.Array, bound: Any) -> pa.Array:
    """Whole numbers are compared with a whole number of their type, because Arrow rounds or refuses those beyond 2**53 and 2**63."""
    if not pa.types.is_integer(array.type) or not isinstance(bound, (int, float)):
        return compare(array, bound)
    least, most = (int(end) for end in (np.iinfo(str(array.type)).min, np.iinfo(str(array.type)).max))
    if least <= bound <= most:
        whole = math.floor(bound)
        if whole == bound:
            return compare(array, pa.scalar(whole, array.type))
        # no value lies between a number and the next whole one below
        return (pc.greater if compare in (pc.greater, pc.greater_equal) else pc.less_equal)(
            array, pa.scalar(whole, array.type)
        )
    return pa.repeat(pa.scalar((bound < least) == (compare in (pc.greater, pc.greater_equal))), len(array))


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


def _alike(a: pa.Array, b: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Numbers of two types as ones that Arrow compares: it refuses whole numbers that the other type does not hold."""
    kinds = {family(a.type), family(b.type)}
    if a.type == b.type or kinds != {"a number"} or any(pa.types.is_decimal(one.type) for one in (a, b)):
        return a, b
    if any(pa.types.is_floating(one.type) for one in (a, b)):
        return a.cast(pa.float64(), safe=False), b.cast(pa.float64(), safe=False)
    return a.cast(pa.decimal128(20)), b.cast(pa.decimal128(20))


def _pair(condition: str, a: pa.Array, b: pa.Array, parameters: Mapping[str, Any]) -> pa.BooleanArray:
    exempt = _exempt(a, b, parameters)
    a, b = _alike(a, b)
    if condition == "column_pair_values.equal":
        mask = pc.equal(a, b)
    else:
        assert condition == "column_pair_values.a_greater_than_b"
        mask = (pc.greater_equal if parameters.get("or_equal") else pc.greater)(a, b)
    return pc.and_(pc.invert(pc.fill_null(mask, False)), pc.invert(exempt))
