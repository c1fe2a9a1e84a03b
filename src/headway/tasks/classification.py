"""Two classes or more: cross-entropy on logits, softmax to probabilities.

Shapes: B rows, K members, O classes.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from headway.tasks.base import TaskLoss


class Classification(TaskLoss):
    """Class codes and cross-entropy."""

    def training_target(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, np.int64)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        if outputs.ndim == 3:
            target = target.repeat_interleave(outputs.shape[1])
            outputs = outputs.flatten(0, 1)
        return functional.cross_entropy(outputs.float(), target, label_smoothing=smoothing)

    def decode(self, outputs: Tensor) -> Tensor:
        probabilities = outputs.float().softmax(-1)
        return probabilities.mean(1) if probabilities.ndim == 3 else probabilities

    def score(self, decoded: Tensor, target: Tensor) -> float:
        return float(-decoded.gather(1, target[:, None]).clamp_min(1e-12).log().mean())

    def finish(self, decoded: np.ndarray) -> np.ndarray:
        return decoded.astype(np.float32)
