"""Moments that stand in several columns: year, month, day and hour, or a day and a time. Names and values must both say so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product, takewhile

import pandas as pd
import pyarrow as pa

from headway.columns.months import in_english
from headway.columns.recognition import HUMPS
from headway.columns.written import Written, read_dates
from headway.data.composition import Composition
from headway.data.config import CsvOptions
from headway.draft.series import steps_of
from headway.draft.writing import Writing
from headway.errors import DataError

_WORDS: Mapping[str, str] = {
    "year": r"year|yyyy|yr|jahr|année|annee|año|ano|anno|jaar|rok|år",
    "month": r"month|mon|mnth|mth|mm|monat|mois|mes|mese|maand|mês|miesiąc|måned|månad",
    "day": r"day|day of month|dayofmonth|mday|dom|dd|tag|jour|día|dia|giorno|dag|dzień",
    "hour": r"hour|hr|hh|hour of day|stunde|heure|hora|ora|uur|godzina",
    "day of year": r"doy|day of year|dayofyear|yday|jday|julian|julian day",
    "time": r"time|clock|uhrzeit|zeit|tijd|czas|hora|heure|ora",
    "minute": r"minute|min|minuto",
    "second": r"second|sec|ss|sekunde|segundo",
}
"""The names of each part, in the order of a moment; a time may stand in place of the hour."""

_DATE = r"date|day|datum|fecha|data|dato|dt|tag|jour|dag"
"""Names of a column of days."""

_CLOCKS = (
    *("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H.%M", "%H.%M.%S", "%Hh%M"),
    *("%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I %p", "%I%p"),
)
_FORMS: Mapping[str, tuple[str, ...]] = {
    "month": ("%m", "%b", "%B"),
    "day": ("%d",),
    "hour": _CLOCKS,
    "time": _CLOCKS,
    "day of year": ("%j",),
    "minute": ("%M",),
    "second": ("%S",),
}
_YEAR = r"(19|20)\d\d"
_NUMBERS = ("month", "day", "minute", "second")
_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d"),
    *("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"),
)
_ISO = "%Y-%m-%d"
FEWEST_HOURS = 3
"""Different hours below which a number beside a day is none of a clock."""


@dataclass(frozen=True)
class Moment:
    """The columns that make a moment, the largest part first, and the formats of their texts with a space between."""

    name: str
    parts: tuple[str, ...]
    forms: tuple[str, ...]

    @property
    def written(self) -> Written:
        """As a project states it."""
        return Written(columns=self.parts, dates=self.forms)


def moments_in(
    frame: pd.DataFrame, target: str, stated: Collection[str] = (), date_format: str | None = None
) -> list[Moment]:
    """The moments whose parts stand in columns of a table as its files have it, without the ``target`` and ``stated`` columns.

    ``date_format``: that of ambiguous dates.
    """
    names = [str(name) for name in frame.columns if str(name) not in (target, *stated)]
    places = [(name, part, affix) for name in names for part, affix in _parts_of(name)]
    moments: list[Moment] = []
    for affix in dict.fromkeys(affix for _, _, affix in places):
        of_affix = {part: name for name, part, one in reversed(places) if one == affix}
        for parts in _candidates(frame, names, of_affix, affix, date_format):
            forms = _forms_of(frame, parts, date_format)
            if forms and ({*parts} != {"year", "month"} or _counts_months(frame, parts, forms, target)):
                present_names = (*frame.columns, *(one.name for one in moments))
                moments.append(Moment(_name(affix, present_names), tuple(parts.values()), forms))
                break
    return moments


def with_moments(
    frame: pd.DataFrame, writings: Mapping[str, Writing], moments: Sequence[Moment], raw: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Writing]]:
    """A table with these moments, made of the ``raw`` values, and how they are written."""
    further, values = {}, {}
    for one in moments:
        texts = texts_of(raw, one.parts)
        times = read_dates(texts, one.forms)
        values[one.name] = times.to_pandas().set_axis(frame.index)
        first = texts.drop_null()[0].as_py()
        moment = times.drop_null()[0].as_py().isoformat(" ")
        further[one.name] = Writing(one.written, f"{_listed(one.parts)} together, {first} is read as {moment}")
    return frame.assign(**values), {**writings, **further}


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _parts_of(name: str) -> Iterator[tuple[str, str]]:
    """Each part that a column may be by its name, and the rest of the name: of start_year, year and start."""
    words = " ".join(re.split(r"[_\W]+", HUMPS.sub(" ", name).lower())).strip()
    for part, pattern in {**_WORDS, "date": _DATE}.items():
        match = re.fullmatch(rf"(?:(?P<before>.+) )?(?:{pattern})(?: (?P<after>.+))?", words)
        if match is not None:
            yield part, " ".join(one for one in match.groups() if one)


def _candidates(
    frame: pd.DataFrame, names: Sequence[str], of_affix: Mapping[str, str], affix: str, date_format: str | None
) -> Iterator[dict[str, str]]:
    """What may be a moment: parts with their columns, the most whole first."""
    hours = takewhile(of_affix.__contains__, ("hour", "minute", "second"))
    clocks = [*accumulate((part,) for part in hours)][::-1] + ([("time",)] if "time" in of_affix else [])
    for days in (("year", "month", "day"), ("year", "day of year")):
        if of_affix.keys() >= {*days}:
            yield from ({part: of_affix[part] for part in (*days, *clock)} for clock in (*clocks, ()))
            return
    if {"year", "month"} <= of_affix.keys():
        yield {part: of_affix[part] for part in ("year", "month")}
    dates = [of_affix["date"]] if "date" in of_affix else []
    if clocks and not dates and not affix:
        dates = [name for name in names if _form_of_days(texts_of(frame, (name,)), date_format)]
    for clock in clocks if len(dates) == 1 else ():
        yield {"date": dates[0], **{part: of_affix[part] for part in clock}}


def texts_of(frame: pd.DataFrame, names: Sequence[str]) -> pa.Array:
    """(N,) the texts of these columns with a space between."""
    columns = []
    for name in names:
        try:
            columns.append(pa.Array.from_pandas(frame[name]))
        except pa.ArrowException:  # values of several types
            columns.append(pa.array(frame[name].astype(str).where(frame[name].notna(), None).tolist(), pa.string()))
    columns = [one.combine_chunks() if isinstance(one, pa.ChunkedArray) else one for one in columns]
    batch = pa.RecordBatch.from_arrays(columns, names=[str(place) for place in range(len(columns))])
    parts = Composition({"": tuple(batch.schema.names)}, CsvOptions().null_values)
    try:
        return parts.extended(batch).column("")
    except DataError:  # values without a text, such as durations
        return pa.nulls(len(frame), pa.string())


def _different(texts: pa.Array) -> list[str]:
    return [str(text) for text in texts.drop_null().unique().to_pylist()]


def _form_of_days(texts: pa.Array, date_format: str | None) -> str | None:
    """The one format of texts that are all days without a time; None for others, and where there are two."""
    some = _different(texts)
    if not some or not re.search(r"\d", some[0]) or len(some[0]) < len("1/1/2024"):
        return None
    forms = [form for form in _DAYS if _fits(some[:20], form) and _fits(some, form)]
    return forms[0] if len(forms) == 1 else date_format if date_format in forms else None


def _fits(texts: Sequence[str], form: str) -> bool:
    return not read_dates(pa.array(texts, pa.string()), (form,)).null_count


def _forms_of(frame: pd.DataFrame, parts: Mapping[str, str], date_format: str | None) -> tuple[str, ...]:
    """The formats of the parts together; none where a value is out of the range of its part, or a day is none of its month."""
    choices = []
    for part, name in parts.items():
        texts = texts_of(frame, (name,))
        day = _form_of_days(texts, date_format) if part == "date" else None
        forms = [day] if day else _forms(part, _different(texts))
        if not forms:
            return ()
        choices.append(forms)
    whole = [" ".join(forms) for forms in product(*choices)]
    whole_texts = _different(texts_of(frame, tuple(parts.values())))
    form = next((one for one in whole if _fits(whole_texts, one)), None)
    if form is None or not whole_texts:
        return ()
    day = choices[0][0]
    typed = [form.replace(day, _ISO, 1)] if "date" in parts and day != _ISO else []  # where a file has days as such
    return (form, *typed)


def _forms(part: str, texts: Sequence[str]) -> list[str]:
    """The formats of one part that all of its texts are written in."""
    if not texts or part == "date":
        return []
    if part == "year":
        return ["%Y"] if all(re.fullmatch(_YEAR, text) for text in texts) else []
    if part in _NUMBERS and not all(re.fullmatch(r"\d{1,2}", text) for text in texts):
        return ["%b", "%B"] if part == "month" and _are_names(texts) else []
    if part == "hour" and all(re.fullmatch(r"\d{1,2}", text) for text in texts):
        return ["%H"] if len(texts) >= FEWEST_HOURS and max(map(int, texts)) <= 23 else []
    return [form for form in _FORMS[part] if _fits([f"2000 {text}" for text in texts], f"%Y {form}")]


def _are_names(texts: Sequence[str]) -> bool:
    """Whether they are names of months."""
    return _fits([f"1 {in_english(text)} 2000" for text in texts], "%d %b %Y")


def _counts_months(frame: pd.DataFrame, parts: Mapping[str, str], forms: tuple[str, ...], target: str) -> bool:
    """Whether rows are a series of months: a year and a month alone may be those of a sale, which stay two numbers."""
    if not pd.api.types.is_number(pd.to_numeric(frame[target], errors="coerce").max()):
        return False
    times = read_dates(texts_of(frame, tuple(parts.values())), forms)
    if times.null_count:
        return False
    seconds = times.to_numpy(zero_copy_only=False).astype("datetime64[s]").astype("int64")
    others = [str(name) for name in frame.columns if name not in (target, *parts.values())]
    return steps_of(frame, others, seconds) is not None


def _name(affix: str, present_names: Collection[str]) -> str:
    name = f"{affix.replace(' ', '_')}_moment" if affix else "moment"
    return next(
        one for one in (name, *(f"{name}_{n}" for n in range(2, len(present_names) + 3))) if one not in present_names
    )
