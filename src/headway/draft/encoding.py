"""The character encoding of text files, recognized by their bytes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from headway.data.formats import blocks_of

MOST_BYTES = 1 << 28
"""At most so many bytes are checked for UTF-8; a wrong byte beyond them is an error of reading."""

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def encoding_of(files: Sequence[str], head: bytes, target: str) -> str:
    """The encoding of ``files``, the first of which begins with ``head``. Where several fit, the one in which ``target`` occurs."""
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return marked
    sample = head[:4096]
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) > 3 and sample[start::2].count(0) > 0.4 * len(sample[start::2]):
            return name
    other = _first_other(files)
    return "utf-8" if other is None else _eight_bits(head + other, target)


def _first_other(files: Sequence[str]) -> bytes | None:
    """The first block that is not UTF-8; None where all are."""
    rest = MOST_BYTES
    for file in files:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for block in blocks_of(file):
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return block
            rest -= len(block)
            if rest < 0:
                return None
        try:
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return block
    return None


def _eight_bits(sample: bytes, target: str) -> str:
    """A Western European encoding, unless most letters above ASCII form whole words, as in other scripts."""
    western = "latin-1" if re.search(rb"[\x81\x8d\x8f\x90\x9d]", sample) else "cp1252"
    odd = b"\n".join(line for line in sample.split(b"\n") if re.search(rb"[\x80-\xff]", line))[: 1 << 16]
    letters = len(re.findall(rb"[A-Za-z\x80-\xff]", odd))
    has_special_target = not target.isascii()
    words = sum(map(len, re.findall(rb"[\x80-\xff]{3,}", odd)))
    if not has_special_target and words < 0.4 * letters:
        return western
    from charset_normalizer import from_bytes

    likely = [str(match.encoding) for match in from_bytes(odd)]
    for name in (western, *likely) if has_special_target else (*likely, western):
        if not has_special_target or target in sample.decode(name, "ignore"):
            return name
    return western
