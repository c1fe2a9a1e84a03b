"""What a known data set is, and how its files are had."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from headway.base import Config, DataError, write_json
from headway.data.config import CsvOptions

MIRROR = "HEADWAY_DATASETS"
TIMEOUT_SECONDS = 60


class NoOptions(Config):
    """A data set without settings."""


@dataclass(frozen=True)
class File:
    """One file: where it lies in the mirror folder, its public address, its SHA-256."""

    mirror: str
    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Its plain name."""
        return Path(self.mirror).name


@dataclass(frozen=True)
class Located:
    """Files on this machine and how to read them. ``clean`` mends what is odd in a raw batch, names included."""

    files: tuple[Path, ...]
    csv: CsvOptions
    clean: Callable[[pa.RecordBatch], pa.RecordBatch] | None
    format: str


@dataclass(frozen=True)
class Dataset:
    """A known data set: ``files`` to fetch, or ``generate(folder, options)``, which returns the files it made."""

    name: str
    title: str
    licence: str
    files: tuple[File, ...] = ()
    csv: CsvOptions = CsvOptions()
    clean: Callable[[pa.RecordBatch], pa.RecordBatch] | None = None
    format: str = "csv"
    options: type[Config] = NoOptions
    generate: Callable[[Path, Any], tuple[Path, ...]] | None = None


def fetch(file: File, name: str, root: Path) -> Path:
    """The file from the mirror (read where it lies), from `data/raw/`, or from its address, always checked.

    Raises DataError when it cannot be had or is not the file that it should be.
    """
    mirror = os.environ.get(MIRROR)
    mirrored = (Path(mirror) if Path(mirror).is_absolute() else root / mirror) / file.mirror if mirror else None
    for path in (mirrored, root / "data" / "raw" / name / file.name):
        if path is not None and path.exists():
            _check(path, file, root)
            return path
    path = root / "data" / "raw" / name / file.name
    _download(file, path)
    return path


def _check(path: Path, file: File, root: Path) -> None:
    """Compare the checksum, once for each state of the file."""
    cache = root / ".cache" / "checked.json"
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(cache.read_text())
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    if key not in known:
        with open(path, "rb") as content:
            known[key] = hashlib.file_digest(content, "sha256").hexdigest()
        with contextlib.suppress(OSError):  # the cache only saves time
            write_json(cache, known)
    if known[key] != file.sha256:
        raise DataError(
            f"{path} must have the SHA-256 {file.sha256[:12]}…, however it has {known[key][:12]}…; remove it"
        )


def _download(file: File, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    found = hashlib.sha256()
    fix = f"or set {MIRROR} to a folder that holds {file.mirror}"
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT_SECONDS) as answer, open(partial, "wb") as out:
            while block := answer.read(1 << 20):
                found.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if found.hexdigest() != file.sha256:
            raise DataError(
                f"{file.url} must have the SHA-256 {file.sha256[:12]}…, however it has {found.hexdigest()[:12]}…; try later, {fix}"
            )
        partial.replace(path)
    except urllib.error.HTTPError as error:
        raise DataError(f"{file.name} must be fetched once, however {file.url} answers {error.code}; {fix}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"{file.name} must be fetched once, however {file.url} cannot be reached ({reason}); connect, {fix}"
        ) from None
    finally:
        partial.unlink(missing_ok=True)


def renamed(batch: pa.RecordBatch, names: dict[str, str]) -> pa.RecordBatch:
    """The batch with some columns renamed."""
    return pa.RecordBatch.from_arrays(batch.columns, names=[names.get(n, n) for n in batch.schema.names])


def with_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with one column replaced."""
    return batch.set_column(batch.schema.get_field_index(name), name, values)
