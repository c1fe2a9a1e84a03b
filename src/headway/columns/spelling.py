"""One spelling for each value that is read as text: 4, 4.0, "4" and "4.0" are one code, whichever file or request they come from.

4, 4.0, "4.0", "+4", Decimal("4.00")        4
1e16, "1e+16"                               10000000000000000
1.5, Decimal("1.50")                        1.5
"1.50", "4.00", "12e3", "007"               as they are: sections 1.1 and 1.10 are two, and 007 is not 7
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

_WHOLE = re.compile(r"([+-]?)(0|[1-9][0-9]*)(\.0)?")
_LARGE = re.compile(r"-?[1-9](\.[0-9]*[1-9])?e\+[1-9][0-9]+")
_SMALL = re.compile(r"(-?[1-9](?:\.[0-9]*[1-9])?e-)([1-9])")
"""What programs write for whole numbers, and for floats too large or too small for their digits; Arrow writes 1e-7 where Python writes
1e-07. A text of another form may be a code of its own."""

_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_TIME = re.compile(r"([0-9]{2}:[0-9]{2}:[0-9]{2})\.([0-9]+)")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]*)?(e[+-]?[0-9]+)?")
_MOST_DIGITS = 80
"""More than any type of number has."""

_TRUTHS = ("True", "TRUE", "False", "FALSE")

_MAYBE = (
    rf"^{_WHOLE.pattern}$|^{_LARGE.pattern}$|^{_SMALL.pattern}$"
    r"|^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:|^[0-9]{2}:[0-9]{2}:[0-9]{2}\.|^(True|TRUE|False|FALSE)$"
)
_CODE = r"^([0-9]+|-[0-9]*[1-9][0-9]*)$"
"""Whole numbers as they should be, which most codes are."""

_LARGE_FROM = 1e10
"""From here on Arrow writes a whole float with an exponent; Python does from 1e16 on."""

_BEGINNINGS = np.zeros(256, bool)
_BEGINNINGS[list(b"0123456789+-TF")] = True
"""First bytes of texts that may have another spelling, by which most columns of words are skipped."""


def spelled(column: pa.Array) -> pa.Array:
    """A column of strings, each in its one spelling. Every different text is respelled once."""
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
    """The one spelling of a text; a text that is no whole number, moment, time or truth value is its own."""
    if text in _TRUTHS:
        return text.lower()
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        sign, digits, _ = whole.groups()
        return f"-{digits}" if sign == "-" and digits != "0" else digits
    if _LARGE.fullmatch(text):
        return _spell_large(text)
    small = _SMALL.fullmatch(text)
    if small is not None:
        return f"{small[1]}0{small[2]}"
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
    return _spell_decimal(value) if isinstance(value, Decimal) else spell(str(value))


def number_of(text: str) -> Decimal | None:
    """The number that a text of digits is, None for another text. One that is exactly a 32-bit float is its shortest decimal, 0.1."""
    if not _NUMBER.fullmatch(text) or len(text) > _MOST_DIGITS:
        return None
    number, value = Decimal(text), float(text)
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    if np.isfinite(narrow) and Decimal(repr(value)) == number and float(narrow) == value:
        return Decimal(str(narrow))
    return number


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
    if pa.types.is_time(kind):
        return spelled(column.cast(pa.string()))
    if pa.types.is_decimal(kind):
        return _by_value(column, lambda values: [_spell_decimal(value) for value in values.to_pylist()])
    return None


def moments(column: pa.Array) -> pa.Array:
    """Dates and timestamps of any unit and zone as timestamp[us] in UTC without a zone."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit))
    if column.type == pa.timestamp(
        "ns"
    ):  # a text's digits are cut off, so that it is the earlier moment before 1970, too
        column = pc.floor_temporal(column, unit="microsecond")
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


def _spell_large(text: str) -> str:
    """1e+16 and 1.25e+20 by their digits, where a float's shortest text is this one and it is whole."""
    value = float(text)
    large = np.isfinite(value) and value.is_integer() and abs(value) >= _LARGE_FROM
    return spell_number(value) if large and Decimal(repr(value)) == Decimal(text) else text


def _spell_decimal(value: Decimal) -> str:
    """As a float of this value is spelled, if it is exactly a float; otherwise all digits."""
    if not value.is_finite():
        return str(value)
    digits = f"{value:f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    if "." not in digits:
        return spell(digits)
    short = repr(float(value))
    return short if Decimal(short) == value else digits


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
    texts = fraction[:6].rstrip("0")
    return f"{time}.{texts}" if texts else time


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
