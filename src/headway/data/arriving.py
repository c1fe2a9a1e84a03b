"""Rows to be predicted or watched: which files, and how each is read. They may lack the target or have further columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq

from headway.data.composition import Composition
from headway.data.config import CsvOptions, DataConfig
from headway.data.datasets import dataset_of, locate
from headway.data.files import find_files, format_of
from headway.data.folders import folder_values
from headway.data.formats import head_of, read_batches, read_schema
from headway.data.naming import below
from headway.data.reading import Clean
from headway.errors import ConfigError


@dataclass(frozen=True)
class Input:
    """A file. ``name``: its path below the folder that all files share, with / between the parts."""

    file: str
    name: str
    form: str
    csv: CsvOptions
    clean: Clean | None = None
    commas: frozenset[str] = frozenset()
    """Columns that have a decimal comma."""
    composition: Composition = field(default_factory=Composition)
    """What is made of its columns."""

    @property
    def files(self) -> tuple[str, ...]:
        """What its rows are read from."""
        return (self.file,)

    @property
    def how(self) -> list[object]:
        """What decides on its rows beside the file's bytes."""
        folders = folder_values(self.file)
        composed = (
            [{name: [*some] for name, some in self.composition.columns.items()}] if self.composition.columns else []
        )
        return [self.form, self.csv.how, self.clean is not None, *([folders] if folders else []), *composed]

    @property
    def depth(self) -> int:
        """How many folders its name begins with."""
        return self.name.count("/")

    def schema(self) -> pa.Schema:
        """Its columns. Raises DataError when it cannot be read."""
        schema = read_schema(self.file, self.form, self.csv)
        return self.composition.schema(schema if self.clean is None else self.clean(empty(schema)).schema)

    def rows(self) -> int | None:
        """How many rows it has, where that is known without reading it."""
        if self.form != "parquet" or "://" in self.file:
            return None
        return int(pq.read_metadata(self.file).num_rows)

    def batches(
        self, columns: Sequence[str], rows: int, start: int = 0, on_bad_line: Callable[[str], None] | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows from number ``start`` on (from 0), with the number of each batch's first.

        Lines of CSV with too few or too many values have no number; every reading passes all of them to ``on_bad_line``. Without
        it, they raise DataError.
        """
        names = None if self.clean else self._names(columns)
        at = 0
        for raw in read_batches(self.file, self.form, self.csv, names, rows, on_bad_line, self.commas):
            end = at + raw.num_rows
            if end > start:
                rest = raw.slice(max(0, start - at))
                batch = self.composition.extended(self.clean(rest) if self.clean else rest)
                yield end - rest.num_rows, batch.select(list(columns))
            at = end

    def _names(self, columns: Sequence[str]) -> list[str]:
        """The columns of the file that are read for these. One that it has is not made of others."""
        if not self.composition.columns:
            return list(columns)
        own = {*read_schema(self.file, self.form, self.csv).names}
        return list(
            dict.fromkeys(
                one for name in columns for one in ([name] if name in own else self.composition.sources([name]))
            )
        )


@dataclass(frozen=True)
class Folder(Input):
    """Files of text as one input: each is a row. ``file``: the folder that they share."""

    parts: tuple[Input, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(one.file for one in self.parts)

    @property
    def how(self) -> list[object]:
        return [*super().how, [one.name for one in self.parts]]

    def rows(self) -> int | None:
        return len(self.parts)

    def batches(
        self, columns: Sequence[str], rows: int, start: int = 0, on_bad_line: Callable[[str], None] | None = None
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        del on_bad_line
        pieces: list[pa.RecordBatch] = []
        for number, one in enumerate(self.parts[start:], start):
            pieces += [batch for _, batch in one.batches(columns, rows)]
            if len(pieces) >= rows or number == len(self.parts) - 1:
                yield number + 1 - len(pieces), pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]
                pieces = []


def as_one(inputs: Sequence[Input]) -> list[Input]:
    """Files of text together, all others by themselves."""
    texts = tuple(one for one in inputs if one.form == "text")
    others = [one for one in inputs if one.form != "text"]
    if len(texts) < 2:
        return [*inputs]
    folder = os.path.commonpath([str(PurePath(one.file).parent) for one in texts])
    return [Folder(folder, PurePath(folder).name, "text", texts[0].csv, texts[0].clean, parts=texts), *others]


def find_inputs(config: DataConfig, data: str | None, root: Path, option: str = "--data") -> list[Input]:
    """The files of ``data``, which the ``option`` named, or the project's own.

    Raises ConfigError or DataError when there is none or no way to read it.
    CSV is read as the project's own is. Where the project's files have no header line and these have one, it gives the names.
    """
    csv, clean, own = config.csv, None, config.format
    texts = config.may_be_texts
    if config.dataset is not None:
        dataset = dataset_of(config.dataset)
        csv, clean, own = dataset.csv, _cleaner(dataset.clean, config.target), dataset.format
    if data is None and config.dataset is not None:
        files = [str(file) for file in locate(config.dataset, config.options, root).files]
    else:
        files = find_files(data or str(config.source), root, option if data else "data.source", texts)
    folder = os.path.commonpath([str(PurePath(file).parent) for file in files])
    inputs = []
    for file in files:
        form = own if data is None and own != "auto" else _form(file, own, texts)
        name = PurePath(file).relative_to(folder).as_posix()
        mend = below(folder) if form == "text" else clean if form == own else None
        item = Input(file, name, form, csv, mend, config.commas, Composition.of(config.written, csv.null_values))
        inputs.append(_with_header(item, config) if form == "csv" and csv.column_names else item)
    return inputs


def _cleaner(clean: Clean | None, target: str | None) -> Clean | None:
    """The data set's cleaner; it tolerates a missing target column."""
    if clean is None or target is None:
        return clean

    def mend(batch: pa.RecordBatch) -> pa.RecordBatch:
        if target not in batch.schema.names:
            batch = batch.append_column(target, pa.nulls(batch.num_rows, pa.string()))
        return clean(batch)

    return mend


def _form(file: str, own: str, texts: bool) -> str:
    """By the file's ending; the project's own format where the ending does not say. Where a project states a format, endings may not be
    true, as of Parquet that is called .csv: then the content says it.
    """
    try:
        form = format_of([file], "auto", texts)
    except ConfigError:
        if own == "auto":
            raise
        return own
    return form if own in ("auto", "text", form) or form == "text" else head_of(file, 1 << 12)[1]


def _with_header(item: Input, config: DataConfig) -> Input:
    csv = item.csv.model_copy(update={"column_names": ()})
    has = set(read_schema(item.file, "csv", csv).names)
    return replace(item, csv=csv) if has.issuperset(item.composition.sources([*config.features])) else item


def empty(schema: pa.Schema) -> pa.RecordBatch:
    """No rows of it."""
    return pa.RecordBatch.from_pylist([], schema=schema)
