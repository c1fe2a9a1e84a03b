"""The newest rows: the columns that a model reads, with or without a target, streamed in canonical types."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from headway.columns import Kind
from headway.columns.values import to_string_or_keep
from headway.columns.written import Written
from headway.config import suggest
from headway.data.arriving import Input, find_inputs
from headway.data.canonical import canonical
from headway.data.chunks import Chunk
from headway.data.config import DataConfig
from headway.errors import DataError


@dataclass(frozen=True)
class Rows:
    """The rows of some files, with the columns of ``kinds``."""

    inputs: tuple[Input, ...]
    kinds: Mapping[str, Kind]
    date_format: str | None
    written: Mapping[str, Written]

    @property
    def files(self) -> tuple[str, ...]:
        """The files' paths."""
        return tuple(one.file for one in self.inputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(self.kinds)

    @property
    def common_columns(self) -> frozenset[str]:
        """The columns that every file has, whether they are read or not."""
        return frozenset.intersection(*(frozenset(one.schema().names) for one in self.inputs))

    @cached_property
    def _rows(self) -> int:
        return sum(chunk.batch.num_rows for chunk in self.chunks(columns=self.columns[:1]))

    def count(self) -> int:
        """Number of rows."""
        return self._rows

    def of(self, files: Collection[str]) -> Rows:
        """The rows of some of the files."""
        return replace(self, inputs=tuple(one for one in self.inputs if one.file in files))

    def check(self) -> None:
        """Raises DataError when a file lacks a column."""
        for one in self.inputs:
            names = one.schema().names
            for name in self.kinds:
                if name not in names:
                    near = suggest(name, [n for n in names if n not in self.kinds])
                    raise DataError(
                        f"{one.name}: rows must have every column that the champion reads, but {name} is missing{near}"
                    )

    def chunks(self, columns: Sequence[str] | None = None, rows: int = 65_536) -> Iterator[Chunk]:
        """The rows in order; a column without a kind is carried along in its own type.

        Raises DataError for a value that does not fit its column's kind, and where there are no rows.
        """
        requested_names = tuple(self.kinds if columns is None else columns)
        kinds = {name: self.kinds[name] for name in requested_names if name in self.kinds}
        start = 0
        for number, one in enumerate(self.inputs):
            for _, needed_names in one.batches(requested_names, rows):
                values = canonical(needed_names, kinds, one.name, start, self.date_format, written=self.written)
                arrays = [
                    values.column(n) if n in kinds else to_string_or_keep(needed_names.column(n))
                    for n in requested_names
                ]
                batch = pa.RecordBatch.from_arrays(arrays, names=list(requested_names))
                yield Chunk(number, start, batch)
                start += batch.num_rows
        if start == 0:
            names = ", ".join(one.name for one in self.inputs[:3])
            raise DataError(f"the data must have rows, but {names} has none")


def open_rows(data: DataConfig, kinds: Mapping[str, Kind], root: Path, source: str | None = None) -> Rows:
    """The project's files, or those of ``source``. Raises ConfigError or DataError when there are none."""
    return Rows(tuple(find_inputs(data, source, root)), kinds, data.date_format, data.written)
