"""What every task offers the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from headway.data.prepare import Target


class TaskLoss(ABC):
    """The meaning of a network's outputs: (B, O), or (B, K, O) for an ensemble of K members."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @abstractmethod
    def training_target(self, values: np.ndarray) -> np.ndarray:
        """The stored target as the loss takes it."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean loss over rows and, in an ensemble, over members, each trained by itself. A scalar.

        ``smoothing``: the share of a label that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
        """

    @abstractmethod
    def decode(self, outputs: Tensor) -> Tensor:
        """Predictions of the network, members averaged: (B, classes) probabilities, or (B,) standardised values."""

    @abstractmethod
    def score(self, decoded: Tensor, target: Tensor) -> float:
        """The validation loss of decoded predictions: what early stopping watches."""

    @abstractmethod
    def finish(self, decoded: np.ndarray) -> np.ndarray:
        """Decoded predictions in the target's own unit."""
