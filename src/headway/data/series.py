"""A table as time series: one row a moment, of each group where there are some. What a project says of it."""

from __future__ import annotations

import re

import numpy as np
from pydantic import Field, field_validator, model_validator

from headway.config import Config

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400}
"""In seconds."""

MONTHS = {"month": 1, "quarter": 3, "year": 12}
"""Units without a fixed length, in months."""

_STEP = re.compile(rf"([1-9]\d*) ({'|'.join([*UNITS, *MONTHS])})s?")


class SeriesConfig(Config):
    """A time series, with one row for each moment of `split.column`: what is forecast, and what is known in advance."""

    groups: tuple[str, ...] = Field(
        (), description="Columns that tell several series apart: one series for each store and item, for example."
    )
    step: str = Field(description="The time from one row to the next: 15 minutes, 1 hour, 1 day, 1 month.")
    horizon: int = Field(
        1, ge=1, description="Steps that a forecast looks ahead: the newest known target is this many steps old."
    )
    season: int | None = Field(
        None, ge=2, description="Steps of one season, for example 24 for hourly data; null: none."
    )
    lags: tuple[int, ...] | None = Field(
        None,
        description="Numbers of steps, each at least the horizon: the target that many steps before becomes a feature. Left out: the "
        "three newest known targets, and those one and two seasons before; []: none.",
    )
    windows: tuple[int, ...] | None = Field(
        None,
        description="Numbers of steps: mean, standard deviation, minimum and maximum of that many newest known targets become features. "
        "Left out: one season and a few seasons; []: none.",
    )
    known: tuple[str, ...] = Field(
        (),
        description="Numeric features that are known in advance, such as plans and the calendar. Any other is taken from "
        "`horizon` steps before.",
    )

    @field_validator("step")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if not _STEP.fullmatch(value):
            raise ValueError(
                f"must be a number and one of {', '.join([*UNITS, *MONTHS])}, but is {value!r}; write 1 hour"
            )
        return value

    @model_validator(mode="after")
    def _has_a_past(self) -> SeriesConfig:
        for name, least, what in (("lags", self.horizon, f"the horizon, {self.horizon}"), ("windows", 2, "2")):
            steps = getattr(self, name) or ()
            if steps and min(steps) < least:
                raise ValueError(f"{name} must be at least {what}, but one is {min(steps)}; leave it out, or change it")
            if len(set(steps)) < len(steps):
                raise ValueError(f"{name} must differ, but are {', '.join(map(str, steps))}")
        return self

    @property
    def seasons(self) -> tuple[int, ...]:
        """The season in steps, and of a season that is a day the week."""
        if self.season is None:
            return ()
        count, unit = self._size
        is_a_day = self.season * count * UNITS.get(unit, 0) == UNITS["day"]
        return (self.season, 7 * self.season) if is_a_day else (self.season,)

    @property
    def usual_lags(self) -> tuple[int, ...]:
        """`lags`, or where they are left out what they are by the horizon and the season."""
        if self.lags is not None:
            return self.lags
        newest = range(self.horizon, self.horizon + 3)
        seasonal = (-(-self.horizon // one) * one + more for one in self.seasons for more in (0, one))
        return tuple(sorted({*newest, *seasonal}))

    @property
    def usual_windows(self) -> tuple[int, ...]:
        """`windows`, or where they are left out what they are by the season."""
        if self.windows is not None:
            return self.windows
        first, more = self.season or 7, 7 if len(self.seasons) > 1 else 4
        return (first,) if more == 4 and first > 7 else (first, more * first)

    @property
    def patience(self) -> int:
        """Steps by which a value may be older than the one that is asked for: of working days, those of a long weekend."""
        return self.season or 7

    def span(self, steps: int) -> str:
        """So many steps in words: 24 hours."""
        count, unit = self._size
        return f"{steps * count} {unit}{'s' if steps * count > 1 else ''}"

    @property
    def _size(self) -> tuple[int, str]:
        match = _STEP.fullmatch(self.step)
        assert match is not None, "it was validated"
        return int(match[1]), match[2]

    @property
    def seasonal_lag(self) -> int | None:
        """Steps back to the newest target of the same place in the season that is known."""
        return None if self.season is None else -(-self.horizon // self.season) * self.season

    def earlier(self, moments: np.ndarray, steps: int) -> np.ndarray:
        """(N,) datetime64[us]: the moments so many steps before. The last (working) day of a month becomes a month's last day."""
        size, unit = self._size
        count = steps * size
        if unit in UNITS:
            return moments - np.timedelta64(count * UNITS[unit], "s").astype("timedelta64[us]")
        months, days = moments.astype("datetime64[M]"), moments.astype("datetime64[D]")
        before = months - np.timedelta64(count * MONTHS[unit], "M")
        last, own = ((month + 1).astype("datetime64[D]") - 1 for month in (before, months))
        weekday = (own.astype(np.int64) + 3) % 7  # Monday is 0
        same = np.minimum(before.astype("datetime64[D]") + (days - months.astype("datetime64[D]")), last)
        day = np.where(days >= own - np.maximum(weekday - 4, 0), last, same)
        return day.astype("datetime64[us]") + (moments - days.astype("datetime64[us]"))
