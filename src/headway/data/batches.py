"""Batches by whole blocks of rows, never row by row: deterministic in (seed, epoch, step), resumable at any step.

Rows of texts come in batches of like length, which need little padding: an epoch's permutation is cut into pools of many batches, the rows
of a pool are sorted by width, and its batches are shuffled.

Shapes: N rows, B rows in a batch. `ResidentBatches` holds the table on its device and draws a full permutation an epoch. A table
that does not fit is read by `headway.data.streamed`, in the same order on any number of readers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from headway.data.padded import Rows, batch_of, row_bytes, widths_of

GATHER_BYTES = 1 << 22
"""Bytes gathered at once: enough that the call's cost does not count, few enough to stay in a core's cache until they are used."""

POOL = 64
"""Batches whose rows are sorted by width together: enough for narrow batches, few enough that these differ from epoch to epoch."""

T = TypeVar("T")

Batch = dict[str, Tensor]
"""Named inputs of the network, and what its loss takes: `target`, and `weight` where rows do not count the same."""


def inputs_of(rows: Mapping[str, T]) -> dict[str, T]:
    """What the network is given."""
    return {name: one for name, one in rows.items() if name not in ("target", "weight")}


def weight_of(rows: Mapping[str, T]) -> tuple[T, ...]:
    """What the loss is given behind the target and the smoothing: the rows' weights, or nothing."""
    return (rows["weight"],) if "weight" in rows else ()


class Batches(Protocol):
    """What the training loop takes its batches from, be they rows of a table or windows of a text."""

    @property
    def batch_size(self) -> int:
        """Samples in a full batch."""
        ...

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        ...

    def count(self, step: int) -> int:
        """What the meter counts (rows, tokens) in the epoch's batch number ``step``."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """The epoch's batches from step ``start`` on, on the device. Closed, it ends its readers."""
        ...


def permutation(rows: int, seed: int, epoch: int) -> Tensor:
    """(N,) int64: the epoch's order, drawn on the CPU so that it is the same on every device."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % (2**63))
    return torch.randperm(rows, generator=generator)


def epoch_order(rows: int, widths: np.ndarray | None, batch_size: int, seed: int, epoch: int) -> Tensor:
    """(N,) int64, on the CPU: a permutation, in which the rows of a batch are of like width where ``widths`` (N,) are given.

    The rows of a last, smaller batch are any: the widest ones would count more there.
    """
    order = permutation(rows, seed, epoch)
    if widths is None:
        return order
    full = rows // batch_size * batch_size
    parts = []
    for number, pool in enumerate(order[:full].split(POOL * batch_size)):
        by_width = pool[torch.from_numpy(np.argsort(widths[pool.numpy()], kind="stable"))].view(-1, batch_size)
        parts.append(by_width[permutation(len(by_width), seed, epoch * 1_000_003 + number + 1)].flatten())
    return torch.cat([*parts, order[full:]])


def slices(block: Mapping[str, Tensor], batch_size: int) -> Iterator[Batch]:
    """A block of rows as batches: views, split by torch in one call for each tensor; the last may be smaller."""
    names = list(block)
    for parts in zip(*(tensor.split(batch_size) for tensor in block.values()), strict=True):
        yield dict(zip(names, parts, strict=True))


@dataclass(frozen=True)
class RowBatches:
    """Named tensors of one length, or ragged rows, in batches.

    The last rows of an epoch that do not fill a batch form a smaller one, so that every row counts once an epoch.
    """

    tensors: Mapping[str, Rows]
    batch_size: int
    seed: int

    @cached_property
    def rows(self) -> int:
        """Rows in an epoch; kept, because the length of a tensor takes microseconds and every step asks for it."""
        return len(next(iter(self.tensors.values())))

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch_size)

    @cached_property
    def widths(self) -> np.ndarray | None:
        """(N,) of each row; None where none is ragged."""
        return widths_of(self.tensors)

    def count(self, step: int) -> int:
        return min(self.batch_size, self.rows - step * self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """(N,) int64, on the CPU: the rows in an epoch's order."""
        return epoch_order(self.rows, self.widths, self.batch_size, self.seed, epoch)


@dataclass(frozen=True)
class ResidentBatches(RowBatches):
    """Rows shuffled by ``seed`` where they are. ``one_shape``: whether ragged rows always have their whole width."""

    one_shape: bool = False

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        order, first = self.order(epoch), start * self.batch_size
        if self.widths is None or self.one_shape:
            yield from self._by_blocks(order, first)
            return
        for rows in order[first:].split(self.batch_size) if first < self.rows else ():
            yield batch_of(self.tensors, rows)

    def _by_blocks(self, order: Tensor, start: int) -> Iterator[Batch]:
        order = order.to(next(iter(self.tensors.values())).device)
        at_once = max(1, GATHER_BYTES // (row_bytes(self.tensors) * self.batch_size)) * self.batch_size
        block: Batch = {}
        for first in range(start, self.rows, at_once):
            rows = order[first : first + at_once]
            block.clear()  # before the next block is gathered, so that it reuses this memory while it is in the cache
            block = {name: tensor.index_select(0, rows) for name, tensor in self.tensors.items()}
            yield from slices(block, self.batch_size)
