"""A number: mean squared error on the standardised target.

Shapes: B rows, K members.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from headway.tasks.base import TaskLoss


class Regression(TaskLoss):
    """Standardised values and squared error."""

    def training_target(self, values: np.ndarray) -> np.ndarray:
        return self.target.standardise(np.asarray(values))

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        del smoothing  # a number has no classes to spread over; the recipe of a regression is refused with it
        outputs = outputs.squeeze(-1).float()
        if outputs.ndim == 2:
            target = target[:, None].expand_as(outputs)
        return functional.mse_loss(outputs, target)

    def decode(self, outputs: Tensor) -> Tensor:
        values = outputs.squeeze(-1).float()
        return values.mean(1) if values.ndim == 2 else values

    def score(self, decoded: Tensor, target: Tensor) -> float:
        return float(functional.mse_loss(decoded, target))

    def finish(self, decoded: np.ndarray) -> np.ndarray:
        return self.target.restore(decoded)
