"""Where rows come from: Parquet, CSV, JSON lines or Arrow, one file or many, streamed in order and in canonical types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property, partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns import Kind, column_type
from headway.columns.codes import numbered_anew
from headway.columns.values import BadValues, family, to_string_or_keep
from headway.data.canonical import canonical
from headway.data.chunks import Block, Chunk
from headway.data.composition import Composition
from headway.data.config import CsvOptions, DataConfig
from headway.data.digests import digest_files, file_digests
from headway.data.extension import Extension
from headway.data.folders import folder_values
from headway.data.formats import read_batches, read_schema
from headway.data.reading import Clean, FileReading, also_null, reading_of
from headway.data.schemas import checked_schema
from headway.data.texts import NAME
from headway.errors import ConfigError, DataError
from headway.tasks import TaskName, target_task


class Table:
    """Rows of one or several files as one table. Opening reads schemas only; every pass streams."""

    def __init__(
        self,
        files: Sequence[str],
        config: DataConfig,
        task: TaskName,
        root: Path,
        extra: Sequence[str],
        csv: CsvOptions,
        clean: Clean | None,
        form: str,
    ) -> None:
        self.files = tuple(files)
        self.task = task
        self.targets = () if config.target is None else (config.target,)
        """The column to predict; empty where the data is documents alone."""
        self.kinds: dict[str, Kind] = dict(config.features)
        self.keys = config.keys or ((NAME,) if form == "text" else ())
        """Columns that identify a row."""
        names = [] if config.keys or form != "text" else [NAME]
        self.columns = tuple(dict.fromkeys([*config.features, *self.targets, *extra, *names]))
        self._config, self._root, self._csv, self._clean, self._form = config, root, csv, clean, form
        self._composition = Composition.of(config.written, csv.null_values)
        self._extension: Extension | None = None
        schema, self._common = self._checked_schema()
        self.present = tuple(schema.names)
        self.numbers = frozenset(field.name for field in schema if family(field.type) == "a number")
        """Columns that the files hold as numbers, rather than as the texts of numbers."""

    def extended(self, extension: Extension) -> Table:
        """The same rows with further columns. Raises ConfigError where the files have one of that name."""
        self.refuse_made(extension.names)
        table = copy(self)
        table._extension = extension
        return table

    def carrying(self, names: Sequence[str]) -> Table:
        """The same rows, where further columns ``names`` are of one type in all files. Raises DataError for files of which one lacks them,
        or has another kind of values in them.
        """
        further = {name: name for name in names if name not in self.columns}
        if not further:
            return self
        table = copy(self)
        table._common = self._common | checked_schema(self.files, self._schema_of, further)[1]
        return table

    def refuse_made(self, names: Sequence[str]) -> None:
        """Raise ConfigError where the files have a column of the name of one that is made of others."""
        for name in names:
            if name in self.present:
                raise ConfigError(
                    f"a column must not be called {name}, which data.series makes; rename it in the files"
                )

    @property
    def learnable(self) -> dict[str, Kind]:
        """What a model is given of a row."""
        if self._extension is None:
            return self.kinds
        kinds = {name: kind for name, kind in self.kinds.items() if name not in self._extension.late}
        return {**kinds, **dict.fromkeys(self.extra, "numeric")}

    @property
    def extra(self) -> tuple[str, ...]:
        """The columns that the files do not have."""
        return () if self._extension is None else self._extension.names

    @property
    def target(self) -> str:
        """The column to predict. Only for tables that have one."""
        assert self.targets, "documents have no target"
        return self.targets[0]

    @property
    def target_kind(self) -> Kind:
        """What the target column holds."""
        return target_task(self.task).kind

    @property
    def target_kinds(self) -> dict[str, Kind]:
        """The target and what it holds, where there is one."""
        return {self.target: self.target_kind} if self.targets else {}

    @property
    def is_text(self) -> bool:
        """Whether each file is a document."""
        return self._form == "text"

    @property
    def textual(self) -> bool:
        """Whether its files are CSV, where null is written as a word."""
        return self._form == "csv"

    @property
    def csv(self) -> CsvOptions:
        """How its text files are read."""
        return self._csv

    @property
    def date_format(self) -> str | None:
        """The format of ambiguous dates."""
        return self._config.date_format

    @property
    def unlisted(self) -> list[str]:
        """Columns of the files that have no role in the project."""
        roles = {*self.columns, *self._composition.sources(self.columns), *self._config.ignore, *self.keys}
        return [column for column in self.present if column not in roles]

    @property
    def how(self) -> list[Any]:
        """The settings that, with the content, decide the rows."""
        config = self._config
        how = [self._form, self._csv.how, config.dataset, config.date_format, config.unlabelled]
        how += [] if config.max_bytes is None else [config.max_bytes]
        return [*how, {name: one.how for name, one in config.written.items()}] if config.written else how

    @property
    def reading(self) -> FileReading:
        """The settings that decide the values of each row."""
        return reading_of(self._config, self._form, self._csv)

    def again(self, kinds: Mapping[str, Kind], others: Sequence[str], reading: FileReading) -> Table:
        """All rows of the same files, also those without a target, with the columns ``kinds`` and ``others``, read as by ``reading``.

        Raises ConfigError where the files do not have the columns, DataError where they cannot be read so.
        """
        clean = self._clean
        if self.textual and reading.csv != self._csv:
            every = {**kinds, self.target: self.target_kind}
            spelt = {name for name, kind in every.items() if not column_type(kind).any_text}
            clean = also_null(clean, spelt, self._csv)
        changes = {"features": dict(kinds), "date_format": reading.date_format, "unlabelled": "stop"}
        config = self._config.model_copy(update={**changes, "written": reading.written})
        return Table(self.files, config, self.task, self._root, others, reading.csv, clean, self._form)

    def labelled(self) -> np.ndarray:
        """(N,) bool: which of all rows, in their order, are among this table's."""
        whole = self.again({}, (), self.reading)
        keep_all = self._config.unlabelled != "drop"
        columns = (chunk.batch.column(self.target) for chunk in whole.chunks(columns=[self.target]))
        valid = [column.is_valid().to_numpy(zero_copy_only=False) for column in columns]
        return np.concatenate(valid) | keep_all

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the files' names and contents, of columns in their folders' names, and of how they are read. Of documents, names are
        paths below their source.
        """
        chunks = self.chunks(columns=[NAME]) if self.is_text else ()
        names = [name for chunk in chunks for name in chunk.batch.column(NAME).to_pylist()]
        folders = [] if self.is_text else [values for file in self.files if (values := folder_values(file))]
        return digest_files(self.files, self._root, [*self.how, *names, *folders])

    @property
    def widths(self) -> dict[str, str]:
        """The common type of each column that is not of one type in all files."""
        return {name: str(kind) for name, kind in self._common.items()}

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._root

    @property
    def contents(self) -> dict[str, str]:
        """Each file to the SHA-256 of its content."""
        return file_digests(self.files, self._root)

    @cached_property
    def _rows(self) -> int:
        one = [*self.targets, *self.keys, *self.kinds][:1]
        return sum(chunk.batch.num_rows for chunk in self.chunks(columns=one))

    def count(self) -> int:
        """Number of rows."""
        return self._rows

    def chunks(self, columns: Sequence[str] | None = None, rows: int = 65_536) -> Iterator[Chunk]:
        """The rows in order, files sorted by name, at most ``rows`` at a time, in canonical types.

        Raises DataError on a value that does not fit its column's kind, with its row, and on a file that cannot be read.
        """
        start = 0
        for number in range(len(self.files)):
            for block in self.file_blocks(number, start, columns, rows):
                yield block.chunk()
                start += block.rows
        if start == 0:
            raise no_rows(self.files)

    def file_blocks(
        self, number: int, start: int, columns: Sequence[str] | None = None, rows: int = 65_536
    ) -> Iterator[Block]:
        """Blocks of one file, whose first row is number ``start`` of the whole table; it may have no rows.

        The conversion is left to be done where it can be: how many rows it keeps must be known before.
        """
        names = list(columns if columns is not None else self.columns)
        drop = self._config.unlabelled == "drop" and bool(self.targets)
        extension = self._extension if not set(self.extra).isdisjoint(names) else None
        own = names if extension is None else extension.needs(names)
        needed_names = [*own, *([self.target] if drop and self.target not in own else [])]
        file = self.files[number]
        whole = self._clean is not None and not self.is_text
        file_names = None if whole else self._composition.sources(needed_names)
        read = partial(read_batches, file, self._form, self._csv, file_names, rows)
        codes = () if self._clean or extension else self._convertible(needed_names)
        for raw in read(commas=self._config.commas, codes=codes):
            batch = self._composition.extended(self._clean(raw) if self._clean else raw)
            chunk = partial(self._chunk, batch, number, start, needed_names, names)
            block = Block.of(chunk()) if drop else Block(number, start, batch.num_rows, chunk)
            yield block
            start += block.rows

    def _chunk(
        self, batch: pa.RecordBatch, number: int, start: int, needed_names: Sequence[str], names: Sequence[str]
    ) -> Chunk:
        """The columns ``names`` of clean rows, which have those of ``needed_names``."""
        extension = self._extension if not set(self.extra).isdisjoint(names) else None
        batch = self._canonical(batch, needed_names, PurePath(self.files[number]).name, start, codes=extension is None)
        if self._config.unlabelled == "drop" and self.targets:
            batch = numbered_anew(batch.filter(pc.is_valid(batch.column(self.target))))
        batch = (batch if extension is None else extension.extended(batch)).select(list(names))
        return Chunk(number, start, batch)

    def _checked_schema(self) -> tuple[pa.Schema, dict[str, pa.DataType]]:
        composed = self._composition.columns
        roles = {one: f"data.written.{column}.columns" for column, parts in composed.items() for one in parts}
        roles |= {column: column for column in self.columns}
        groups = () if self._config.series is None else self._config.series.groups
        settings = {"data.keys": self._config.keys, "data.series.groups": groups, "data.weight": (self._config.weight,)}
        roles |= {column: name for name, some in settings.items() for column in some if column in roles}
        roles |= {column: f"data.features.{column}" for column in self.kinds}
        roles |= dict.fromkeys(self.targets, "data.target")
        return checked_schema(self.files, self._schema_of, roles)

    def _schema_of(self, file: str) -> pa.Schema:
        """The columns of one file, after the data set's cleaner."""
        schema = read_schema(file, self._form, self._csv)
        if self._clean is not None:
            schema = self._clean(pa.RecordBatch.from_pylist([], schema=schema)).schema
        twice = next((name for name in self._composition.columns if name in schema.names), None)
        if twice is not None:
            of = ", ".join(self._composition.columns[twice])
            raise ConfigError(
                f"data.written must make a new column of {of}, but {PurePath(file).name} has one called {twice}; rename it"
            )
        return self._composition.schema(schema)

    def _convertible(self, names: Sequence[str]) -> dict[str, Kind]:
        """The kinds of those columns that have one."""
        kinds: dict[str, Kind] = {name: self.kinds[name] for name in names if name in self.kinds}
        return kinds | {name: self.target_kind for name in self.targets if name in names}

    def _canonical(
        self, batch: pa.RecordBatch, names: Sequence[str], where: str, start: int, codes: bool
    ) -> pa.RecordBatch:
        config, kinds = self._config, self._convertible(names)
        how = {"written": config.written, "codes": codes}
        try:
            values = canonical(batch.select(list(kinds)), kinds, where, start, config.date_format, **how)
        except BadValues as error:
            if error.column in self.kinds and len(error.bad) > 1 and error.bad.all():
                raise DataError(f"{error}; change data.features.{error.column}") from None
            raise
        arrays = [values.column(name) if name in kinds else self._carried(batch, name) for name in names]
        return pa.RecordBatch.from_arrays(arrays, names=list(names))

    def _carried(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """A column that is only carried along: of one type in all files, since its blocks are put together."""
        column = to_string_or_keep(batch.column(name))
        return column.cast(self._common[name], safe=False) if name in self._common else column


def no_rows(files: Sequence[str]) -> DataError:
    """The error where no file has a row."""
    names = ", ".join(PurePath(file).name for file in files[:3])
    return DataError(f"the data must have rows, but {names} has none")
