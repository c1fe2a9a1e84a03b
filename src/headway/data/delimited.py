"""CSV: its line of names, and its rows as texts."""

from __future__ import annotations

import codecs
import csv as stdlib_csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from headway.data.config import CsvOptions
from headway.data.delimiters import SPACES, UNIT, Units, is_plain
from headway.errors import ConfigError, DataError

BLOCK_BYTES = 1 << 22

OnBadLine = Callable[[str], None]
"""Called with the text of a CSV line that has too few or too many values; the line is then left out."""


@dataclass(frozen=True)
class Header:
    """The columns' names, and how many lines stand above the rows."""

    names: tuple[str, ...]
    lines: int


def read_header(stream: IO[bytes], csv: CsvOptions, name: str) -> Header:
    """Read by itself: pyarrow cannot give a column a type before it is known. A name in quotes may have line breaks."""
    if csv.column_names:
        return Header(csv.column_names, csv.skip_lines)
    stream, csv = _plain(stream, csv)
    head = stream.read(1 << 20)
    try:
        text = head.decode(csv.encoding, errors="strict" if len(head) < 1 << 20 else "ignore").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if b"\n" in head[: error.start]:  # the header itself is fine; the rows will be looked at when they are read
            text = head[: error.start].decode(csv.encoding)
        else:
            raise
    except LookupError:
        raise _no_encoding(csv) from None
    lines = text.splitlines(keepends=True)[csv.skip_lines :]
    quoting = stdlib_csv.QUOTE_MINIMAL if csv.quotes else stdlib_csv.QUOTE_NONE
    reader = stdlib_csv.reader(lines, delimiter=csv.delimiter, quoting=quoting)
    try:
        names = next(reader, [])
    except stdlib_csv.Error as error:  # a name of more than 131,072 characters
        raise DataError(
            f"{name} must begin with the columns' names, but its first line cannot be read: {error}"
        ) from None
    names = [n.strip() for n in names]
    if not any(names):
        fix = "data.csv.skip_lines: N leaves out lines above them"
        raise DataError(f"{name} must begin with the columns' names, but its first line is blank; {fix}")
    return Header(tuple(names), csv.skip_lines + reader.line_num)


def _plain(stream: IO[bytes], csv: CsvOptions) -> tuple[IO[bytes], CsvOptions]:
    """The stream with one character between two values, and options that say so."""
    if is_plain(csv.delimiter):
        return stream, csv
    try:
        units = Units(stream, csv.encoding, csv.delimiter)
    except LookupError:
        raise _no_encoding(csv) from None
    return cast(IO[bytes], units), csv.model_copy(update={"delimiter": UNIT, "encoding": "utf-8"})


def _no_encoding(csv: CsvOptions) -> ConfigError:
    return ConfigError(f"data.csv.encoding must be a character encoding, but is {csv.encoding!r}")


def csv_batches(
    stream: IO[bytes],
    csv: CsvOptions,
    columns: Sequence[str] | None,
    header: Header,
    on_bad_line: OnBadLine | None,
    threads: bool = True,
) -> Iterator[pa.RecordBatch]:
    """The rows below a header, of the chosen columns. Without ``threads`` an error names the line."""

    def leave_out(row: pacsv.InvalidRow) -> str:
        if on_bad_line is not None:
            text = row.text
            on_bad_line(text if is_plain(delimiter) else text.replace(UNIT, " " if delimiter == SPACES else delimiter))
        return "skip"

    delimiter = csv.delimiter
    stream, csv = _plain(stream, csv)

    names = list(header.names)
    reader = pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(
            use_threads=threads,
            block_size=BLOCK_BYTES,
            encoding=csv.encoding,
            column_names=names,
            skip_rows=header.lines,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=csv.delimiter,
            quote_char='"' if csv.quotes else False,
            newlines_in_values=csv.quotes,
            invalid_row_handler=leave_out if on_bad_line or csv.uneven_lines == "drop" else None,
        ),
        convert_options=pacsv.ConvertOptions(
            column_types={n: pa.string() for n in names},
            include_columns=list(columns) if columns is not None else None,
            strings_can_be_null=False,
        ),
    )
    for batch in reader:
        yield pa.RecordBatch.from_arrays([known_texts(c, csv) for c in batch.columns], names=batch.schema.names)


def text_lines(stream: IO[bytes], csv: CsvOptions) -> Iterator[str]:
    """The lines of a file, also those within quotes."""
    stream, csv = _plain(stream, csv)
    decoder, rest = codecs.getincrementaldecoder(csv.encoding)("replace"), ""
    while block := stream.read(BLOCK_BYTES):
        *lines, rest = (rest + decoder.decode(block)).split("\n")
        yield from lines
    yield rest


def known_texts(column: pa.Array, csv: CsvOptions) -> pa.Array:
    """Texts as they are read: stripped where that is asked, and null where they stand for a missing value."""
    texts = pc.utf8_trim_whitespace(column) if csv.strip else column
    nulls = pa.array(csv.null_values, pa.string())
    return pc.if_else(pc.is_in(texts, value_set=nulls), pa.scalar(None, pa.string()), texts)
