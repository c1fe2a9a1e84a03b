"""How many values differ, from the k smallest of their hashes (Bar-Yossef et al. 2002): sets of hashes merge to that of all values."""

from __future__ import annotations

import base64

import numpy as np

from headway.columns.mixing import SLICE, spread_in_place

HASHES = 4096
"""Smallest hashes kept: up to so many distinct values are counted exactly, more within about 1.6 %."""

NO_HASHES = np.zeros(0, np.uint64)


def smallest(hashes: np.ndarray) -> np.ndarray:
    """The k smallest of hashes (N,), each once, in order."""
    if (
        len(hashes) > 2 * HASHES
    ):  # of different values, a fifth more than k lie below this place; of equal ones perhaps too few
        low = _distinct(hashes[hashes < np.uint64(1.2 * HASHES / len(hashes) * 2.0**64)])
        if len(low) >= HASHES:
            return low[:HASHES]
    return _distinct(hashes)[:HASHES]


def merged(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The k smallest of two such sets together."""
    if not len(one) or not len(other):
        return one if len(one) else other
    return smallest(np.concatenate([one, other]))


def estimate(hashes: np.ndarray) -> int:
    """How many values differ whose k smallest hashes these are."""
    if len(hashes) < HASHES:
        return len(hashes)
    return round((HASHES - 1) / (float(hashes[-1]) / 2.0**64))


def of_numbers(values: np.ndarray) -> np.ndarray:
    """(N,) uint64, one for each of the numbers, the same on every machine and as pandas hashes them; minus zero is zero."""
    mixed = (values + 0.0).view(np.uint64)
    for start in range(0, len(mixed), SLICE):
        spread_in_place(mixed[start : start + SLICE])
    return mixed


def pack(hashes: np.ndarray) -> str:
    """As text."""
    return base64.b64encode(hashes.astype("<u8").tobytes()).decode()


def unpack(text: str) -> np.ndarray:
    """What pack gave."""
    return np.frombuffer(base64.b64decode(text), "<u8")


def _distinct(hashes: np.ndarray) -> np.ndarray:
    """Sorted, each once. np.unique keeps a hash table of its own, ten times as slow."""
    ordered = np.sort(hashes)
    return ordered[first_places(ordered)]


def first_places(ordered: np.ndarray) -> np.ndarray:
    """(N,) bool: the first of each run of equal values in an array in order."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
