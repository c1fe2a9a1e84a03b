"""Whether a regression's intervals hold the target as often as they state, for small predictions as for large ones."""

from __future__ import annotations

import numpy as np

from headway.evaluate.calibration import wilson
from headway.evaluate.result import CoveredRows, IntervalCoverage

QUARTERS = (0.25, 0.5, 0.75)


def coverage(
    level: float, target: np.ndarray, prediction: np.ndarray, low: np.ndarray, high: np.ndarray
) -> IntervalCoverage:
    """Of test rows (N,): all, and by quarter of the predictions. Rows of one prediction stay together: there may be fewer quarters."""
    covered, width = (low <= target) & (target <= high), high - low
    quarter = np.searchsorted(np.unique(np.quantile(prediction, QUARTERS)), prediction, side="right")

    def on(rows: np.ndarray) -> CoveredRows:
        share, count = float(covered[rows].mean()), int(rows.sum())
        return CoveredRows(
            float(prediction[rows].mean()), share, *wilson(share, count), rows=count, width=float(width[rows].mean())
        )

    everything = on(np.ones(len(target), bool))
    return IntervalCoverage(level, everything, tuple(on(quarter == number) for number in np.unique(quarter)))
