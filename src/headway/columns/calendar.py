"""A moment as parts of the calendar: hour, minute, weekday, month, day of the year, holiday, and the days since the epoch.

Trees split the plain numbers; for networks and linear models there is the place in each cycle too, as sine and cosine, so that 23:00 is
near 0:00. Every model is given both: what a baseline shows is then the model's doing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import Encoding, Fitter, Prepared
from headway.columns.config import DateConfig, PrepareConfig
from headway.columns.cycles import CYCLES, DAY, SECONDS_A_DAY, local, micros_of, number_of, turn_of
from headway.columns.number import Number, NumberFitter
from headway.columns.spread import Spread
from headway.errors import ConfigError

HOLIDAY_YEARS = 10
"""A bundle knows the holidays up to so many years after the last training row."""

SHOWN = 1.9
"""Training rows must span nearly two of a cycle: of one alone, season and trend cannot be told apart. On bicycle rentals of 17 months the
month made a network's error in the next four a quarter larger (RMSE 87 against 67)."""


@dataclass(frozen=True)
class Day(Number):
    """A moment in days since the epoch, limited to the training range: a network must not extrapolate time."""

    lenient: ClassVar[bool] = False
    unit: ClassVar[float] = SECONDS_A_DAY
    limited: ClassVar[bool] = True

    def values(self, column: pa.Array) -> np.ndarray:
        """(B,) float64, the caller's own, with NaN for null; days since the epoch."""
        micros = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
        days = pc.cast(micros, pa.float64(), safe=False).to_numpy(zero_copy_only=False) / (SECONDS_A_DAY * 1e6)
        return np.asarray(days)

    def near(self, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """As they are: half a 32-bit step is more than a minute, and moments come from no narrow column."""
        return values


@dataclass(frozen=True)
class Part:
    """A part that varies in the training rows: (number - mean) / std, and its waves."""

    name: str
    mean: float
    std: float


@dataclass(frozen=True)
class Calendar(Encoding):
    """The parts of a moment, null as their means; ``missing`` adds a 0/1 column for nulls.

    ``days``: the trend, None without. ``holidays``: days since 1970; None where no country's are asked for.
    """

    parts: tuple[Part, ...]
    days: Day | None = None
    zone: str = "UTC"
    holidays: tuple[int, ...] | None = None
    missing: bool = False

    group: ClassVar[str] = "dates"

    def kind_name(self) -> str:
        return "date"

    def outputs(self) -> Sequence[Prepared]:
        trend = [Prepared(f"{self.column}: days", bins=True)] if self.days else []
        numbers = [Prepared(f"{self.column}: {part.name}", bins=True) for part in self.parts]
        waves = [
            Prepared(f"{self.column}: {part.name} {wave}{'' if times == 1 else f' {times}'}")
            for part in self.parts
            for times in _waves(part)
            for wave in ("sine", "cosine")
        ]
        holiday = [Prepared(f"{self.column}: holiday")] if self.holidays is not None else []
        missing = [Prepared(f"{self.column} missing")] if self.missing else []
        return [*trend, *numbers, *waves, *holiday, *missing]

    def apply(self, column: pa.Array, missing: tuple[str, ...] = (), strict: bool = False) -> Sequence[np.ndarray]:
        is_present = column.is_valid().to_numpy(zero_copy_only=False)
        moments = local(micros_of(column), self.zone)
        trend = self.days.apply(column, missing, strict) if self.days else []
        numbers = [_scaled(part, moments) for part in self.parts]
        waves = [wave for part in self.parts for wave in _waved(part, moments)]
        holiday = [np.isin(moments // DAY, self.holidays).astype(np.float64)] if self.holidays is not None else []
        filled = [np.where(is_present, one, 0.0) for one in (*numbers, *waves, *holiday)]
        return [*trend, *filled, *([(~is_present).astype(np.float64)] if self.missing else [])]

    def remark(self) -> str:
        names = [part.name for part in self.parts] + ["holiday"] * (self.holidays is not None)
        if self.days is not None:
            names.append("days" if self.days.limits is None else "days, which stop at the last training row's")
        zone = "" if self.zone == "UTC" else f" in {self.zone}"
        return f"{self.column} gives {', '.join(names)}{zone}"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        days, holidays = values["days"], values["holidays"]
        return cls(
            column=values["column"],
            parts=tuple(Part(**part) for part in values["parts"]),
            days=None if days is None else Day.from_json(days),
            zone=values["zone"],
            holidays=None if holidays is None else tuple(holidays),
            missing=values["missing"],
        )


def _waves(part: Part) -> range:
    return range(1, CYCLES[part.name].waves + 1)


def _scaled(part: Part, moments: np.ndarray) -> np.ndarray:
    return (number_of(part.name, moments) - part.mean) / part.std


def _waved(part: Part, moments: np.ndarray) -> Iterator[np.ndarray]:
    """Sine and cosine of each wave, of variance 1 over a cycle."""
    if CYCLES[part.name].waves:
        angle = 2 * np.pi * turn_of(part.name, moments)
        for times in _waves(part):
            yield np.sqrt(2) * np.sin(times * angle)
            yield np.sqrt(2) * np.cos(times * angle)


@dataclass(frozen=True)
class _Moments:
    """Of some rows: the days, the first and the last moment, how often each number of each part occurs."""

    days: Spread
    ends: tuple[int, int] | None
    counts: Mapping[str, np.ndarray]


class CalendarFitter(Fitter):
    """Counts how often each number of each part occurs, by the clocks of the column's zone."""

    def __init__(self, name: str, config: PrepareConfig) -> None:
        self._name, self._config, self._date = name, config, config.dates.of(name)
        free = config.model_copy(update={"scale": "standard"})  # ranks end at the training range
        self._days = NumberFitter(name, "date", free if self._date.trend == "free" else config, Day)
        self._counts = {part: np.zeros(cycle.most + 1, np.int64) for part, cycle in CYCLES.items()}
        self._ends: tuple[int, int] | None = None
        self._missing = False

    def block(self, column: pa.Array, labels: pa.Array) -> _Moments:
        days, moments = self._days.block(column, labels), micros_of(column.drop_null())
        if not len(moments):
            return _Moments(days, None, {})
        there = local(moments, self._date.zone)
        counts = {part: np.bincount(number_of(part, there), minlength=len(sums)) for part, sums in self._counts.items()}
        return _Moments(days, (int(moments.min()), int(moments.max())), counts)

    def add(self, partial: _Moments) -> None:
        self._days.add(partial.days)
        self._missing |= partial.days.nulls > 0
        if partial.ends is not None:
            before = self._ends or partial.ends
            self._ends = (min(partial.ends[0], before[0]), max(partial.ends[1], before[1]))
        for part, counts in partial.counts.items():
            self._counts[part] += counts

    def to_json(self) -> dict[str, object]:
        counts = {part: counts.tolist() for part, counts in self._counts.items()}
        return {"days": self._days.to_json(), "counts": counts, "ends": self._ends, "missing": self._missing}

    def take(self, values: Mapping[str, Any]) -> None:
        self._days.take(values["days"])
        self._counts = {part: np.array(counts, np.int64) for part, counts in values["counts"].items()}
        self._ends, self._missing = values["ends"] and (values["ends"][0], values["ends"][1]), values["missing"]

    def finish(self) -> Calendar | None:
        """None where there is nothing to learn: a column without two moments, or without a part."""
        days = self._days.finish()
        if days is None or self._ends is None:
            return None
        assert isinstance(days, Day)
        encoding = Calendar(
            column=self._name,
            parts=tuple(self._parts(self._ends)),
            days=self._trend(days),
            zone=self._date.zone,
            holidays=self._holidays(self._ends),
            missing=self._missing,
        )
        return encoding if encoding.outputs() else None

    def _trend(self, days: Day) -> Day | None:
        if self._date.trend == "none":
            return None
        days = replace(days, missing=False)  # the calendar says so itself
        return replace(days, limits=None) if self._date.trend == "free" else days

    def _parts(self, whole: tuple[int, int]) -> Iterator[Part]:
        """Those that vary, of cycles that the rows show."""
        span = (whole[1] - whole[0]) / DAY
        for name, counts in self._counts.items():
            if np.count_nonzero(counts) < 2 or span < SHOWN * CYCLES[name].days:
                continue
            numbers, shares = np.arange(len(counts)), counts / counts.sum()
            mean = float(numbers @ shares)
            std = float(np.sqrt((numbers - mean) ** 2 @ shares))
            scaled = (mean, std) if self._config.scale != "none" else (mean, 1.0)
            yield Part(name, *scaled)

    def _holidays(self, whole: tuple[int, int]) -> tuple[int, ...] | None:
        if self._date.holidays is None:
            return None
        first, last = (int(year) for year in np.array(whole).view("datetime64[us]").astype("datetime64[Y]").astype(int))
        return holiday_dates(self._date, range(first + 1970, last + 1971 + HOLIDAY_YEARS))


def holiday_dates(date: DateConfig, years: range) -> tuple[int, ...]:
    """A country's holidays of these years, in order, as days since 1970. Raises ConfigError without the package, or such a country."""
    try:
        holidays = importlib.import_module("holidays")
    except ImportError:
        raise ConfigError(
            "prepare.dates.holidays needs the package holidays, but it is not installed; pip install holidays"
        ) from None
    country, _, region = str(date.holidays).partition("-")
    try:
        dates = holidays.country_holidays(country, subdiv=region or None, years=list(years))
    except NotImplementedError:
        rule = "prepare.dates.holidays must be a country such as DE, or its region such as DE-BY"
        raise ConfigError(f"{rule}, but the package holidays has no {date.holidays}") from None
    return tuple(sorted(int(np.datetime64(day, "D").astype(np.int64)) for day in dates))
