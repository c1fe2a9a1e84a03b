"""One conversion for training, batch scoring and serving: whatever a file or frame holds, to the type of its kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

import pyarrow as pa

from headway.columns import Kind, column_type
from headway.columns.codes import by_value, is_coded
from headway.columns.values import Place, plain
from headway.columns.written import Written, read_written


def canonical(
    batch: pa.RecordBatch,
    kinds: Mapping[str, Kind],
    where: str,
    start: int = 0,
    date_format: str | None = None,
    lenient: Collection[str] = (),
    written: Mapping[str, Written] = MappingProxyType({}),
    codes: bool = False,
) -> pa.RecordBatch:
    """The columns of ``kinds`` in canonical types; ``start`` is the number of the first row, for messages.

    ``lenient``: columns whose taker reads NaN as null, or respells what it does not know, by itself; looking takes a tenth of the time
    of predicting. ``written``: how columns are written that are not written plainly. ``codes``: texts that are codes in ``batch`` may
    stay codes, as `headway.columns.codes` has them. Whether a value is taken, and for what, depends on nothing but the value.

    Raises DataError naming ``where``, the column, the rule, how many rows break it and the first of them.
    """
    arrays = []
    for name, kind in kinds.items():
        column, place = batch.column(name), Place(name, where, start)

        def convert(values: pa.Array, name: str = name, kind: Kind = kind, place: Place = place) -> pa.Array:
            if name in written:
                values = read_written(values, written[name], place)
            return column_type(kind).canonical(values, place, date_format, look=name not in lenient)

        arrays.append(by_value(column, convert) if codes and is_coded(column) else convert(plain(column)))
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))
