"""How important each column is to a bundle, measured on the test rows of its own store."""

from __future__ import annotations

import time

import numpy as np

from headway.data.prepared import PreparedRows, places_of
from headway.data.store import Store
from headway.evaluate.importance import RESAMPLED_SECONDS, ImportanceRequest, orders_of, permutation_importance
from headway.evaluate.resample import Units
from headway.evaluate.result import Importance
from headway.serve.bundle import Predictor

SECONDS = 3.0
"""Processor time for all columns: of a slow model or many columns, half the rows are taken until they fit. Not the clock's, with which
another process's work would decide how many rows are used."""

FEWEST_ROWS = 500
TIMED_ROWS = 2000


def importance_of(predictor: Predictor, store: Store, request: ImportanceRequest) -> Importance | None:
    """Of every column that the model sees. The store must be the one that the bundle was trained on: its rows are prepared already."""
    places = places_of(predictor.preparation)
    arrays, units = store.arrays("test"), Units.of(*store.units("test"))
    test = PreparedRows(arrays, store.ragged("test"))
    most = affordable_rows(request.rows, len(places), _seconds_a_row(predictor, test, units.rows))
    sample = units.sample(0, most)
    rows = np.arange(units.rows) if sample is None else sample
    prepared = test.take(rows)

    def shuffled(column: str, order: np.ndarray) -> np.ndarray:
        return predictor.compute(prepared.with_others_values(places[column], order))

    return permutation_importance(
        request.metric,
        np.asarray(arrays["target"][rows]),
        predictor.compute(prepared),
        shuffled,
        list(places),
        units.take(rows),
        orders_of(len(rows), most),
        of_rows=units.rows,
    )


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
