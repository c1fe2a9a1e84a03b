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

from headway.data.batches import Batch, RowBatches, permutation
from headway.data.windows import TokenBatches


def _own() -> torch.Generator:
    """A DataLoader draws a seed each epoch. Drawn from torch's own generator, it would change dropout's random numbers."""
    return torch.Generator()


@dataclass(frozen=True)
class LoaderBatches(RowBatches):
    """Rows of a table, one by one."""

    device: torch.device

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        order = permutation(self.rows, self.seed, epoch)[start * self.batch_size :].tolist()
        rows = TensorDataset(*cast("list[Tensor]", list(self.tensors.values())))  # ragged ones answer as tensors do
        loader = DataLoader(rows, self.batch_size, sampler=order, generator=_own())
        for parts in loader:
            yield {name: part.to(self.device) for name, part in zip(self.tensors, parts, strict=True)}


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
