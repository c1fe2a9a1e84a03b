"""A recalibration of the event's probability, kept with the target in a bundle.

Shapes: N rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-6
"""Probabilities are kept so far from 0 and 1."""


@dataclass(frozen=True)
class Calibration:
    """``platt``: a line through the log-odds, ``y`` = slope, intercept; ``isotonic``: from ``x`` to ``y`` with straight lines between."""

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def of(self, probability: np.ndarray) -> np.ndarray:
        """(N,) float64."""
        from scipy.special import expit

        probability = np.asarray(probability, np.float64)
        if self.method == "isotonic":
            return np.interp(probability, self.x, self.y)
        slope, intercept = self.y
        return expit(slope * log_odds(probability) + intercept)

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        """(N, 2) float32 probabilities of two classes."""
        event = self.of(predictions[:, 1])
        return np.stack([1 - event, event], 1).astype(np.float32)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """(N,) finite."""
    from scipy.special import logit

    return logit(np.clip(np.asarray(probability, np.float64), SMALLEST, 1 - SMALLEST))
