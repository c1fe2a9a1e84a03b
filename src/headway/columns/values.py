"""Arrow columns of files, frames and requests, and the one-line error for those that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.errors import DataError

EXAMPLES = 3


@dataclass(frozen=True)
class Place:
    """The place of values, for messages: ``where`` names the file, ``start`` is the number of the first row."""

    column: str
    where: str
    start: int = 0


class BadValues(DataError):
    """Some values of one column break its rule: ``bad`` (B,) marks them."""

    def __init__(self, text: str, column: str, rule: str, bad: np.ndarray) -> None:
        super().__init__(text)
        self.column, self.rule, self.bad = column, rule, bad


def refusal(column: pa.Array, bad: np.ndarray, place: Place, rule: str) -> BadValues:
    """One line: the rule, how many values break it, and the first of them."""
    rows = np.flatnonzero(bad)
    quoted = ", ".join(
        f"row {place.start + row + 1}: {str(column[int(row)].as_py())[:40]!r}" for row in rows[:EXAMPLES]
    )
    values = "value is" if len(rows) == 1 else "values are"
    text = f"{place.where}: column {place.column} must be {rule}, but {len(rows):,} {values} not ({quoted})"
    return BadValues(text, place.column, rule, bad)


def infinite(column: np.ndarray, name: str, where: str) -> BadValues | None:
    """The error for a column (B,) of numbers with infinities; None without them."""
    bad = np.isinf(column)
    return refusal(pa.array(column), bad, Place(name, where), "finite") if bad.any() else None


def unfit(kind: pa.DataType, place: Place, rule: str) -> DataError:
    """The error for a whole column, whose type cannot have a value that follows the rule."""
    if pa.types.is_nested(kind):
        return not_single(kind, place)
    name = place.column
    return DataError(f"{place.where}: column {name} must be {rule}, but is {family(kind)}; change data.features.{name}")


def not_single(kind: pa.DataType, place: Place) -> DataError:
    """The error for a column of lists, or of values without a text form."""
    return DataError(f"{place.where}: column {place.column} must hold single values, but it holds {family(kind)}")


def family(kind: pa.DataType) -> str:
    """The coarse type by which two files' columns are compared: numbers of any width are one family."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
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


def plain(column: pa.Array) -> pa.Array:
    """Dictionaries and runs decoded, strings of every type as plain ones, narrow decimals widened: Arrow computes little with them."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_decimal32(column.type) or pa.types.is_decimal64(column.type):
        column = column.cast(pa.decimal128(column.type.precision, column.type.scale))
    return column


def to_string_or_keep(column: pa.Array) -> pa.Array:
    """A column of any type as text, or unchanged: for columns that are only carried along."""
    column = plain(column)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def as_read(column: pa.Array, strip: bool, null_values: Sequence[str]) -> pa.Array:
    """Text as the training's reader would give it: spaces stripped, and words for null as null."""
    column = plain(column)
    if not pa.types.is_string(column.type):
        return column
    if strip:
        column = pc.utf8_trim_whitespace(column)
    nulls = pc.is_in(column, value_set=pa.array(list(null_values), pa.string()))
    return pc.if_else(nulls, pa.scalar(None, pa.string()), column) if pc.any(nulls).as_py() else column
