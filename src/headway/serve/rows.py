"""Rows to score: whether a model can predict them, and which it cannot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.base import Encoding
from headway.columns.values import BadValues, infinite
from headway.data.arriving import Input, empty
from headway.data.canonical import canonical
from headway.data.prepare import Preparation
from headway.errors import DataError
from headway.serve.reading import WHERE, canonical_rows, read_column


def refuse_unfit(file: Input, preparation: Preparation, keys: Sequence[str]) -> None:
    """Raises DataError when a file lacks a column, or has one of a type that no value of its kind can come from.

    A missing column concerns the whole file, not single rows: it is another file, or of another version.
    """
    schema = file.schema()
    twice = sorted({c for c in schema.names if schema.names.count(c) > 1})
    if twice:
        raise DataError(f"{file.name}: column names must differ, but {', '.join(twice)} occurs more than once")
    for key in keys:
        lacking = [one for one in preparation.composition.sources([key]) if one not in schema.names]
        if key not in schema.names and lacking:
            raise DataError(f"{file.name}: rows to predict must have the key column {lacking[0]}, but it is missing")
    try:
        canonical_rows(preparation, empty(schema))
    except DataError as error:
        raise DataError(f"{file.name}: {error}") from None


def sift(preparation: Preparation, batch: pa.RecordBatch) -> dict[int, str]:
    """The rows (numbered from 0) that break the schema, each with the reason.

    The preparation's own rules are applied column by column. A column may break several, as one with a word and an infinity does.
    """
    reasons: dict[int, str] = {}
    encodings = {encoding.column: encoding for encoding in preparation.columns}
    for name, kind in preparation.kinds.items():
        refused = np.zeros(batch.num_rows, bool)
        column = read_column(preparation, kind, batch.column(name))
        rest = column
        while (error := _problem(preparation, name, encodings.get(name), rest)) is not None and (
            error.bad & ~refused
        ).any():
            for row in np.flatnonzero(error.bad & ~refused).tolist():
                text = f"{name} must be {error.rule}, but is {str(column[row].as_py())[:80]!r}"
                reasons[row] = f"{reasons[row]}; {text}" if row in reasons else text
            refused |= error.bad
            rest = pc.if_else(pa.array(refused), pa.scalar(None, column.type), column)
    return reasons


def _problem(preparation: Preparation, name: str, encoding: Encoding | None, column: pa.Array) -> BadValues | None:
    """The first rule that values break."""
    one = pa.RecordBatch.from_arrays([column], names=[name])
    form, written = preparation.date_format, preparation.written
    try:
        values = canonical(one, {name: preparation.kinds[name]}, WHERE, date_format=form, written=written).column(name)
    except BadValues as bad:
        return bad
    error = infinite(values.to_numpy(zero_copy_only=False), name, WHERE) if pa.types.is_floating(values.type) else None
    return error or (None if encoding is None else encoding.unfit(values, WHERE))
