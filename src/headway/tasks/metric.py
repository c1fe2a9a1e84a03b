"""What a metric is, and the weighted sums that a metric's bootstrap is made of.

Shapes: N rows, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Resampled = Callable[[np.ndarray], np.ndarray]
"""Weights (R, N) to values (R,)."""

Shared = dict[int, Any]
"""What the metrics of one model have in common, by class."""

Maker = Callable[[np.ndarray, np.ndarray, Shared], Resampled]

Value = Callable[[np.ndarray, np.ndarray], float]
"""The metric of target and prediction, as headway.evaluate.metrics has them. Raises ValueError where the rows define none."""


Sizes = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A metric by name."""

    name: str
    title: str
    higher_is_better: bool
    value: Value
    resampled: Maker
    is_error: bool = False
    """Whether its size depends on the target, so that a margin is a share of it."""
    needs: Literal["rows", "every class", "different values", "no zero", "domain"] = "rows"
    """What the target must have for the metric to be defined."""
    counts_cases: bool = False
    """Whether it goes by which rows are right, or above others: few rows may show no case of a loss, by luck."""
    needs_rarer: bool = False
    """Whether, of two classes, the rarer one's rows decide: a thousand others tell nothing of where three positives are ranked."""
    class_losses: Callable[[np.ndarray], np.ndarray] | None = None
    """Of a mean of losses: (N, K) probabilities to the loss (N, K) of each row, were it of each class."""
    decides: bool = True
    """Whether the gate may decide by it: models of different tokenizers cannot be compared in nats a token."""
    sizes: Sizes | None = None
    """(N,) how much each row counts, of target and prediction, where rows are as unequal as documents are; None where they are alike."""
    is_macro: bool = False
    """Whether it is of the event where there are two classes, and else the mean over classes."""
    is_biased: bool = False
    """Whether resampling alone moves it, as noise moves a sum of absolute gaps: its draws are brought back around the value."""

    def of(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None) -> float:
        """The value where rows count by ``weight`` (N,). Raises ValueError where the rows define none."""
        value = self.value(target, prediction)
        return value if weight is None else float(self.resampled(target, prediction, {})(weight[None])[0])


def mean_of(losses: np.ndarray) -> Resampled:
    """Weighted means of per-row values, as one product."""
    return lambda weights: weights @ losses / weights.sum(1)


def alone(of: Callable[[np.ndarray, np.ndarray], Resampled]) -> Maker:
    """A metric that shares nothing with the others."""
    return lambda target, prediction, _shared: of(target, prediction)


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; NaN where b is zero."""
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b != 0)


def scikit_learns(name: str) -> Value:
    """scikit-learn's metric of that name, of numbers."""

    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        if len(target) < 2:
            raise ValueError("one row defines no spread")
        return float(getattr(sklearn.metrics, name)(target, prediction))

    return value
