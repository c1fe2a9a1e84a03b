"""Muon for every processor (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

torch's own orthogonalises one matrix after the other and in bfloat16, which a CPU without it emulates, fifteen times slower than a whole
training step. Here matrices of one shape are stacked, and multiplied in a format that the hardware has.

Shapes: K matrices of one shape, R rows, C columns, R at most C.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from headway.train.precision import choose_precision


class Muon(torch.optim.Muon):
    """torch's class with a step of its own; settings and state are the same."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyrefly: ignore
        """One step of all matrices that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weights in _by_shape(group["params"]):
                self._step(group, weights)

    def _step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        momenta = []
        for weight in weights:
            state = self.state[weight]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            momenta.append(state["momentum_buffer"])
        gradients = [cast(Tensor, weight.grad) for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
        updates = orthogonalised(
            torch.stack(list(ahead)), group["ns_coefficients"], group["ns_steps"], group["eps"]
        ).unbind()
        rows, columns = weights[0].shape
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        steps = [update.to(weights[0].dtype) for update in updates]
        if isinstance(rate, Tensor):  # on the device, for a CUDA graph
            torch._foreach_add_(weights, torch._foreach_mul(steps, -rate))
        else:
            torch._foreach_add_(weights, steps, alpha=-rate)


def _by_shape(weights: list[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        if weight.grad is not None:
            groups.setdefault(weight.shape, []).append(weight)
    return list(groups.values())


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float = 1e-7) -> Tensor:
    """Each of (K, R, C), or (K, C, R), with its singular values moved near 1, by Newton-Schulz iterations of the fifth degree."""
    a, b, c = coefficients
    bf16 = choose_precision("auto", matrices.device).name == "bf16"
    x_KRC = matrices.to(torch.bfloat16 if bf16 else torch.float32)
    tall = x_KRC.shape[1] > x_KRC.shape[2]
    if tall:
        x_KRC = x_KRC.mT
    x_KRC = x_KRC / x_KRC.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram_KRR = x_KRC @ x_KRC.mT
        x_KRC = torch.baddbmm(x_KRC, torch.baddbmm(gram_KRR, gram_KRR, gram_KRR, beta=b, alpha=c), x_KRC, beta=a)
    return x_KRC.mT if tall else x_KRC
