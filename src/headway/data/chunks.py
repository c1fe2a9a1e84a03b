"""Some rows of a table with their place in it, converted to canonical types or still to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True)
class Chunk:
    """Some rows in order. ``file`` indexes Table.files; ``start`` is the number of the first row in the whole table."""

    file: int
    start: int
    batch: pa.RecordBatch
    _coded: dict[str, pa.DictionaryArray] = field(default_factory=dict, compare=False, repr=False)

    def coded(self, name: str) -> pa.DictionaryArray:
        """A column as codes of its different values, made once for all that ask for it: most of the work on a column of texts."""
        if name not in self._coded:
            self._coded[name] = self.batch.column(name).dictionary_encode()
        return self._coded[name]


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


class Streamed(Protocol):
    """Rows that can be passed over in order, such as source.Table. ``present``, where it has it: the files' own columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that chunks gives."""
        ...

    def count(self) -> int:
        """Number of rows."""
        ...

    def chunks(self, columns: Sequence[str] | None = None, rows: int = ...) -> Iterator[Chunk]:
        """The rows in order."""
        ...
