"""The formats in which texts may be dates or numbers, and the moments that they are in each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

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
COMPACT = re.compile(r"(%[YymdHMS])+")
_ZONE = r"\s*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"
WITH_ZONE = r"[T ]\d.*" + _ZONE
_FIRST_LOOK = 200
"""Values on which a format is tried first."""


def formats_of(texts: pd.Series) -> Iterator[str]:
    """The formats that fit the first few values."""
    few, one = texts.head(_FIRST_LOOK), texts.head(1)
    short = _SHORT_MONTHS if _padded(texts) else ()
    for form in (NUMBER, ISO, *short, *_likely(str(texts.iloc[0]))):
        if (
            values_in(one, form) is not None
            and (values := values_in(few, form)) is not None
            and _plausible(values, form)
        ):
            yield form


def _padded(texts: pd.Series) -> bool:
    """Whether all are four digits and one begins with 0, which numbers hardly do. Others below 1,300 would fit month and year, too."""
    return bool(texts.str.fullmatch(r"\d{4}").all() and texts.str.startswith("0").any())


def _plausible(values: np.ndarray, form: str) -> bool:
    """Whether digits that fit a date format are dates between 1900 and 2100: most numbers are not."""
    years = values.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970 if form != NUMBER else values
    return COMPACT.fullmatch(form) is None or bool(((years >= 1900) & (years <= 2100)).all())


def _likely(text: str) -> Iterator[str]:
    """The formats with the punctuation of ``text``: trying all others takes a second."""
    zoned = re.search(WITH_ZONE, text) is not None
    bare = re.sub(_ZONE, "", text) if zoned else text
    compact = (day + clock for day, clock in product(_DAYS, _DIGIT_CLOCKS) if COMPACT.fullmatch(day))
    dated = (day + clock for day, clock in product(_DAYS, _CLOCKS))
    for form in (*_MONTHS, *dated, *compact):
        if _punctuation(re.sub("%.", "", form)) == _punctuation(bare):
            yield from (form + zone for zone in (("%z", " %z") if zoned else ("",)))


def _punctuation(text: str) -> list[str]:
    return sorted(re.sub(r"[\w\s]", "", text))


def values_in(texts: pd.Series, form: str) -> np.ndarray | None:
    """The values in this format; None where one does not fit."""
    if form == NUMBER:
        values = _numbers(texts).to_numpy()
        return values if np.isfinite(values).all() else None
    if form == TEXT:
        return np.unique(texts.to_numpy(str), return_inverse=True)[1]
    return dates_in(texts, form)


def _numbers(texts: pd.Series) -> pd.Series:
    """As int64 where all are whole, otherwise float64; NaN for what is no number. 03.2024 is none: it is a month."""
    numbers = pd.to_numeric(texts.where(~texts.str.match(r"0\d+\.")), errors="coerce")
    return numbers if numbers.dtype == np.int64 else numbers.astype(np.float64)


def dates_in(texts: pd.Series, form: str) -> np.ndarray | None:
    times = _times(texts, form)
    return None if times.isna().any() else times.to_numpy("datetime64[us]")


def _times(texts: pd.Series, form: str) -> pd.Series:
    """In UTC; NaT for what does not fit.

    Digits alone are filled with zeros to the format's width: a number has lost its first zero, and 1012024 could be 1 or 10 January.
    """
    if form == ISO:
        texts = texts.where(~texts.str.fullmatch(r"\d+"))
    elif COMPACT.fullmatch(form):
        width = len(pd.Timestamp(2024, 12, 31).strftime(form))
        texts = texts.str.zfill(width)
        texts = texts.where(texts.str.fullmatch(rf"\d{{{width}}}"))
    return pd.Series(pd.to_datetime(texts, format=form, errors="coerce", utc=True), index=texts.index)


def misfits(texts: pd.Series, form: str) -> np.ndarray:
    """Indices of the values that do not fit."""
    values = _numbers(texts) if form == NUMBER else _times(texts, form)
    return np.flatnonzero(values.isna().to_numpy() | values.isin([np.inf, -np.inf]).to_numpy())
