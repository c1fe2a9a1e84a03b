"""Columns in the names of the folders that a file lies in, as Hive and Spark write them: year=2024/month=1/part-0.parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import PurePath
from urllib.parse import unquote

import pyarrow as pa

MISSING = "__HIVE_DEFAULT_PARTITION__"


def folder_values(file: str) -> dict[str, str | None]:
    """The columns of a file by the folders directly above it that are named NAME=VALUE, the outermost first."""
    parts = reversed(PurePath(file.partition("://")[2] or file).parts[:-1])
    pairs = [part.partition("=") for part in takewhile(lambda part: part.partition("=")[0] and "=" in part, parts)]
    return {unquote(name): None if value == MISSING else unquote(value) for name, _, value in reversed(pairs)}


def with_folders(schema: pa.Schema, values: Mapping[str, str | None]) -> pa.Schema:
    """A file's columns, and those that only its folders have."""
    return pa.schema([*schema, *(pa.field(name, pa.string()) for name in values if name not in schema.names)])


def add_folders(
    batches: Iterator[pa.RecordBatch], values: Mapping[str, str | None], columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Batches with these values in each row, in the order of ``columns`` where they are given."""
    for batch in batches:
        for name, value in values.items():
            batch = batch.append_column(name, pa.repeat(pa.scalar(value, pa.string()), batch.num_rows))
        yield batch if columns is None else batch.select(list(columns))
