"""The mixing of 64-bit numbers that every hash of rows ends with."""

from __future__ import annotations

import numpy as np

SLICE = 16_384
"""Numbers that are mixed at a time: they stay in a core's cache."""


def spread(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of (N,) uint64 depends on all bits given."""
    mixed = np.array(values, np.uint64)
    for start in range(0, len(mixed), SLICE):
        spread_in_place(mixed[start : start + SLICE])
    return mixed


def spread_in_place(values: np.ndarray) -> None:
    """As spread, in place."""
    shifted = values >> np.uint64(30)
    values ^= shifted
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= np.right_shift(values, np.uint64(27), out=shifted)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= np.right_shift(values, np.uint64(31), out=shifted)
