"""A 64-bit hash of texts, the same on every machine: SipHash-2-4 (Aumasson and Bernstein 2012) with the key that pandas has,
and mixed as pandas does.

Equal to `pandas.util.hash_array(texts, categorize=False)`, for many texts at a time, without the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from headway.columns.mixing import spread

_KEY = np.frombuffer(b"0123456789123456", "<u8")
_START = tuple(
    np.uint64(constant) ^ key
    for constant, key in zip(
        (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573), (*_KEY, *_KEY), strict=True
    )
)

LONGEST = 64
"""Texts of more bytes are hashed one by one, which is faster from there on."""


def hash_texts(texts: pa.StringArray | pa.LargeStringArray) -> np.ndarray:
    """(N,) uint64 of (N,) texts, none of which may be null."""
    first, lengths, data = _parts(texts)
    hashes = np.empty(len(texts), np.uint64)
    short = lengths <= LONGEST
    if short.all():
        return _hash(first, lengths, data)
    hashes[short] = _hash(first[short], lengths[short], data)
    hashes[~short] = _one_by_one(texts.filter(pa.array(~short)))
    return hashes


def _parts(texts: pa.StringArray | pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The place of each text's first byte (N,), its length in bytes (N,), and all bytes, followed by 8 more."""
    _, offsets, content = texts.buffers()
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    ends = np.frombuffer(offsets, kind)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    used = np.frombuffer(content, np.uint8)[ends[0] : ends[-1]] if content is not None else np.zeros(0, np.uint8)
    return ends[:-1] - ends[0], np.diff(ends), np.concatenate([used, np.zeros(8, np.uint8)])


def _one_by_one(texts: pa.StringArray | pa.LargeStringArray) -> np.ndarray:
    import pandas as pd

    return np.asarray(pd.util.hash_array(texts.to_numpy(zero_copy_only=False).astype(object), categorize=False))


def _hash(first: np.ndarray, lengths: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Words of 8 bytes, then one of the remaining bytes and the length. ``data`` ends with 8 bytes of no text."""
    words = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # one at each byte
    whole, remaining = lengths >> 3, (lengths & 7).astype(np.uint64)
    state = [np.full(len(first), value) for value in _START]
    for number in range(int(whole.max(initial=0))):
        rows = np.flatnonzero(whole > number)
        part = [value[rows] for value in state]
        _absorb(part, words[first[rows] + 8 * number])
        for value, new in zip(state, part, strict=True):
            value[rows] = new
    mask = (np.uint64(1) << (remaining << np.uint64(3))) - np.uint64(1)
    last = (words[first + 8 * whole] & mask) | (lengths.astype(np.uint64) << np.uint64(56))
    _absorb(state, last)
    state[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(*state)
    return spread(state[0] ^ state[1] ^ state[2] ^ state[3])


def _absorb(state: list[np.ndarray], word: np.ndarray) -> None:
    state[3] ^= word
    _round(*state)
    _round(*state)
    state[0] ^= word


def _round(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> None:
    """One SipRound, in place."""
    a += b
    _rotate(b, 13)
    b ^= a
    _rotate(a, 32)
    c += d
    _rotate(d, 16)
    d ^= c
    a += d
    _rotate(d, 21)
    d ^= a
    c += b
    _rotate(b, 17)
    b ^= c
    _rotate(c, 32)


def _rotate(values: np.ndarray, bits: int) -> None:
    left = values << np.uint64(bits)
    values >>= np.uint64(64 - bits)
    values |= left
