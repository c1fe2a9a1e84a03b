"""Numbers of each row that are collected block by block: in memory while they are few, otherwise in a file without a name."""

from __future__ import annotations

import tempfile
from functools import cached_property
from typing import IO, Any

import numpy as np

MEMORY_BYTES = 1 << 26
"""More are written to a file in the system's folder for temporary files. The system frees them when they are used no longer."""


class Scratch:
    """An array that grows at its end."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = np.dtype(dtype)
        self._parts: list[np.ndarray] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def append(self, values: np.ndarray) -> None:
        """Add (n,) values. Raises OSError where the disk is full."""
        self._parts.append(values.astype(self._dtype, copy=False))
        self._bytes += self._parts[-1].nbytes
        if self._file is None and self._bytes > MEMORY_BYTES:
            self._file = tempfile.TemporaryFile(prefix="headway-")  # noqa: SIM115  # open as long as the array is
        if self._file is not None:
            for part in self._parts:
                self._file.write(part.data)
            self._parts = []

    @cached_property
    def array(self) -> np.ndarray:
        """(N,) all values; nothing may be added afterwards."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.zeros(0, self._dtype)
        self._file.flush()
        array = np.memmap(self._file, self._dtype, "r")
        self._file.close()  # the array has it open
        return array
