"""Rows as they arrive: the columns that a model reads, with or without a target, streamed in canonical types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import pyarrow as pa

from headway.base import DataError, suggest
from headway.data.canonical import canonical
from headway.data.config import CsvOptions, DataConfig, Kind
from headway.data.files import find_files, format_of, read_batches, read_schema
from headway.data.source import Chunk, Clean


@dataclass(frozen=True)
class Rows:
    """Some files, read for the columns of ``kinds``."""

    files: tuple[str, ...]
    form: str
    csv: CsvOptions
    clean: Clean | None
    kinds: Mapping[str, Kind]
    date_format: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(self.kinds)

    @cached_property
    def _rows(self) -> int:
        return sum(chunk.batch.num_rows for chunk in self.chunks(columns=self.columns[:1]))

    def count(self) -> int:
        """Number of rows."""
        return self._rows

    def check(self) -> None:
        """Raises DataError when a file lacks a column."""
        for file in self.files:
            schema = read_schema(file, self.form, self.csv)
            if self.clean is not None:
                schema = self.clean(pa.RecordBatch.from_pylist([], schema=schema)).schema
            for name in self.kinds:
                if name not in schema.names:
                    near = suggest(name, [n for n in schema.names if n not in self.kinds])
                    raise DataError(
                        f"{PurePath(file).name}: rows must have every column that the champion reads, "
                        f"however {name} is not here{near}"
                    )

    def chunks(self, columns: Sequence[str] | None = None, rows: int = 65_536) -> Iterator[Chunk]:
        """The rows in order. Raises DataError on what a column's kind cannot be, and where there are none."""
        wanted = {name: self.kinds[name] for name in (columns if columns is not None else self.kinds)}
        start = 0
        for number, file in enumerate(self.files):
            for raw in read_batches(file, self.form, self.csv, None if self.clean else list(wanted), rows):
                read = (self.clean(raw) if self.clean else raw).select(list(wanted))
                batch = canonical(read, wanted, PurePath(file).name, start, self.date_format)
                yield Chunk(number, start, batch)
                start += batch.num_rows
        if start == 0:
            names = ", ".join(PurePath(f).name for f in self.files[:3])
            raise DataError(f"the data must have rows, however {names} has none")


def open_rows(data: DataConfig, kinds: Mapping[str, Kind], root: Path, source: str | None = None) -> Rows:
    """The project's files, or those of ``source`` read as the project's are. Raises DataError when there are none."""
    if data.dataset is None:
        files = find_files(source or str(data.source), root)
        return Rows(tuple(files), format_of(files, data.format), data.csv, None, kinds, data.date_format)
    from headway.data.datasets import locate

    found = locate(data.dataset, data.options, root)
    files = find_files(source, root) if source else [str(file) for file in found.files]
    return Rows(tuple(files), found.format, found.csv, found.clean, kinds, data.date_format)
