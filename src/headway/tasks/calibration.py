"""A recalibration of the classes' probabilities, kept with the target in a bundle.

Shapes: N rows, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-6
"""Probabilities are kept so far from 0 and 1."""

OF_MANY = "temperature"
"""The method that is for any number of classes; the others are for two."""


@dataclass(frozen=True)
class Calibration:
    """``platt``: a line through the log-odds, ``y`` = slope, intercept; ``isotonic``: from ``x`` to ``y`` with straight lines between;
    ``temperature``: every log probability divided by the same number, ``y`` = temperature.
    """

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def of(self, probability: np.ndarray) -> np.ndarray:
        """(N,) float64 of the second of two classes."""
        from scipy.special import expit

        probability = np.asarray(probability, np.float64)
        if self.method == "isotonic":
            return np.interp(probability, self.x, self.y)
        if self.method == OF_MANY:
            return self._cooled(np.stack([1 - probability, probability], 1))[:, 1]
        slope, intercept = self.y
        return expit(slope * log_odds(probability) + intercept)

    def apply(self, predictions: np.ndarray) -> np.ndarray:
        """(N, K) float32 probabilities."""
        if self.method == OF_MANY:
            return self._cooled(predictions).astype(np.float32)
        event = self.of(predictions[:, 1])
        return np.stack([1 - event, event], 1).astype(np.float32)

    def ends(self, predictions: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """(N, K) each: the least and the greatest that predictions become whose every probability is within the tolerance of these."""
        raw = np.asarray(predictions, np.float64)
        if self.method == OF_MANY:
            power = 1 / self.y[0]
            below, above = (np.clip(raw + shift, 0, 1) ** power for shift in (-tolerance, tolerance))
            least = below + above.sum(1, keepdims=True) - above
            greatest = above + below.sum(1, keepdims=True) - below
            return below / np.maximum(least, 1e-300), above / np.maximum(greatest, 1e-300)
        low, high = np.sort([self.of(np.clip(raw[:, 1] + shift, 0, 1)) for shift in (-tolerance, tolerance)], axis=0)
        return np.stack([1 - high, low], 1), np.stack([1 - low, high], 1)

    @property
    def line(self) -> tuple[float, float] | None:
        """Slope and intercept of the log-odds after it by those before; None where they do not lie on a line."""
        if self.method == "isotonic":
            return None
        return (1 / self.y[0], 0.0) if self.method == OF_MANY else (self.y[0], self.y[1])

    def _cooled(self, predictions: np.ndarray) -> np.ndarray:
        """(N, K) float64; what is impossible stays so. Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2."""
        from scipy.special import softmax

        with np.errstate(divide="ignore"):
            return softmax(np.log(np.asarray(predictions, np.float64)) / self.y[0], 1)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """(N,) finite."""
    from scipy.special import logit

    return logit(np.clip(np.asarray(probability, np.float64), SMALLEST, 1 - SMALLEST))
