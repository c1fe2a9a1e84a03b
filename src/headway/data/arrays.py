"""Arrays that are written piece by piece, so that they need not fit in memory: of known size at any place, or growing at the end.

<name>.values.npy   (T,) the values of all ragged rows, one row after the other
<name>.offsets.npy  (N + 1,) int64, where each row begins, and the end

What is written goes to the system's cache, not to this process's memory, as pages of a memory-mapped file would.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np

from headway.columns.ragged import Ragged


def _header(kind: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    # NumPy pads the header, so that it is as long for many values as for none.
    described = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


class PlacedArray:
    """A .npy file of a known shape, whose rows any thread writes at their place."""

    def __init__(self, path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
        """Its room is taken at once, so that a full disk is an error now and not a crash later. A file of before is gone on with."""
        header = _header(kind, shape)
        self._kind, self._begin = kind, len(header)
        self._row = int(np.prod(shape[1:], dtype=np.int64)) * kind.itemsize
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.pwrite(self._file, header, 0)
            if rows := shape[0] * self._row:
                os.posix_fallocate(self._file, 0, len(header) + rows)
        except BaseException:
            os.close(self._file)
            raise

    def write(self, at: int, values: np.ndarray) -> None:
        """Write rows from number ``at`` on. Raises OSError on a disk that is full."""
        content = np.ascontiguousarray(values, self._kind).data.cast("B") if values.size else b""
        place = self._begin + at * self._row
        while content:
            count = os.pwrite(self._file, content, place)
            content, place = content[count:], place + count

    def sync(self) -> None:
        """Wait until all that was written is on disk."""
        os.fdatasync(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


class AppendedFile:
    """A file that grows. ``whole``: the bytes of it that are gone on with; what is behind them is cut off."""

    def __init__(self, path: Path, whole: int = 0) -> None:
        self.path, self.bytes = path, whole
        self._file: BinaryIO = open(path, "r+b" if whole else "wb")  # noqa: SIM115
        self._file.truncate(whole)
        self._file.seek(whole)

    def append(self, content: bytes | memoryview) -> None:
        """Write at the end."""
        self._file.write(content)
        self.bytes += len(content)

    def rewrite(self, beginning: bytes) -> None:
        """Write other bytes at the beginning."""
        self._file.seek(0)
        self._file.write(beginning)
        self._file.seek(0, os.SEEK_END)

    def flush(self) -> None:
        """Hand what was written to the system, so that another thread can sync it."""
        self._file.flush()

    def sync(self) -> None:
        """Wait until what was flushed is on disk."""
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class GrowingArray:
    """A one-dimensional .npy file that is written piece by piece. Used in a `with`, which ends with a whole file."""

    def __init__(self, path: Path, kind: np.dtype[Any], whole: int = 0) -> None:
        self._kind, self.file = kind, AppendedFile(path, whole)
        self._begin = len(_header(kind, (0,)))
        if not whole:
            self.file.append(_header(kind, (0,)))

    @property
    def count(self) -> int:
        """How many values there are."""
        return (self.file.bytes - self._begin) // self._kind.itemsize

    def append(self, values: np.ndarray) -> None:
        """Write values at the end."""
        # Not as bytes, which would be a copy: the tokens of one text may be a gigabyte.
        self.file.append(np.ascontiguousarray(values, self._kind).view(np.uint8).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.rewrite(_header(self._kind, (self.count,)))
        self.file.close()


class GrowingRagged:
    """The two files of ragged rows, each a GrowingArray. ``whole``: by a file's name, the bytes of it that are gone on with."""

    def __init__(
        self, folder: Path, name: str, kind: np.dtype[Any], whole: Callable[[Path], int] = lambda _: 0
    ) -> None:
        values, offsets = (folder / f"{name}.{part}.npy" for part in ("values", "offsets"))
        self._values = GrowingArray(values, kind, whole(values))
        self._offsets = GrowingArray(offsets, np.dtype(np.int64), whole(offsets))
        if not whole(offsets):
            self._offsets.append(np.zeros(1, np.int64))

    @property
    def count(self) -> int:
        """How many values there are."""
        return self._values.count

    @property
    def files(self) -> tuple[AppendedFile, AppendedFile]:
        """The two files."""
        return self._values.file, self._offsets.file

    def append(self, rows: Ragged) -> None:
        """Write rows at the end."""
        self._offsets.append(rows.offsets[1:] - rows.offsets[0] + self._values.count)
        self._values.append(rows.values[rows.offsets[0] : rows.offsets[-1]])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._values.__exit__()
        self._offsets.__exit__()


def read_ragged(file: Callable[[str], Path], name: str, mode: Literal["r", "c"] = "r") -> Ragged:
    """Memory-mapped rows; ``file`` gives the path of a name, and may check it."""
    parts = [np.load(file(f"{name}.{part}.npy"), mmap_mode=mode) for part in ("values", "offsets")]
    return Ragged(*parts)
