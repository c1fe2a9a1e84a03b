"""Some rows of a table with their place in it, converted to canonical types or still to be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa

from headway.columns.codes import decoded, written_out


@dataclass(frozen=True)
class Chunk:
    """Some rows in order. ``file`` indexes Table.files; ``start`` is the number of the first row in the whole table.

    ``held``: the columns in canonical types, where texts may be codes, as `headway.columns.codes` has them.
    """

    file: int
    start: int
    held: pa.RecordBatch
    _coded: dict[str, pa.Array] = field(default_factory=dict, compare=False, repr=False)
    _plain: dict[str, pa.Array] = field(default_factory=dict, compare=False, repr=False)

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.held.num_rows

    @cached_property
    def batch(self) -> pa.RecordBatch:
        """All columns with their texts written out."""
        names = self.held.schema.names
        return pa.RecordBatch.from_arrays([self.column(name) for name in names], names=names)

    def column(self, name: str) -> pa.Array:
        """A column with its texts written out."""
        if name not in self._plain:
            self._plain[name] = written_out(self.held.column(name))
        return self._plain[name]

    def coded(self, name: str) -> pa.Array:
        """Texts as codes, made once for all that ask for them: most of the work on such a column. Other values as they are."""
        column = self.held.column(name)
        if not pa.types.is_string(column.type):
            return column
        if name not in self._coded:
            self._coded[name] = column.dictionary_encode()
        return self._coded[name]

    def some(self, columns: Sequence[str], rows: np.ndarray) -> pa.RecordBatch:
        """The rows of these numbers, with their texts written out."""
        return decoded(self.held.select(list(columns)).take(pa.array(rows)))


@dataclass(frozen=True)
class Block:
    """``rows`` rows that are read, whose conversion to canonical types is done by the caller of ``chunk``, in any thread.

    ``file`` and ``start`` are those of the chunk, which raises DataError as `Table.chunks` does.
    """

    file: int
    start: int
    rows: int
    chunk: Callable[[], Chunk]

    @classmethod
    def of(cls, chunk: Chunk) -> Block:
        """Rows that are converted already."""
        return cls(chunk.file, chunk.start, chunk.rows, lambda: chunk)


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
