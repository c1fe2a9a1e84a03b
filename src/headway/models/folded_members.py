"""An ensemble of members that share weights, folded for prediction: each member is a plain network with its scales multiplied in.

TabM's members differ by a factor for each input (and, in its larger variant, for each output) of a layer. Scaled weights give the same
products as scaled rows, of which there are many more. On AVX2, 16 members of 128 units took 10 % less
time in one process with the memory settings of a scoring one; a whole scoring, at most 6 % less.
Shapes: B rows, D width of the columns, K members, I and O width into and out of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import tabm
import torch
from torch import Tensor, nn

from headway.models.layers import Columns, TableNetwork

MOST_WEIGHTS = 1 << 24
"""Weights of all members together, 64 MiB; with more, the shared weights are kept."""

ROWS = 512
"""Rows at once: what a member makes of them stays in a core's cache."""


class Layer(nn.Module):
    """``weight`` (K, I, O) and ``bias`` (K, O); K is 1 in a layer that all members share."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().contiguous())
        self.register_buffer("bias", bias.detach().contiguous())

    def forward(self, x_BI: Tensor, member: int) -> Tensor:
        """x_BI to (B, O), as the member does it."""
        own = member if len(self.weight) > 1 else 0
        return torch.addmm(self.bias[own], x_BI, self.weight[own])


class FoldedMembers(nn.Module):
    """Prepared columns to outputs_BKO, one member after another. ``columns`` is the network's own."""

    def __init__(self, columns: Columns, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.columns = columns
        *hidden, self.last = layers
        self.hidden = nn.ModuleList(hidden)

    def forward(self, numeric: Tensor, categorical: Tensor, **tokens: Tensor) -> Tensor:
        parts = []
        for at in range(0, max(len(numeric), 1), ROWS):
            rows = slice(at, at + ROWS)
            bags = [tokens[f"tokens_{i}"][rows] for i in range(len(tokens))]
            x_BD = self.columns(numeric[rows], categorical[rows], bags)
            parts.append(torch.stack([self._member(x_BD, k) for k in range(len(self.last.weight))], 1))
        return torch.cat(parts)

    def _member(self, x: Tensor, member: int) -> Tensor:
        for layer in self.hidden:
            x = layer(x, member).relu_()
        return self.last(x, member)


def with_folded_members(network: TableNetwork) -> nn.Module:
    """The network for prediction; itself where it has no members, or too many weights."""
    layers = _layers_of(network.body)
    if layers is None or sum(layer.weight.numel() for layer in layers) > MOST_WEIGHTS:
        return network
    return FoldedMembers(network.columns, layers).eval()


@torch.no_grad()
def _layers_of(body: nn.Module) -> list[Layer] | None:
    """The members' layers, the last one included; None for another network."""
    if not isinstance(body, nn.Sequential) or len(body) != 3 or not isinstance(body[0], tabm.EnsembleView):
        return None
    backbone, output = body[1], body[2]
    if not isinstance(output, tabm.LinearEnsemble) or not isinstance(
        backbone, (tabm.MLPBackboneMiniEnsemble, tabm.MLPBackboneBatchEnsemble)
    ):
        return None
    layers: list[Layer] = []
    for block in backbone.blocks:
        linear, activation = block[0], block[1]
        if not isinstance(activation, nn.ReLU):
            return None
        layers.append(_of_batch_ensemble(linear) if isinstance(linear, tabm.LinearBatchEnsemble) else _shared(linear))
    if isinstance(backbone, tabm.MLPBackboneMiniEnsemble):
        layers[0] = _scaled(backbone.affine, layers[0])
    bias = torch.zeros(output.weight.shape[0], output.weight.shape[2]) if output.bias is None else output.bias
    return [*layers, Layer(output.weight, bias)]


def _shared(linear: nn.Linear) -> Layer:
    return Layer(linear.weight.t()[None], linear.bias[None])


def _of_batch_ensemble(linear: tabm.LinearBatchEnsemble) -> Layer:
    """((x * r_k) W) * s_k + b_k as one product."""
    weight = linear.r[:, :, None] * linear.weight.t() * linear.s[:, None]
    return Layer(weight, torch.zeros_like(linear.s) if linear.bias is None else linear.bias)


def _scaled(affine: tabm.ElementwiseAffine, layer: Layer) -> Layer:
    """(x * a_k + c_k) W + b as one product."""
    members = len(affine.weight)
    bias = layer.bias.expand(members, -1) if affine.bias is None else affine.bias @ layer.weight[0] + layer.bias
    return Layer(affine.weight[:, :, None] * layer.weight, bias)
