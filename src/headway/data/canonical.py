"""One conversion for training, batch scoring and serving: whatever a file or frame holds, to the type of its kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa

from headway.columns import Kind, column_type
from headway.columns.values import Place, plain


def canonical(
    batch: pa.RecordBatch,
    kinds: Mapping[str, Kind],
    where: str,
    start: int = 0,
    date_format: str | None = None,
    lenient: Collection[str] = (),
) -> pa.RecordBatch:
    """The columns of ``kinds`` in canonical types; ``start`` is the number of the first row, for messages.

    ``lenient``: columns whose taker reads NaN as null, or respells what it does not know, by itself; looking takes a tenth of the time
    of predicting. Raises DataError naming ``where``, the column, the rule, how many rows break it and the first of them. Whether a value
    is taken, and for what, depends on nothing but the value.
    """
    arrays = [
        column_type(kind).canonical(
            plain(batch.column(name)), Place(name, where, start), date_format, look=name not in lenient
        )
        for name, kind in kinds.items()
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(kinds))
