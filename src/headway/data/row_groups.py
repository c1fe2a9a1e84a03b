"""The rows of a Parquet file, in blocks that do not depend on its row groups; texts as the codes that the file has for them.

A file has a dictionary of a column's texts in each row group, unless most of them differ. Reading its codes is less work than reading the
texts, and all that is done with a text afterwards is done once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headway.columns.codes import is_coded
from headway.columns.values import family
from headway.data.files import first_line
from headway.errors import DataError

TEXT_BYTES = 1 << 26
"""The texts of a block, written out, are no more than this, or one row. Which rows are a block follows from the rows alone, not from how
the file holds them, since summaries of other blocks differ by rounding."""

WRITERS = ("parquet-cpp", "parquet-mr", "parquet-rs", "DuckDB")
"""Programs that look each text up in a hash map, so that a dictionary has it once. Of another's, which has a text twice, Arrow would give
wrong codes: it leaves out the second one and counts on."""

CODE_BYTES = 3
"""More than a code takes in a file."""

DICTIONARY_BYTES = 1 << 20
"""The room of a dictionary at which most writers stop, and write the rest of the texts as they are."""

BUFFERS_BYTES = 1 << 24
"""Of all columns together, read ahead of the rows that are decoded. Arrow's default reads the whole file ahead and keeps it all."""

LEAST_BUFFER_BYTES, MOST_BUFFER_BYTES = 1 << 14, 1 << 20
"""Of one column."""

AHEAD_BYTES = 1 << 28
"""Row groups up to this size are read by few large requests where the file is on another machine."""

LOOKS = 10_000
"""Parts of a file (a column's of a row group) whose description is read, at 2 µs each."""


def parquet_batches(
    stream: IO[bytes],
    columns: Sequence[str] | None,
    rows: int,
    codes: Collection[str],
    name: str,
    is_local: bool = True,
) -> Iterator[pa.RecordBatch]:
    """All rows, ``rows`` at a time: fewer at the end, and where texts are long. Texts in the columns ``codes`` may come as a dictionary.

    ``is_local``: a request for a few bytes costs nothing.

    Raises DataError, which names the row group, where one cannot be read.
    """
    with pq.ParquetFile(stream) as plain:
        texts = _Texts.of(plain.metadata, columns)
        coded = texts.coded(codes) if str(plain.metadata.created_by).startswith(WRITERS) else []
        step = min(rows, texts.rows_in(TEXT_BYTES))
        names, count = None if columns is None else list(columns), 0
        ahead = _Ahead.of(plain.metadata, names, is_local)
        parquet = pq.ParquetFile(
            stream,
            metadata=plain.metadata,
            read_dictionary=coded,
            pre_buffer=ahead.groups is not None,
            buffer_size=ahead.buffer,
        )
        batches = chain.from_iterable(
            parquet.iter_batches(batch_size=step, columns=names, row_groups=groups) for groups in ahead.groups or [None]
        )
        try:
            for batch in even(map(sound, batches), rows):
                yield batch
                count += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise _broken_group(parquet, names, count, name) or error from None


@dataclass(frozen=True)
class _Texts:
    """What a file says of its columns of texts: the parts of each, one for each row group that is looked at."""

    parts: dict[str, list[pq.ColumnChunkMetaData]]

    @classmethod
    def of(cls, metadata: pq.FileMetaData, columns: Sequence[str] | None) -> _Texts:
        columns_needed = None if columns is None else set(columns)
        every = [(number, metadata.schema.column(number)) for number in range(metadata.num_columns)]
        numbers = {
            one.path: number
            for number, one in every
            if one.physical_type == "BYTE_ARRAY" and (columns_needed is None or one.path in columns_needed)
        }
        groups = range(0, metadata.num_row_groups, 1 + metadata.num_row_groups * len(numbers) // LOOKS)
        some = [metadata.row_group(group) for group in groups] if numbers else []
        return cls({path: [group.column(number) for group in some] for path, number in numbers.items()})

    def coded(self, names: Collection[str]) -> list[str]:
        """The columns of ``names`` that have codes in the file, of texts that are far fewer than the rows."""
        return [name for name in names if name in self.parts and _has_codes(self.parts[name])]

    def rows_in(self, size: int) -> int:
        """How many rows have texts of so many bytes in the file, where they are the longest."""
        by_group = np.array([[_row_bytes(part) for part in parts] for parts in self.parts.values()])
        return max(1, int(size / max(1.0, float(by_group.sum(0).max())))) if by_group.size else size


@dataclass(frozen=True)
class _Ahead:
    """What is read ahead of the decoding: ``buffer`` bytes of each column, 0 for all that it has in a row group; or ``groups``, one at a
    time, by as few requests as can be."""

    buffer: int
    groups: list[list[int]] | None = None

    @classmethod
    def of(cls, metadata: pq.FileMetaData, columns: Sequence[str] | None, is_local: bool) -> _Ahead:
        number = metadata.num_columns if columns is None else len(columns)
        every = range(metadata.num_row_groups)
        largest = max((metadata.row_group(group).total_byte_size for group in every), default=0)
        if not is_local and largest <= AHEAD_BYTES:
            return cls(0, [[group] for group in every])
        if largest <= BUFFERS_BYTES:
            return cls(0)
        return cls(min(max(BUFFERS_BYTES // max(1, number), LEAST_BUFFER_BYTES), MOST_BUFFER_BYTES))


def _row_bytes(part: pq.ColumnChunkMetaData) -> float:
    return part.total_uncompressed_size / max(1, part.num_values)


def _has_codes(parts: Sequence[pq.ColumnChunkMetaData]) -> bool:
    """Whether all parts have dictionaries, which are less than what they are for, and did not become too large."""
    if not all(part.has_dictionary_page for part in parts):
        return False
    dictionaries = sum(part.data_page_offset - part.dictionary_page_offset for part in parts)
    beyond = sum(max(0, part.total_uncompressed_size - DICTIONARY_BYTES) for part in parts)
    return bool(
        2 * dictionaries < sum(part.total_compressed_size for part in parts)
        and beyond < CODE_BYTES * sum(part.num_values for part in parts)
    )


def even(batches: Iterator[pa.RecordBatch], rows: int, size: int = TEXT_BYTES) -> Iterator[pa.RecordBatch]:
    """Batches of ``rows`` rows, fewer where their texts would be more than ``size`` bytes, out of batches of any lengths."""
    pieces, count, most = list[pa.RecordBatch](), 0, 0
    for batch in batches:
        while batch.num_rows:
            part = batch.slice(0, rows - count)
            here, length = part.num_rows, sum(map(_most_bytes, _texts_of(part)))
            if most + length > size:
                most = sum(int(_bytes(piece).sum()) for piece in pieces)
                ends = np.cumsum(_bytes(part))
                here = max(int(np.searchsorted(ends, size - most, side="right")), 0 if pieces else 1)
                length = int(ends[here - 1]) if here else 0
            pieces += [part.slice(0, here)] if here else []
            count, most, batch = count + here, most + length, batch.slice(here)
            if here < part.num_rows or count == rows:
                yield from _joined(pieces)
                pieces, count, most = [], 0, 0
    yield from _joined(pieces)


def _texts_of(batch: pa.RecordBatch) -> list[pa.Array]:
    return [column for column in batch.columns if family(column.type) == "text"]


def _most_bytes(texts: pa.Array) -> int:
    """The bytes of texts; of coded ones, what they are at most."""
    if is_coded(texts):
        return len(texts) * (pc.max(_lengths(texts.dictionary)).as_py() or 0)
    return pc.sum(_lengths(texts)).as_py() or 0


def _lengths(texts: pa.Array) -> pa.Array:
    """(N,) the bytes of each text; Arrow counts none of a view's."""
    return pc.binary_length(texts.cast(pa.large_string()) if pa.types.is_string_view(texts.type) else texts)


def _bytes(batch: pa.RecordBatch) -> np.ndarray:
    """(B,) the bytes of the texts of each row."""
    whole = np.zeros(batch.num_rows, np.int64)
    for texts in _texts_of(batch):
        coded = is_coded(texts)
        lengths = _lengths(texts.dictionary).take(texts.indices) if coded else _lengths(texts)
        whole += pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    return whole


def _joined(pieces: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
    if len(pieces) < 2:
        return pieces
    whole: list[pa.RecordBatch] = pa.Table.from_batches(pieces).unify_dictionaries().combine_chunks().to_batches()
    return whole


def _broken_group(parquet: pq.ParquetFile, columns: list[str] | None, count: int, name: str) -> DataError | None:
    """The error of the first row group that cannot be read, after ``count`` rows that can; None where all can be read again."""
    start, groups = 0, parquet.metadata.num_row_groups
    for group in range(groups):
        end = start + parquet.metadata.row_group(group).num_rows
        if end > count:
            try:
                parquet.read_row_group(group, columns=columns).validate(full=True)
            except (pa.ArrowException, OSError) as error:
                place = f"row group {group + 1} of {groups} (rows {start + 1:,} to {end:,})"
                return DataError(f"{name} must be whole and readable, but {place} is not: {first_line(error)}")
        start = end
    return None


def sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Check that texts are UTF-8 and offsets lie within the data: otherwise a damaged file would crash the process later."""
    batch.validate(full=True)
    return batch
