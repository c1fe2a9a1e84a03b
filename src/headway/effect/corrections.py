"""P-values corrected for the number of tests.

Holm 1979; Benjamini and Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(values: Sequence[float]) -> list[float]:
    """P-values (K,) corrected for their number, in their order."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return [float(v) for v in corrected]


def false_discovery(values: Sequence[float], count: int = 0) -> list[float]:
    """P-values (K,) in their order, corrected so that of those below a level no more than that share is false.

    ``count``: the tests in all, of which those that are not given show nothing.
    """
    order = np.argsort(values)[::-1]
    corrected, lowest, tests = np.empty(len(values)), 1.0, max(count, len(values))
    for rank, index in zip(range(len(values), 0, -1), order, strict=True):
        lowest = min(lowest, values[index] * tests / rank)
        corrected[index] = lowest
    return [float(v) for v in corrected]
