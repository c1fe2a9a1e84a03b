"""What documents are called: a file's path below the folder of its source, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import pyarrow as pa

from headway.data.files import open_url
from headway.data.reading import Clean
from headway.data.texts import NAME


def below(base: str) -> Clean:
    """Names documents by their path below ``base``."""

    def with_short_names(batch: pa.RecordBatch) -> pa.RecordBatch:
        if NAME not in batch.schema.names:
            return batch
        short = [name_below(base, file) for file in batch.column(NAME).to_pylist()]
        return batch.set_column(batch.schema.get_field_index(NAME), NAME, pa.array(short, pa.string()))

    return with_short_names


def name_below(base: str, file: str) -> str:
    """A file's path below ``base``; its name alone where it lies elsewhere."""
    return file.removeprefix(base).lstrip("/") if base and file.startswith(base) else PurePath(file).name


def base_of(source: str, root: Path, files: Sequence[str]) -> str:
    """The folder below which a source's ``files`` are named: itself, or what a file or a glob lies in."""
    if "://" in source:
        whole = f"{source.split('://', 1)[0]}://{open_url(source)[1]}"
        return source.rsplit("/", 1)[0] if list(files) == [source] else whole
    path = Path(source).expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_dir():
        return str(path)
    depth = next((n for n, part in enumerate(path.parts) if set(part) & set("*?[")), len(path.parts) - 1)
    return str(Path(*path.parts[:depth]))
