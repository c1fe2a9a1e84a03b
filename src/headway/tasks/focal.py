"""Focal loss: cross-entropy in which rows that are predicted well count less.

-(1 - p)^gamma log p of the true class's probability p: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002.

Shapes: N rows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-6
"""The least second derivative that a tree is given: LightGBM divides by their sum."""


def losses_of(logs: Tensor, gamma: float) -> Tensor:
    """(N,) of the logarithm of the true class's probability."""
    # the least keeps the gradient finite where gamma is below 1 and a probability is 1 in fp32
    return -((-logs.expm1()).clamp_min(1e-12) ** gamma) * logs


def probabilities(raw: np.ndarray) -> np.ndarray:
    """(N, K) of trees' outputs, which are (N,) for two classes."""
    from scipy.special import expit, softmax

    if raw.ndim == 1:
        return np.stack([expit(-raw), expit(raw)], 1)
    return softmax(raw, axis=1)


def derivatives(raw: np.ndarray, target: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """The first derivative by each output, and the second, which is kept above zero: exact for two classes, otherwise a bound's."""
    all_p = probabilities(raw)
    p = np.clip(all_p[np.arange(len(target)), target], 1e-15, 1 - 1e-15)
    q, log = 1 - p, np.log(p)
    slope = q**gamma * (gamma * p * log - q)  # by the true class's logit
    if raw.ndim == 1:
        curve = p * q * (q**gamma * (gamma * log + gamma + 1) - gamma * q ** (gamma - 1) * (gamma * p * log - q))
        return np.where(target == 1, slope, -slope), np.maximum(curve, SMALLEST)
    others = slope / q
    hot = np.arange(raw.shape[1]) == target[:, None]
    gradient = others[:, None] * (hot - all_p)
    return gradient, np.maximum(2 * np.abs(others)[:, None] * all_p * (1 - all_p), SMALLEST)


def for_trees(gamma: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """LightGBM's objective and metric: it leaves the rows' weights to them."""

    def weights_of(rows: Any) -> np.ndarray:
        weights = rows.get_weight()
        return np.ones(rows.num_data()) if weights is None else np.asarray(weights, np.float64)

    def objective(raw: np.ndarray, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        first, second = derivatives(raw, np.asarray(rows.get_label(), np.int64), gamma)
        weights = weights_of(rows) if raw.ndim == 1 else weights_of(rows)[:, None]
        return first * weights, second * weights

    def metric(raw: np.ndarray, rows: Any) -> tuple[str, float, bool]:
        target = np.asarray(rows.get_label(), np.int64)
        p = np.clip(probabilities(raw)[np.arange(len(target)), target], 1e-15, 1 - 1e-15)
        return "focal", float(np.average(-((1 - p) ** gamma) * np.log(p), weights=weights_of(rows))), False

    return objective, metric
