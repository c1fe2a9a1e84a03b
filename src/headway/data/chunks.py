"""Some rows of a table with their place in it, converted to canonical types or still to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Chunk:
    """Some rows in order. ``file`` indexes Table.files; ``start`` is the number of the first row in the whole table."""

    file: int
    start: int
    batch: pa.RecordBatch


@dataclass(frozen=True)
class Block:
    """``rows`` rows that are read, whose conversion to canonical types is left to whoever calls ``chunk``, in any thread.

    ``file`` and ``start`` are those of the chunk, which raises DataError as `Table.chunks` does.
    """

    file: int
    start: int
    rows: int
    chunk: Callable[[], Chunk]

    @classmethod
    def of(cls, chunk: Chunk) -> Block:
        """Rows that are converted already."""
        return cls(chunk.file, chunk.start, chunk.batch.num_rows, lambda: chunk)
