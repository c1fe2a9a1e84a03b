"""Delimiters of more than one character, such as :: or any number of spaces: each becomes a character that no text has."""

from __future__ import annotations

import codecs
import io
import re
from typing import IO

SPACES = "spaces"
"""The delimiter of columns that stand below each other, with spaces or tabs between them."""

UNIT = "\x1f"
"""ASCII's unit separator."""

_QUOTED_OR_SPACES = re.compile(r'"[^"\n]*"|[ \t]+')
BYTES = 1 << 20


def is_plain(delimiter: str) -> bool:
    """Whether it is one character, which readers take as it is."""
    return len(delimiter) == 1


def with_units(lines: str, delimiter: str) -> str:
    """Whole lines with one character between the values."""
    if delimiter != SPACES:
        return lines.replace(delimiter, UNIT)
    stripped = re.sub(r"[ \t]+(?=\r?$)|^[ \t]+", "", lines, flags=re.MULTILINE)
    return _QUOTED_OR_SPACES.sub(lambda one: one[0] if one[0][0] == '"' else UNIT, stripped)


class Units(io.RawIOBase):
    """A text file's bytes as UTF-8, with one character between the values."""

    def __init__(self, stream: IO[bytes], encoding: str, delimiter: str) -> None:
        self._stream, self._delimiter = stream, delimiter
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._lines, self._ready, self._at_end = "", b"", False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._at_end and (size < 0 or len(self._ready) < size):
            block = self._stream.read(BYTES)
            self._at_end = not block
            text = self._lines + self._decoder.decode(block, self._at_end)
            end = len(text) if self._at_end else text.rfind("\n") + 1
            self._ready += with_units(text[:end], self._delimiter).encode()
            self._lines = text[end:]
        size = len(self._ready) if size < 0 else size
        block, self._ready = self._ready[:size], self._ready[size:]
        return block
