"""Which rows belong together, and how alike they are: of a training at registration, of the newest rows when they are watched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from headway.data.config import SplitConfig
from headway.data.identity import row_hashes
from headway.data.moments import moments
from headway.data.split import TEST, Division
from headway.errors import DataError, HeadwayError
from headway.watch.clusters import ROW, Correlation, Sizes, Together, bucket_of
from headway.watch.reference import Column, Reference
from headway.watch.rows import Rows

FEWEST = 10
"""Units of which the test rows must have as many to say how alike the predictions of one unit are."""

FEWEST_PERIODS = 20
"""Days, or else hours or moments, of which a training by time must have as many to say how alike the rows of one are."""


@dataclass(frozen=True)
class TestRows:
    """The predictions of the test rows as a column, and what each belongs to: the unit's name and (N,) codes."""

    __test__ = False  # no test of pytest

    predictions: pa.Array
    unit: str
    codes: np.ndarray


def relate(reference: Reference, division: Division, test: TestRows) -> Reference:
    """The reference with what it knows of rows that belong together. Passes over the rows only where there are such rows."""
    together, values = units_of(division)
    if together.name == ROW:
        return replace(reference, together=together)
    buckets, size = bucket_of(values), together.sizes.size
    clusters = {name: column.clusters() for name, column in reference.columns.items()}
    for chunk in division.table.chunks(columns=list(clusters)):
        here = buckets[chunk.start : chunk.start + chunk.batch.num_rows]
        for name, counted in clusters.items():
            counted.update(chunk.batch.column(name), here)
    columns = {
        name: replace(column, correlation=clusters[name].correlation(size))
        for name, column in reference.columns.items()
    }
    prediction = reference.prediction
    if prediction is not None:
        codes = test.codes if test.unit == together.name else values[division.parts == TEST]
        measured = _of_predictions(prediction, test.predictions, codes)
        alike = max((c.correlation for c in columns.values() if c.correlation), key=lambda c: c.mean, default=None)
        prediction = replace(prediction, correlation=measured or alike)
    return replace(reference, columns=columns, prediction=prediction, together=together)


def _of_predictions(prediction: Column, values: pa.Array, codes: np.ndarray) -> Correlation | None:
    """None where the test rows are too few units to say."""
    if len(codes) != len(values) or len(np.unique(codes)) < FEWEST:
        return None
    clusters = prediction.clusters()
    clusters.update(values, bucket_of(codes))
    return clusters.correlation(Sizes.of(codes).size)


def units_of(division: Division) -> tuple[Together, np.ndarray]:
    """What the rows of a training belong to, and the value of each row, (N,). Copies of a row do not count as related."""
    split, table = division.split, division.table
    if split.by == "time":
        name, values = _period(division.moments.values)
        note = ""
        if name == ROW:
            count = len(np.unique(division.moments.values))
            note = f"training has {count} moments of {split.column} only, so its rows count as independent"
        together = Together(name, (str(split.column),), True, split.format, replace(Sizes.of(values), note=note))
        return together, values
    by = division.identity
    named = () if by.by == "content" else by.columns
    columns = table.keys if split.by in ("files", "column") else named
    if not columns:
        return Together(), np.zeros(0, np.uint64)
    values = division.rows if columns == by.columns else row_hashes(table, columns)
    sizes = Sizes.of(values)
    name = ROW if sizes.units == sizes.rows else "group" if split.by == "group" else "key"
    return Together(name, tuple(columns), sizes=sizes), values


def _period(times: np.ndarray) -> tuple[str, np.ndarray]:
    """The longest period of which there are enough to say how they vary, and that of each row."""
    for name, values in _periods(times).items():
        if len(np.unique(values)) >= FEWEST_PERIODS:
            return name, values
    return ROW, np.arange(len(times))


def _periods(times: np.ndarray) -> dict[str, np.ndarray]:
    """By name what rows at ``times`` (N,) may belong to."""
    names: dict[str, np.ndarray] = {}
    if times.dtype.kind == "M":
        names = {"day": times.astype("datetime64[D]"), "hour": times.astype("datetime64[h]")}
    return {**names, "moment": times}


def sizes_of(rows: Rows, together: Together) -> Sizes:
    """The units of newer ``rows``: as large as in training, which is said, where the files do not tell them."""
    trained = together.sizes.size
    as_before = f"{together.name}s are taken to be as large as in training, {trained:,.1f} rows"
    shared = rows.shared
    absent = [name for name in together.columns if name not in shared]
    if absent:
        return Sizes(0, 0, trained, f"{', '.join(absent)} is not in these files, so {as_before}")
    try:
        return Sizes.of(_values(rows, together))
    except HeadwayError as error:
        return Sizes(0, 0, trained, f"the {together.name}s of these rows cannot be read ({error}), so {as_before}")


def _values(rows: Rows, together: Together) -> np.ndarray:
    if not together.by_time:
        return row_hashes(rows, together.columns)
    split = SplitConfig(by="time", column=together.columns[0], format=together.format)
    values = _periods(moments(rows, split).values).get(together.name)
    if values is None:
        raise DataError(f"{together.columns[0]} must hold dates")
    return values
