"""The formats of dates that are written in several ways or in an ambiguous one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import pyarrow as pa

from headway.columns.months import ENGLISH, in_english
from headway.columns.written import read_dates

if TYPE_CHECKING:
    import pandas as pd

MOST_SHAPES = 8
"""Dates are written in fewer different shapes than this; codes in more."""

FIRST_YEAR, LAST_YEAR = 1900, 2099
"""Years of months: May 1000 is a name with a number, and 3/4500 the number of a file."""

FEWEST_MONTHS = 3
"""Different texts of digits below which they are no months: two numbers with a mark between them are so by chance."""

_ISO = "ISO8601"
_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%b %d, %Y", "%b %d %Y", "%b-%d-%Y", "%d %B %Y", "%d. %B %Y", "%d-%B-%Y"),
    *("%B %d, %Y", "%B %d %Y", "%d %b %y", "%d-%b-%y", "%Y-%m-%d", "%d de %B de %Y"),
    *("%G-W%V", "%GW%V", "%G-W%V-%u", "%Y-Q%q", "%YQ%q", "%Y Q%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y"),
    *("%Y年%m月%d日", "%Y년 %m월 %d일", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ"),
)
_MONTHS_OF_DIGITS = ("%Y-%m", "%Y/%m", "%m/%Y")
MONTHS = (*_MONTHS_OF_DIGITS, "%b %Y", "%b-%Y", "%B %Y", "%B-%Y")
_WEEKDAYS = ("%a, ", "%A, ", "%a ", "%A ")
_AFTER_WEEKDAYS = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p", "T%H:%M:%S", ", %H:%M", ", %I:%M %p")
_ZONED = (" %H:%M:%S %Z", " %H:%M:%S %z")
_CTIME = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y")
_SOME_DAY = datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Dating:
    """The ``formats`` of all dates, in the order in which they are tried; or, where day and month are ambiguous, the two in ``doubt``."""

    formats: tuple[str, ...]
    missing: tuple[str, ...] = ()
    doubt: tuple[str, ...] = ()


def dating_of(texts: Mapping[str, int], missing: frozenset[str]) -> Dating | None:
    """The formats of texts that are all dates, except for words for ``missing`` ones; None where they are no dates."""
    words = tuple(sorted(text for text in texts if text.lower() in missing))
    shapes: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        if text not in words:
            shapes[_shape(in_english(text))].append(text)
            if len(shapes) > MOST_SHAPES:
                return None
    fits = {shape: _fitting(shape, {text: texts[text] for text in some}) for shape, some in shapes.items()}
    if not fits or not all(fits.values()):
        return None
    choice: dict[str, str] = {shape: forms[0] for shape, forms in fits.items() if len({*map(_order, forms)}) == 1}
    orders = {order for form in choice.values() if (order := _order(form)) is not None}
    for shape, forms in fits.items():
        if shape not in choice:
            agreeing = [form for form in forms if _order(form) in orders]
            if len(orders) != 1 or not agreeing:
                return Dating((), words, tuple(forms[:2]))
            choice[shape] = agreeing[0]
    usual = sorted(choice, key=lambda shape: -sum(texts[text] for text in shapes[shape]))
    return Dating(tuple(dict.fromkeys(choice[shape] for shape in usual)), words)


def _shape(text: str) -> str:
    """The text with 9 for one or two digits, 9999 for more, and a for letters beside each other."""
    digits = re.sub(r"\d+", lambda run: "9" if len(run[0]) < 3 else "9999", " ".join(text.split()))
    return re.sub(r"[^\W\d_]+", "a", digits)


@cache
def _formats() -> dict[str, list[str]]:
    """The formats of each shape."""
    formats: dict[str, list[str]] = defaultdict(list)
    after_weekdays = tuple(weekday + day for weekday, day in product(_WEEKDAYS, _AFTER_WEEKDAYS))
    moments = (day + clock for day, clock in product((*_DAYS, *after_weekdays), (*_CLOCKS, *_ZONED)))
    for form in (*moments, *MONTHS, *_CTIME):
        formats[_shape(_SOME_DAY.strftime(form.replace("%q", "1")))].append(form)
    return formats


def _fitting(shape: str, texts: Mapping[str, int]) -> list[str]:
    """The formats that every text is written in."""
    every = list(texts)
    forms = [*([_ISO] if re.match(r"\d{4}-\d\d-\d\d", every[0]) else []), *_formats().get(shape, [])]
    fits = []
    for form in forms:
        if read_dates(pa.array(every[:20], pa.string()), (form,)).null_count:
            continue
        read = read_dates(pa.array(every, pa.string()), (form,))
        if read.null_count or _is_one_word(form, every):
            continue
        moments = read.to_pandas()
        if form not in MONTHS or _are_months(form, texts, moments):
            fits.append(form)
    return fits


def _is_one_word(form: str, texts: list[str]) -> bool:
    """Whether a month's name is the same in all texts, and no English one: Set 2010 and Set 2011 are things."""
    if not re.search("%[bB]", form):
        return False
    words = {word.lower() for text in texts for word in re.findall(r"[^\W\d_]{3,}", text) if in_english(word) != word}
    return len(words) == 1 and not words <= ENGLISH


def _are_months(form: str, texts: Mapping[str, int], moments: pd.Series) -> bool:
    """Whether texts that are months by their form are no seasons, numbers of files or names with a number."""
    if not moments.dt.year.between(FIRST_YEAR, LAST_YEAR).all():
        return False
    if form not in _MONTHS_OF_DIGITS:
        return True
    if len(texts) < FEWEST_MONTHS or ((moments.dt.year + 1) % 100 == moments.dt.month).all():  # 2009/10, 2010/11
        return False
    return not count_anew_each_year(moments) and (max(texts.values()) > 1 or fill_their_span(moments))


def count_anew_each_year(moments: pd.Series) -> bool:
    """Whether each year has the numbers from 1 on without a gap, and most years before the last one end before 12: so do numbers of files
    and quarters. Months that begin in January go on to December, but for the last year's.
    """
    months = moments.dt.month.groupby(moments.dt.year)
    last = months.max()
    if len(last) > 2 and last.max() <= 4:
        return True
    if len(last) < 2 or last.max() < 2 or not (months.nunique() == last).all():
        return False
    return bool((last.iloc[:-1] < 12).mean() > 0.5)


def fill_their_span(moments: pd.Series) -> bool:
    """Whether at least half of the months between the first and the last occur, as they do where they count time."""
    months = moments.dt.year * 12 + moments.dt.month
    return bool(2 * months.nunique() >= months.max() - months.min() + 1)


def _order(form: str) -> str | None:
    """Whether the day or the month comes first; None where the dates leave no doubt."""
    numeric = re.match(r"%([dm])[/-]%[dm]", form)
    return numeric[1] if numeric else None
