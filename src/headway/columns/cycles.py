"""The parts of a moment that come back: hour, minute, weekday, month, day of the year, by the clocks of a zone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SECONDS_A_DAY = 86_400.0
_MINUTE, _HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
"""In microseconds."""

_FIRST, _LAST = (int(np.datetime64(day, "us").astype(np.int64)) for day in ("0001-01-02", "9999-12-30"))
"""Moments further out have the calendar of these days: no clock has a zone for them."""


@dataclass(frozen=True)
class Cycle:
    """A part that comes back every ``days``: ``most`` is its largest number, ``waves`` how many waves go round in it."""

    days: float
    most: int
    waves: int


CYCLES = {
    "hour": Cycle(1, 23, 2),
    "minute": Cycle(1 / 24, 59, 0),
    "weekday": Cycle(7, 6, 2),
    "month": Cycle(365.25, 12, 0),  # its waves are those of the day of the year
    "day of year": Cycle(365.25, 366, 1),
}


def number_of(part: str, moments: np.ndarray) -> np.ndarray:
    """(B,) int64: a part of local moments (B,) in microseconds since 1970. Monday is 0."""
    if part == "hour":
        return moments // _HOUR % 24
    if part == "minute":
        return moments // _MINUTE % 60
    days = moments // DAY
    if part == "weekday":
        return (days + 3) % 7
    months = days.view("datetime64[D]").astype("datetime64[M]")
    if part == "month":
        return months.astype(np.int64) % 12 + 1
    return days - months.astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64) + 1


def turn_of(part: str, moments: np.ndarray) -> np.ndarray:
    """(B,) float64 in [0, 1): the place in the part's cycle; that in the day is to the microsecond."""
    if part == "hour":
        return moments % DAY / DAY
    if part == "weekday":
        return number_of(part, moments) / 7
    return (number_of(part, moments) - 1) / 366


def named_part(name: str, dates: Collection[str]) -> tuple[str, str] | None:
    """The column and the part that a name such as `when: hour` stands for; None where it is no part of one of ``dates``."""
    column, _, part = name.rpartition(": ")
    return (column, part) if column in dates and part in CYCLES else None


def part_of(column: pa.Array, part: str, zone: str) -> np.ndarray:
    """(B,) float64: the part of each moment by a zone's clocks, NaN for null."""
    is_moment = column.is_valid().to_numpy(zero_copy_only=False)
    return np.where(is_moment, number_of(part, local(micros_of(column), zone)), np.nan)


def local(moments: np.ndarray, zone: str) -> np.ndarray:
    """(B,) int64: moments in UTC by the clocks of a zone, daylight saving included."""
    moments = moments.clip(_FIRST, _LAST)
    if zone == "UTC":
        return moments
    import pandas as pd

    there = pd.DatetimeIndex(moments.view("datetime64[us]")).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    return np.asarray(there.as_unit("us").asi8)


def micros_of(column: pa.Array) -> np.ndarray:
    """(B,) int64 since 1970; 0 for null."""
    moments = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
    return np.asarray(pc.fill_null(moments, 0).to_numpy(zero_copy_only=False))
