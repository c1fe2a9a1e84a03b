"""Several networks of one shape as one, its weights stacked: K small products become one that fills the cores.

Shapes: K networks, B batch, F columns, I and O widths of a layer. Inputs and outputs of every layer have K in front.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from headway.errors import ConfigError
from headway.models.layers import Dropout, Embeddings


class NotAtOnce(ConfigError):
    """Networks that can only be trained one after the other."""


class _Product(torch.autograd.Function):
    """x_KBI times each network's weight_KOI, plus bias_K1O.

    torch's own gradient of a batch of products takes ten times as long where O is small.
    """

    @staticmethod
    def forward(ctx: Any, x_KBI: Tensor, weight_KOI: Tensor, bias_K1O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_KBI, weight_KOI)
        turned = weight_KOI.transpose(1, 2)
        return torch.bmm(x_KBI, turned) if bias_K1O is None else torch.baddbmm(bias_K1O, x_KBI, turned)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_KBO: Tensor) -> tuple[Tensor | None, ...]:  # pyrefly: ignore
        x_KBI, weight_KOI = ctx.saved_tensors
        needs = ctx.needs_input_grad
        return (
            torch.bmm(grad_KBO, weight_KOI) if needs[0] else None,
            torch.bmm(grad_KBO.transpose(1, 2), x_KBI) if needs[1] else None,
            grad_KBO.sum(1, keepdim=True) if needs[2] else None,
        )


class StackedLinear(nn.Module):
    """x_KBI to (K, B, O). ``weight`` is (K, O, I): each network's as its own layer holds it."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self.bias = nn.Parameter(torch.stack([b.detach() for b in biases])[:, None]) if biases else None

    def forward(self, x_KBI: Tensor) -> Tensor:
        return _Product.apply(x_KBI, self.weight, self.bias)

    def single(self, k: int) -> dict[str, Tensor]:
        """The weights of network ``k`` as its own layer names them."""
        state = {"weight": self.weight.detach()[k].clone()}
        return state if self.bias is None else {**state, "bias": self.bias.detach()[k, 0].clone()}


class StackedEmbeddings(nn.Module):
    """codes_KBC to (K, B, C * size): one table in which each network has its own rows."""

    offsets: Tensor

    def __init__(self, parts: Sequence[Embeddings]) -> None:
        super().__init__()
        self.rows, self.size = parts[0].table.weight.shape
        self.table = nn.Parameter(torch.cat([part.table.weight.detach() for part in parts]))
        starts = torch.arange(len(parts))[:, None, None] * self.rows + parts[0].offsets
        self.register_buffer("offsets", starts, persistent=False)

    def forward(self, codes_KBC: Tensor) -> Tensor:
        return nn.functional.embedding(codes_KBC + self.offsets, self.table).flatten(-2)

    def single(self, k: int) -> dict[str, Tensor]:
        """The table of network ``k``."""
        return {"table.weight": self.table.detach()[k * self.rows : (k + 1) * self.rows].clone()}


class StackedBag(nn.Module):
    """tokens_KBW to (K, B, size): one table in which each network has its own rows. Padding is row 0 for all of them."""

    starts: Tensor

    def __init__(self, bags: Sequence[nn.EmbeddingBag]) -> None:
        super().__init__()
        self.rows = bags[0].num_embeddings
        self.table = nn.Parameter(torch.cat([bag.weight.detach() for bag in bags]))
        self.register_buffer("starts", torch.arange(len(bags))[:, None, None] * self.rows, persistent=False)

    def forward(self, tokens_KBW: Tensor) -> Tensor:
        own = torch.where(tokens_KBW > 0, tokens_KBW + self.starts, 0).flatten(0, 1)
        means = nn.functional.embedding_bag(own, self.table, mode="mean", padding_idx=0)
        return means.unflatten(0, tokens_KBW.shape[:2])

    def single(self, k: int) -> dict[str, Tensor]:
        """The table of network ``k``."""
        return {"weight": self.table.detach()[k * self.rows : (k + 1) * self.rows].clone()}


class StackedDropout(nn.Module):
    """Each network draws from a generator of its own, as it would alone."""

    def __init__(self, one: Dropout, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.one, self.generators = one, generators

    def forward(self, x_KBI: Tensor) -> Tensor:
        if not self.training or not self.one.dropped:
            return x_KBI
        drop = self.one.drop if x_KBI.device.type == "cpu" else self._drop
        return torch.stack([drop(x, generator) for x, generator in zip(x_KBI, self.generators, strict=True)])

    def _drop(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """On a GPU, where the generators are, too: nothing waits for numbers that are drawn elsewhere."""
        keep_share = 1 - self.one.share
        return x * (torch.empty_like(x).bernoulli_(keep_share, generator=generator) / keep_share)


def stack(networks: Sequence[nn.Module], generators: Sequence[torch.Generator]) -> nn.Module:
    """One network of K. Raises NotAtOnce for a network of which a layer cannot be stacked."""
    return _stacked("", list(networks), generators)


def _stacked(name: str, modules: list[nn.Module], generators: Sequence[torch.Generator]) -> nn.Module:
    first = modules[0]
    if isinstance(first, nn.Linear):
        return StackedLinear([m for m in modules if isinstance(m, nn.Linear)])
    if isinstance(first, Embeddings):
        return StackedEmbeddings([m for m in modules if isinstance(m, Embeddings)])
    if isinstance(first, nn.EmbeddingBag):
        return StackedBag([m for m in modules if isinstance(m, nn.EmbeddingBag)])
    if isinstance(first, Dropout):
        return StackedDropout(first, generators)
    if isinstance(first, nn.ReLU):
        return nn.ReLU(inplace=True)  # K times the memory: each copy less counts
    if next(first.parameters(recurse=False), None) is not None:
        raise NotAtOnce(
            f"many seeds at once need a model of plain layers, but {name} is a {type(first).__name__}; set model=mlp"
        )
    shell = copy.copy(first)
    shell._modules = {}
    for part in first._modules:
        below = [m._modules[part] for m in modules]
        if below[0] is not None:
            shell.add_module(
                part, _stacked(f"{name}.{part}".strip("."), [m for m in below if m is not None], generators)
            )
        else:
            shell.register_module(part, None)
    return shell


def single(stacked: nn.Module, k: int) -> dict[str, Tensor]:
    """The state of network ``k``, as the network alone would name it."""
    state: dict[str, Tensor] = {}
    for name, module in stacked.named_modules():
        if isinstance(module, (StackedLinear, StackedEmbeddings, StackedBag)):
            state |= {f"{name}.{key}".strip("."): tensor for key, tensor in module.single(k).items()}
    return state


def decayed(stacked: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights that decay, and those (biases) that do not."""
    with_decay: list[nn.Parameter] = []
    without: list[nn.Parameter] = []
    for module in stacked.modules():
        if isinstance(module, StackedLinear):
            with_decay.append(module.weight)
            without += [module.bias] if module.bias is not None else []
        elif isinstance(module, (StackedEmbeddings, StackedBag)):
            with_decay.append(module.table)
    return with_decay, without
