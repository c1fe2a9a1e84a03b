"""The untrusted body of a request to the scoring server: JSON, CSV or Parquet to rows."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.columns.values import plain
from headway.data.formats import plain_errors, read_csv
from headway.data.records import NotFinite, Row, batch_of, column_of, flat, name_in_line, names_of, parse
from headway.errors import DataError
from headway.serve.config import ServeConfig
from headway.serve.reading import WHERE, columns_in_line, refuse_missing

BODY = "the body"
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
FORMATS = ("inputs", "instances", "dataframe_records", "dataframe_split")
EXPANDED = 8
"""Unpacked rows may have so many times the size of the largest body."""


class TooLarge(DataError):
    """A request beyond a limit of the project's `serve` section."""


@dataclass(frozen=True)
class Question:
    """Rows to predict, and parameters for language models. Values of JSON and CSV are texts."""

    rows: pa.RecordBatch
    params: Mapping[str, Any]


def read_body(
    body: bytes,
    content_type: str,
    columns: Sequence[str],
    every: bool,
    limits: ServeConfig,
    commas: Collection[str] = (),
    observed: Sequence[str] = (),
) -> Question:
    """The columns ``needed``: ``every`` one must be there, or those that are; and those of ``observed`` that are there.

    ``commas``: columns that have a decimal comma.

    Raises DataError, one line.
    """
    kind, _, parameters = (part.strip().lower() for part in content_type.partition(";"))
    if parameters and parameters.replace('"', "").replace(" ", "") != "charset=utf-8":
        raise DataError(f"Content-Type must be {kind} in UTF-8, but it says {name_in_line(parameters)}")
    if not body.strip():
        raise DataError(f"{BODY} must hold rows, but is empty")
    reader = {JSON: partial(_read_json, commas=commas), CSV: _read_csv, PARQUET: _read_parquet}.get(kind)
    if reader is None:
        kind_text = name_in_line(kind) if kind else "missing"
        raise DataError(f"Content-Type must be {JSON}, {CSV} or {PARQUET}, but is {kind_text}")
    question = reader(body, columns if every else None, (*columns, *observed), limits)
    if not question.rows.num_rows:
        with_column = "" if every else f" with a column {' or '.join(columns)}"
        raise DataError(f"{BODY} must hold rows{with_column}, but it holds none")
    return question


def _read_json(
    body: bytes, mandatory: Sequence[str] | None, names: Sequence[str], limits: ServeConfig, commas: Collection[str]
) -> Question:
    content = parse(body, BODY, marked=True)
    formats = [name for name in FORMATS if isinstance(content, dict) and name in content]
    if len(formats) != 1:
        raise DataError(
            f'{BODY} must be a JSON object with one of {", ".join(FORMATS)}, such as {{"inputs": [{{"age": 31}}]}}'
        )
    params = content.get("params") or {}
    if not isinstance(params, dict) or any(isinstance(value, NotFinite) for value in params.values()):
        raise DataError("params must be an object of names and values, which are finite where they are numbers")
    reader = _read_split if formats[0] == "dataframe_split" else _read_records
    return Question(reader(content[formats[0]], formats[0], mandatory, names, limits, commas), params)


def _read_records(
    content: Any,
    where: str,
    mandatory: Sequence[str] | None,
    wanted_names: Sequence[str],
    limits: ServeConfig,
    commas: Collection[str],
) -> pa.RecordBatch:
    """Either a list of records or an object of columns."""
    if isinstance(content, dict) and content and all(isinstance(column, list) for column in content.values()):
        return _of_columns(content, mandatory, wanted_names, limits, commas)
    if not isinstance(content, list):
        raise DataError(f"{where} must be a list of records, or an object with a list for each column")
    no_record = next((number for number, row in enumerate(content, 1) if not isinstance(row, dict)), None)
    if no_record is not None:
        raise DataError(f"{where} must be a list of records, but row {no_record} is none")
    _refuse_rows(len(content), limits)
    if not content:
        return pa.RecordBatch.from_pylist([], pa.schema([]))
    content = [flat(row, BODY, wanted_names) for row in content]
    names = names_of(content)
    refuse_missing(list(mandatory or ()), names)
    _refuse_lacking(content, mandatory or ())
    have = set(names)
    present = [name for name in wanted_names if name in have]
    for name in present:
        _refuse_odd([row.get(name) for row in content], name)
    return batch_of(content, present, BODY, commas)


def _refuse_lacking(rows: Sequence[Row], mandatory: Sequence[str]) -> None:
    """A row means the same alone and beside others: alone, one that lacks a column is refused. `user.age` of `"user": null` is null."""
    needed = set(mandatory)
    for number, row in enumerate(rows, 1):
        if row.keys() >= needed:
            continue
        outer = {name for name, value in row.items() if value is None}
        lacking = [name for name in mandatory if name not in row and not outer & {*_outer(name)}]
        if lacking:
            raise DataError(
                f"{WHERE}: row {number} must have {columns_in_line(lacking)}; write null for a missing value"
            )


def _outer(name: str) -> Iterator[str]:
    """The names of the objects that a.b.c stands in: a and a.b."""
    return itertools.accumulate(name.split(".")[:-1], "{}.{}".format)


def _refuse_odd(values: Sequence[Any], name: str) -> None:
    """Raises DataError, with the row, for a value of JSON that no column takes."""
    number = next((i for i, value in enumerate(values, 1) if isinstance(value, (list, dict, NotFinite))), None)
    if number is None:
        return
    value, column = values[number - 1], f"column {name_in_line(name)}"
    if isinstance(value, NotFinite):
        fact = f"{column} must be finite, but row {number} has {value}; write null for a missing value"
    else:
        kind = "a list" if isinstance(value, list) else "an object"
        fact = f"{column} must hold single values, but row {number} has {kind}"
    raise DataError(f"{WHERE}: {fact}")


def _read_split(
    content: Any,
    where: str,
    mandatory: Sequence[str] | None,
    wanted_names: Sequence[str],
    limits: ServeConfig,
    commas: Collection[str],
) -> pa.RecordBatch:
    names, rows = (content.get("columns"), content.get("data")) if isinstance(content, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where} must have columns, a list of names, and data, a list of rows")
    if len(set(names)) < len(names):
        raise DataError(f"{where}.columns must differ, but one name occurs more than once")
    _refuse_rows(len(rows), limits)
    misfit = next((i for i, row in enumerate(rows) if not isinstance(row, list) or len(row) != len(names)), None)
    if misfit is not None:
        raise DataError(f"{where}.data: row {misfit + 1} must be a list of {len(names)} values, but is not")
    places = {name: names.index(name) for name in wanted_names if name in names}
    return _of_columns(
        {name: [row[i] for row in rows] for name, i in places.items()}, mandatory, wanted_names, limits, commas, names
    )


def _of_columns(
    columns: Mapping[str, list[Any]],
    mandatory: Sequence[str] | None,
    wanted_names: Sequence[str],
    limits: ServeConfig,
    commas: Collection[str],
    names: Sequence[str] | None = None,
) -> pa.RecordBatch:
    refuse_missing(list(mandatory or ()), list(names or columns))
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{BODY}: all columns must have the same number of values")
    _refuse_rows(max(lengths, default=0), limits)
    present = [name for name in wanted_names if name in columns]
    for name in present:
        _refuse_odd(columns[name], name)
    arrays = [column_of(columns[name], name, BODY, name in commas) for name in present]
    return pa.RecordBatch.from_arrays(arrays, names=present)


def _read_csv(
    body: bytes, mandatory: Sequence[str] | None, wanted_names: Sequence[str], limits: ServeConfig
) -> Question:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{BODY} must be UTF-8 text, but byte {error.start + 1} is not") from None
    names, batches = read_csv(body, wanted_names, BODY)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{BODY}: column names must differ, but {name_in_line(twice[0])} occurs more than once")
    refuse_missing(list(mandatory or ()), names)
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        parts.append(batch)
        _refuse_rows(sum(one.num_rows for one in parts), limits)
    return Question(_join(parts, [name for name in wanted_names if name in names]), {})


def _read_parquet(
    body: bytes, mandatory: Sequence[str] | None, wanted_names: Sequence[str], limits: ServeConfig
) -> Question:
    """Texts are kept as a dictionary until their length is checked: a small file may unpack to very many bytes."""
    with plain_errors(BODY):
        file = pq.ParquetFile(pa.BufferReader(body))
        names = file.schema_arrow.names
        refuse_missing(list(mandatory or ()), names)
        _refuse_rows(file.metadata.num_rows, limits)
        present = [name for name in wanted_names if name in names]
        _refuse_packed(file.metadata, limits)
        texts = [
            name for name in present if pa.types.is_string(plain(pa.nulls(0, file.schema_arrow.field(name).type)).type)
        ]
        table = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts).read(present)
        table.validate(full=True)
        _refuse_long(table, limits)
        return Question(_join(table.to_batches(), present), {})


def _refuse_packed(metadata: pq.FileMetaData, limits: ServeConfig) -> None:
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > EXPANDED * limits.body_bytes:
        raise TooLarge(
            f"{BODY} must take at most {EXPANDED * limits.body_megabytes} MB when unpacked, but it takes more"
        )


def _refuse_long(table: pa.Table, limits: ServeConfig) -> None:
    size = 0
    for column in table.columns:
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type) and pa.types.is_string(plain(chunk.dictionary[:0]).type):
                lengths = np.array([0, *(len(value or "") for value in chunk.dictionary.to_pylist())])
                size += int(lengths[1 + chunk.indices.drop_null().to_numpy()].sum())
    if size > EXPANDED * limits.body_bytes:
        raise TooLarge(f"{BODY}: texts must take at most {EXPANDED * limits.body_megabytes} MB, but they take more")


def _join(batches: Sequence[pa.RecordBatch], names: Sequence[str]) -> pa.RecordBatch:
    """One batch of several."""
    if not batches:
        return pa.RecordBatch.from_arrays([pa.nulls(0, pa.string()) for _ in names], names=list(names))
    table = pa.Table.from_batches(batches)
    columns = [plain(column) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, names=table.schema.names)


def _refuse_rows(count: int, limits: ServeConfig) -> None:
    if count > limits.rows:
        raise TooLarge(
            f"a request must have at most {limits.rows:,} rows, but it has {count:,}; `headway score` takes files"
        )
