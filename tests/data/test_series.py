"""What is known of a series beforehand, against pandas and the slow obvious version; and which tables `headway init` takes for series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from headway.data.history import Line
from headway.data.series import SeriesConfig
from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.errors import ConfigError
from headway.pipeline import runs, stages
from headway.pipeline.assessment import exam_of
from headway.project import Project, load_project
from headway.run.report import Silent

SHOPS = ("north", "south", "west")


def micros(moments: pd.DatetimeIndex | pd.Series) -> np.ndarray:
    return np.asarray(moments, "datetime64[us]")


def write(
    root: Path, table: pd.DataFrame, target: str = "y", settings: tuple[str, ...] = ()
) -> tuple[Project, tuple[str, ...]]:
    """The project that `init` drafts, and what it says."""
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / "rows.yaml").unlink(missing_ok=True)
    table.to_csv(root / "rows.csv", index=False)
    decisions = draft("rows.csv", target, None, root, Choices(settings=settings)).decisions
    return load_project("rows", root), decisions


def test_the_newest_known_value_is_that_of_the_slow_obvious_version() -> None:
    chance = np.random.default_rng(0)
    rows = 300
    moments = micros(pd.Timestamp("2024-01-01") + pd.to_timedelta(chance.integers(0, 200, rows), unit="h"))
    groups, target = chance.integers(0, 4, rows), chance.normal(size=rows)
    target[chance.random(rows) < 0.2] = np.nan
    earlier = SeriesConfig(step="1 hour").earlier(moments, 5)
    groups = groups.astype(np.uint64)
    line = Line.of(groups, moments, target)
    for row, value in enumerate(line.at(groups, earlier)):
        before = (groups == groups[row]) & (moments <= earlier[row]) & ~np.isnan(target)
        newest = before & (moments == moments[before].max()) if before.any() else before
        assert (value in target[newest]) if before.any() else np.isnan(value)
    assert np.isnan(Line.of(groups, moments, np.full(rows, np.nan)).at(groups, earlier)).all()


@pytest.mark.parametrize(
    ("step", "count", "truth"),
    [
        ("15 minutes", 2, "2024-03-31 11:30"),
        ("1 day", 7, "2024-03-24 12:00"),
        ("1 month", 12, "2023-03-31 12:00"),
        ("1 quarter", 1, "2023-12-31 12:00"),
        ("1 year", 2, "2022-03-31 12:00"),
    ],
)
def test_a_step_back_is_one_of_the_clock_or_of_the_calendar(step: str, count: int, truth: str) -> None:
    (there,) = SeriesConfig(step=step).earlier(micros(pd.DatetimeIndex(["2024-03-31 12:00"])), count)
    assert there == np.datetime64(truth)


def test_the_season_is_the_newest_one_that_is_known_at_the_horizon() -> None:
    lags = {horizon: SeriesConfig(step="1 day", season=7, horizon=horizon).seasonal_lag for horizon in (1, 7, 8, 15)}
    assert lags == {1: 7, 7: 7, 8: 14, 15: 21}


def sales(days: pd.DatetimeIndex) -> pd.DataFrame:
    """A row for each shop and day, in an order of no meaning."""
    chance = np.random.default_rng(1)
    table = pd.DataFrame([(day, shop) for day in days for shop in SHOPS], columns=["day", "shop"])
    table["y"] = table.day.dt.day_of_week * 10 + table.shop.map({"north": 0, "south": 100, "west": 200})
    table["y"] += np.round(chance.normal(size=len(table)), 3)
    return table.sample(frac=1, random_state=0)


def test_naive_forecasts_are_pandas_shifts_of_each_group_and_need_no_model(tmp_path: Path) -> None:
    table = sales(pd.date_range("2024-01-01", periods=90))
    project, decisions = write(tmp_path, table)
    assert project.data.series == SeriesConfig(groups=("shop",), step="1 day", season=7)
    assert (project.split.by, project.split.column) == ("time", "day")
    assert any(line.startswith("rows are a time series of each shop in steps of 1 day (day)") for line in decisions)
    project = load_project("rows", tmp_path, ["data.series.horizon=2"])
    run = runs.start(project, tmp_path)
    stages.validate(run, tmp_path, Silent())
    stages.prepare(run, tmp_path, Silent())
    exam = exam_of(run, project, tmp_path)
    forecasts = exam.baselines(["naive", "trivial", "seasonal_naive"])
    assert list(forecasts) == ["naive", "trivial", "seasonal_naive"]
    newest = table.sort_values("day").groupby("shop").y
    test = table.day >= table.day.sort_values().iloc[-len(exam.target)]
    np.testing.assert_allclose(exam.target, table.y[test])
    for name, lag in {"naive": 2, "seasonal_naive": 7}.items():
        np.testing.assert_allclose(forecasts[name].prediction, newest.shift(lag)[table.index][test])


def table_of(moments: pd.DatetimeIndex) -> pd.DataFrame:
    chance = np.random.default_rng(2)
    return pd.DataFrame(
        {"when": moments, "high": chance.normal(size=len(moments)), "y": chance.normal(size=len(moments))}
    )


@pytest.mark.parametrize(
    ("moments", "step", "season"),
    [
        (pd.date_range("2024-01-01", periods=400, freq="h"), "1 hour", 24),
        (pd.date_range("2024-01-01", periods=400, freq="15min"), "15 minutes", 96),
        (pd.date_range("2024-01-01", periods=150, freq="B"), "1 day", 7),
        (pd.date_range("2000-01-31", periods=120, freq="ME"), "1 month", 12),
        (pd.date_range("2000-01-01", periods=60, freq="QS"), "1 quarter", 4),
        (pd.date_range("2020-01-06", periods=60, freq="7D"), "1 week", None),
    ],
    ids=["hours", "quarters of an hour", "working days", "ends of months", "quarters", "weeks of one year"],
)
def test_rows_in_regular_steps_are_a_series_whose_newest_rows_are_the_test(
    moments: pd.DatetimeIndex, step: str, season: int | None, tmp_path: Path
) -> None:
    project, decisions = write(tmp_path, table_of(moments))
    assert project.data.series == SeriesConfig(step=step, season=season)
    assert project.split.by == "time"
    naive = [name for name in project.evaluate.baselines if "naive" in name]
    assert naive == ["naive", *(["seasonal_naive"] if season else [])]
    assert any(
        line.startswith(f"high: read {step} before") and "its newest value is not known when y is" in line
        for line in decisions
    )


def test_what_the_calendar_says_what_counts_on_and_what_a_series_always_has_is_known_beforehand(tmp_path: Path) -> None:
    table = sales(pd.date_range("2024-01-01", periods=90)).sort_values(["day", "shop"], ignore_index=True)
    chance = np.random.default_rng(6)
    table["weekday"], table["number"] = table.day.dt.day_of_week, table.index // len(SHOPS)
    table["area"] = table.shop.map({"north": 50.5, "south": 80.25, "west": 61.0})
    table["sold"] = table.y + chance.normal(0, 0.001, len(table))
    table["returned"] = chance.normal(size=len(table)).round(2)
    table["of_the_day"] = table.day.map(dict(zip(table.day.unique(), chance.normal(size=90), strict=True)))
    project, decisions = write(tmp_path, table)
    assert project.data.series is not None
    assert project.data.series.known == ("weekday", "number", "area")
    assert project.data.late == ("sold", "returned", "of_the_day")
    assert any(line.startswith("sold, returned, of_the_day: read 1 day before") for line in decisions)
    assert not project.data.ignore
    run = runs.start(project, tmp_path)
    assert stages.validate(
        run, tmp_path, Silent()
    ).passed  # what tells the target of the same moment is no leak a step later


def test_an_hour_that_the_clocks_show_twice_makes_rows_no_less_a_series(tmp_path: Path) -> None:
    clocks = pd.date_range("2024-08-01", periods=2600, freq="h", tz="UTC").tz_convert("Europe/Berlin").tz_localize(None)
    assert clocks.duplicated().sum() == 1
    project, _ = write(tmp_path, table_of(clocks))
    assert project.data.series == SeriesConfig(step="1 hour", season=24)
    project, _ = write(tmp_path, table_of(clocks.repeat(2)))
    assert project.data.series is None


def test_rows_of_chance_moments_or_of_classes_are_no_series(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    moments = pd.Timestamp("2024-01-01") + pd.to_timedelta(chance.integers(0, 10**6, 300), unit="min")
    project, _ = write(tmp_path, table_of(pd.DatetimeIndex(moments)))
    assert (project.data.series, project.split.by) == (None, "random")
    classes = table_of(pd.date_range("2024-01-01", periods=300, freq="h"))
    project, _ = write(tmp_path, classes.assign(y=np.where(classes.y > 0, "up", "down")))
    assert (project.data.series, project.split.by) == (None, "stratified")


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        ("split.by=random", r"split\.by must be time for data\.series, but is random"),
        ("data.series=null", r"evaluate\.baselines must leave naive out, or data\.series must be given"),
        ("data.series.season=null", r"evaluate\.baselines must leave seasonal_naive out, or data\.series\.season must"),
        ("split.column=high", r"split\.column must be a feature of type date for data\.series, but high is numeric"),
        ("split.column=row", r"split\.column must be a feature of type date for data\.series, but row is none"),
        ("data.series.lags=[1, 0]", r"data\.series: lags must be at least the horizon, 1, but one is 0"),
        ("data.series.windows=[7, 7]", r"data\.series: windows must differ, but are 7, 7"),
        ("data.series.known=[hihg]", r"data\.series\.known must name features, but hihg is none; did you mean high\?"),
        ("data.series.step=1 fortnight", r"data\.series\.step: must be a number and one of second, .* write 1 hour"),
    ],
)
def test_a_series_that_cannot_be_forecast_is_one_line(setting: str, refusal: str, tmp_path: Path) -> None:
    write(tmp_path, table_of(pd.date_range("2024-01-01", periods=200, freq="h")))
    with pytest.raises(ConfigError, match=refusal) as error:
        load_project("rows", tmp_path, [setting])
    assert "\n" not in str(error.value)


def test_a_wave_of_the_day_is_learnt_from_the_moments_alone_and_the_baselines_learn_it_too(tmp_path: Path) -> None:
    chance, moments = np.random.default_rng(4), pd.Series(pd.date_range("2024-01-01", periods=2000, freq="h"))
    wave = 1000 + 800 * np.sin(2 * np.pi * moments.dt.hour / 24)
    table = pd.DataFrame({"when": moments, "temp": chance.normal(size=2000), "y": wave + chance.normal(0, 60, 2000)})
    write(tmp_path, table)
    project = load_project("rows", tmp_path, ["evaluate.slices=['when: weekday']"])
    run = runs.start(project, tmp_path)
    stages.validate(run, tmp_path, Silent())
    stages.prepare(run, tmp_path, Silent())
    exam = exam_of(run, project, tmp_path)
    forecasts = exam.baselines(["linear", "boosting", "naive"])
    newest = table[-len(exam.target) :]
    np.testing.assert_array_equal(exam.slices["when: weekday"], newest.when.dt.day_of_week)
    r2 = {name: r2_score(exam.target, forecast.prediction) for name, forecast in forecasts.items()}
    assert min(r2["linear"], r2["boosting"]) > 0.97 > r2["naive"]


@pytest.mark.parametrize(
    ("frequency", "step"), [("ME", "1 month"), ("BME", "1 month"), ("MS", "1 month"), ("QE", "3 month")]
)
def test_the_end_of_a_month_follows_the_end_of_the_month_before(frequency: str, step: str) -> None:
    moments = pd.date_range("2015-01-01", periods=60, freq=frequency).to_numpy().astype("datetime64[us]")
    for steps in (1, 2, 12):
        newest = np.searchsorted(moments, SeriesConfig(step=step).earlier(moments[steps:], steps), side="right") - 1
        assert newest.tolist() == list(range(60 - steps))


def test_settings_of_a_series_may_be_given_to_init(tmp_path: Path) -> None:
    moments = pd.date_range("2024-01-01", periods=400, freq="h")
    settings = ("data.series.horizon=24", "data.series.lags=[24, 48]")
    project, _ = write(tmp_path, table_of(moments), settings=settings)
    assert project.data.series is not None
    assert (project.data.series.horizon, project.data.series.lags) == (24, (24, 48))
