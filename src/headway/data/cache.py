"""What is kept of files that were read before, so that a table that grows by a file is not read from its beginning.

data/prepared/profiles/rows/<key>.hashes    (N,) uint64 of one file's rows, then the SHA-256 of these bytes
data/prepared/profiles/rows/<key>.arrow     rows, as a stream, then its SHA-256
data/prepared/profiles/rows/<key>.json      of one file, or of the first files of a table: what rows came to, with a check

A key is a digest of the files' content, how they are read, and everything else that decides the values. Each use makes a file new, so that
`headway gc` removes those that nothing uses; beyond MOST_BYTES the oldest go at once.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from headway import __version__
from headway.errors import DamagedError
from headway.files.atomic import digest, read_json, write_atomically

FORM = 3
"""To be increased when something is computed or kept in another way."""

MOST_BYTES = 4 << 30
"""Of all files together: 8 bytes a row and kind of hash are 4 GB of 270 million rows that two checks tell apart."""

_SUM = hashlib.sha256().digest_size


class Cache:
    """The folder. What cannot be written is computed again: it only saves time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def values(self, *key: object) -> Mapping[str, Any] | None:
        """What `keep` wrote under a key; None where it is not there, or damaged."""
        path = self._path(key, "json")
        try:
            values = read_json(path)
            check = values.pop("check")
            if check == _check(values):
                _used(path)
                return dict(values)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, DamagedError):
            pass
        _remove(path)
        return None

    def keep(self, values: Mapping[str, object], *key: object) -> None:
        """Write plain values under a key."""
        plain = json.loads(json.dumps(values))
        with contextlib.suppress(OSError):
            write_atomically(self._path(key, "json"), json.dumps({**plain, "check": _check(plain)}))

    def hashes(self, *key: object) -> np.ndarray | None:
        """(N,) uint64 that a HashFile wrote under a key; None where they are not there, or damaged."""
        content = self._content(key, "hashes")
        return None if content is None else np.frombuffer(content, "<u8")

    def table(self, *key: object) -> pa.Table | None:
        """What `keep_table` wrote under a key; None where it is not there, or damaged."""
        content = self._content(key, "arrow")
        return None if content is None else pa.ipc.open_stream(content).read_all()

    def _content(self, key: tuple[object, ...], ending: str) -> pa.Buffer | None:
        """A file without the sum behind it, memory-mapped."""
        path = self._path(key, ending)
        try:
            with pa.memory_map(str(path)) as source:
                content = source.read_buffer()
            size = max(0, len(content) - _SUM)
            if hashlib.sha256(content[:size]).digest() == content[size:].to_pybytes():
                _used(path)
                return content.slice(0, size)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        _remove(path)
        return None

    def keep_table(self, table: pa.Table, *key: object) -> None:
        """Write rows under a key."""
        content = packed(table)
        with contextlib.suppress(OSError):
            write_atomically(self._path(key, "arrow"), b"".join((content, hashlib.sha256(content).digest())))

    def new_hashes(self, *key: object) -> HashFile:
        """A file of hashes to fill."""
        return HashFile(self._path(key, "hashes"))

    def bound(self) -> None:
        """Remove the oldest files where all are too large together."""
        with contextlib.suppress(OSError):
            files = sorted(
                ((one.stat(), one) for one in self._folder.glob("[!.]*")), key=lambda pair: -pair[0].st_mtime
            )
            sizes = np.cumsum([stat.st_size for stat, _ in files])
            for size, (_, path) in zip(sizes, files, strict=True):
                if size > MOST_BYTES:
                    path.unlink(missing_ok=True)

    def _path(self, key: tuple[object, ...], ending: str) -> Path:
        return self._folder / f"{digest([FORM, __version__, *key])}.{ending}"


def packed(table: pa.Table) -> bytes:
    """A table as a stream."""
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, table.schema) as stream:
        stream.write_table(table)
    return buffer.getvalue().to_pybytes()


def as_text(table: pa.Table) -> str:
    """A table as a plain value."""
    return base64.b64encode(packed(table)).decode()


def of_text(text: str) -> pa.Table:
    """What as_text gave."""
    return pa.ipc.open_stream(base64.b64decode(text)).read_all()


class HashFile:
    """Hashes of a file's rows that are written block by block."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._sum = hashlib.sha256()
        self._file: IO[bytes] | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._partial, "wb")  # noqa: SIM115  # until it is whole

    def append(self, hashes: np.ndarray) -> None:
        """Write (n,) uint64."""
        if self._file is None:
            return
        content = np.ascontiguousarray(hashes, "<u8").data.cast("B") if len(hashes) else b""
        try:
            self._file.write(content)
            self._sum.update(content)
        except OSError:
            self.drop()

    def finish(self) -> None:
        """All rows of the file are there."""
        if self._file is None:
            return
        try:
            self._file.write(self._sum.digest())
            self._file.close()
            self._partial.rename(self._path)  # not synced: its sum tells whether it is whole
        except OSError:
            self.drop()

    def drop(self) -> None:
        """Keep nothing."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._partial.unlink(missing_ok=True)
            self._file = None


def is_whole(path: Path) -> bool:
    """Whether a kept file is undamaged."""
    try:
        if path.suffix != ".json":
            content = path.read_bytes()
            return hashlib.sha256(content[:-_SUM]).digest() == content[-_SUM:]
        values = read_json(path)
        return bool(values.pop("check") == _check(values))
    except (OSError, ValueError, KeyError, DamagedError):
        return False


def _used(path: Path) -> None:
    """Make a file new, so that `headway gc` leaves it; that of another user stays as it is."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _remove(path: Path) -> None:
    """A damaged file, where that can be done."""
    with contextlib.suppress(OSError):
        path.unlink()


def _check(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
