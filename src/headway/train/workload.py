"""What a training is about: the network, its batches, its loss and its validation. The loop knows nothing else of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from headway.data.batches import Batches
    from headway.data.store import Store
    from headway.train.precision import Arithmetic
    from headway.train.recipe import Recipe


class Workload(ABC):
    """A kind of training. The network is called with a batch's tensors by name, all but `target`."""

    unit: ClassVar[str]
    """What the meter counts: rows or tokens."""

    store: Store
    """What is learnt from."""

    @abstractmethod
    def build(self) -> nn.Module:
        """A new network, its weights drawn from torch's generator."""

    @abstractmethod
    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        """The training batches. Raises ConfigError when a batch is larger than the data."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor, smoothing: float, weight: Tensor | None = None) -> Tensor:
        """Mean loss of a batch, a scalar; ``smoothing`` is label smoothing, 0 for none; ``weight``: of the rows, where they differ."""

    @abstractmethod
    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        """The validation loss: what early stopping watches."""

    def usual_flops(self, network: nn.Module) -> float:
        """Floating-point operations of a unit by the formula that publications use; 0 where there is none."""
        del network
        return 0.0

    @abstractmethod
    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        """Predictions by split (validation, test), in the store's order."""
