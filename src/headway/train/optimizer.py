"""The optimizers of a recipe."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from headway.errors import ConfigError
from headway.train.muon import Muon
from headway.train.recipe import Recipe


class Optimizers:
    """One optimizer, or muon and adamw side by side: stepped, saved and scaled as one."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        self._kernels: list[_FusedAdamW | None] = [
            _FusedAdamW(part) if _can_be_direct(part) else None for part in parts
        ]
        self._weights = [p for part in parts for group in part.param_groups for p in group["params"]]
        self._base = [float(group["lr"]) for part in parts for group in part.param_groups]
        self._rate = 1.0

    def step(self) -> None:
        """Step all weights."""
        for part, kernel in zip(self.parts, self._kernels, strict=True):
            if kernel is None:
                part.step()
            else:
                kernel.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self._weights:
            weight.grad = None

    def forget_rate(self) -> None:
        """Set the next rate whatever the last one was."""
        self._rate = -1.0

    def set_rate(self, share: float) -> None:
        """Take this share of every group's learning rate."""
        if share == self._rate:
            return
        self._rate = share
        groups = (group for part in self.parts for group in part.param_groups)  # loading a state makes new groups
        for group, base in zip(groups, self._base, strict=True):
            if isinstance(group["lr"], Tensor):  # recorded in a CUDA graph: the value changes, not the place
                group["lr"].fill_(base * share)
            else:
                group["lr"] = base * share

    @property
    def parameters(self) -> list[Tensor]:
        """Every weight that is stepped."""
        return self._weights


class _Held(NamedTuple):
    """A group's weights with their state, listed as the kernel takes them."""

    group: dict[str, Any]
    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    steps: list[Tensor]


class _FusedAdamW:
    """AdamW's fused kernel called as torch's own class calls it, without what the class does around it.

    Hooks, profiling and checks of unchanging arguments take three times as long as the kernel does for a small network on a CPU. The state
    stays in the optimizer, where it is saved and loaded; the first step, which makes it, is the class's own. All weights share one count of
    steps: counting each up takes as long as the kernel.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._held: list[_Held] = []
        self._first: Any = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of all weights; each must have a gradient, as it has in a network that uses all of them."""
        first = self._optimizer.state.get(self._optimizer.param_groups[0]["params"][0], {}).get("step")
        if first is None or first is not self._first:  # not begun yet, or loaded anew
            self._optimizer.step()
            self._hold()
            return
        all_gradients = [[weight.grad for weight in part.weights if weight.grad is not None] for part in self._held]
        if any(len(gradients) < len(part.weights) for gradients, part in zip(all_gradients, self._held, strict=True)):
            self._let_go()
            self._optimizer.step()
            return
        first.add_(1.0)
        for (group, weights, means, squares, steps), gradients in zip(self._held, all_gradients, strict=True):
            beta1, beta2 = group["betas"]
            torch._fused_adamw_(
                weights,
                gradients,
                means,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _hold(self) -> None:
        """List the state, if every weight has one and has been stepped as often as the others."""
        self._held, self._first = [], None
        groups = self._optimizer.param_groups
        states = [self._optimizer.state[weight] for group in groups for weight in group["params"]]
        if not all(states) or len({float(state["step"]) for state in states}) > 1:  # some got no gradient at times
            return
        self._first = states[0]["step"]
        for state in states:
            state["step"] = self._first
        for group in groups:
            own = [self._optimizer.state[weight] for weight in group["params"]]
            means, squares, steps = ([state[name] for state in own] for name in ("exp_avg", "exp_avg_sq", "step"))
            self._held.append(_Held(group, group["params"], means, squares, steps))

    def _let_go(self) -> None:
        """Each weight its own count again, for some will be stepped without the others."""
        self._held, self._first = [], None
        for state in self._optimizer.state.values():
            state["step"] = state["step"].clone()


def _can_be_direct(optimizer: torch.optim.Optimizer) -> bool:
    """On a CPU: a GPU's kernels outlast what Python does around them, and the scaler has the class's own step."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    fused = type(optimizer) is torch.optim.AdamW and optimizer.defaults.get("fused")
    return bool(fused) and hasattr(torch, "_fused_adamw_") and all(weight.device.type == "cpu" for weight in weights)


def make_optimizer(model: nn.Module, recipe: Recipe, *, capturable: bool = False) -> Optimizers:
    """Weight decay spares biases and all other vectors, as is usual (Loshchilov and Hutter 2019, arXiv:1711.05101).

    ``capturable``: for a CUDA graph. Raises ConfigError when muon finds no hidden matrix.
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    kernel = {"fused": {"fused": True}, "foreach": {"foreach": True}, "plain": {"foreach": False}}[
        recipe.optimizer_kernel
    ]
    rate: Any = recipe.learning_rate
    muon_rate: Any = recipe.muon_learning_rate
    if capturable:  # a number would be part of the graph for good
        kernel = {**kernel, "capturable": True}
        rate, muon_rate = (torch.tensor(r, device=next(model.parameters()).device) for r in (rate, muon_rate))
    if recipe.optimizer == "sgd":
        kernel.pop("capturable", None)
        groups = _groups(matrices, vectors, recipe.weight_decay)
        return Optimizers(
            [torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, **kernel)]
        )
    parts: list[torch.optim.Optimizer] = []
    if recipe.optimizer == "muon":
        hidden = _hidden(model)
        matrices = [p for p in matrices if not any(p is h for h in hidden)]
        parts.append(
            Muon(
                hidden,
                lr=muon_rate,
                weight_decay=recipe.weight_decay,
                momentum=recipe.muon_momentum,
                adjust_lr_fn="original",
            )
        )
    groups = _groups(matrices, vectors, recipe.weight_decay)
    if groups:
        parts.append(torch.optim.AdamW(groups, lr=rate, betas=(recipe.beta1, recipe.beta2), **kernel))
    return Optimizers(parts)


def _groups(matrices: list[nn.Parameter], vectors: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _hidden(model: nn.Module) -> list[nn.Parameter]:
    """Weights of linear layers but the first and the last: embeddings and heads are not for muon (Jordan 2024)."""
    linear = [
        cast(nn.Parameter, m.weight) for m in model.modules() if isinstance(m, nn.Linear) and m.weight.requires_grad
    ]
    embedded = any(isinstance(m, nn.Embedding) for m in model.modules())
    hidden = linear[0 if embedded else 1 : -1]
    if not hidden:
        raise ConfigError("train.optimizer muon must find hidden matrices, but the model has none; set adamw")
    return hidden


def pack_optimizers(optimizers: Optimizers) -> dict[str, Tensor]:
    """Their state as named tensors: `<part>.<weight number>.<name>`."""
    return {
        f"{number}.{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(float(value))
        for number, part in enumerate(optimizers.parts)
        for index, state in part.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def unpack_optimizers(optimizers: Optimizers, tensors: dict[str, Tensor]) -> None:
    """Put back what pack_optimizers gave; the hyperparameters stay those of the recipe."""
    for number, part in enumerate(optimizers.parts):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                state.setdefault(int(index), {})[name] = value
        part.load_state_dict({"state": state, "param_groups": part.state_dict()["param_groups"]})
    optimizers.forget_rate()
