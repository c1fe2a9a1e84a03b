"""Batches of a text: windows of neighbouring tokens at random places, deterministic in (seed, epoch, step).

Shapes: N tokens, B windows in a batch, T tokens in a window.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from headway.data.batches import GATHER_BYTES, Batch


@dataclass
class TokenBatches:
    """An epoch draws about as many tokens as there are."""

    tokens: np.ndarray
    batch_size: int
    context: int
    seed: int
    device: torch.device
    resident: bool = True
    _resident_tokens: Tensor | None = field(default=None, repr=False)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return max(1, (len(self.tokens) - 1) // (self.batch_size * self.context))

    def count(self, step: int) -> int:
        """Tokens in each batch."""
        del step
        return self.batch_size * self.context

    def places(self, epoch: int) -> Tensor:
        """(steps, B) int64: where each window of the epoch begins."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % (2**63))
        last = len(self.tokens) - self.context
        return torch.randint(last, (self.steps, self.batch_size), generator=generator)

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """{"tokens": (B, T), "target": (B, T)} int64; the target is the next token."""
        places = self.places(epoch)[start:]
        if self.device.type != "cpu" and self.resident:
            places = places.to(self.device)  # once an epoch: a copy from here waits for what the device has to do
        at_once = max(1, GATHER_BYTES // (8 * self.batch_size * (self.context + 1)))
        for some in places.split(at_once):
            for window in self._gather(some):
                yield {"tokens": window[:, :-1], "target": window[:, 1:]}

    def _gather(self, places: Tensor) -> Tensor:
        """(steps, B, T + 1), by one index."""
        rows = places[..., None] + torch.arange(self.context + 1, device=places.device)
        if self.device.type != "cpu" and self.resident:
            if self._resident_tokens is None:
                self._resident_tokens = torch.from_numpy(self.tokens.astype(np.int32)).to(self.device)
            return self._resident_tokens[rows].long()
        windows = torch.from_numpy(self.tokens[rows.numpy()].astype(np.int64))
        return windows if self.device.type == "cpu" else windows.pin_memory().to(self.device, non_blocking=True)
