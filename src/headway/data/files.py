"""Files of rows: finding them, and reading each format as a stream of raw batches."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePath
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from headway.data.config import CsvOptions
from headway.data.credentials import refuse_credentials
from headway.data.records import lines_batches, lines_schema
from headway.data.texts import SCHEMA, text_row
from headway.errors import ConfigError, DataError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
UNSURE = (".txt", ".data")
"""In a folder beside tables these are more likely notes."""

PACKED = (".gz", ".bz2", ".zst", ".lz4")
BLOCK_BYTES = 1 << 22


Broken = Callable[[str], None]
"""Told the text of a CSV line that has too few or too many values; such lines are then left out."""


def find_files(source: str, root: Path, setting: str = "data.source", texts: bool = False) -> list[str]:
    """The files of a path, a folder, a glob or a URL, sorted by name. Relative paths start at the project's root.

    ``texts``: whether files of a folder may have any ending. Raises DataError, naming the ``setting``, when there is none, and
    ConfigError for an address with credentials.
    """
    refuse_credentials(source, setting)
    if "://" in source:
        system, inner = open_url(source)
        info = system.get_file_info(inner)
        if info.type == pafs.FileType.File:
            return [source]
        infos = system.get_file_info(pafs.FileSelector(inner, recursive=True, allow_not_found=True))
        inside = [info.path for info in infos if info.type == pafs.FileType.File]
        scheme = source.split("://", 1)[0]
        found = sorted(f"{scheme}://{path}" for path in inside if texts or _suffix(path) in FORMATS)
        if not found:
            raise DataError(f"{setting} must be a file or a folder of files, but there is none at {source}")
        return found
    path = Path(source).expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_dir():
        found = sorted(str(p) for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
        if not texts:
            known = [p for p in found if _suffix(p) in FORMATS]
            found = [p for p in known if _suffix(p) not in UNSURE] or known
        if not found:
            what = "files" if texts else "Parquet, CSV, JSON lines or Arrow files"
            raise DataError(f"{setting} must hold {what}, but {source} holds none")
        return found
    if path.is_file():
        return [str(path)]
    # Path.glob takes no absolute pattern
    found = sorted(p for p in glob.glob(str(path), recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not found:
        raise DataError(f"{setting} must be a file, a folder or a glob, but there is no {source}")
    return found


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _suffix(name: str) -> str:
    path = PurePath(name)
    return PurePath(path.stem).suffix.lower() if path.suffix.lower() in PACKED else path.suffix.lower()


def format_of(files: Sequence[str], stated: str, texts: bool = False) -> str:
    """The one format of all files: the stated one, or that of their names' endings.

    ``texts``: whether files that are not all tables of one format are text; so are those whose ending says little.
    """
    if stated != "auto":
        return stated
    if texts:
        forms = {"text" if _suffix(file) in UNSURE else FORMATS.get(_suffix(file), "text") for file in files}
        return forms.pop() if len(forms) == 1 else "text"
    found = {FORMATS.get(_suffix(file), f"unknown ({_suffix(file) or 'no ending'})") for file in files}
    if len(found) > 1 or next(iter(found)).startswith("unknown"):
        raise ConfigError(
            f"data.format must be given when the files' endings do not tell it, but they are {', '.join(sorted(found))}"
        )
    return found.pop()


def open_url(url: str) -> tuple[pafs.FileSystem, str]:
    """The file system and the path inside it. Raises ConfigError for a scheme that pyarrow does not know."""
    try:
        return pafs.FileSystem.from_uri(url)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConfigError(f"data.source must be an address that pyarrow can open, but {url}: {_first(error)}") from None


@contextlib.contextmanager
def _opened(file: str, form: str) -> Iterator[Any]:
    """The file's bytes, unpacked where its name says that it is packed. Raises DataError when it cannot be read."""
    name = PurePath(file).name
    with explained(name):
        system, inner = open_url(file) if "://" in file else (pafs.LocalFileSystem(), file)
        if form != "text" and system.get_file_info(inner).size == 0:
            raise DataError(f"{name} must have content, but is empty")
        if PurePath(file).suffix.lower() in PACKED:
            with system.open_input_stream(inner) as stream:
                yield stream
        else:
            with system.open_input_file(inner) as stream:
                yield stream


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """What pyarrow says of a file that it cannot read, as a DataError of one line."""
    try:
        yield
    except (pa.ArrowException, MemoryError, OSError) as error:
        raise _explain(error, name) from None
    except UnicodeDecodeError as error:
        raise _encoding(name, f"byte {error.start}") from None


def _explain(error: Exception, name: str) -> DataError:
    text = _first(error)
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


def _encoding(name: str, where: str) -> DataError:
    fix = "; set data.csv.encoding, for example to latin-1" if FORMATS.get(_suffix(name)) == "csv" else ""
    return DataError(f"{name} must be UTF-8 text, but {where} is not{fix}")


def _first(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else type(error).__name__


def read_schema(file: str, form: str, csv: CsvOptions) -> pa.Schema:
    """The file's columns. Those of CSV and of JSON lines are all text: what they mean is for the project to say."""
    if form == "text":
        return SCHEMA
    with _opened(file, form) as stream:
        if form == "parquet":
            return pq.read_schema(stream)
        if form == "arrow":
            return _arrow_reader(stream)[0]
        if form == "csv":
            return pa.schema([(name, pa.string()) for name in _csv_names(stream, csv, PurePath(file).name)])
        return lines_schema(stream, PurePath(file).name)


def read_batches(
    file: str,
    form: str,
    csv: CsvOptions,
    columns: Sequence[str] | None,
    rows: int,
    broken: Broken | None = None,
    commas: Collection[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The file's rows as they are, only ``columns`` where given, at most ``rows`` at a time. ``commas``: columns of texts that have a
    decimal comma, as numbers of JSON get then, too.

    Raises DataError at a CSV line with too few or too many values, unless ``broken`` takes such lines.
    """
    names = read_schema(file, form, csv).names if form == "csv" else []
    with _opened(file, form) as stream:
        if form == "text":
            yield text_row(stream, file, columns)
            return
        lines = lines_batches(stream, columns, PurePath(file).name, commas)
        for batch in lines if form == "jsonl" else _raw(stream, form, csv, columns, names, rows, broken):
            for at in range(0, batch.num_rows, rows):
                yield batch.slice(at, rows)


def _raw(
    stream: IO[bytes],
    form: str,
    csv: CsvOptions,
    columns: Sequence[str] | None,
    names: list[str],
    rows: int,
    broken: Broken | None,
) -> Iterator[pa.RecordBatch]:
    if form == "parquet":
        with pq.ParquetFile(stream) as parquet:
            chosen = None if columns is None else list(columns)
            yield from (_sound(batch) for batch in parquet.iter_batches(batch_size=rows, columns=chosen))
    elif form == "arrow":
        yield from (_sound(_select(batch, columns)) for batch in _arrow_reader(stream)[1])
    else:
        yield from _csv_batches(stream, csv, columns, names, broken)


def read_csv(content: bytes, wanted: Sequence[str], name: str) -> tuple[list[str], Iterator[pa.RecordBatch]]:
    """The names of all columns of a CSV in memory, and the rows of those of ``wanted`` that it has, as the texts that stand there."""
    plain = CsvOptions(null_values=())
    with explained(name):
        names = _csv_names(pa.BufferReader(content), plain, name)
    columns = [column for column in wanted if column in names]

    def rows() -> Iterator[pa.RecordBatch]:
        with explained(name):
            yield from _csv_batches(pa.BufferReader(content), plain, columns, names, None)

    return names, rows()


def _sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Texts are UTF-8 and offsets within their data: a damaged file may say otherwise, and would end the process later."""
    batch.validate(full=True)
    return batch


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


def _csv_names(stream: IO[bytes], csv: CsvOptions, name: str) -> list[str]:
    """The header's names. Read by themselves: pyarrow cannot give a column a type before it is known."""
    if csv.column_names:
        return list(csv.column_names)
    head = stream.read(1 << 20)
    try:
        line = head.decode(csv.encoding, errors="strict" if len(head) < 1 << 20 else "ignore").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        if b"\n" in head[: error.start]:  # the header itself is fine; the rows will be looked at when they are read
            line = head[: error.start].decode(csv.encoding)
        else:
            raise
    except LookupError:
        raise ConfigError(f"data.csv.encoding must be a character encoding, but is {csv.encoding!r}") from None
    import csv as stdlib_csv

    try:
        names = next(stdlib_csv.reader(line.splitlines(), delimiter=csv.delimiter), [])
    except stdlib_csv.Error as error:  # a name of more than 131,072 characters
        raise DataError(
            f"{name} must begin with the columns' names, but its first line cannot be read: {error}"
        ) from None
    names = [n.strip() for n in names]
    if not any(names):
        raise DataError(f"{name} must begin with the columns' names, but its first line is blank")
    return names


def _csv_batches(
    stream: IO[bytes], csv: CsvOptions, columns: Sequence[str] | None, names: list[str], broken: Broken | None
) -> Iterator[pa.RecordBatch]:
    def leave_out(row: pacsv.InvalidRow) -> str:
        assert broken is not None
        broken(row.text)
        return "skip"

    reader = pacsv.open_csv(
        stream,
        read_options=pacsv.ReadOptions(
            block_size=BLOCK_BYTES, encoding=csv.encoding, column_names=names, skip_rows=0 if csv.column_names else 1
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=csv.delimiter, newlines_in_values=True, invalid_row_handler=leave_out if broken else None
        ),
        convert_options=pacsv.ConvertOptions(
            column_types={n: pa.string() for n in names},
            include_columns=list(columns) if columns is not None else None,
            strings_can_be_null=False,
        ),
    )
    for batch in reader:
        yield pa.RecordBatch.from_arrays([known_texts(c, csv) for c in batch.columns], names=batch.schema.names)


def known_texts(column: pa.Array, csv: CsvOptions) -> pa.Array:
    """Texts as they are read: stripped where that is asked, and null where they stand for a missing value."""
    texts = pc.utf8_trim_whitespace(column) if csv.strip else column
    nulls = pa.array(csv.null_values, pa.string())
    return pc.if_else(pc.is_in(texts, value_set=nulls), pa.scalar(None, pa.string()), texts)
