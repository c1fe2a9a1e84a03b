"""A trained table network folded for prediction: what a category adds to the first layer is looked up, not multiplied out.

A one-hot column times a matrix is one row of it, and so is an embedding times its part of the matrix. All categorical columns become one
table of rows that are added up; for twenty columns of thirty categories that is a twentieth of the arithmetic.
Shapes: B rows, F numbers, C categorical columns, O width of the first layer, V codes of all columns together.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from headway.models.layers import Columns, TableNetwork

MOST_CODES = 100_000
"""Beyond, the table would not stay in a cache, and looking up is no gain."""


class FoldedFirst(nn.Module):
    """x_BF and codes_BC to (B, O): the first linear layer."""

    numeric: Tensor
    bias: Tensor
    table: Tensor
    offsets: Tensor

    def __init__(self, numeric: Tensor, bias: Tensor, table: Tensor, offsets: Tensor) -> None:
        super().__init__()
        for name, tensor in {"numeric": numeric, "bias": bias, "table": table, "offsets": offsets}.items():
            self.register_buffer(name, tensor.detach().contiguous())

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        looked_up = nn.functional.embedding_bag(categorical + self.offsets, self.table, mode="sum")
        return torch.addmm(looked_up.add_(self.bias), numeric, self.numeric)


class FoldedNetwork(nn.Module):
    """The first layer folded, the others as they are."""

    def __init__(self, first: FoldedFirst, rest: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first, self.rest = first, nn.Sequential(*rest)

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        return self.rest(self.first(numeric, categorical))


def folded(network: nn.Module, codes: Sequence[int]) -> nn.Module:
    """The network for prediction; itself where it cannot be folded. ``codes``: how many each categorical column has."""
    if not isinstance(network, TableNetwork) or not isinstance(network.body, nn.Sequential):
        return network
    layers = list(network.body)
    if type(layers[0]).__module__ == "tabm":  # a package that other networks do not need
        from headway.models.folded_members import with_folded_members

        return with_folded_members(network)
    inner = list(layers[0]) if isinstance(layers[0], nn.Sequential) else layers[:1]
    linear, columns = inner[0], network.columns
    plain = columns.encoder is None and columns.bags is None
    if not isinstance(linear, nn.Linear) or not plain or not codes or sum(codes) > MOST_CODES:
        return network
    weight = linear.weight.detach().t()
    at = linear.in_features - _width(columns, codes)
    numbers, tables = weight[:at], {}
    for i in columns.narrow.tolist():
        tables[i] = weight[at : at + codes[i]]
        at += codes[i]
    starts = list(itertools.accumulate([0, *(codes[i] for i in columns.wide.tolist())]))
    for n, i in enumerate(columns.wide.tolist()):
        assert columns.embeddings is not None
        rows = columns.embeddings.table.weight.detach()[starts[n] : starts[n + 1]]
        tables[i] = rows @ weight[at : at + rows.shape[1]]
        at += rows.shape[1]
    table = torch.cat([tables[i] for i in range(len(codes))])
    offsets = torch.tensor([0, *codes[:-1]]).cumsum(0)
    first = FoldedFirst(numbers, linear.bias.detach(), table, offsets)
    return FoldedNetwork(first, [*inner[1:], *layers[1:]]).eval()


def _width(columns: Columns, codes: Sequence[int]) -> int:
    """How much of the first layer's input comes from categories."""
    narrow = sum(codes[i] for i in columns.narrow.tolist())
    return narrow + (columns.embeddings.width if columns.embeddings is not None else 0)
