"""The test rows of a store as they came: an Arrow stream, whose batches are compressed by any thread and appended in order.

raw/test.arrow     one batch of each block; a stream that was cut goes on behind its last whole batch, which Parquet cannot
raw/test.parquet   in stores of earlier versions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headway.data.arrays import AppendedFile

RAW_TEST = "raw/test.arrow"
EARLIER = "raw/test.parquet"

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The last bytes of a stream."""


def packed(batch: pa.RecordBatch) -> memoryview:
    """A batch as a message of a stream, without the schema before it."""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, batch.schema, options=_OPTIONS) as stream:
        stream.write_batch(batch)
    return memoryview(buffer.getvalue())[len(batch.schema.serialize()) : -len(END)]


class RawRows:
    """Writes the stream. ``path``: new, or what of it is whole. Used in a `with`, which ends it."""

    def __init__(self, path: Path, whole: int = 0) -> None:
        self.file = AppendedFile(path, whole)

    def append(self, schema: pa.Schema, batch: memoryview) -> None:
        """Write what `packed` gave of a batch of this schema."""
        if not self.file.bytes:
            self.file.append(schema.serialize())
        self.file.append(batch)

    def __enter__(self) -> RawRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.append(END)
        self.file.close()


def raw_columns(path: Path) -> list[str]:
    """The names of the columns."""
    if path.suffix == ".parquet":
        return list(pq.read_schema(path).names)
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return list(stream.schema.names)


def raw_batches(path: Path, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows in order, ``rows`` at a time; the last batch may have fewer."""
    if path.suffix == ".parquet":
        with pq.ParquetFile(path, pre_buffer=False) as file:  # the default reads the whole file ahead and keeps it
            yield from file.iter_batches(batch_size=rows, columns=list(columns) if columns else None)
        return
    waiting: list[pa.RecordBatch] = []
    for batch in _stream(path, columns):
        waiting.append(batch)
        while sum(one.num_rows for one in waiting) >= rows:
            whole = pa.concat_batches(waiting)
            yield whole.slice(0, rows)
            waiting = [whole.slice(rows)] if whole.num_rows > rows else []
    if waiting:
        yield pa.concat_batches(waiting)


def raw_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows in memory."""
    if path.suffix == ".parquet":
        return pq.read_table(path, columns=list(columns) if columns else None)
    return pa.Table.from_batches(_stream(path, columns))


def _stream(path: Path, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """The batches of the stream, with the columns in the order asked for; others are not unpacked."""
    names = raw_columns(path)
    places = [names.index(name) for name in columns] if columns else []
    options = pa.ipc.IpcReadOptions(included_fields=sorted(places), use_threads=False)
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source, options=options) as stream:
        yield from (batch.select(list(columns)) if columns else batch for batch in stream)
