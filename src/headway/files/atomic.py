"""Small files, written whole or not at all; a damaged one is an error of one line."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import DamagedError

if TYPE_CHECKING:
    import numpy as np


def named_error(error: OSError, path: Path) -> OSError:
    """The error with the name of its file, which errors of writing lack."""
    if error.filename is None:
        error.filename = str(path)
    return error


@contextlib.contextmanager
def naming(path: Path, written_path: Path | None = None) -> Iterator[None]:
    """An OSError of the block names ``path`` where it names no file, or names ``made``, the file's name until it is finished."""
    try:
        yield
    except OSError as error:
        if written_path is not None and str(error.filename) == str(written_path):
            error.filename = str(path)
        named_error(error, path)
        raise


def digest(value: Any) -> str:
    """SHA-256 of a JSON-like value in canonical form, 16 hex digits: enough for 10^9 names without a clash."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name, whose file replaces ``path`` after the block: a reader finds the old content or the new, never a part.

    Synced and renamed when the block ends well, removed when it does not. OSErrors name ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path, partial):
            yield partial
            put_in_place(partial, path)
    finally:
        with contextlib.suppress(OSError):  # in a read-only folder it was never made
            partial.unlink(missing_ok=True)


def put_in_place(source: Path, path: Path) -> None:
    """Sync a finished file, rename it to ``path``, and sync the name. OSErrors name ``path``."""
    with naming(path, source):
        sync(source)
        source.replace(path)
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk. Raises OSError where that fails."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # not every file system can sync a folder
            error.filename = str(path)
            raise
    finally:
        os.close(handle)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_array(path: Path, values: np.ndarray) -> None:
    """Write an array as `.npy`, whole or not at all."""
    import numpy as np  # the command line exists before it

    with replacing(path) as partial, open(partial, "wb") as file:
        np.save(file, values)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_atomically(path, json.dumps(value, indent=1, default=str, allow_nan=False) + "\n")


def read_json(path: Path, kind: type = dict) -> Any:
    """Read a file of write_json. Raises DamagedError where it is no JSON, or its value is not of this kind."""
    content = path.read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise DamagedError(f"{path} must be JSON, but {_damage(content)}; headway doctor finds what else") from None
    if not isinstance(value, kind):
        fact = f"it holds {type(value).__name__}"
        raise DamagedError(f"{path} must hold {kind.__name__}, but {fact}; headway doctor finds what else")
    return value


def _damage(content: bytes) -> str:
    if not content.strip(b"\0"):
        return "it holds only zeros" if content else "it is empty"
    return "it is cut or changed"


def read_or_empty(path: Path) -> dict[str, Any]:
    """As read_json, with an empty mapping where the file is missing or damaged, for callers that can do without it."""
    try:
        return dict(read_json(path))
    except (OSError, DamagedError):
        return {}
