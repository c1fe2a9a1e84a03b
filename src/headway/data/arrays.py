"""Arrays that grow on disk, piece by piece, so that they need not fit in memory; ragged ones are two files.

<name>.values.npy   (T,) the values of all rows, one row after the other
<name>.offsets.npy  (N + 1,) int64, where each row begins, and the end
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np

from headway.columns.ragged import Ragged


class GrowingArray:
    """A one-dimensional .npy file that is written piece by piece. Used in a `with`, which ends with a whole file."""

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self.count, self._kind = 0, kind
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115
        self._head()

    def _head(self) -> None:
        # NumPy pads the header, so that it is as long for many values as for none.
        described = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, described)

    def append(self, values: np.ndarray) -> None:
        """Write values at the end."""
        # Not as bytes, which would be a copy: the tokens of one text may be a gigabyte.
        self._file.write(np.ascontiguousarray(values, self._kind).data)
        self.count += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.seek(0)
        self._head()
        self._file.close()


class GrowingRagged:
    """The two files of ragged rows, each a GrowingArray."""

    def __init__(self, folder: Path, name: str, kind: np.dtype[Any]) -> None:
        self._values = GrowingArray(folder / f"{name}.values.npy", kind)
        self._offsets = GrowingArray(folder / f"{name}.offsets.npy", np.dtype(np.int64))
        self._offsets.append(np.zeros(1, np.int64))

    @property
    def count(self) -> int:
        """How many values there are."""
        return self._values.count

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
