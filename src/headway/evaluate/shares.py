"""The interval of a share of rows of which all are right, or none: every resample is the same, which tells nothing of the next rows.

Shapes: N rows.
"""

from __future__ import annotations

import numpy as np

from headway.evaluate.resample import Units
from headway.evaluate.result import Estimate


def exact(one: Estimate, rows: np.ndarray | None, units: Units) -> Estimate:
    """The estimate with the exact interval of Clopper and Pearson 1934 where its own has no width.

    ``rows`` (N,) bool: those of which it is the share that are right, None where it is no share of rows. Where rows belong together they
    are not independent, and the estimate stays.
    """
    if not one.is_point or one.value is None or rows is None or not rows.any() or units.count < len(rows):
        return one
    from scipy.stats import binomtest

    count = int(rows.sum())
    ends = binomtest(round(one.value * count), count).proportion_ci(0.95, "exact")
    return Estimate(one.value, float(ends.low), float(ends.high))
