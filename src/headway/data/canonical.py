"""One conversion for training, batch scoring and serving: whatever a file or frame holds, to the type of its kind."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import Kind
from headway.data.spelling import moments, texts_of
from headway.errors import DataError

EXAMPLES = 3


class BadValues(DataError):
    """Some values of one column break its rule: ``bad`` (B,) says which; the others are fine."""

    def __init__(self, text: str, column: str, rule: str, bad: np.ndarray) -> None:
        super().__init__(text)
        self.column, self.rule, self.bad = column, rule, bad


def family(kind: pa.DataType) -> str:
    """The coarse type by which two files' columns are compared: numbers of any width are one family."""
    if pa.types.is_dictionary(kind):
        return family(kind.value_type)
    if pa.types.is_null(kind):
        return "empty"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "a number"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "a date"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return str(kind)


def canonical(
    batch: pa.RecordBatch,
    kinds: Mapping[str, Kind],
    where: str,
    start: int = 0,
    date_format: str | None = None,
    lenient: Collection[str] = (),
) -> pa.RecordBatch:
    """The columns of ``kinds`` in canonical types; ``start`` is the number of the first row, for messages.

    numeric: float64, NaN as null; categorical and text: string, each value in its one spelling (`headway.data.spelling`); date:
    timestamp[us] in UTC without a zone. ``lenient``: columns whose taker reads NaN as null, or respells what it does not know, by itself;
    looking takes a tenth of the time of predicting. Raises DataError naming ``where``, the column, the rule, how many rows break it
    and the first of them. Whether a value is taken, and for what, depends on nothing but the value.
    """
    arrays = []
    for name, kind in kinds.items():
        column = plain(batch.column(name))
        if kind == "numeric":
            arrays.append(_number(column, name, where, start, look=name not in lenient))
        elif kind == "date":
            arrays.append(_date(column, name, where, start, date_format))
        else:
            arrays.append(_text(column, name, where, look=name not in lenient))
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))


def plain(column: pa.Array) -> pa.Array:
    """Dictionaries decoded; every string type made the plain one, and narrow decimals, which Arrow computes little with, wider."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_decimal32(column.type) or pa.types.is_decimal64(column.type):
        column = column.cast(pa.decimal128(column.type.precision, column.type.scale))
    return column


def to_string_or_keep(column: pa.Array) -> pa.Array:
    """A column that is only carried along."""
    column = plain(column)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def infinite(column: np.ndarray, name: str, where: str) -> BadValues | None:
    """The refusal of a column (B,) of numbers that holds infinities; None without."""
    bad = np.isinf(column)
    return _refuse(pa.array(column), bad, name, where, 0, "finite") if bad.any() else None


def _refuse(column: pa.Array, bad: np.ndarray, name: str, where: str, start: int, rule: str) -> BadValues:
    rows = np.flatnonzero(bad)
    shown = ", ".join(f"row {start + row + 1}: {str(column[int(row)].as_py())[:40]!r}" for row in rows[:EXAMPLES])
    values = "value is" if len(rows) == 1 else "values are"
    text = f"{where}: column {name} must be {rule}, but {len(rows):,} {values} not ({shown})"
    return BadValues(text, name, rule, bad)


def _number(column: pa.Array, name: str, where: str, start: int, look: bool) -> pa.Array:
    found = family(column.type)
    if found == "text":
        try:
            numbers = pc.cast(pc.utf8_trim_whitespace(column), pa.float64())
        except pa.ArrowInvalid:
            numbers = _parse_numbers(column, name, where, start)
    elif pa.types.is_decimal(column.type):  # Arrow's own cast misses the nearest double by a digit in one of eight
        numbers = pc.cast(column.cast(pa.string()), pa.float64())
    elif found in ("a number", "true or false", "empty"):
        numbers = pc.cast(column, pa.float64(), safe=False)
    else:
        raise _unfit(column.type, name, where, "numeric")
    if look and pc.any(pc.is_nan(numbers)).as_py():
        numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    return numbers


_NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)")
_WORDS = {"": math.nan, "nan": math.nan, "true": 1.0, "false": 0.0}


def _parse_numbers(column: pa.Array, name: str, where: str, start: int) -> pa.Array:
    """What Arrow's cast refuses (`+5`, `1e400`, `inf`, `true`), or the values that are no numbers. Each different text is read once."""
    coded = pc.utf8_trim_whitespace(column).dictionary_encode()
    numbers = [_number_of(text.lower()) for text in coded.dictionary.to_pylist()]
    wrong = pa.array([number is None for number in numbers], pa.bool_()).take(coded.indices).fill_null(False)
    if pc.any(wrong).as_py():
        raise _refuse(column, wrong.to_numpy(zero_copy_only=False), name, where, start, "numeric")
    return pa.array(numbers, pa.float64()).take(coded.indices)


def _number_of(text: str) -> float | None:
    if text in _WORDS:
        return _WORDS[text]
    return float(text) if _NUMBER.fullmatch(text) else None


def _date(column: pa.Array, name: str, where: str, start: int, date_format: str | None) -> pa.Array:
    found = family(column.type)
    if found == "empty":
        return column.cast(pa.timestamp("us"))
    if found == "a date":
        return moments(column)
    if found == "a number":
        column = texts_of(column)
    elif found != "text":
        raise _unfit(column.type, name, where, "a date")
    column = pc.utf8_trim_whitespace(column)
    if date_format is None:
        try:
            return pc.cast(column, pa.timestamp("us"))
        except pa.ArrowInvalid:
            pass
    return _parse_dates(column, name, where, start, date_format)


UNAMBIGUOUS = ("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y", "%d %b %Y")
"""Formats that a date can be told from by itself. 03/04/2024 is none: guessing it, batch by batch, would corrupt months."""


def _parse_dates(column: pa.Array, name: str, where: str, start: int, date_format: str | None) -> pa.Array:
    """Each text by the first format that fits it, whatever stands in the rows beside it; a number's text may end in .0."""
    known = pc.is_valid(column).to_numpy(zero_copy_only=False)
    times = pd.Series(pd.NaT, index=range(len(column)), dtype="datetime64[us, UTC]")
    for spelling in (column, pc.replace_substring_regex(column, r"^([0-9]+)\.0*$", r"\1")):
        texts = pd.Series(spelling.to_pandas(), dtype="object")
        for form in [date_format] if date_format else UNAMBIGUOUS:
            missing = known & times.isna().to_numpy()
            if missing.any():
                parsed = pd.to_datetime(texts[missing], format=form, errors="coerce", utc=True)
                times[missing] = parsed.astype("datetime64[us, UTC]")
    bad = known & times.isna().to_numpy()
    if bad.any():
        rule = f"a date like {date_format}" if date_format else "a date such as 2024-12-31"
        refusal = _refuse(column, bad, name, where, start, rule)
        raise BadValues(f"{refusal}; data.date_format can state another", name, rule, bad)
    return pa.Array.from_pandas(times.dt.tz_localize(None))


def as_read(column: pa.Array, strip: bool, null_values: Sequence[str]) -> pa.Array:
    """Text as the training's reader would have given it: spaces around it gone, and what stands for null null."""
    column = plain(column)
    if not pa.types.is_string(column.type):
        return column
    if strip:
        column = pc.utf8_trim_whitespace(column)
    nulls = pc.is_in(column, value_set=pa.array(list(null_values), pa.string()))
    return pc.if_else(nulls, pa.scalar(None, pa.string()), column) if pc.any(nulls).as_py() else column


def _text(column: pa.Array, name: str, where: str, look: bool) -> pa.Array:
    if not look and pa.types.is_string(column.type):
        return column
    texts = texts_of(column)
    if texts is None:
        raise _unfit(column.type, name, where, "text")
    return texts


def _unfit(kind: pa.DataType, name: str, where: str, rule: str) -> DataError:
    """The refusal of a whole column, whose type has no value of its kind."""
    found = family(kind)
    if rule == "text" or pa.types.is_nested(kind):
        return DataError(f"{where}: column {name} must hold single values, but it holds {found}")
    return DataError(f"{where}: column {name} must be {rule}, but is {found}; change data.features.{name}")
