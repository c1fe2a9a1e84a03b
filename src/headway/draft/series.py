"""Whether a table's rows are time series: one row a moment in regular steps, of the whole table or of each group."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from headway.columns import column_type
from headway.columns.recognition import is_number
from headway.data.series import MONTHS, UNITS
from headway.draft.plan import Plan, Series, moments_of
from headway.tasks import target_task

REGULAR = 0.75
"""The share of steps that are the usual one: of five working days a week four are."""

RECUR = 0.001
"""The share of rows that may have the moment of another: once a year the clocks of a place show an hour twice."""

FEWEST = 50
"""Rows of a table, and a fifth of it of a group, below which steps are an accident."""

SHOWN = 1.9
"""Days on which each part of the calendar is seen, on average: of fewer, any column would follow from it."""

MOST_GROUPS = 8
"""Columns that are tried as groups, alone and in pairs."""

_DAY = UNITS["day"]

_OF_THE_CLOCK = re.compile(
    r"(^|[_\W])(hr|hrs|hour|hours|minute|minutes|slot|interval|period)"
    r"([_\W]?(ending|beginning|starting|of[_\W]?day|no|number))?$",
    re.IGNORECASE,
)
"""Names of columns that say a part of the moment, where they hold numbers or clock times: hours beside a column of days."""

_CLOCK_TIME = r"\s*\d{1,2}([:.h]\d{2}){0,2}(\.\d+)?\s*([ap]m?|h)?\s*"
_CLOCK_TIMES = re.compile(rf"{_CLOCK_TIME}((-|\u2013|to){_CLOCK_TIME})?", re.IGNORECASE)
"""Clock times and spans of them: 07:30, 7 am, 07:30-08:00."""


def series_of(plan: Plan, frame: pd.DataFrame, stated: str | None = None) -> Series | None:
    """The series that the rows are, where the target is a number; None where they are none. ``stated``: the column of their moments."""
    if target_task(plan.task).has_classes or len(frame) < FEWEST:
        return None
    for moment in moments_of(plan) if stated is None else [m for m in moments_of(plan) if m == stated]:
        times = column_type(plan.features[moment]).drafted(frame[moment], plan.date_format)
        seconds = times.to_numpy("datetime64[s]").astype(np.int64)
        if times.isna().any():
            continue
        names = [name for name in (*plan.features, *plan.keys) if name != moment]
        steps = steps_of(frame, names, seconds)
        if steps is not None:
            groups, step = steps
            numbers = [n for n, kind in plan.features.items() if column_type(kind).adds_up and n not in groups]
            in_advance = [n for n in numbers if is_known(plan, frame, n, times.dt.tz_localize(None), groups)]
            late = [n for n in numbers if n not in in_advance]
            return Series(moment, groups, *step, tuple(in_advance), tuple(late))
    return None


def is_known(plan: Plan, frame: pd.DataFrame, name: str, times: pd.Series, groups: tuple[str, ...]) -> bool:
    """Whether a number is known before its moment: the same throughout a group, counting on, or what the calendar says."""
    values = column_type(plan.features[name]).drafted(frame[name], plan.date_format)
    if values.isna().any():
        return False
    codes = frame.groupby(list(groups), sort=False).ngroup() if groups else pd.Series(0, frame.index)
    if groups and _follows(values, codes):
        return True
    order = np.lexsort((times.to_numpy(), codes))
    steps = np.diff(values.to_numpy(float)[order])[np.diff(codes.to_numpy()[order]) == 0]
    if len(steps) and steps.min() == steps.max() != 0:
        return True
    days = times.dt.normalize()
    return any(
        days.groupby(part).nunique().mean() >= SHOWN and _follows(values, part)
        for part in _parts_of_the_calendar(times)
    )


def _follows(values: pd.Series, codes: pd.Series) -> bool:
    return bool(values.groupby(codes).nunique().max() == 1)


def _parts_of_the_calendar(times: pd.Series) -> list[pd.Series]:
    clock = times.dt
    week = clock.isocalendar().week
    return [
        *(clock.hour, clock.day_of_week, clock.month, clock.day, week),
        clock.month * 100 + clock.day,
        clock.day_of_week * 100 + clock.hour,
    ]


def steps_of(
    frame: pd.DataFrame, names: Sequence[str], seconds: np.ndarray
) -> tuple[tuple[str, ...], tuple[str, int | None]] | None:
    """The groups whose rows come in regular steps, of the columns ``names``; the step and its season. ``seconds``: (N,) since 1970."""
    for groups in _groupings(frame, names):
        step = _step(seconds, frame, groups)
        if step is not None:
            return groups, step
    return None


def _groupings(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """None, each column that could name a group, and each pair."""
    candidates = [name for name in names if _names_groups(frame[name])]
    few = [name for name in candidates if not (_OF_THE_CLOCK.search(name) and _is_of_the_clock(frame[name]))]
    few = few[:MOST_GROUPS]
    yield ()
    for count in (1, 2):
        yield from combinations(few, count)


def _is_of_the_clock(column: pd.Series) -> bool:
    """Whether its values are numbers, clock times or spans of time."""
    if column.dtype.kind in "mM":
        return True
    values = column.drop_duplicates().dropna()
    return is_number(values) or bool(values.astype(str).str.fullmatch(_CLOCK_TIMES).all())


def _names_groups(column: pd.Series) -> bool:
    """Whether its values recur, and are no fractions: a store's number, an item's name."""
    if pd.api.types.is_float_dtype(column.dtype) and not (column.dropna() % 1 == 0).all():
        return False
    return 2 <= column.nunique() <= len(column) / (FEWEST / 5) and bool(column.notna().all())


def _step(seconds: np.ndarray, frame: pd.DataFrame, groups: tuple[str, ...]) -> tuple[str, int | None] | None:
    """The usual step in words and its season; None where moments recur within a group, or have no usual step."""
    codes = frame.groupby(list(groups), sort=False).ngroup().to_numpy() if groups else np.zeros(len(frame), int)
    if np.median(np.bincount(codes)) < FEWEST / 5:
        return None
    order = np.lexsort((seconds, codes))
    same = np.diff(codes[order]) == 0
    months = _months(seconds[order])
    steps = np.diff(seconds[order] if months is None else months)[same]
    usual, counts = np.unique(steps[steps > 0], return_counts=True)
    if not len(usual) or (steps == 0).mean() > RECUR or counts.max() < REGULAR * len(steps):
        return None
    size = int(usual[counts.argmax()])
    step, season = _in_seconds(size) if months is None else _in_months(size)
    return step, season if season is not None and len(steps) / len(np.unique(codes)) >= 2 * season else None


def _months(seconds: np.ndarray) -> np.ndarray | None:
    """(N,) months since 1970 where all moments are at the same place in their months; otherwise None."""
    moments = seconds.view("datetime64[s]")
    months = moments.astype("datetime64[M]")
    first, last = (len(np.unique(moments - edge.astype("datetime64[s]"))) == 1 for edge in (months, months + 1))
    return months.astype(np.int64) if (first or last) and len(np.unique(months)) > 2 else None


def _in_seconds(size: int) -> tuple[str, int | None]:
    unit = max((name for name in UNITS if size % UNITS[name] == 0), key=UNITS.__getitem__)
    if size < _DAY:
        return _words(size // UNITS[unit], unit), _DAY // size if _DAY % size == 0 else None
    return _words(size // UNITS[unit], unit), {_DAY: 7, UNITS["week"]: 52}.get(size)


def _in_months(size: int) -> tuple[str, int | None]:
    unit = max((name for name in MONTHS if size % MONTHS[name] == 0), key=MONTHS.__getitem__)
    return _words(size // MONTHS[unit], unit), 12 // size if size < 12 and 12 % size == 0 else None


def _words(count: int, unit: str) -> str:
    return f"{count} {unit}{'s' if count > 1 else ''}"
