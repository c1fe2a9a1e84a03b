"""Files of text as rows: each file is a document, a row of two columns, its path and its text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import IO

import pyarrow as pa

from headway.errors import DataError

NAME, TEXT = "name", "text"
SCHEMA = pa.schema([(NAME, pa.string()), (TEXT, pa.string())])
MOST_BYTES = 1 << 30
"""Of one file: an Arrow array of strings holds twice as much."""


def text_row(stream: IO[bytes], file: str, columns: Sequence[str] | None) -> pa.RecordBatch:
    """The one row of a file. Raises DataError where it is no UTF-8 text."""
    names = SCHEMA.names if columns is None else list(columns)
    values = {NAME: file, TEXT: _text(stream, PurePath(file).name) if TEXT in names else None}
    return pa.RecordBatch.from_arrays([pa.array([values[name]], pa.string()) for name in names], names=names)


def _text(stream: IO[bytes], name: str) -> str:
    content = stream.read(MOST_BYTES + 1)
    fix = "move it elsewhere, or name the files of text, as in data.source: folder/*.txt"
    if len(content) > MOST_BYTES:
        raise DataError(f"{name} must be at most 1 GiB of text, but is longer; divide it into several files")
    if b"\0" in content:
        raise DataError(f"{name} must be UTF-8 text, but byte {content.index(0)} is zero, as in a binary file; {fix}")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} must be UTF-8 text, but byte {error.start} is not; {fix}") from None
