"""One spelling for each value that is read as text: 4, 4.0, "4" and "4.0" are one code, whichever file or request they come from.

4, 4.0, "4.0", "+4", Decimal("4.00")        4          a zero in front stays: "007" is a code and not 7
1.5, "1.50", "15e-1"                        1.5
True, "TRUE"                                true
a date, a moment at midnight                2024-12-31
another moment, in UTC                      2024-12-31 22:58:59.5
a time of day                               22:58:59.5
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SPACE = r"[ \t\n\r\f]*"
NUMBER = re.compile(rf"{_SPACE}([+-]?)([0-9]*)(?:(\.)([0-9]*))?([eE][+-]?[0-9]+)?{_SPACE}")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_TIME = re.compile(r"([0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]+)")
_TRUTHS = ("True", "TRUE", "False", "FALSE")

_MAYBE = (
    rf"^{_SPACE}[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?{_SPACE}$"
    r"|^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:|^[0-9]{2}:[0-9]{2}:[0-9]{2}\.|^(True|TRUE|False|FALSE)$"
)
_CODE = r"^([0-9]+|-[0-9]*[1-9][0-9]*)$"
"""Whole numbers as they should be, which most codes are."""

_BEGINNINGS = np.zeros(256, bool)
_BEGINNINGS[list(b"0123456789+-.TF \t\n\r\f")] = True
"""First bytes of texts that may have another spelling. One look at them saves most columns of words the rest."""


def spelled(column: pa.Array) -> pa.Array:
    """A column of strings, each in its one spelling. Every different text is looked at once."""
    if not _may_differ(column):
        return column
    coded = column.dictionary_encode()
    values = coded.dictionary
    maybe = pc.and_not(pc.match_substring_regex(values, _MAYBE), pc.match_substring_regex(values, _CODE))
    numbers = np.flatnonzero(maybe.to_numpy(zero_copy_only=False)).tolist()
    if not numbers:
        return column
    texts = values.to_pylist()
    for i in numbers:
        texts[i] = spell(texts[i])
    return pa.array(texts, pa.string()).take(coded.indices)


def spell(text: str) -> str:
    """The one spelling of a text; a text that is no number, moment, time or truth value is its own."""
    if text in _TRUTHS:
        return text.lower()
    number = NUMBER.fullmatch(text)
    if number is not None and (number[2] or number[4]):
        return _spell_number(text, number)
    moment = _MOMENT.fullmatch(text)
    if moment is not None:
        return _spell_moment(text, moment)
    time = _TIME.fullmatch(text)
    return text if time is None else _with_fraction(time[1], time[2])


def spell_number(value: float) -> str:
    """A finite number's text: whole ones without a point, others with as few digits as give the number back."""
    return str(int(value)) if value.is_integer() else repr(value)


def spell_value(value: Any) -> str:
    """Any single value's text."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and np.isfinite(value):
        return spell_number(_shortest(value))
    return spell(f"{value:f}" if isinstance(value, Decimal) else str(value))


def texts_of(column: pa.Array) -> pa.Array | None:
    """A column of any type as text in its one spelling, NaN as null; None for a type that has none, such as a list."""
    kind = column.type
    if pa.types.is_string(kind):
        return spelled(column)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return _floats(column.cast(pa.float32()) if pa.types.is_float16(kind) else column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _by_value(moments(column), _moments)
    if pa.types.is_time(kind) or pa.types.is_decimal(kind):
        return spelled(column.cast(pa.string()))
    return None


def moments(column: pa.Array) -> pa.Array:
    """Dates and timestamps of any unit and zone as timestamp[us] in UTC without a zone."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit))
    return pc.cast(column, pa.timestamp("us"), safe=False)


def _may_differ(column: pa.Array) -> bool:
    _, offsets, data = column.buffers()
    if not len(column) or data is None:
        return False
    ends = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset)
    starts = ends[:-1][ends[1:] > ends[:-1]]
    return bool(_BEGINNINGS[np.frombuffer(data, np.uint8)[starts]].any())


def _by_value(column: pa.Array, respell: Callable[[pa.Array], Iterable[str]]) -> pa.Array:
    """Each different value respelled once; nulls stay."""
    coded = column.dictionary_encode()
    return pa.array(respell(coded.dictionary), pa.string()).take(coded.indices)


def _spell_number(text: str, parts: re.Match[str]) -> str:
    sign, whole, _, fraction, exponent = parts.groups()
    if exponent is None and not (fraction or "").strip("0"):
        digits = whole or "0"
        return f"-{digits}" if sign == "-" and digits.strip("0") else digits
    value = float(text)
    return spell_number(value) if np.isfinite(value) else text.strip()


def _spell_moment(text: str, parts: re.Match[str]) -> str:
    day, minute, second, fraction, zone = parts.groups()
    if zone is not None:
        try:
            utc = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            return text
        return spell(utc.isoformat(" "))
    time = _with_fraction(f"{minute}:{second or '00'}", fraction or "")
    return day if time == "00:00:00" else f"{day} {time}"


def _with_fraction(time: str, fraction: str) -> str:
    """Microseconds at most, as every table's moments have here."""
    kept = fraction[:6].rstrip("0")
    return f"{time}.{kept}" if kept else time


def _floats(column: pa.Array) -> pa.Array:
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    whole = pc.all(pc.equal(pc.floor(column), column)).as_py()
    if whole and (pc.max(pc.abs(column)).as_py() or 0) < 2**53:  # None where every value is null
        return column.cast(pa.int64()).cast(pa.string())
    return _by_value(column, lambda values: [spell_value(value) for value in values.to_numpy(zero_copy_only=False)])


def _shortest(value: float | np.floating[Any]) -> float:
    """A narrow float as the decimal that people write for it: 0.1 in 32 bits is 0.1."""
    return float(value) if isinstance(value, (float, np.float64)) else float(str(value))


def _moments(values: pa.Array) -> list[str]:
    return [spell(str(text)) for text in np.datetime_as_string(values.to_numpy(zero_copy_only=False), unit="us")]
