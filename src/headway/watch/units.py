"""Which rows belong together, and how alike they are: of a training at registration, of the newest rows when they are watched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from headway.data.config import SplitConfig
from headway.data.identity import row_hashes
from headway.data.moments import moments
from headway.data.periods import blocks_of, periods_of
from headway.data.split import TEST, Division
from headway.errors import DataError, HeadwayError
from headway.watch.clusters import ROW, Correlation, Sizes, Together, bucket_of
from headway.watch.reference import Column, Reference
from headway.watch.rows import Rows

FEWEST = 10
"""Least number of units in the test rows from which the likeness of a unit's predictions is measured."""

FEW = 10
"""With fewer units than this in training, small changes cannot be distinguished from chance."""


@dataclass(frozen=True)
class TestRows:
    """The predictions of the test rows as a column, and the unit of each: the unit's name and (N,) codes."""

    __test__ = False  # no test of pytest

    predictions: pa.Array
    unit: str
    codes: np.ndarray


def relate(reference: Reference, division: Division, test: TestRows | None) -> Reference:
    """The reference with its units and correlations. Passes over the rows only where rows belong together."""
    together, values = units_of(division)
    if together.name == ROW:
        return replace(reference, together=together)
    buckets, size = bucket_of(values), together.sizes.size
    clusters = {name: column.clusters() for name, column in reference.columns.items()}
    for chunk in division.table.chunks(columns=list(clusters)):
        here = buckets[chunk.start : chunk.start + chunk.batch.num_rows]
        for name, design in clusters.items():
            design.update(chunk.batch.column(name), here)
    columns = {
        name: replace(column, correlation=clusters[name].correlation(size))
        for name, column in reference.columns.items()
    }
    prediction = reference.prediction
    if prediction is not None and test is not None:
        same = test.unit == together.name and test.unit != "block"  # the test's blocks are shorter than training's
        codes = test.codes if same else values[division.parts == TEST]
        columns_with_design = _of_predictions(prediction, test.predictions, codes)
        alike = max((c.correlation for c in columns.values() if c.correlation), key=lambda c: c.mean, default=None)
        prediction = replace(prediction, correlation=columns_with_design or alike)
    return replace(reference, columns=columns, prediction=prediction, together=together)


def _of_predictions(prediction: Column, values: pa.Array, codes: np.ndarray) -> Correlation | None:
    """None where the test rows are of too few units."""
    if len(codes) != len(values) or len(np.unique(codes)) < FEWEST:
        return None
    clusters = prediction.clusters()
    clusters.update(values, bucket_of(codes))
    return clusters.correlation(Sizes.of(codes).size)


def units_of(division: Division) -> tuple[Together, np.ndarray]:
    """The units of a training's rows, and each row's value of them, (N,). Copies of a row do not count as related."""
    split, table = division.split, division.table
    if split.by == "time":
        name, values, note = periods_of(division.moments)
        sizes = Sizes.of(values)
        if sizes.units < FEW:
            count = f"{sizes.units} {name}{'' if sizes.units == 1 else 's'}"
            few = f"training has {count} of {split.column} only, so that small changes cannot be distinguished from chance"
            note = "; ".join(part for part in (few, note) if part)
        return Together(name, (str(split.column),), True, split.format, replace(sizes, note=note)), values
    by = division.identity
    key = () if by.by == "content" else by.columns
    columns = table.keys if split.by in ("files", "column") else key
    if not columns:
        return Together(), np.zeros(0, np.uint64)
    values = division.rows if columns == by.columns else row_hashes(table, columns)
    sizes = Sizes.of(values)
    name = ROW if sizes.units == sizes.rows else "group" if split.by == "group" else "key"
    return Together(name, tuple(columns), sizes=sizes), values


def sizes_of(rows: Rows, together: Together) -> Sizes:
    """The units of newer ``rows``; where the files do not tell them, as large as in training, with a note."""
    size = together.sizes.size
    as_before = f"{together.name}s are taken to be as large as in training, {size:,.1f} rows"
    common_columns = rows.common_columns
    absent = [name for name in together.columns if name not in common_columns]
    if absent:
        return Sizes(0, 0, size, f"{', '.join(absent)} is not in these files, so {as_before}")
    try:
        return Sizes.of(_values(rows, together))
    except HeadwayError as error:
        return Sizes(0, 0, size, f"the {together.name}s of these rows cannot be read ({error}), so {as_before}")


def _values(rows: Rows, together: Together) -> np.ndarray:
    if not together.by_time:
        return row_hashes(rows, together.columns)
    split = SplitConfig(by="time", column=together.columns[0], format=together.format)
    values = moments(rows, split).values
    if together.name == "block":
        return blocks_of(values, together.sizes.rows)
    if together.name == "moment":
        return values
    if values.dtype.kind != "M":
        raise DataError(f"{together.columns[0]} must hold dates")
    return values.astype("datetime64[h]" if together.name == "hour" else "datetime64[D]")
