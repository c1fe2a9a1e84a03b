"""Columns of texts as codes of their different values, so that what is done with a text is done once, not once a row.

Codes are always those of the texts themselves, as Arrow's `dictionary_encode` numbers them: by the first row of each text, every text once,
none that does not occur. So nothing depends on how a file happens to hold its texts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from headway.columns.values import family, plain
from headway.errors import DataError

HEAD = 4096
"""Rows in which few texts all occur, so that no others need be looked at for their order."""

FEWEST_ROWS = 2
"""With fewer rows than this for each different text, the texts themselves are less work."""


def is_coded(column: pa.Array) -> bool:
    """Whether a column holds codes of texts."""
    return pa.types.is_dictionary(column.type) and family(column.type) == "text"


def encoded(column: pa.Array) -> pa.DictionaryArray:
    """Texts, or codes of texts, as codes; some of the texts that codes are of may not occur."""
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def in_order(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Codes of texts, numbered anew by the first row of each."""
    if column.dictionary.null_count:
        return plain(column).dictionary_encode()
    codes, texts = column.indices, column.dictionary
    first = codes.slice(0, HEAD).dictionary_encode()
    if len(first.dictionary) < len(texts) or codes.null_count:
        again = codes.dictionary_encode()
        return pa.DictionaryArray.from_arrays(again.indices, texts.take(again.dictionary))
    numbers = np.empty(len(texts), np.int32)  # all occur in the first rows, which tell their order
    numbers[first.dictionary] = np.arange(len(texts), dtype=np.int32)
    again = numbers[codes.to_numpy(zero_copy_only=False)]
    return pa.DictionaryArray.from_arrays(pa.array(again), texts.take(first.dictionary))


def numbered_anew(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Some rows of a batch, with codes for the texts of these rows alone."""
    columns = [in_order(column) if is_coded(column) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def by_value(column: pa.DictionaryArray, convert: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """What ``convert`` makes of the texts that are coded, each converted once. Where it makes texts of them, they are codes again, unless
    most rows differ.

    ``convert`` takes plain texts and gives one value for each, that depends on nothing but the text. Its DataError is that of the rows.
    """
    column = in_order(column)
    if len(column) < FEWEST_ROWS * len(column.dictionary):
        return convert(plain(column))
    try:
        values = convert(plain(column.dictionary))
    except DataError:  # which shall name rows, not texts
        return convert(plain(column))
    return _recoded(column.indices, values) if pa.types.is_string(values.type) else values.take(column.indices)


def _recoded(codes: pa.Array, values: pa.Array) -> pa.DictionaryArray:
    """Codes of ``values``, some of which may be equal, or null."""
    different = values.dictionary_encode()
    if len(different.dictionary) < len(values):
        codes = different.indices.take(codes)
    return pa.DictionaryArray.from_arrays(codes, different.dictionary)


def decoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with their texts written out."""
    if not any(pa.types.is_dictionary(column.type) for column in batch.columns):
        return batch
    return pa.RecordBatch.from_arrays([written_out(column) for column in batch.columns], names=batch.schema.names)


def written_out(column: pa.Array) -> pa.Array:
    """Texts that may be codes as texts."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
