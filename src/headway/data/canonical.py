"""One conversion for training, batch scoring and serving: whatever a file or frame holds, to the type of its kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.base import DataError
from headway.data.config import Kind

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

    numeric: float64, NaN as null; categorical and text: string; date: timestamp[us] in UTC without a zone.
    ``lenient``: columns whose taker reads NaN as null by itself, and for whom no word is a truth value; looking for either takes a tenth of
    the time of predicting. Raises DataError naming ``where``, the column, the rule, how many rows break it and the first of them.
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
    """Dictionaries decoded and every string type made the plain one."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def to_string_or_keep(column: pa.Array) -> pa.Array:
    """A column that is only carried along."""
    column = plain(column)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _refuse(column: pa.Array, bad: np.ndarray, name: str, where: str, start: int, rule: str) -> BadValues:
    rows = np.flatnonzero(bad)
    shown = ", ".join(f"row {start + row + 1}: {str(column[int(row)].as_py())[:40]!r}" for row in rows[:EXAMPLES])
    values = "value is" if len(rows) == 1 else "values are"
    text = f"{where}: column {name} must be {rule}, however {len(rows):,} {values} not ({shown})"
    return BadValues(text, name, rule, bad)


def _number(column: pa.Array, name: str, where: str, start: int, look: bool) -> pa.Array:
    found = family(column.type)
    if found == "text":
        try:
            numbers = pc.cast(pc.utf8_trim_whitespace(column), pa.float64())
        except pa.ArrowInvalid:
            numbers = _parse_numbers(column, name, where, start)
    elif found in ("a number", "true or false", "empty"):
        numbers = pc.cast(column, pa.float64(), safe=False)
    else:
        raise DataError(f"{where}: column {name} must be numeric, however it is {found}; change data.features.{name}")
    if look and pc.any(pc.is_nan(numbers)).as_py():
        numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    return numbers


def _parse_numbers(column: pa.Array, name: str, where: str, start: int) -> pa.Array:
    """What Arrow's cast refuses (`+5`, ` 1e5 `, `inf`), or the values that are no numbers."""
    texts = pd.Series(column.to_pandas(), dtype="object")
    numbers = pd.to_numeric(texts.where(texts.notna(), None), errors="coerce")
    bad = (numbers.isna() & texts.notna() & ~texts.astype(str).str.strip().str.lower().isin({"nan", ""})).to_numpy()
    if bad.any():
        raise _refuse(column, bad, name, where, start, "numeric")
    return pa.array(numbers.to_numpy(np.float64), from_pandas=True)


def _date(column: pa.Array, name: str, where: str, start: int, date_format: str | None) -> pa.Array:
    found = family(column.type)
    if found == "empty":
        return column.cast(pa.timestamp("us"))
    if found == "a date":
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit))
        return pc.cast(column, pa.timestamp("us"), safe=False)
    if found == "a number":
        column = pc.cast(column, pa.int64(), safe=False).cast(pa.string())
    elif found != "text":
        raise DataError(f"{where}: column {name} must be a date, however it is {found}; change data.features.{name}")
    if date_format is None:
        try:
            return pc.cast(column, pa.timestamp("us"))
        except pa.ArrowInvalid:
            pass
    return _parse_dates(column, name, where, start, date_format)


UNAMBIGUOUS = ("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y", "%d %b %Y")
"""Formats that a date can be told from by itself. 03/04/2024 is none: guessing it, batch by batch, would corrupt months."""


def _parse_dates(column: pa.Array, name: str, where: str, start: int, date_format: str | None) -> pa.Array:
    texts = pd.Series(column.to_pandas(), dtype="object")
    best: tuple[np.ndarray, pd.Series] | None = None
    for form in [date_format] if date_format else UNAMBIGUOUS:
        times = pd.to_datetime(texts, format=form, errors="coerce", utc=True)
        bad = (times.isna() & texts.notna()).to_numpy()
        if best is None or bad.sum() < best[0].sum():
            best = bad, times
    assert best is not None
    if best[0].any():
        rule = f"a date like {date_format}" if date_format else "a date such as 2024-12-31"
        found = _refuse(column, best[0], name, where, start, rule)
        raise BadValues(f"{found}; data.date_format can state another", name, rule, best[0])
    return pa.Array.from_pandas(best[1].dt.tz_localize(None).astype("datetime64[us]"))


_TRUTHS = pa.array(["True", "TRUE", "False", "FALSE"])


def _truth(column: pa.Array) -> pa.Array:
    """True is true: a reader that makes truth values of the words must not make other categories of them."""
    truths = pc.is_in(column, value_set=_TRUTHS)
    return pc.if_else(truths, pc.utf8_lower(column), column) if pc.any(truths).as_py() else column


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
    found = family(column.type)
    if found == "text":
        return _truth(column) if look else column
    if found == "a number" and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        whole = pc.all(pc.equal(pc.floor(column), column)).as_py()
        largest = pc.max(pc.abs(column)).as_py()
        if whole and (largest or 0) < 2**53:  # None where every value is null
            column = column.cast(pa.int64())
    if found in ("a number", "true or false", "empty", "a date"):
        return column.cast(pa.string())
    raise DataError(f"{where}: column {name} must hold single values, however it holds {found}")
