"""Batches of resident arrays: deterministic in (seed, step), never a Python loop over rows.

A seeded permutation is drawn for each epoch; rows are gathered many batches at a time, so that the cost a step is a view.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

GATHER_BYTES = 1 << 24
"""Rows gathered at once: enough to drown the call's cost, small enough for the cache and for the device."""


@dataclass(frozen=True)
class Batches:
    """Named tensors with one length, shuffled by ``seed``; all stay on the device they are on.

    The last rows of an epoch that do not fill a batch form a smaller one, so that every row counts once an epoch.
    """

    tensors: Mapping[str, Tensor]
    batch_size: int
    seed: int

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        return len(next(iter(self.tensors.values())))

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.rows // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """(N,) int64: the epoch's permutation, drawn on the CPU so that it is the same on every device."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % (2**63))
        return torch.randperm(self.rows, generator=generator)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[dict[str, Tensor]]:
        """The epoch's batches from step ``start`` on."""
        device = next(iter(self.tensors.values())).device
        order = self.order(epoch).to(device)
        row_bytes = sum(t[:1].numel() * t.element_size() for t in self.tensors.values())
        at_once = max(1, GATHER_BYTES // max(1, row_bytes * self.batch_size))
        for first in range(start, self.steps, at_once):
            rows = order[first * self.batch_size : (first + at_once) * self.batch_size]
            block = {name: tensor.index_select(0, rows) for name, tensor in self.tensors.items()}
            for at in range(0, len(rows), self.batch_size):
                yield {name: tensor[at : at + self.batch_size] for name, tensor in block.items()}
