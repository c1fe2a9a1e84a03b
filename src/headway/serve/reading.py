"""Rows to predict from a file, a request or a pandas frame, read as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns import Kind, column_type
from headway.columns.spelling import spell_value
from headway.columns.values import as_read, family
from headway.data.canonical import canonical
from headway.data.prepare import Preparation
from headway.data.records import name_in_line
from headway.errors import DataError

WHERE = "rows to predict"
MOST_NAMED = 30
"""As many missing columns are named."""


def canonical_rows(preparation: Preparation, rows: pd.DataFrame | pa.RecordBatch) -> pa.RecordBatch:
    """The columns that ``preparation`` needs, in canonical types. Raises DataError as `Predictor.predict` does."""
    kinds, rows = preparation.kinds, composed(preparation, rows)
    have = list(rows.columns if isinstance(rows, pd.DataFrame) else rows.schema.names)
    refuse_missing(_of_files(preparation, preparation.needed, have), have)
    read = dict.fromkeys(_of_files(preparation, [*preparation.needed, *preparation.observed], have))
    twice = [name for name in read if have.count(name) > 1] if len(set(have)) < len(have) else []
    if twice:
        raise DataError(f"{WHERE}: column names must differ, but {name_in_line(twice[0])} occurs more than once")
    columns = {
        name: arrow_column(rows[name], name) if isinstance(rows, pd.DataFrame) else rows.column(name) for name in kinds
    }
    arrays = [read_column(preparation, kind, columns[name]) for name, kind in kinds.items()]
    batch = pa.RecordBatch.from_arrays(arrays, names=list(kinds))
    form, written = preparation.date_format, preparation.written
    batch = canonical(batch, kinds, WHERE, date_format=form, lenient=preparation.lenient, written=written)
    for encoding in preparation.columns:
        name = encoding.column
        if name not in kinds:
            continue  # of the past
        column = batch.column(name)
        respelled = encoding.respelled(column, partial(_holds_numbers, rows, columns, name))
        if respelled is not column:
            batch = batch.set_column(batch.schema.get_field_index(name), name, respelled)
    return batch


def composed(preparation: Preparation, rows: pd.DataFrame | pa.RecordBatch) -> pd.DataFrame | pa.RecordBatch:
    """Rows with the columns that training made of several, where they have all of these once. Raises DataError as `Predictor.predict`."""
    composition = preparation.composition
    if not isinstance(rows, pd.DataFrame):
        return composition.extended(rows) if len(set(rows.schema.names)) == rows.num_columns else rows
    sources = [name for name in composition.sources([*composition.columns]) if list(rows.columns).count(name) == 1]
    if not sources:
        return rows
    batch = composition.extended(pa.RecordBatch.from_arrays([arrow_column(rows[n], n) for n in sources], names=sources))
    further = [name for name in batch.schema.names if name not in rows.columns]
    return rows.assign(**{name: batch.column(name).to_pandas().to_numpy() for name in further})


def _of_files(preparation: Preparation, names: Sequence[str], have: Sequence[Any]) -> list[str]:
    """These columns, in place of one that is not there those that it is made of."""
    there, composition = set(have), preparation.composition
    return list(
        dict.fromkeys(one for name in names for one in ([name] if name in there else composition.sources([name])))
    )


def _holds_numbers(rows: pd.DataFrame | pa.RecordBatch, columns: Mapping[str, pa.Array], name: str) -> bool:
    """Whether a column has numbers: by its type, or because a frame's objects are not only texts."""
    if family(columns[name].type) == "a number":
        return True
    frame = isinstance(rows, pd.DataFrame) and rows[name].dtype == object
    return frame and pd.api.types.infer_dtype(rows[name], skipna=True).startswith("mixed")


def refuse_missing(names: list[str], have: list[Any]) -> None:
    """Raises DataError when a column that is ``needed`` is not there."""
    there = set(have)
    missing = [name for name in names if name not in there]
    if missing:
        first = f"{', '.join(map(name_in_line, have[:8]))}{' ...' if len(have) > 8 else ''}" if have else "none"
        raise DataError(f"{WHERE} must have {columns_in_line(missing)}, but they have {first}")


def columns_in_line(names: Sequence[str]) -> str:
    """All of them, up to a number that fits a line."""
    first = ", ".join(map(name_in_line, names[:MOST_NAMED]))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"the column{'s' if len(names) > 1 else ''} {first}{more}"


def read_column(preparation: Preparation, kind: Kind, column: pa.Array) -> pa.Array:
    """One column as the training's reader would give it: words for null as null, spaces stripped as there."""
    if pa.types.is_primitive(column.type):
        return column
    if not preparation.null_is_value:
        return as_read(column, preparation.strip, preparation.null_values)
    if column_type(kind).any_text:
        return column  # a category may be called None; its encoding knows what is null
    return as_read(column, True, preparation.null_values)


def arrow_column(column: pd.Series, name: str) -> pa.Array:
    """A pandas column as Arrow; NaN and None are null. Raises DataError for values that no column type holds."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    try:
        array = pa.Array.from_pandas(column)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        array = _as_texts(column, name)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_nested(array.type):
        raise _not_single(name, array.type)
    return array


def _as_texts(column: pd.Series, name: str) -> pa.Array:
    """Values of more than one type: each one's text."""
    values = list(column.astype(object))
    if any(isinstance(value, (list, tuple, dict, set, np.ndarray)) for value in values):
        raise _not_single(name, "lists")
    try:
        return pa.array([None if pd.isna(value) else spell_value(value) for value in values], pa.string())
    except UnicodeEncodeError:
        raise DataError(
            f"{WHERE}: column {name_in_line(name)} must hold text, but one value holds half a character"
        ) from None
    except ValueError as error:  # a whole number of more digits than Python writes out
        raise DataError(
            f"{WHERE}: column {name_in_line(name)} must hold values that can be written, but: {error}"
        ) from None


def _not_single(name: str, what: object) -> DataError:
    return DataError(f"{WHERE}: column {name_in_line(name)} must hold single values, but it holds {what}")


UNPREDICTED = (
    "the prediction must be a finite number, but is not: one of the row's values is too far from the training data"
)


def unpredicted(predictions: np.ndarray) -> np.ndarray:
    """(N,) bool: the rows whose prediction is no finite number."""
    return np.asarray(~np.isfinite(predictions).all(tuple(range(1, predictions.ndim))))


def refuse_unpredicted(predictions: np.ndarray) -> None:
    """Raises DataError, naming the first, where a row's prediction is no finite number."""
    rows = np.flatnonzero(unpredicted(predictions))
    if len(rows):
        raise DataError(f"{WHERE}: row {rows[0] + 1}: {UNPREDICTED}")
