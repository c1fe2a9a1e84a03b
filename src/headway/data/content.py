"""What a file is by its content, whatever its name says: how it is packed, and of which format."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import PurePath
from typing import IO, Any

import pyarrow as pa

from headway.errors import DataError

_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}
BY_ENDING = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".zip": "zip"}
_FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an Excel workbook of before 2007; save it as CSV",
    b"SQLite format 3": "an SQLite database; write the table to CSV or Parquet",
    b"\x89HDF": "an HDF5 file; write the table to Parquet",
    b"ORC": "an ORC file; write the table to Parquet",
    b"Obj\x01": "an Avro file; write the table to Parquet",
    b"\x93NUMPY": "an array of NumPy; write it as a table with named columns to Parquet",
    b"<stata_dta>": "a Stata file; write the table to Parquet, with pandas.read_stata",
    b"$FL2@(#)": "an SPSS file; write the table to Parquet",
    b"RDX": "R's data; write the table to CSV or Parquet",
    b"\x80\x04\x95": "a pickle, which is never opened; write the table to Parquet",
    b"\x80\x05\x95": "a pickle, which is never opened; write the table to Parquet",
    b"%PDF": "a PDF; save the table as CSV",
    b"\x89PNG": "an image, which this version does not read",
    b"\xff\xd8\xff": "an image, which this version does not read",
    b"<!DOCTYPE": "a web page; save the table as CSV",
    b"<html": "a web page; save the table as CSV",
    b"<?xml": "XML; save the table as CSV",
}
_NOTES = (".txt", ".md", ".pdf", ".html", ".docx")
_BLANK = b"\xef\xbb\xbf \t\r\n"


def packing_of(head: bytes, name: str) -> str | None:
    """What a file is packed with, from its first bytes, otherwise from its name's ending; None for one that is not."""
    by_content = next((packing for magic, packing in _PACKED.items() if head.startswith(magic)), None)
    return by_content or BY_ENDING.get(PurePath(name).suffix.lower())


@contextlib.contextmanager
def unpacked(stream: Any, packing: str | None, name: str) -> Iterator[Any]:
    """The bytes that a file's stream is packed from. Raises DataError for a zip that does not hold one table."""
    if packing is None:
        yield stream
    elif packing == "zip":
        with _zip(stream, name) as archive, archive.open(_member(archive, name)) as member:
            yield pa.PythonFile(member, mode="r")
    else:
        with pa.CompressedInputStream(stream, packing) as plain:
            yield plain


def _zip(stream: Any, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except zipfile.BadZipFile as error:
        raise DataError(f"{name} must be whole and readable, but: {error}") from None


def _member(archive: zipfile.ZipFile, name: str) -> str:
    """The one table in a zip; notes beside it do not count."""
    inside = [one.filename for one in archive.infolist() if not one.is_dir()]
    if "[Content_Types].xml" in inside:
        raise DataError(f"{name} must be a table, but is an Excel workbook; save it as CSV")
    files = [one for one in inside if not any(part.startswith((".", "__")) for part in PurePath(one).parts)]
    tables = [one for one in files if PurePath(one).suffix.lower() not in _NOTES] or files
    if len(tables) != 1:
        names = ", ".join(tables[:3]) or "nothing"
        raise DataError(f"{name} must hold one table, but holds {names}; unpack it and give --data one of its files")
    return tables[0]


def format_by_content(head: bytes, name: str) -> str:
    """csv, parquet, jsonl or arrow, from the first bytes of an unpacked file. Raises DataError for what is no table."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"FEA1", b"\xff\xff\xff\xff")):
        return "arrow"
    for magic, what in _FOREIGN.items():
        if head.lstrip(_BLANK).startswith(magic):
            raise DataError(f"{name} must be CSV, Parquet, JSON or Arrow, but is {what}")
    return "jsonl" if _is_json(head) else "csv"


def _is_json(head: bytes) -> bool:
    start = head.lstrip(_BLANK)
    after = start[1:].lstrip(_BLANK)
    return (start[:1] == b"{" and after[:1] in (b'"', b"}")) or (start[:1] == b"[" and after[:1] in (b"{", b"]", b"["))


def first_bytes(stream: IO[bytes], size: int) -> bytes:
    """As many bytes as there are, up to ``size``; where the rest is damaged, those before it."""
    head = b""
    try:
        while len(head) < size and (more := stream.read(size - len(head))):
            head += more
    except (OSError, pa.ArrowException, EOFError, zipfile.BadZipFile):
        return head
    return head
