"""Whether a regression's intervals hold the target as often as they state, for small predictions as for large ones."""

from __future__ import annotations

import numpy as np

from headway.evaluate.calibration import wilson
from headway.evaluate.result import CoveredRows, IntervalCoverage

QUARTERS = (0.25, 0.5, 0.75)


def coverage(
    level: float,
    target: np.ndarray,
    prediction: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    of_rows: int | None = None,
) -> IntervalCoverage:
    """Of test rows (N,): all, and by quarter of the predictions. Rows of one prediction stay together: there may be fewer quarters.

    ``of_rows``: how many test rows there are, where these are a sample.
    """
    covered, width = (low <= target) & (target <= high), high - low
    quarter = np.searchsorted(np.unique(np.quantile(prediction, QUARTERS)), prediction, side="right")

    def on(rows: np.ndarray) -> CoveredRows:
        share, count = float(covered[rows].mean()), int(rows.sum())
        return CoveredRows(
            float(prediction[rows].mean()), share, *wilson(share, count), rows=count, width=float(width[rows].mean())
        )

    everything = on(np.ones(len(target), bool))
    quarters = tuple(on(quarter == number) for number in np.unique(quarter))
    return IntervalCoverage(level, everything, quarters, len(target) if of_rows is None else of_rows)
