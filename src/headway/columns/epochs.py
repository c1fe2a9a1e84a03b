"""Moments that are numbers: what programs count since the beginning of 1970, in UTC."""

from __future__ import annotations

import numpy as np

EPOCHS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""How many of each unit are a second."""

_PLAUSIBLE = tuple(int(np.datetime64(year, "s").astype(np.int64)) for year in ("1990", "2040"))
"""In seconds. Numbers that all lie between these years, in one of the units, are likely moments: other counts hardly ever lie there."""

_FARTHEST = 2.5e11
"""In seconds: the year 9892. A moment further out is in another unit than is said."""


def unit_of(values: np.ndarray) -> str | None:
    """The unit in which all numbers (N,) would be moments between 1990 and 2040; None where they would be in none."""
    first, last = _PLAUSIBLE
    low, high = float(values.min()), float(values.max())
    return next((unit for unit, n in EPOCHS.items() if first * n <= low and high < last * n), None)


def moments_of(values: np.ndarray, unit: str) -> np.ndarray:
    """(N,) datetime64[us] of numbers (N,), int64 or float64; NaT for those beyond the calendar."""
    a_second = EPOCHS[unit]
    is_far = ~(np.abs(values / a_second) <= _FARTHEST)  # NaN, too
    near = np.where(is_far, 0, values)
    micros = near // (a_second // 10**6) if a_second > 10**6 else near * (10**6 // a_second)
    moments = np.round(micros).astype(np.int64).view("datetime64[us]")
    moments[is_far] = np.datetime64("NaT")
    return moments
