"""What each prepared column contributes to the margin of a row.

Shapes: N rows, P prepared columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def completed(values: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """(N, P) values that add up to ``sums`` (N,): what is missing is spread over the columns by their size."""
    sizes = np.abs(values) + 1e-12
    return values + (sums - values.sum(1))[:, None] * sizes / sizes.sum(1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each of P prepared columns adds to a row's margin: ``values`` (N, P), from ``base`` (N,), the margin of other rows on average.

    Together they are the margin of the row: see `TargetTask.margins`.
    """

    values: np.ndarray
    base: np.ndarray
