"""Forecasts without a model, which any forecast must beat: the newest known value, and that of a season ago.

Hyndman and Athanasopoulos 2021, "Forecasting: Principles and Practice", section 5.2.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from headway.data.history import History
from headway.data.series import SeriesConfig
from headway.data.split import TEST, TRAIN, Division
from headway.evaluate.baselines import Fitted
from headway.evaluate.config import NAIVE


def naive_forecasts(names: Sequence[str], division: Division, series: SeriesConfig) -> dict[str, Fitted]:
    """For the test rows, in their order. A row of whose group nothing was known is given the training rows' mean."""
    if not names:
        return {}
    history = History.of(division, series)
    lags: dict[str, int | None] = dict(zip(NAIVE, (series.horizon, series.seasonal_lag), strict=True))
    mean = np.nanmean(history.target[division.parts == TRAIN])
    forecasts = {}
    for name in names:
        start, lag = time.perf_counter(), lags[name]
        assert lag is not None, "the project states a season"
        values = history.at(series.earlier(history.moments, lag))[division.parts == TEST]
        forecasts[name] = Fitted(np.where(np.isnan(values), mean, values), time.perf_counter() - start)
    return forecasts
