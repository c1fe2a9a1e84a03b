"""The rows to score: which files, how each is read, whether a model can take them, and which rows it cannot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.base import ConfigError, DataError
from headway.data.canonical import BadValues, as_read, canonical
from headway.data.config import CsvOptions, DataConfig
from headway.data.datasets import dataset_of, locate
from headway.data.files import find_files, format_of, read_batches, read_schema
from headway.data.prepare import Preparation
from headway.data.source import Clean
from headway.serve.bundle import canonical_rows


@dataclass(frozen=True)
class Input:
    """A file to score. ``name``: its path below the folder that all files share, with / between the parts."""

    file: str
    name: str
    form: str
    csv: CsvOptions
    clean: Clean | None = None

    @property
    def how(self) -> list[object]:
        """What else than the file's bytes decides what its rows are."""
        return [self.form, self.csv.model_dump(), self.clean is not None]

    @property
    def depth(self) -> int:
        """How many folders its name begins with."""
        return self.name.count("/")

    def schema(self) -> pa.Schema:
        """Its columns. Raises DataError when it cannot be read."""
        schema = read_schema(self.file, self.form, self.csv)
        return schema if self.clean is None else self.clean(_empty(schema)).schema

    def rows(self) -> int | None:
        """How many rows it has, where that is known without reading it."""
        if self.form != "parquet" or "://" in self.file:
            return None
        return int(pq.read_metadata(self.file).num_rows)

    def batches(
        self, columns: Sequence[str], rows: int, start: int, broken: Callable[[str], None]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows from number ``start`` on (from 0), with the number of each batch's first.

        Lines of CSV with too few or too many values have no number; they are told to ``broken``, all of them at every reading.
        """
        read = None if self.clean else list(columns)
        at = 0
        for raw in read_batches(self.file, self.form, self.csv, read, rows, broken):
            end = at + raw.num_rows
            if end > start:
                rest = raw.slice(max(0, start - at))
                cleaned = (self.clean(rest) if self.clean else rest).select(list(columns))
                yield end - rest.num_rows, cleaned
            at = end


def find_inputs(config: DataConfig, data: str | None, root: Path) -> list[Input]:
    """The files of ``data``, or the project's own. Raises ConfigError or DataError when there is none or no way to read it.

    CSV is read as the project's own is; where its files have no line of names and these have, the line is heeded.
    """
    csv, clean, own = config.csv, None, config.format
    if config.dataset is not None:
        known = dataset_of(config.dataset)
        csv, clean, own = known.csv, _cleaner(known.clean, config.target), known.format
    if data is None and config.dataset is not None:
        files = [str(file) for file in locate(config.dataset, config.options, root).files]
    else:
        files = find_files(data or str(config.source), root, "--data" if data else "data.source")
    folder = os.path.commonpath([str(PurePath(file).parent) for file in files])
    found = []
    for file in files:
        form = own if data is None and own != "auto" else _form(file, own)
        name = PurePath(file).relative_to(folder).as_posix()
        made = Input(file, name, form, csv, clean if form == own else None)
        found.append(_with_header(made, config) if form == "csv" and csv.column_names else made)
    return found


def _cleaner(clean: Clean | None, target: str) -> Clean | None:
    """A data set's own mending, for rows that may lack the target, which it may want to mend."""
    if clean is None:
        return None

    def mend(batch: pa.RecordBatch) -> pa.RecordBatch:
        if target not in batch.schema.names:
            batch = batch.append_column(target, pa.nulls(batch.num_rows, pa.string()))
        return clean(batch)

    return mend


def _form(file: str, own: str) -> str:
    """By the file's ending; the project's own format where the ending tells nothing."""
    try:
        return format_of([file], "auto")
    except ConfigError:
        if own == "auto":
            raise
        return own


def _with_header(found: Input, config: DataConfig) -> Input:
    named = found.csv.model_copy(update={"column_names": ()})
    has = set(read_schema(found.file, "csv", named).names)
    return Input(found.file, found.name, "csv", named, found.clean) if set(config.features) <= has else found


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def refuse_unfit(found: Input, preparation: Preparation, keys: Sequence[str]) -> None:
    """Raises DataError when a file lacks a column, or has one of a type that no value of its kind can come from.

    A column that is not there is not a matter of single rows: the file is of something else, or of another version.
    """
    schema = found.schema()
    twice = sorted({c for c in schema.names if schema.names.count(c) > 1})
    if twice:
        raise DataError(f"{found.name}: column names must differ, however {', '.join(twice)} occurs more than once")
    for key in keys:
        if key not in schema.names:
            raise DataError(f"{found.name}: rows to predict must have the key column {key}, however it is not here")
    try:
        canonical_rows(preparation, _empty(schema))
    except DataError as error:
        raise DataError(f"{found.name}: {error}") from None


def sift(preparation: Preparation, batch: pa.RecordBatch) -> dict[int, str]:
    """The rows (numbered from 0) that break the schema, each with the reason.

    The rules are the preparation's own, asked column by column.
    """
    reasons: dict[int, str] = {}
    for name, kind in preparation.kinds.items():
        column = batch.column(name)
        if preparation.strip or preparation.null_values:
            column = as_read(column, preparation.strip, preparation.null_values)
        one = pa.RecordBatch.from_arrays([column], names=[name])
        try:
            canonical(one, {name: kind}, "rows to predict", date_format=preparation.date_format)
        except BadValues as error:
            for row in np.flatnonzero(error.bad).tolist():
                text = f"{name} must be {error.rule}, however it is {str(column[row].as_py())[:80]!r}"
                reasons[row] = f"{reasons[row]}; {text}" if row in reasons else text
    return reasons
