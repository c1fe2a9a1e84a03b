"""Records of JSON, from a file of lines, a file of one array, or a request's body: every value as unchanged text, null as null. An
object in a record becomes columns: {"user": {"age": 31}} is user.age.

Numbers keep their digits, so that 4, 4.0 and "4.0" are read as in a CSV, and a number of 5,000 digits is text until its column's type
is applied. Python's parser bounds its recursion; Arrow's crashes the process on a line of 200 kB of brackets.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NoReturn

import pyarrow as pa

from headway.errors import DataError

LINE_BYTES = 1 << 24
"""The longest line, and the memory that one can take."""

BLOCK_BYTES = 1 << 22
_BLANK = b"\xef\xbb\xbf \t\r\n"

Row = dict[str, Any]
"""An object of a file: names to values."""


def parse(text: bytes, where: str, marked: bool = False) -> Any:
    """A JSON value, its numbers as texts. Raises DataError, one line beginning with ``where``, on what is no JSON or ambiguous.

    ``marked``: NaN and Infinity, which are no JSON, become `NotFinite`, for a caller that refuses them by their row.
    """
    try:
        plain = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} must be UTF-8 text, but byte {error.start + 1} is not") from None
    try:
        return (_MARKING if marked else _DECODER).decode(plain)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise DataError(f"{where} must be JSON, but at {place}column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise DataError(f"{where} must hold flat rows, but is nested too deeply to be read") from None
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> Row:
    values = dict(pairs)
    if len(values) < len(pairs):
        ((twice, count),) = Counter(name for name, _ in pairs).most_common(1)
        raise DataError(f"each name of an object must be there once, but {name_in_line(twice)} is there {count} times")
    return values


class Digits(str):
    """The digits of a number of JSON, which has a decimal point everywhere."""

    __slots__ = ()


class NotFinite(str):
    """NaN, Infinity or -Infinity, as Python writes them."""

    __slots__ = ()


def _no_number(word: str) -> NoReturn:
    raise DataError(f"numbers must be finite, but one is {word}; write null for a missing value")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=Digits, parse_float=Digits, parse_constant=_no_number)
_MARKING = json.JSONDecoder(object_pairs_hook=_object, parse_int=Digits, parse_float=Digits, parse_constant=NotFinite)


def name_in_line(name: object) -> str:
    """A name in one line, whatever it holds."""
    text = str(name)[:60]
    return text if text.isprintable() else repr(text)


def column_of(values: Sequence[Any], name: str, where: str, comma: bool = False) -> pa.Array:
    """Values of `parse` as texts; a column of lists where some are lists or objects, so that a column of single values refuses it.

    ``comma``: whether the column's texts have a decimal comma; then its numbers get one, too.
    """
    if any(isinstance(value, (list, dict)) for value in values):
        return pa.array([None if value is None else [""] for value in values], pa.list_(pa.string()))
    if comma:
        values = [value.replace(".", ",") if isinstance(value, Digits) else value for value in values]
    texts = [value if value is None or isinstance(value, str) else "true" if value else "false" for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: column {name_in_line(name)} must hold text, but one value holds half a character"
        ) from None


def flat(record: Row, where: str, single: Collection[str] = ()) -> Row:
    """A record without objects in it: what stands in one has the names of both, with a point between.

    ``single``: columns of single values, where an object stays one, so that it is refused.
    """
    if not any(isinstance(value, dict) for value in record.values()):
        return record
    pairs: list[tuple[str, Any]] = []
    for name, value in record.items():
        if isinstance(value, dict) and value and name not in single:
            pairs += [(f"{name}.{inner}", one) for inner, one in flat(value, where).items()]
        else:
            pairs.append((name, None if value == {} and name not in single else value))
    try:
        return _object(pairs)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def names_of(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all records, in the order in which they come."""
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
    return list(names)


def batch_of(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], where: str, commas: Collection[str] = ()
) -> pa.RecordBatch:
    """The columns ``names`` of some records; what a record lacks is null. ``commas``: those that have a decimal comma."""
    columns = [column_of([record.get(name) for record in records], name, where, name in commas) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def lines_schema(stream: IO[bytes], where: str) -> pa.Schema:
    """The columns of JSON lines, from the first block: all of them text."""
    names = names_of(next(_blocks(stream, where), []))
    return pa.schema([(name, pa.string()) for name in names])


def lines_batches(
    stream: IO[bytes], columns: Sequence[str] | None, where: str, commas: Collection[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The rows of JSON lines, a block at a time; without ``columns``, those of the first block. ``commas`` as `batch_of`."""
    for records in _blocks(stream, where, columns or ()):
        columns = names_of(records) if columns is None else columns
        yield batch_of(records, columns, where, commas)


def _blocks(stream: IO[bytes], where: str, single: Collection[str] = ()) -> Iterator[list[Row]]:
    """The records of a block's lines, or of a part of an array. Raises DataError with the line's or the row's number."""
    rest, number = b"", 0
    block = stream.read(BLOCK_BYTES)
    if block.lstrip(_BLANK).startswith(b"["):
        yield from _array(block, stream, where, single)
        return
    while block:
        following = stream.read(BLOCK_BYTES)
        lines = (rest + block).split(b"\n")
        rest, block = lines.pop() if following else b"", following
        if max(map(len, [*lines, rest])) > LINE_BYTES:
            number += next((i for i, line in enumerate(lines) if len(line) > LINE_BYTES), len(lines))
            most = f"{LINE_BYTES >> 20} MiB"
            raise DataError(f"{where}: a line must be at most {most} long, but line {number + 1} is longer")
        if records := _records(lines, number, where, single):
            yield records
        number += len(lines)


def _records(lines: Sequence[bytes], number: int, where: str, single: Collection[str]) -> list[Row]:
    records = []
    for line in lines:
        number += 1
        if not line.strip():
            continue
        record = parse(line, f"{where}: line {number}")
        if not isinstance(record, dict):
            raise DataError(
                f'{where}: each line must be a JSON object such as {{"age": 31}}, but line {number} is none'
            )
        records.append(flat(record, f"{where}: line {number}", single))
    return records


def _array(block: bytes, stream: IO[bytes], where: str, single: Collection[str]) -> Iterator[list[Row]]:
    """The records of an array, as many at a time as a block holds."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, number = _decoded(decoder, block.lstrip(_BLANK)[1:], not block, where), 0
    while True:
        following = stream.read(BLOCK_BYTES)
        records, text, is_end = _elements(text, number, where, single, last=not following)
        number += len(records)
        if records:
            yield records
        if is_end:
            return
        if not following:
            raise DataError(f"{where} must be a whole JSON array, but ends after row {number}")
        if len(text) > LINE_BYTES:
            raise DataError(
                f"{where}: a row must be at most {LINE_BYTES >> 20} MiB long, but row {number + 1} is longer"
            )
        text += _decoded(decoder, following, False, where)


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, last: bool, where: str) -> str:
    try:
        return decoder.decode(block, last)
    except UnicodeDecodeError as error:
        raise DataError(f"{where} must be UTF-8 text, but {error.object[error.start]:#x} is not") from None


def _elements(text: str, number: int, where: str, single: Collection[str], last: bool) -> tuple[list[Row], str, bool]:
    """The whole records at a text's beginning, what follows them, and whether the array ends there."""
    records: list[Row] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        if text[at : at + 1] == "]":
            return records, "", True
        place = f"{where}: row {number + len(records) + 1}"
        try:
            record, at = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if not last:
                return records, text[at:], False
            raise DataError(f"{place} must be JSON, but: {error.msg}") from None
        except RecursionError:
            raise DataError(f"{place} must be flat, but is nested too deeply to be read") from None
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        if not isinstance(record, dict):
            raise DataError(f'{place} must be a JSON object such as {{"age": 31}}, but is none')
        records.append(flat(record, place, single))
