"""The body of a request to the scoring server: JSON, CSV or Parquet to rows, without trusting it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.columns.values import plain
from headway.data.formats import plain_errors, read_csv
from headway.data.records import batch_of, column_of, flat, name_in_line, names_of, parse
from headway.errors import DataError
from headway.serve.config import ServeConfig
from headway.serve.reading import refuse_missing

BODY = "the body"
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
FORMATS = ("inputs", "instances", "dataframe_records", "dataframe_split")
EXPANDED = 8
"""How many times the largest body its rows may take once they are unpacked."""


class TooLarge(DataError):
    """A request beyond a limit of the project's `serve` section."""


@dataclass(frozen=True)
class Question:
    """Rows to predict, and the parameters beside them, which language models take. Values of JSON and CSV are texts."""

    rows: pa.RecordBatch
    params: Mapping[str, Any]


def read_body(
    body: bytes,
    content_type: str,
    needed: Sequence[str],
    every: bool,
    limits: ServeConfig,
    commas: Collection[str] = (),
) -> Question:
    """The columns ``needed``: ``every`` one must be there, or those that are. ``commas``: those that have a decimal comma.

    Raises DataError, one line.
    """
    kind, _, parameters = (part.strip().lower() for part in content_type.partition(";"))
    if parameters and parameters.replace('"', "").replace(" ", "") != "charset=utf-8":
        raise DataError(f"Content-Type must be {kind} in UTF-8, but it says {name_in_line(parameters)}")
    if not body.strip():
        raise DataError(f"{BODY} must hold rows, but is empty")
    read = {JSON: partial(_read_json, commas=commas), CSV: _read_csv, PARQUET: _read_parquet}.get(kind)
    if read is None:
        said = name_in_line(kind) if kind else "missing"
        raise DataError(f"Content-Type must be {JSON}, {CSV} or {PARQUET}, but is {said}")
    question = read(body, needed if every else None, needed, limits)
    if not question.rows.num_rows:
        with_column = "" if every else f" with a column {' or '.join(needed)}"
        raise DataError(f"{BODY} must hold rows{with_column}, but it holds none")
    return question


def _read_json(
    body: bytes, required: Sequence[str] | None, wanted: Sequence[str], limits: ServeConfig, commas: Collection[str]
) -> Question:
    told = parse(body, BODY)
    named = [name for name in FORMATS if isinstance(told, dict) and name in told]
    if len(named) != 1:
        raise DataError(
            f'{BODY} must be a JSON object with one of {", ".join(FORMATS)}, such as {{"inputs": [{{"age": 31}}]}}'
        )
    params = told.get("params") or {}
    if not isinstance(params, dict):
        raise DataError("params must be an object of names and values")
    read = _read_split if named[0] == "dataframe_split" else _read_records
    return Question(read(told[named[0]], named[0], required, wanted, limits, commas), params)


def _read_records(
    told: Any,
    where: str,
    required: Sequence[str] | None,
    wanted: Sequence[str],
    limits: ServeConfig,
    commas: Collection[str],
) -> pa.RecordBatch:
    """Either a list of records or an object of columns."""
    if isinstance(told, dict) and told and all(isinstance(column, list) for column in told.values()):
        return _of_columns(told, required, wanted, limits, commas)
    if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
        raise DataError(f"{where} must be a list of records, or an object with a list for each column")
    _refuse_rows(len(told), limits)
    if not told:
        return pa.RecordBatch.from_pylist([], pa.schema([]))
    told = [flat(row, BODY, wanted) for row in told]
    names = names_of(told)
    refuse_missing(list(required or ()), names)
    have = set(names)
    return batch_of(told, [name for name in wanted if name in have], BODY, commas)


def _read_split(
    told: Any,
    where: str,
    required: Sequence[str] | None,
    wanted: Sequence[str],
    limits: ServeConfig,
    commas: Collection[str],
) -> pa.RecordBatch:
    names, rows = (told.get("columns"), told.get("data")) if isinstance(told, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where} must have columns, a list of names, and data, a list of rows")
    if len(set(names)) < len(names):
        raise DataError(f"{where}.columns must differ, but one name occurs more than once")
    _refuse_rows(len(rows), limits)
    wrong = next((i for i, row in enumerate(rows) if not isinstance(row, list) or len(row) != len(names)), None)
    if wrong is not None:
        raise DataError(f"{where}.data: row {wrong + 1} must be a list of {len(names)} values, but is none")
    places = {name: names.index(name) for name in wanted if name in names}
    return _of_columns(
        {name: [row[i] for row in rows] for name, i in places.items()}, required, wanted, limits, commas, names
    )


def _of_columns(
    columns: Mapping[str, list[Any]],
    required: Sequence[str] | None,
    wanted: Sequence[str],
    limits: ServeConfig,
    commas: Collection[str],
    names: Sequence[str] | None = None,
) -> pa.RecordBatch:
    refuse_missing(list(required or ()), list(names or columns))
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{BODY}: all columns must have the same number of values")
    _refuse_rows(max(lengths, default=0), limits)
    kept = [name for name in wanted if name in columns]
    read = [column_of(columns[name], name, BODY, name in commas) for name in kept]
    return pa.RecordBatch.from_arrays(read, names=kept)


def _read_csv(body: bytes, required: Sequence[str] | None, wanted: Sequence[str], limits: ServeConfig) -> Question:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{BODY} must be UTF-8 text, but byte {error.start + 1} is not") from None
    names, batches = read_csv(body, wanted, BODY)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{BODY}: column names must differ, but {name_in_line(twice[0])} occurs more than once")
    refuse_missing(list(required or ()), names)
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        kept.append(batch)
        _refuse_rows(sum(one.num_rows for one in kept), limits)
    return Question(_joined(kept, [name for name in wanted if name in names]), {})


def _read_parquet(body: bytes, required: Sequence[str] | None, wanted: Sequence[str], limits: ServeConfig) -> Question:
    """Texts are kept as a dictionary until it is known how long they are: a small file may stand for very many bytes."""
    with plain_errors(BODY):
        file = pq.ParquetFile(pa.BufferReader(body))
        names = file.schema_arrow.names
        refuse_missing(list(required or ()), names)
        _refuse_rows(file.metadata.num_rows, limits)
        kept = [name for name in wanted if name in names]
        _refuse_packed(file.metadata, limits)
        texts = [
            name for name in kept if pa.types.is_string(plain(pa.nulls(0, file.schema_arrow.field(name).type)).type)
        ]
        table = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts).read(kept)
        table.validate(full=True)
        _refuse_long(table, limits)
        return Question(_joined(table.to_batches(), kept), {})


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


def _joined(batches: Sequence[pa.RecordBatch], names: Sequence[str]) -> pa.RecordBatch:
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
