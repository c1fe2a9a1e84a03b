"""The rows of one file in its own format (Parquet, CSV, JSON lines, Arrow, text), as a stream of raw batches."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import PurePath
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from headway.data.config import CsvOptions
from headway.data.content import first_bytes, format_by_content, packing_of, unpacked
from headway.data.delimited import BLOCK_BYTES, Header, OnBadLine, csv_batches, read_header, text_lines
from headway.data.files import FORMATS, first_line, open_url, suffix_of
from headway.data.folders import add_folders, folder_values, with_folders
from headway.data.records import lines_batches, lines_schema
from headway.data.row_groups import parquet_batches, sound
from headway.data.texts import SCHEMA, text_row
from headway.errors import DataError

SEEKING = ("parquet", "arrow")
"""Formats whose parts are found from the file's end: a packed file of them is unpacked to the disk first."""

CUT = " ..."
"""Where pyarrow cuts a line in an error."""


@contextlib.contextmanager
def _stream_of(file: str, form: str) -> Iterator[Any]:
    """The file's bytes, unpacked where it is packed. Raises DataError when it cannot be read."""
    name = PurePath(file).name
    with plain_errors(name):
        system, inner = open_url(file) if "://" in file else (pafs.LocalFileSystem(), file)
        if form != "text" and system.get_file_info(inner).size == 0:
            raise DataError(f"{name} must have content, but is empty")
        with system.open_input_file(inner) as stream:
            packing = None if form == "text" else packing_of(stream.read(4), name)
            stream.seek(0)
            with unpacked(stream, packing, name) as plain:
                if packing is None or form not in SEEKING:
                    yield plain
                    return
                with TemporaryFile() as whole:
                    shutil.copyfileobj(plain, whole, BLOCK_BYTES)
                    yield pa.PythonFile(whole, mode="r")


@contextlib.contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """Turns pyarrow's errors on a file that cannot be read into a DataError of one line."""
    try:
        yield
    except (pa.ArrowException, MemoryError, OSError) as error:
        raise _explain(error, name) from None
    except UnicodeDecodeError as error:
        raise _encoding(name, f"byte {error.start}") from None


def _explain(error: Exception, name: str) -> DataError:
    text = first_line(error)
    if "UTF8" in text or "UTF-8" in text or "codec" in text:
        return _encoding(name, "some bytes")
    if "Expected" in text and "columns" in text:
        return DataError(f"{name}: each line must have as many values as the header, but: {text}")
    if "straddling" in text or "block boundaries" in text:
        most = f"{BLOCK_BYTES >> 20} MiB"
        return DataError(
            f"{name}: a line must be at most {most} long, but one is longer, or a quote in it is not closed"
        )
    if isinstance(error, OSError) and getattr(error, "errno", None) is not None:
        return DataError(f"{name} must be readable, but: {error.strerror or text}")
    return DataError(f"{name} must be whole and readable, but: {text}")


def _ragged(error: Exception, name: str, header: Header, lines: Iterator[str]) -> DataError | None:
    """The error for a line with too few or too many values, found among the file's ``lines``; None for another error."""
    match = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", first_line(error))
    if match is None:
        return None
    row, width, count, text = match.groups()
    start, dots, _ = text.partition(CUT)
    texts = (
        line.startswith(start) if dots else line.rstrip("\r") == text for line in islice(lines, header.lines, None)
    )
    line = next((number for number, is_it in enumerate(texts, header.lines + 1) if is_it), None)
    place = f"row {int(row) - header.lines}{'' if line is None else f' (line {line})'}"
    return DataError(
        f"{name}: each line must have as many values as the header, but {place} has {count}, not {width}: {text[:60]}"
    )


def _encoding(name: str, where: str) -> DataError:
    fix = "; set data.csv.encoding, for example to latin-1" if FORMATS.get(suffix_of(name)) == "csv" else ""
    return DataError(f"{name} must be UTF-8 text, but {where} is not{fix}")


def head_of(file: str, size: int) -> tuple[bytes, str]:
    """The first bytes of a file, unpacked, and the format that they are of. Raises DataError for what is no table."""
    with _stream_of(file, "auto") as stream:
        head = first_bytes(stream, size)
    return head, format_by_content(head, PurePath(file).name)


def blocks_of(file: str) -> Iterator[bytes]:
    """The bytes of a file, unpacked. Raises DataError when it cannot be read."""
    with _stream_of(file, "auto") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield bytes(block)


def read_schema(file: str, form: str, csv: CsvOptions) -> pa.Schema:
    """The file's columns and those of its folders' names. Those of CSV and of JSON lines are all text, and those of folders; the
    project's YAML says what they hold.
    """
    return SCHEMA if form == "text" else with_folders(_schema_within(file, form, csv), folder_values(file))


def _schema_within(file: str, form: str, csv: CsvOptions) -> pa.Schema:
    """The columns that the file itself has."""
    with _stream_of(file, form) as stream:
        if form == "parquet":
            return pq.read_schema(stream)
        if form == "arrow":
            return _arrow_reader(stream)[0]
        if form == "csv":
            return pa.schema([(name, pa.string()) for name in read_header(stream, csv, PurePath(file).name).names])
        return lines_schema(stream, PurePath(file).name)


def read_batches(
    file: str,
    form: str,
    csv: CsvOptions,
    columns: Sequence[str] | None,
    rows: int,
    on_bad_line: OnBadLine | None = None,
    commas: Collection[str] = (),
    codes: Collection[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The file's rows as they are, only ``columns`` where given, at most ``rows`` at a time. ``commas``: columns of texts with a decimal
    comma, which numbers of JSON get then, too. ``codes``: columns whose texts may come as codes, where the file has them so.

    Raises DataError at a CSV line with too few or too many values, unless ``on_bad_line`` takes such lines.
    """
    values = {} if form == "text" else folder_values(file)
    within = _schema_within(file, form, csv).names if values else []
    values = {n: v for n, v in values.items() if n not in within and (columns is None or n in columns)}
    if not values:
        yield from _batches_within(file, form, csv, columns, rows, on_bad_line, commas, codes)
        return
    own = None if columns is None else [name for name in columns if name not in values] or within[:1]  # to count rows
    yield from add_folders(_batches_within(file, form, csv, own, rows, on_bad_line, commas, codes), values, columns)


def _batches_within(
    file: str,
    form: str,
    csv: CsvOptions,
    columns: Sequence[str] | None,
    rows: int,
    on_bad_line: OnBadLine | None,
    commas: Collection[str],
    codes: Collection[str],
) -> Iterator[pa.RecordBatch]:
    """The rows with the columns that the file itself has."""
    header = Header((), 0)
    if form == "csv":
        with _stream_of(file, form) as stream:
            header = read_header(stream, csv, PurePath(file).name)
    with _stream_of(file, form) as stream:
        if form == "text":
            yield text_row(stream, file, columns)
            return
        name = PurePath(file).name
        if form == "parquet":
            yield from parquet_batches(stream, columns, rows, codes, name, is_local="://" not in file)
            return
        lines = lines_batches(stream, columns, name, commas)
        batches = lines if form == "jsonl" else _raw(stream, form, csv, columns, header, on_bad_line)
        try:
            for batch in batches:
                for at in range(0, batch.num_rows, rows):
                    yield batch.slice(at, rows)
        except pa.ArrowInvalid as error:
            if form == "csv" and "Expected" in str(error):
                raise _broken_line(file, csv, header) or error from None
            raise


def _raw(
    stream: IO[bytes],
    form: str,
    csv: CsvOptions,
    columns: Sequence[str] | None,
    header: Header,
    on_bad_line: OnBadLine | None,
) -> Iterator[pa.RecordBatch]:
    if form == "arrow":
        yield from (sound(_select(batch, columns)) for batch in _arrow_reader(stream)[1])
    else:
        yield from csv_batches(stream, csv, columns, header, on_bad_line)


def _broken_line(file: str, csv: CsvOptions, header: Header) -> DataError | None:
    """The error of the first line with too few or too many values. The file is read again by one thread, which counts the rows."""
    problem: pa.ArrowInvalid | None = None
    with _stream_of(file, "csv") as stream:
        try:
            deque(csv_batches(stream, csv, None, header, None, threads=False), maxlen=0)
        except pa.ArrowInvalid as error:
            problem = error
    if problem is None:
        return None
    with _stream_of(file, "csv") as stream:
        error = _ragged(problem, PurePath(file).name, header, text_lines(stream, csv))
    return error and DataError(f"{error}; data.csv.uneven_lines: drop leaves such lines out")


def read_csv(content: bytes, names_to_read: Sequence[str], name: str) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The names of all columns of a CSV in memory, and the rows of those of ``wanted`` that it has, as unchanged text."""
    plain = CsvOptions(null_values=())
    with plain_errors(name):
        header = read_header(pa.BufferReader(content), plain, name)
    columns = [column for column in names_to_read if column in header.names]

    def rows() -> Iterator[pa.RecordBatch]:
        with plain_errors(name):
            try:
                yield from csv_batches(pa.BufferReader(content), plain, columns, header, None, threads=False)
            except pa.ArrowInvalid as error:
                raise _ragged(error, name, header, text_lines(pa.BufferReader(content), plain)) or error from None

    return list(header.names), rows()


def _select(batch: pa.RecordBatch, columns: Sequence[str] | None) -> pa.RecordBatch:
    return batch if columns is None else batch.select(list(columns))


def _arrow_reader(stream: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Either Arrow format: the file with a footer, or the stream."""
    try:
        file = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:
        stream.seek(0)
        reader = pa.ipc.open_stream(stream)
        return reader.schema, iter(reader)
    return file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
