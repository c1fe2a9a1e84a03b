"""Forecasts without a model, which any forecast must beat: the newest known value, and that of a season ago.

Hyndman and Athanasopoulos 2021, "Forecasting: Principles and Practice", section 5.2.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from headway.data.past import Past
from headway.data.split import TEST, TRAIN, Division
from headway.evaluate.baselines import Fitted
from headway.evaluate.config import NAIVE


def naive_forecasts(names: Sequence[str], division: Division, past: Past) -> dict[str, Fitted]:
    """For the test rows, in their order. A row of whose group nothing was known is given the training rows' mean."""
    if not names:
        return {}
    history, series = past.over(division.table).history, past.series
    target, line = history.values[past.target], history.lines[past.target]
    lags: dict[str, int | None] = dict(zip(NAIVE, (series.horizon, series.seasonal_lag), strict=True))
    mean, is_test = np.nanmean(target[division.parts == TRAIN]), division.parts == TEST
    groups, moments = history.groups[is_test], history.moments[is_test]
    forecasts = {}
    for name in names:
        start, lag = time.perf_counter(), lags[name]
        assert lag is not None, "the project states a season"
        values = line.at(groups, series.earlier(moments, lag))
        forecasts[name] = Fitted(np.where(np.isnan(values), mean, values), time.perf_counter() - start)
    return forecasts
