"""A table as time series: one row a moment, of each group where there are some. What a project says of it."""

from __future__ import annotations

import re

import numpy as np
from pydantic import Field, field_validator

from headway.config import Config

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400}
"""In seconds."""

MONTHS = {"month": 1, "quarter": 3, "year": 12}
"""Units without a fixed length, in months."""

_STEP = re.compile(rf"([1-9]\d*) ({'|'.join([*UNITS, *MONTHS])})s?")


class SeriesConfig(Config):
    """One row a moment of `split.column`: what is forecast, and what is known beforehand."""

    groups: tuple[str, ...] = Field(
        (), description="Columns of whose values each has a series of its own: a store and an item."
    )
    step: str = Field(description="The time from one row to the next: 15 minutes, 1 hour, 1 day, 1 month.")
    horizon: int = Field(
        1, ge=1, description="Steps that a forecast looks ahead: the newest known target is this many steps old."
    )
    season: int | None = Field(
        None, ge=2, description="Steps of one season, for example 24 for hourly data; null: none."
    )

    @field_validator("step")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        if not _STEP.fullmatch(value):
            raise ValueError(
                f"must be a number and one of {', '.join([*UNITS, *MONTHS])}, but is {value!r}; write 1 hour"
            )
        return value

    @property
    def seasonal_lag(self) -> int | None:
        """Steps back to the newest target of the same place in the season that is known."""
        return None if self.season is None else -(-self.horizon // self.season) * self.season

    def earlier(self, moments: np.ndarray, steps: int) -> np.ndarray:
        """(N,) datetime64[us]: the moments so many steps before."""
        match = _STEP.fullmatch(self.step)
        assert match is not None, "it was validated"
        count, unit = steps * int(match[1]), match[2]
        if unit in UNITS:
            return moments - np.timedelta64(count * UNITS[unit], "s").astype("timedelta64[us]")
        months = moments.astype("datetime64[M]")
        return (months - np.timedelta64(count * MONTHS[unit], "M")).astype("datetime64[us]") + (
            moments - months.astype("datetime64[us]")
        )
