"""When each row happened, as numbers that can be ordered: from dates, numbers, or texts that are either.

A CSV file holds texts, and texts sort wrongly: "10" comes before "9", "01.12.2023" before "02.01.2023". A text is read in every format
that fits all rows. Where these formats order the rows differently, the project must state which one is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.values import family, plain
from headway.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headway.data.config import SplitConfig
    from headway.data.source import Chunk


class Dated(Protocol):
    """Rows of which one column can be read alone, as those of source.Table."""

    @property
    def date_format(self) -> str | None:
        """How the project says that its dates are written."""
        ...

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[Chunk]:
        """The rows in order."""
        ...


NUMBER, TEXT, ISO = "number", "text", "ISO8601"
"""Formats beside those of `strftime`. ISO8601 is pandas' name: 2024-12-31, with or without time and zone."""

_DAYS = (
    *(
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%Y%m%d",
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%d%m%Y",
        "%m%d%Y",
    ),
    *("%y/%m/%d", "%y-%m-%d", "%y.%m.%d", "%y%m%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y", "%d%m%y", "%m%d%y"),
    *("%d-%b-%Y", "%d-%b-%y", "%d/%b/%Y", "%d%b%Y", "%b-%d-%Y", "%d %b %Y", "%d %B %Y", "%d. %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y"),
)
_MONTHS = ("%Y.%m", "%m.%Y", "%m/%Y", "%m-%Y", "%Y%m", "%m%Y", "%b-%Y", "%b-%y", "%b %Y", "%B %Y", "%Y-%b")
_SHORT_MONTHS = ("%y%m", "%m%y")
"""Of four digits: 9912 or 1299 is December 1999."""
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I %p", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p", " %I:%M:%S%p")
_DIGIT_CLOCKS = ("%H%M", "%H%M%S")
_COMPACT = re.compile(r"(%[YymdHMS])+")
_ZONE = r"\s*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
_WITH_ZONE = r"[T ]\d.*" + _ZONE
_FIRST_LOOK = 200
"""Values on which a format is tried before it is tried on all."""


_EPOCHS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""How many are a second, of each unit in which programs count the time since 1970."""

_EPOCH_YEARS = (np.datetime64("1990", "us"), np.datetime64("2040", "us"))
"""Numbers that are all between these years are such a count, in whichever unit; a count of anything else is hardly ever there."""


@dataclass(frozen=True)
class Moments:
    """When each row happened, by the column ``name``: later is larger, the same moment the same value.

    ``values`` (N,) datetime64[us] of dates, else int64 or float64. ``note`` says what a reader must know.
    """

    name: str
    values: np.ndarray
    note: str = ""

    def take(self, rows: np.ndarray) -> Moments:
        """Those of some rows: (N,) bool."""
        return Moments(self.name, self.values[rows], self.note)


def moments(table: Dated, split: SplitConfig) -> Moments:
    """Each row's moment. Numbers that count the time since 1970 are read as dates, unless split.format says that they are numbers.

    Raises DataError where a row has no moment or one that cannot be read, ConfigError where the format must be stated.
    """
    name = str(split.column)
    values = _values(table, split, name)
    if values.dtype.kind == "M" or split.format in (NUMBER, TEXT):
        return Moments(name, values)
    return _since_1970(values, name)


def _since_1970(values: np.ndarray, name: str) -> Moments:
    """As dates where all are plausible as a count of time since 1970, else as they are."""
    first, last = (year.astype("datetime64[s]").astype(np.int64) for year in _EPOCH_YEARS)
    for unit, a_second in _EPOCHS.items():
        if first <= values.min() / a_second and values.max() / a_second < last:
            microseconds = values // (a_second // 10**6) if a_second > 10**6 else values * (10**6 // a_second)
            dates = microseconds.astype(np.int64).view("datetime64[us]")
            return Moments(name, dates, f"{name} is read as {unit} since 1970 (else state split.format: number)")
    return Moments(name, values)


def _values(table: Dated, split: SplitConfig, name: str) -> np.ndarray:
    """(N,) datetime64[us], int64 or float64."""
    chunks = [plain(chunk.batch.column(name)) for chunk in table.chunks(columns=[name])]
    absent = sum(_missing(chunk) for chunk in chunks)
    if absent:
        raise DataError(f"{name} must be given in every row to split by time, but {absent:,} rows lack it")
    kinds = {family(chunk.type) for chunk in chunks}
    if kinds == {"a date"}:
        if split.format is not None:
            raise ConfigError(f"split.format is for texts and numbers, but {name} holds dates already; remove it")
        return _from_dates(chunks, name)
    if kinds == {"a number"}:
        return _from_numbers(chunks, name, split.format)
    if kinds == {"text"}:
        codes, texts = pd.factorize(pa.chunked_array(chunks).to_pandas().str.strip())
        return _from_texts(pd.Series(texts, dtype=object), codes, name, split.format or _usual(table, texts))[codes]
    raise DataError(f"{name} must hold numbers or dates to split by time, but it holds {', '.join(sorted(kinds))}")


def _missing(column: pa.Array) -> int:
    if pa.types.is_floating(column.type):
        return pc.sum(pc.is_null(column, nan_is_null=True)).as_py() or 0
    blank = 0
    if pa.types.is_string(column.type):
        blank = pc.sum(pc.equal(pc.utf8_trim_whitespace(column), "")).as_py() or 0
    return column.null_count + blank


def _usual(table: Dated, texts: Sequence[str]) -> str | None:
    """The project's own date format where every value is written in it."""
    usual = table.date_format
    return usual if usual and _dates(pd.Series(texts, dtype=object), usual) is not None else None


def _from_dates(chunks: Sequence[pa.Array], name: str) -> np.ndarray:
    zoned = {pa.types.is_timestamp(chunk.type) and chunk.type.tz is not None for chunk in chunks}
    if len(zoned) > 1:
        raise DataError(f"{name} must have a time zone in all files or in none, but has one in some")
    kind = pa.timestamp("us", "UTC" if zoned == {True} else None)
    times = [pc.cast(chunk, kind, safe=False).cast(pa.int64()).to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate(times).view("datetime64[us]")


def _from_numbers(chunks: Sequence[pa.Array], name: str, stated: str | None) -> np.ndarray:
    whole = all(pa.types.is_integer(chunk.type) for chunk in chunks)
    kind = pa.int64() if whole else pa.float64()
    values = np.concatenate([pc.cast(chunk, kind, safe=False).to_numpy(zero_copy_only=False) for chunk in chunks])
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{name} must be finite to split by time, but row {row + 1} is {values[row]}")
    if stated == NUMBER:
        return values
    distinct, codes = np.unique(values, return_inverse=True)
    if (distinct == np.floor(distinct)).all() and np.abs(distinct).max() < 2**62:
        texts = pd.Series(distinct.astype(np.int64).astype(str), dtype=object)
    else:
        texts = pd.Series(distinct.astype(str), dtype=object)
    return _from_texts(texts, codes, name, stated)[codes]


def _from_texts(texts: pd.Series, codes: np.ndarray, name: str, stated: str | None) -> np.ndarray:
    """The moment of each of the distinct ``texts``; ``codes`` (N,) says which one each row has."""
    if stated is not None:
        moments = _read(texts, stated)
        if moments is None:
            row, text = _first_wrong(texts, codes, stated)
            raise DataError(f"{name} must be written as {stated} (split.format), but row {row:,} is {text!r}")
        _check_zones(texts, stated, name)
        return moments
    readings = {form: read for form in _formats(texts) if (read := _read(texts, form)) is not None}
    if not readings:
        likely = min(_formats(texts.head(1)), key=lambda form: len(_wrong(texts, form)), default=NUMBER)
        row, text = _first_wrong(texts, codes, likely)
        raise DataError(
            f"{name} must hold numbers, or dates in one format, to split by time, but row {row:,} is {text!r}; "
            "state split.format, for example '%d.%m.%Y'"
        )
    orders = {form: np.unique(read, return_inverse=True)[1] for form, read in readings.items()}
    first, *others = orders
    other = next((form for form in others if not np.array_equal(orders[first], orders[form])), None)
    if other is not None:
        raise ConfigError(
            f"split.format must be given where it is ambiguous, but {name} ({texts.iloc[0]!r}, ...) may be written as "
            f"{first} or as {other}, and the newest rows differ"
        )
    form = next((form for form in readings if _is_date_in_digits(texts, form)), first)
    _check_zones(texts, form, name)
    return readings[form]


def _is_date_in_digits(texts: pd.Series, form: str) -> bool:
    """Whether all are dates without punctuation, as 20241231, none of which had to be filled with zeros."""
    width = len(pd.Timestamp(2024, 12, 31).strftime(form))
    return _COMPACT.fullmatch(form) is not None and bool((texts.str.len() == width).all())


def _check_zones(texts: pd.Series, form: str, name: str) -> None:
    """ISO dates without a zone are read beside those with one as if they were in UTC, which nobody has stated."""
    if form != ISO:
        return
    zoned = texts.str.contains(_WITH_ZONE)
    if zoned.any() and not zoned.all():
        raise DataError(
            f"{name} must have a time zone in every row or in none, but {texts[zoned].iloc[0]!r} has one and "
            f"{texts[~zoned].iloc[0]!r} has none"
        )


def _formats(texts: pd.Series) -> Iterator[str]:
    """The formats that fit the first few values."""
    few, one = texts.head(_FIRST_LOOK), texts.head(1)
    short = _SHORT_MONTHS if _padded(texts) else ()
    for form in (NUMBER, ISO, *short, *_likely(str(texts.iloc[0]))):
        if _read(one, form) is not None and (read := _read(few, form)) is not None and _plausible(read, form):
            yield form


def _padded(texts: pd.Series) -> bool:
    """Whether all are four digits and one begins with 0, as numbers hardly do: others below 1,300 would fit month and year, too."""
    return bool(texts.str.fullmatch(r"\d{4}").all() and texts.str.startswith("0").any())


def _plausible(read: np.ndarray, form: str) -> bool:
    """Whether digits that fit a date format are dates of these centuries: most numbers are none."""
    years = read.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970 if form != NUMBER else read
    return _COMPACT.fullmatch(form) is None or bool(((years >= 1900) & (years <= 2100)).all())


def _likely(text: str) -> Iterator[str]:
    """The formats with the punctuation of ``text``: trying all others takes a second."""
    zoned = re.search(_WITH_ZONE, text) is not None
    bare = re.sub(_ZONE, "", text) if zoned else text
    compact = (day + clock for day, clock in product(_DAYS, _DIGIT_CLOCKS) if _COMPACT.fullmatch(day))
    dated = (day + clock for day, clock in product(_DAYS, _CLOCKS))
    for form in (*_MONTHS, *dated, *compact):
        if _punctuation(re.sub("%.", "", form)) == _punctuation(bare):
            yield from (form + zone for zone in (("%z", " %z") if zoned else ("",)))


def _punctuation(text: str) -> list[str]:
    return sorted(re.sub(r"[\w\s]", "", text))


def _read(texts: pd.Series, form: str) -> np.ndarray | None:
    """The values in this format; None where one does not fit."""
    if form == NUMBER:
        values = _numbers(texts).to_numpy()
        return values if np.isfinite(values).all() else None
    if form == TEXT:
        return np.unique(texts.to_numpy(str), return_inverse=True)[1]
    return _dates(texts, form)


def _numbers(texts: pd.Series) -> pd.Series:
    """As int64 where all are whole, else float64; NaN for what is none, as 03.2024 is: that is a month."""
    numbers = pd.to_numeric(texts.where(~texts.str.match(r"0\d+\.")), errors="coerce")
    return numbers if numbers.dtype == np.int64 else numbers.astype(np.float64)


def _dates(texts: pd.Series, form: str) -> np.ndarray | None:
    times = _parsed(texts, form)
    return None if times.isna().any() else times.to_numpy("datetime64[us]")


def _parsed(texts: pd.Series, form: str) -> pd.Series:
    """In UTC; NaT for what does not fit.

    Digits alone are filled with zeros to the format's width: a number has lost its first zero, and 1012024 could be 1 or 10 January.
    """
    if form == ISO:
        texts = texts.where(~texts.str.fullmatch(r"\d+"))
    elif _COMPACT.fullmatch(form):
        width = len(pd.Timestamp(2024, 12, 31).strftime(form))
        texts = texts.str.zfill(width)
        texts = texts.where(texts.str.fullmatch(rf"\d{{{width}}}"))
    return pd.Series(pd.to_datetime(texts, format=form, errors="coerce", utc=True), index=texts.index)


def _wrong(texts: pd.Series, form: str) -> np.ndarray:
    """Indices of the values that do not fit."""
    read = _numbers(texts) if form == NUMBER else _parsed(texts, form)
    return np.flatnonzero(read.isna().to_numpy() | read.isin([np.inf, -np.inf]).to_numpy())


def _first_wrong(texts: pd.Series, codes: np.ndarray, form: str) -> tuple[int, str]:
    """The first row, counted from 1, whose value does not fit, and the value."""
    row = int(np.flatnonzero(np.isin(codes, _wrong(texts, form)))[0])
    return row + 1, str(texts.iloc[codes[row]])
