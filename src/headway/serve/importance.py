"""How important each column is to a bundle, measured on the test rows of its own store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from headway.data.prepared_rows import Places, PreparedRows, places_of
from headway.data.store import Store
from headway.evaluate.importance import RESAMPLED_SECONDS, ImportanceRequest, orders_of, permutation_importance
from headway.evaluate.resample import Units
from headway.evaluate.result import Importance
from headway.serve.bundle import Predictor

SECONDS = 3.0
"""Processor time for all columns: of a slow model or many columns, half the rows are taken until they fit. Not the clock's, with which
another process's work would decide how many rows are used."""

FEWEST_ROWS = 500
MOST_COLUMNS = 200
"""Columns at most that are shuffled: of 20,000, each predicted once more, the evaluation would take a quarter of an hour."""
TIMED_ROWS = 2000


def importance_of(predictor: Predictor, store: Store, request: ImportanceRequest) -> Importance | None:
    """Of every column that the model sees. The store must be the one that the bundle was trained on: its rows are prepared already."""
    places = places_of(predictor.preparation)
    arrays, units = store.arrays("test"), Units.of(*store.units("test"))
    test = PreparedRows(arrays, store.ragged("test"))
    most = affordable_rows(request.rows, min(len(places), MOST_COLUMNS), _seconds_a_row(predictor, test, units.rows))
    sample = units.sample(0, most)
    rows = np.arange(units.rows) if sample is None else sample
    prepared = test.take(rows)
    prediction = predictor.compute(prepared)
    columns = columns_to_shuffle(places, prepared, prediction)

    def shuffled(column: str, order: np.ndarray) -> np.ndarray:
        return predictor.compute(prepared.with_others_values(places[column], order))

    importance = permutation_importance(
        request.metric,
        np.asarray(arrays["target"][rows]),
        prediction,
        shuffled,
        columns,
        units.take(rows),
        orders_of(len(rows), most),
        of_rows=units.rows,
    )
    if importance is None or len(columns) == len(places):
        return importance
    which = f"measured for the {len(columns):,} of {len(places):,} columns that explain most of the predictions"
    return replace(importance, text=f"{importance.text}; {which}")


def columns_to_shuffle(
    places: Mapping[str, Places], rows: PreparedRows, prediction: np.ndarray, most: int = MOST_COLUMNS
) -> list[str]:
    """All columns, or ``most`` of them: those whose values tell most of the prediction (N,) or (N, K) on these rows.

    By the share of its variance that a straight line of a number, or the mean of each category, explains.
    """
    if len(places) <= most:
        return list(places)
    each = prediction.reshape(len(prediction), -1).astype(np.float64)
    score = each[:, np.argmax(each.std(0))]
    score = (score - score.mean()) / (score.std() or 1.0)
    numeric = np.concatenate([_explained(rows.arrays["numeric"][:, i], score) for i in _blocks(rows.arrays["numeric"])])
    codes = rows.arrays["categorical"].T
    categorical = [float((np.bincount(one, score) ** 2 / np.maximum(np.bincount(one), 1)).sum()) for one in codes]
    shares = [*numeric, *(share / len(score) for share in categorical)]

    def share(column: str) -> float:
        place = places[column]
        if place.ragged:
            return 1.0
        own = [*place.numeric, *(len(numeric) + i for i in place.categorical)]
        return max((shares[i] for i in own), default=0.0)

    names = set(sorted(places, key=lambda column: -share(column))[:most])
    return [column for column in places if column in names]


def _blocks(values: np.ndarray) -> list[slice]:
    """A thousand columns at once, at least one block."""
    return [slice(start, start + 1000) for start in range(0, max(values.shape[1], 1), 1000)]


def _explained(values: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(F,) squared correlations of columns (N, F) with a score (N,) of mean 0 and variance 1."""
    apart = values - values.mean(0, dtype=np.float64)
    spread = np.sqrt((apart**2).mean(0))
    return np.divide(score @ apart / len(score), spread, out=np.zeros(len(spread)), where=spread > 0) ** 2


def affordable_rows(most: int, columns: int, seconds_a_row: float) -> int:
    """So many test rows at most, or a half, a quarter ... of them, which can be predicted once for each column within the time."""
    rows = most
    while rows // 2 >= FEWEST_ROWS and columns * rows * (seconds_a_row + RESAMPLED_SECONDS) > SECONDS:
        rows //= 2
    return rows


def _seconds_a_row(predictor: Predictor, test: PreparedRows, rows: int) -> float:
    """Processor time."""
    some = test.take(np.arange(min(rows, TIMED_ROWS)))
    predictor.compute(some)  # the first time takes longer
    start = time.process_time()
    predictor.compute(some)
    return (time.process_time() - start) / min(rows, TIMED_ROWS)
