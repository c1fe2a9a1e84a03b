"""The past of rows of time series: against pandas, without a leak from the future, and from a kept history as from all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.data.past import Earlier, Past
from headway.data.series import SeriesConfig

HORIZON = 3


def past_of(**settings: object) -> Past:
    options = {"groups": ("shop",), "step": "1 day", "horizon": HORIZON, "lags": (3, 7), "windows": (4,), **settings}
    return Past(SeriesConfig.model_validate(options), "day", "y", {"day": "date", "shop": "categorical"}, ("price",))


def sales(days: int = 40, shops: str = "abc") -> pd.DataFrame:
    """A row for each day and shop, in an order of no meaning."""
    chance = np.random.default_rng(0)
    dates = pd.date_range("2024-01-01", periods=days).astype("datetime64[us]")
    table = pd.DataFrame([(day, shop) for day in dates for shop in shops], columns=["day", "shop"])
    table["y"], table["price"] = chance.normal(size=(2, len(table)))
    return table.sample(frac=1, random_state=1, ignore_index=True)


def batch_of(table: pd.DataFrame) -> pa.RecordBatch:
    return pa.RecordBatch.from_pandas(table.astype({"shop": object}), preserve_index=False)


def past_columns(past: Past, table: pd.DataFrame, history: pd.DataFrame | None = None) -> pd.DataFrame:
    """The columns of the past of the rows ``table``, where ``history`` is what came before."""
    earlier = Earlier.of(past, [batch_of(table if history is None else history)])
    return earlier.extended(batch_of(table)).to_pandas()[list(past.names)]


def test_lags_and_windows_of_whole_series_are_those_of_pandas() -> None:
    table, past = sales(), past_of()
    ordered = table.sort_values("day").groupby("shop")
    windows = ordered.y.transform(lambda y: y.shift(HORIZON).rolling(4).mean())
    truth = {
        "y 3 days before": ordered.y.shift(3),
        "y 7 days before": ordered.y.shift(7),
        "price 3 days before": ordered.price.shift(3),
        "y mean of 4 until 3 days before": windows,
        "y std of 4 until 3 days before": ordered.y.transform(lambda y: y.shift(HORIZON).rolling(4).std()),
        "y min of 4 until 3 days before": ordered.y.transform(lambda y: y.shift(HORIZON).rolling(4).min()),
        "y max of 4 until 3 days before": ordered.y.transform(lambda y: y.shift(HORIZON).rolling(4).max()),
    }
    answer = past_columns(past, table)
    assert list(answer) == list(truth)
    for name, column in truth.items():
        np.testing.assert_allclose(answer[name], column.reindex(table.index), rtol=1e-12, err_msg=name)


def slow(table: pd.DataFrame, row: int, lag: int, patience: int = 7) -> float:
    """The newest value at a moment, by looking at every row."""
    moment = table.day[row] - pd.Timedelta(days=lag)
    own = table[(table.shop == table.shop[row]) & table.y.notna() & (table.day <= moment)]
    own = own[own.day >= moment - pd.Timedelta(days=patience)]
    return float("nan") if own.empty else own.loc[own.day.idxmax(), "y"]


def test_in_a_gap_the_newest_known_value_counts_until_it_is_too_old() -> None:
    table = sales()
    table.loc[np.random.default_rng(3).random(len(table)) < 0.3, "y"] = np.nan
    days = table.day - pd.Timestamp("2024-01-01")
    table = table[~((table.shop == "a") & days.between("12 days", "25 days"))].reset_index(drop=True)
    answer = past_columns(past_of(), table)
    for lag in (3, 7):
        truth = [slow(table, row, lag) for row in table.index]
        np.testing.assert_array_equal(answer[f"y {lag} days before"], truth)
        assert np.isnan(answer.loc[table.day > "2024-01-12", f"y {lag} days before"]).any()


def test_no_target_newer_than_the_horizon_changes_what_a_row_is_given() -> None:
    table, past = sales(), past_of(lags=None, windows=None)
    before, row = past_columns(past, table), table.index[(table.day == "2024-02-05") & (table.shop == "b")][0]
    unknown = table.day > table.day[row] - pd.Timedelta(days=HORIZON)
    changed = table.assign(y=np.where(unknown, 1e6, table.y), price=np.where(unknown, 1e6, table.price))
    pd.testing.assert_series_equal(past_columns(past, changed).loc[row], before.loc[row])
    newest_known = changed.assign(y=np.where(table.day >= table.day[row] - pd.Timedelta(days=HORIZON), 1e6, table.y))
    assert (past_columns(past, newest_known).loc[row] != before.loc[row]).sum() > 3


@pytest.mark.parametrize("gaps", [0.0, 0.3], ids=["whole", "with gaps"])
def test_rows_that_follow_have_the_same_past_from_the_kept_history_as_from_all_rows(
    gaps: float, tmp_path: Path
) -> None:
    table, past = sales(60, "abcd"), past_of(lags=None, windows=None)
    table = table[np.random.default_rng(4).random(len(table)) >= gaps].reset_index(drop=True)
    whole = past_columns(past, table)
    is_new = table.day > "2024-02-10"
    old = Earlier.of(past, [batch_of(table[~is_new])])
    old.write(tmp_path)
    earlier = Earlier.read(past, tmp_path)
    if not gaps:
        assert len(earlier.history.moments) < (~is_new).sum()
    later = batch_of(table[is_new])
    answer = earlier.followed_by(past.rows(later)).extended(later).to_pandas()[list(past.names)]
    pd.testing.assert_frame_equal(answer, whole[is_new].reset_index(drop=True), check_exact=True)


def test_rows_that_come_again_count_once_and_what_they_say_of_a_moment_holds() -> None:
    table, past = sales(), past_of()
    earlier = Earlier.of(past, [batch_of(table)])
    again = table.assign(y=np.where(table.day < "2024-01-20", table.y + 1, np.nan))
    answer = earlier.followed_by(past.rows(batch_of(again))).extended(batch_of(table)).to_pandas()
    corrected = table.assign(y=again.y.fillna(table.y))
    pd.testing.assert_frame_equal(answer[list(past.names)], past_columns(past, corrected))


def test_a_series_seen_first_a_row_without_a_moment_and_a_horizon_beyond_all_rows_have_no_past() -> None:
    table, past = sales(), past_of()
    strange = table.head(6).assign(shop="new", y=np.nan, day=pd.Timestamp("2024-02-10").as_unit("us"))
    assert past_columns(past, strange, history=table).isna().all(axis=None)
    timeless = table.head(6).assign(day=pd.Series(pd.NaT, range(6), dtype="datetime64[us]"))
    assert past_columns(past, timeless, history=table).isna().all(axis=None)
    assert past_columns(past_of(horizon=50, lags=None, windows=None), table).isna().all(axis=None)
    assert past_columns(past, table.head(3), history=table.head(0)).isna().all(axis=None)


def test_moments_that_occur_twice_are_taken_in_the_order_of_the_rows() -> None:
    table = sales(30, "a").sort_values("day", ignore_index=True)
    table = pd.concat([table, table.iloc[[10]].assign(y=5.0)], ignore_index=True)
    answer = past_columns(past_of(), table).set_axis(table.day)
    assert answer.loc["2024-01-14", "y 3 days before"] == 5.0
    newest = [table.y[8], table.y[9], table.y[10], 5.0]
    assert answer.loc["2024-01-14", "y mean of 4 until 3 days before"] == pytest.approx(np.mean(newest))


@pytest.mark.parametrize(
    ("settings", "lags", "windows"),
    [
        ({"step": "1 day", "season": 7}, (1, 2, 3, 7, 14), (7, 28)),
        ({"step": "1 hour", "season": 24, "horizon": 24}, (24, 25, 26, 48, 168, 336), (24, 168)),
        ({"step": "1 month", "season": 12, "horizon": 2}, (2, 3, 4, 12, 24), (12,)),
        ({"step": "1 week"}, (1, 2, 3), (7, 28)),
        ({"step": "1 week", "lags": [], "windows": [5]}, (), (5,)),
    ],
)
def test_lags_and_windows_follow_from_horizon_and_season_where_they_are_not_stated(
    settings: dict[str, object], lags: tuple[int, ...], windows: tuple[int, ...]
) -> None:
    series = SeriesConfig.model_validate(settings)
    assert (series.usual_lags, series.usual_windows) == (lags, windows)
