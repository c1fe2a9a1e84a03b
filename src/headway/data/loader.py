"""Batches as a plainly written PyTorch program takes them: a DataLoader that collates them from single items.

It is what the effect study compares with, and gives the batches of `ResidentBatches` and `TokenBatches` in the same order.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from headway.data.batches import Batch, RowBatches
from headway.data.padded import PaddedRows
from headway.data.windows import TokenBatches


def _own() -> torch.Generator:
    """A DataLoader draws a seed each epoch. Drawn from torch's own generator, it would change dropout's random numbers."""
    return torch.Generator()


@dataclass(frozen=True)
class LoaderBatches(RowBatches):
    """Rows of a table, one by one."""

    device: torch.device

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        order = self.order(epoch)[start * self.batch_size :]
        rows = TensorDataset(*cast("list[Tensor]", list(self.tensors.values())))  # ragged ones answer as tensors do
        loader = DataLoader(rows, self.batch_size, sampler=order.tolist(), generator=_own())
        for number, parts in enumerate(loader):
            numbers = order[number * self.batch_size : (number + 1) * self.batch_size]
            batch = dict(zip(self.tensors, parts, strict=True))
            yield {name: self._narrow(name, part, numbers).to(self.device) for name, part in batch.items()}

    def _narrow(self, name: str, part: Tensor, numbers: Tensor) -> Tensor:
        """A part of a batch without the padding that no row of it needs."""
        rows = self.tensors[name]
        return part[:, : rows.width_of(numbers)] if isinstance(rows, PaddedRows) else part


class _Windows(Dataset[tuple[Tensor, Tensor]]):
    """A text by the place where a window begins."""

    def __init__(self, tokens: np.ndarray, context: int) -> None:
        self._tokens, self._context = tokens, context

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        window = torch.from_numpy(self._tokens[index : index + self._context + 1].astype(np.int64))
        return window[:-1], window[1:]


@dataclass
class LoaderTokens(TokenBatches):
    """Windows of a text, one by one."""

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        places = self.places(epoch)[start:].flatten().tolist()
        loader = DataLoader(_Windows(self.tokens, self.context), self.batch_size, sampler=places, generator=_own())
        for tokens, target in loader:
            yield {"tokens": tokens.to(self.device), "target": target.to(self.device)}
