"""A running mean of the weights (Polyak and Juditsky 1992; exponential, as usual for networks), which a CUDA graph can hold.

torch's AveragedModel copies its count to the GPU at each step, and so waits for it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Average:
    """``module``: the network with the mean of its weights and buffers. It begins as a copy after the first step."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network)
        self.count = 0
        """Steps that are in it."""
        self._network, self._decay = network, decay

    @property
    def tensors(self) -> list[Tensor]:
        """All that changes."""
        return _tensors(self.module)

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's weights in."""
        pairs = list(zip(self.tensors, _tensors(self._network), strict=True))
        if self.count:
            floating = [pair for pair in pairs if pair[0].is_floating_point()]
            torch._foreach_lerp_([mean for mean, _ in floating], [weight for _, weight in floating], 1 - self._decay)
            for mean, value in pairs:
                if not mean.is_floating_point():
                    mean.copy_(mean * self._decay + value * (1 - self._decay))
        else:
            torch._foreach_copy_([mean for mean, _ in pairs], [value for _, value in pairs])
        self.count += 1

    def state_dict(self) -> dict[str, Tensor]:
        """As torch's AveragedModel names it."""
        own = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        return {"n_averaged": torch.tensor(self.count), **own}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What ``state_dict`` gave."""
        self.count = int(state["n_averaged"])
        self.module.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k != "n_averaged"})


def _tensors(network: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
