"""The mean of numbers and the sum of squares about it, of blocks that are measured apart and merged (Chan, Golub, LeVeque 1979).

Beyond 1e150 squares, and then means, leave the range of a double: what they are then is for the caller to say.
"""

from __future__ import annotations

import numpy as np

Moments = tuple[int, float, float]
"""How many numbers, their mean, the sum of squares about it."""


def moments_of(values: np.ndarray) -> Moments:
    """Of finite numbers (N,), at least one. The mean is finite; the squares may be infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(values.mean())
        if not np.isfinite(mean):
            mean = float((values / len(values)).sum())
        away = values - mean
        return len(values), mean, float(np.multiply(away, away, out=away).sum())


def merged(one: Moments, other: Moments) -> Moments:
    """Of both; infinite or not a number where that is beyond a double."""
    (before, mean, squares), (n, other_mean, other_squares) = one, other
    if not before or not n:
        return one if before else other
    whole = before + n
    with np.errstate(over="ignore", invalid="ignore"):  # of 1e200; Python's own floats would raise OverflowError
        apart = np.float64(other_mean) - mean
        squares = squares + (other_squares + apart**2 * before * n / whole)
        return whole, float(mean + apart * n / whole), float(squares)
