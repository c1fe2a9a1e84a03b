"""The interval of a share of rows of which all are right, or none: every resample that holds such rows is the same, which tells nothing
of the next rows, and one that holds none of them tells nothing at all.

Shapes: N rows.
"""

from __future__ import annotations

import numpy as np

from headway.evaluate.resample import Units
from headway.evaluate.result import Estimate


def exact(one: Estimate, rows: np.ndarray | None, units: Units) -> Estimate:
    """The estimate with the exact interval of Clopper and Pearson 1934 where all rows are right, or none.

    ``rows`` (N,) bool: those of which it is the share that are right, None where it is no share of rows. Where rows belong together they
    are not independent, and the estimate stays.
    """
    if one.value is None or one.low is None or one.value not in (0.0, 1.0):
        return one
    if rows is None or not rows.any() or units.count < len(rows):
        return one
    from scipy.stats import binomtest

    count = int(rows.sum())
    ends = binomtest(round(one.value * count), count).proportion_ci(0.95, "exact")
    return Estimate(one.value, float(ends.low), float(ends.high))
