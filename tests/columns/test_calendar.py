"""What a column of dates becomes: parts of the calendar, by the clocks of a zone, and only those that the training rows show."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns import column_type, read_encoding
from headway.columns.calendar import Calendar, Day
from headway.columns.config import DatesConfig, PrepareConfig
from headway.columns.cycles import local, number_of
from headway.errors import ConfigError

DST = pd.date_range("2024-03-30 12:00", "2024-10-28 12:00", freq="h")
"""Both nights on which Berlin's clocks are changed lie inside."""


def column(moments: pd.DatetimeIndex | Sequence[object]) -> pa.Array:
    return pa.array(moments, pa.timestamp("us"))


def fitted(moments: pd.DatetimeIndex | Sequence[object], **dates: object) -> Calendar:
    config = PrepareConfig(dates=DatesConfig.parse(dates, "prepare.dates"))
    fitter = column_type("date").fitter("when", config, numbers=False)
    fitter.update(column(moments), pa.array(["y"] * len(moments)))
    encoding = fitter.finish()
    assert isinstance(encoding, Calendar)
    return encoding


def applied(encoding: Calendar, moments: pd.DatetimeIndex | Sequence[object]) -> Mapping[str, np.ndarray]:
    names = [one.name for one in encoding.outputs()]
    return dict(zip(names, encoding.apply(column(moments)), strict=True))


def plain(encoding: Calendar, moments: pd.DatetimeIndex | Sequence[object], part: str) -> np.ndarray:
    """A part's numbers, scaled back."""
    (one,) = [one for one in encoding.parts if one.name == part]
    return np.rint(applied(encoding, moments)[f"when: {part}"] * one.std + one.mean).astype(int)


def test_parts_are_those_of_pandas_before_and_after_1970_and_in_leap_years() -> None:
    moments = pd.date_range("1899-12-30 22:00", "2101-03-02", freq="1001h23min")
    micros = moments.as_unit("us").asi8
    truth = {
        "hour": moments.hour,
        "minute": moments.minute,
        "weekday": moments.day_of_week,
        "month": moments.month,
        "day of year": moments.day_of_year,
    }
    for part, numbers in truth.items():
        np.testing.assert_array_equal(number_of(part, micros), numbers, part)


def test_the_hour_is_that_of_the_zones_clocks_over_both_changes_of_daylight_saving() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    there = [pd.Timestamp(moment, tz="UTC").to_pydatetime().astimezone(berlin) for moment in DST]
    encoding = fitted(DST, zone="Europe/Berlin")
    assert plain(encoding, DST, "hour").tolist() == [moment.hour for moment in there]
    assert plain(encoding, DST, "weekday").tolist() == [moment.weekday() for moment in there]
    assert plain(fitted(DST), DST, "hour").tolist() == list(DST.hour)
    assert local(np.array([2**62, -(2**62)]), "Europe/Berlin").dtype == np.int64  # clocks of no calendar


def test_only_parts_that_vary_in_a_cycle_that_rows_show_twice_are_made_and_each_has_a_name() -> None:
    def names(moments: pd.DatetimeIndex) -> list[str]:
        return [one.name.removeprefix("when: ") for one in fitted(moments).outputs() if "sine" not in one.name]

    assert names(pd.date_range("2022-01-01", "2023-12-31")) == ["days", "weekday", "month", "day of year"]
    assert names(pd.date_range("2022-01-01", "2023-06-30")) == ["days", "weekday"], "one year's season may be a trend"
    assert names(pd.date_range("2024-01-01", "2024-01-31", freq="h")) == ["days", "hour", "weekday"]
    assert names(pd.date_range("2024-01-01", periods=900, freq="15min")) == ["days", "hour", "minute"]
    assert column_type("date").fitter("when", PrepareConfig(), numbers=False).finish() is None


def test_the_last_hour_of_a_day_is_near_the_first_one() -> None:
    moments = pd.date_range("2024-01-01", "2024-02-01", freq="h")
    parts = applied(fitted(moments), pd.DatetimeIndex(["2024-01-05 23:00", "2024-01-06 00:00", "2024-01-06 12:00"]))
    late, midnight, noon = np.stack([parts["when: hour sine"], parts["when: hour cosine"]], 1)
    assert np.linalg.norm(late - midnight) < 0.4 < 2 < np.linalg.norm(noon - midnight)


def test_the_days_end_with_the_training_rows_unless_they_are_free() -> None:
    moments, later = pd.date_range("2024-01-01", "2024-03-31", freq="h"), pd.DatetimeIndex(["2024-03-31", "2024-07-03"])
    limited_days = applied(fitted(moments), later)
    assert limited_days["when: days"][0] == limited_days["when: days"][1]
    assert limited_days["when: weekday"][0] != limited_days["when: weekday"][1]
    assert "stop at the last training row's" in fitted(moments).remark()
    free = applied(fitted(moments, trend="free"), later)
    assert free["when: days"][1] > free["when: days"][0] + 3
    assert "when: days" not in applied(fitted(moments, trend="none"), later)


def test_a_missing_moment_has_mean_parts_and_a_flag() -> None:
    moments = [None, *pd.date_range("2022-01-01", "2023-12-31", freq="7h")]
    parts = applied(fitted(moments), moments)
    assert parts["when missing"].tolist() == [1.0] + [0.0] * (len(moments) - 1)
    assert {name: one[0] for name, one in parts.items() if name not in ("when missing", "when: days")} == {
        name: 0.0 for name in parts if name not in ("when missing", "when: days")
    }
    assert abs(parts["when: days"][0]) < 0.01, "the median"
    np.testing.assert_allclose([parts[f"when: {part}"][1:].std() for part in ("hour", "weekday", "month")], 1)


def test_one_column_may_have_a_zone_of_its_own() -> None:
    dates = DatesConfig.parse(
        {"zone": "Europe/Berlin", "trend": "none", "columns": {"b": {"zone": "Asia/Tokyo"}}}, "prepare.dates"
    )
    assert (dates.of("a").zone, dates.of("b").zone, dates.of("b").trend) == ("Europe/Berlin", "Asia/Tokyo", "none")
    with pytest.raises(ConfigError, match=r"^prepare: dates\.zone: must be an IANA name, but is 'Europe'; write for"):
        PrepareConfig.parse({"dates": {"zone": "Europe"}}, "prepare")


def fake_holidays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of two holidays a year, in one country with one region."""

    def country_holidays(country: str, subdiv: str | None, years: list[int]) -> dict[datetime, str]:
        if (country, subdiv) not in (("DE", None), ("DE", "BY")):
            raise NotImplementedError
        return {datetime(year, *day).date(): "a day off" for year in years for day in ((1, 1), (10, 3))}  # type: ignore[misc]

    module = ModuleType("holidays")
    module.country_holidays = country_holidays  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "holidays", module)


def test_holidays_of_a_country_are_kept_with_the_encoding_for_years_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_holidays(monkeypatch)
    moments = pd.date_range("2022-01-01", "2023-12-31", freq="h")
    encoding = fitted(moments, holidays="DE", zone="Europe/Berlin")
    monkeypatch.setitem(sys.modules, "holidays", None)  # where it scores, the package is not there
    again = read_encoding("dates", json.loads(json.dumps(encoding.to_json())))
    assert again == encoding
    days = pd.DatetimeIndex(["2022-10-02 22:30", "2022-10-03 22:30", "2033-10-03", "2028-10-04"])
    assert applied(encoding, days)["when: holiday"].tolist() == [1, 0, 1, 0], "by Berlin's clocks"
    assert "holiday" in encoding.remark()


def test_a_missing_package_or_an_unknown_country_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = pd.date_range("2022-01-01", "2023-12-31")
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(ConfigError, match=r"^prepare\.dates\.holidays needs the package holidays, .* pip install holi"):
        fitted(moments, holidays="DE")
    fake_holidays(monkeypatch)
    with pytest.raises(ConfigError, match="has no Atlantis$"):
        fitted(moments, holidays="Atlantis")


def test_a_column_of_days_that_an_earlier_version_kept_is_read_as_it_was() -> None:
    values = {
        "column": "when",
        "kind": "date",
        "fill": 19000.0,
        "mean": 19000.0,
        "std": 2.0,
        "quantiles": [],
        "missing": True,
        "limits": [18990.0, 19010.0],
    }
    encoding = read_encoding("numbers", values)
    assert isinstance(encoding, Day)
    assert json.loads(json.dumps(encoding.to_json())) == values
    moments = [pd.Timestamp(0) + pd.Timedelta(days=day) for day in (19001, 19500)]
    assert [one.tolist() for one in encoding.apply(column([*moments, None]))] == [[0.5, 5.0, 0.0], [0.0, 0.0, 1.0]]
