"""The formats of dates that are written in several ways or in an ambiguous one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import product

MOST_SHAPES = 8
"""Dates are written in fewer different shapes than this; codes in more."""

_ISO = "ISO8601"
_DAYS = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%b %d, %Y", "%b %d %Y", "%b-%d-%Y", "%d %B %Y", "%d. %B %Y", "%d-%B-%Y"),
    *("%B %d, %Y", "%B %d %Y", "%d %b %y", "%d-%b-%y", "%Y-%m-%d"),
)
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%b-%Y", "%B %Y", "%B-%Y")
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
            shapes[_shape(text)].append(text)
            if len(shapes) > MOST_SHAPES:
                return None
    fits = {shape: _fitting(shape, some) for shape, some in shapes.items()}
    if not fits or not all(fits.values()):
        return None
    chosen: dict[str, str] = {shape: forms[0] for shape, forms in fits.items() if len({*map(_order, forms)}) == 1}
    orders = {order for form in chosen.values() if (order := _order(form)) is not None}
    for shape, forms in fits.items():
        if shape not in chosen:
            agreeing = [form for form in forms if _order(form) in orders]
            if len(orders) != 1 or not agreeing:
                return Dating((), words, tuple(forms[:2]))
            chosen[shape] = agreeing[0]
    usual = sorted(chosen, key=lambda shape: -sum(texts[text] for text in shapes[shape]))
    return Dating(tuple(dict.fromkeys(chosen[shape] for shape in usual)), words)


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
    for form in (*moments, *_MONTHS, *_CTIME):
        formats[_shape(_SOME_DAY.strftime(form))].append(form)
    return formats


def _fitting(shape: str, texts: list[str]) -> list[str]:
    """The formats that every text is written in."""
    import pandas as pd

    forms = [*([_ISO] if re.match(r"\d{4}-\d\d-\d\d", texts[0]) else []), *_formats().get(shape, [])]
    few, every = pd.Series(texts[:20], dtype=object), pd.Series(texts, dtype=object)
    return [
        form
        for form in forms
        if all(pd.to_datetime(some, format=form, errors="coerce", utc=True).notna().all() for some in (few, every))
    ]


def _order(form: str) -> str | None:
    """Whether the day or the month comes first; None where the dates leave no doubt."""
    numeric = re.match(r"%([dm])[/-]%[dm]", form)
    return numeric[1] if numeric else None
