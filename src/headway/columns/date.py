"""Dates and moments: timestamp[us] in UTC without a zone; prepared as parts of the calendar."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import ColumnType, Fitter
from headway.columns.calendar import Calendar, CalendarFitter, Day
from headway.columns.config import PrepareConfig
from headway.columns.continuous import Continuous
from headway.columns.recognition import Guess, Specimen
from headway.columns.spelling import moments, texts_of
from headway.columns.values import BadValues, Place, family, refusal, unfit
from headway.columns.written import read_dates

if TYPE_CHECKING:
    import pandas as pd


class DateColumn(ColumnType):
    """Dates and timestamps of any unit and zone, also as texts and as numbers such as 20241231."""

    name = "date"
    rank = 2
    encoding = Calendar
    other_encodings = (Day,)  # of bundles that were made before there were parts
    summary_class = Continuous
    is_time = True
    turn = 1
    mlflow_type = "datetime"

    def canonical(self, column: pa.Array, place: Place, date_format: str | None, look: bool) -> pa.Array:
        form = family(column.type)
        if form == "empty":
            return column.cast(pa.timestamp("us"))
        if form == "a date":
            return moments(column)
        if form == "a number":
            column = texts_of(column)
        elif form != "text":
            raise unfit(column.type, place, "a date")
        column = pc.utf8_trim_whitespace(column)
        if date_format is None:
            try:
                return pc.cast(column, pa.timestamp("us"))
            except pa.ArrowInvalid:
                pass
        return _parse(column, place, date_format)

    def line(self, values: pd.Series) -> np.ndarray:
        return np.where(values.isna(), np.nan, values.astype("int64"))

    def recognise(self, specimen: Specimen) -> Guess | None:
        import pandas as pd

        if pd.api.types.is_datetime64_any_dtype(specimen.present.dtype):
            zone = _zone_of(specimen.present)
            return Guess("feature", self.name, f"it holds dates{f' in {zone}' if zone else ''}", zone=zone)
        if pd.api.types.is_numeric_dtype(specimen.present.dtype) or _DATE.match(specimen.texts.iloc[0]) is None:
            return None
        some = specimen.texts.drop_duplicates()
        for form in UNAMBIGUOUS:
            if pd.to_datetime(some, format=form, errors="coerce", utc=True).notna().all():
                zoned = some.str.contains(_OFFSET).any()
                why = "texts that are dates" + (f" with their zone, so that hours are UTC's; {_STATE}" if zoned else "")
                return Guess("feature", self.name, why, textual=True)
        fits = [f for f in AMBIGUOUS if pd.to_datetime(some, format=f, errors="coerce").notna().all()]
        if len(fits) == 1:
            return Guess("feature", self.name, f"texts that are dates only as {fits[0]}", fits[0], textual=True)
        if fits:
            return Guess("ignore", None, f"dates that may be {' or '.join(fits)}; state data.date_format to use it")
        return None

    def drafted(self, values: pd.Series, date_format: str | None) -> pd.Series:
        import pandas as pd

        if pd.api.types.is_datetime64_any_dtype(values.dtype):
            return pd.to_datetime(values, utc=True)
        texts = values.astype(object).where(values.notna(), None)
        forms = [date_format] if date_format else UNAMBIGUOUS
        tries = [pd.to_datetime(texts, format=form, errors="coerce", utc=True) for form in forms]
        return max(tries, key=lambda times: int(times.notna().sum()))

    def fitter(self, name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        return CalendarFitter(name, config)


UNAMBIGUOUS = ("ISO8601", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%d-%b-%Y", "%d %b %Y")
"""Unambiguous formats of a date. 03/04/2024 is ambiguous: guessing it, batch by batch, would corrupt months."""

AMBIGUOUS = ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")
_DATE = re.compile(r"^\s*\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3})[-/. ]\d{1,4}")

_OFFSET = re.compile(r"[T ]\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)\s*$")
_STATE = "state prepare.dates.zone for those of a place"


def _zone_of(present: pd.Series) -> str | None:
    """The place whose zone a file has for its moments; None for UTC, for a mere offset, and without."""
    zone = str(getattr(present.dtype, "tz", None))
    return zone if "/" in zone else None


def _parse(column: pa.Array, place: Place, date_format: str | None) -> pa.Array:
    """Each text by the first format that fits it, independently of other rows; a number's text may end in .0."""
    forms = (date_format,) if date_format else UNAMBIGUOUS
    coded = column.dictionary_encode()
    distinct = read_dates(coded.dictionary, forms)
    if distinct.null_count:
        whole = pc.replace_substring_regex(coded.dictionary, r"^([0-9]+)\.0*$", r"\1")
        distinct = pc.coalesce(distinct, read_dates(whole, forms))
    times = distinct.take(coded.indices)
    bad = pc.and_(times.is_null(), column.is_valid()).to_numpy(zero_copy_only=False)
    if bad.any():
        rule = f"a date like {date_format}" if date_format else "a date such as 2024-12-31"
        problem = refusal(column, bad, place, rule)
        raise BadValues(f"{problem}; data.date_format can state another", place.column, rule, bad)
    return times
