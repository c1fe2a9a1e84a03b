"""Whether a probability of 20 % comes true one time in five."""

from __future__ import annotations

import numpy as np

from headway.evaluate.result import CalibrationBin

BINS = 15
Z = 1.959964


def reliability(target: np.ndarray, probability: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Equal-mass bins: mean predicted probability, observed share with its Wilson interval (Wilson 1927), rows.

    ``target`` (N,) 0 or 1, ``probability`` (N,).
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, probability, side="right")
    table = []
    for b in np.unique(bins):
        rows = bins == b
        n, share = int(rows.sum()), float(target[rows].mean())
        table.append(CalibrationBin(float(probability[rows].mean()), share, *wilson(share, n), n))
    return tuple(table)


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of n rows (Wilson 1927)."""
    center = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * float(np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)))
    return max(0.0, center - half), min(1.0, center + half)
