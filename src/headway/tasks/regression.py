"""A number: mean squared error on the standardised target.

Shapes: N rows, B batch, K members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from headway.tasks.base import Target, Weights
from headway.tasks.numbers import Numbers

if TYPE_CHECKING:
    from torch import Tensor


class Regression(Numbers):
    """Standardised values and squared error."""

    has_interval = True
    losses = ("auto", "mse")

    def fitted(self, column: str, mean: float, std: float) -> Target:
        return Target(column, "regression", (), mean, std)

    def training_target(self, target: Target, values: np.ndarray) -> np.ndarray:
        return ((np.asarray(values) - target.mean) / target.std).astype(np.float32)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        from torch.nn import functional

        del smoothing
        outputs = outputs.squeeze(-1).float()
        if outputs.ndim == 2:
            target = target[:, None].expand_as(outputs)
        return functional.mse_loss(outputs, target)

    def decode(self, outputs: Tensor) -> Tensor:
        values = outputs.squeeze(-1).float()
        return values.mean(1) if values.ndim == 2 else values

    def score(self, decoded: Tensor, target: Tensor) -> float:
        from torch.nn import functional

        return float(functional.mse_loss(decoded, target))

    def finish(self, target: Target, decoded: np.ndarray) -> np.ndarray:
        return decoded.astype(np.float64) * target.std + target.mean

    def lightgbm(self, outputs: int) -> tuple[str, str]:
        del outputs
        return "regression", "l2"

    def solve_linear(self, x: Any, target: np.ndarray, outputs: int, l2: float) -> Weights:
        """Ridge regression, in the target's own unit."""
        from sklearn.linear_model import Ridge

        del outputs
        ridge = Ridge(alpha=l2).fit(x, target)
        return np.asarray(ridge.coef_, np.float64)[:, None], np.array([ridge.intercept_], np.float64)

    def linear_predictions(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 0]

    def suits(self, distinct: int, numbers: np.ndarray | None) -> bool:
        del distinct
        return numbers is not None


TASK = Regression()
