"""Batches of a table that does not fit its device: shuffled in blocks, read ahead by threads, the same order on any number of them.

The rows lie in blocks of neighbours. An epoch permutes the blocks, takes them in windows of many blocks, and permutes the rows within a
window. Reading is then sequential within blocks, and a batch mixes rows of all its window's blocks. Where the order of the file carries
meaning, a window holds hundreds of blocks from everywhere, so that a batch is close to a random draw.

Shapes: N rows, B rows in a batch, W rows in a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from headway.data.batches import Batch, permutation, row_bytes, slices

WINDOW_BYTES = 1 << 26
BLOCKS_A_WINDOW = 256
AHEAD = 2
"""Windows read ahead of the one in use: one being read, one ready."""


@dataclass(frozen=True)
class StreamedBatches:
    """Memory-mapped tensors of one length on the CPU, shuffled in blocks by ``seed`` and sent to ``device``.

    ``workers`` threads read ahead; they change nothing but the speed. With ``shuffle`` false the rows come in order.
    """

    tensors: Mapping[str, Tensor]
    batch_size: int
    seed: int
    device: torch.device
    workers: int = 1
    window_bytes: int = WINDOW_BYTES
    blocks: int = BLOCKS_A_WINDOW

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        return len(next(iter(self.tensors.values())))

    @property
    def steps(self) -> int:
        return -(-self.rows // self.batch_size)

    def count(self, step: int) -> int:
        return min(self.batch_size, self.rows - step * self.batch_size)

    @property
    def block_rows(self) -> int:
        """Rows of one block; those of the last may be fewer."""
        return max(1, self.window_bytes // (row_bytes(self.tensors) * self.blocks))

    def windows(self, epoch: int) -> list[Tensor]:
        """The blocks of each window, in the epoch's order."""
        blocks = permutation(-(-self.rows // self.block_rows), self.seed, epoch)
        return list(blocks.split(self.blocks))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        windows = self.windows(epoch)
        skip, first = start * self.batch_size, 0
        while first < len(windows) and skip >= self._size(windows[first]):
            skip -= self._size(windows[first])
            first += 1
        left: Batch = {}
        for rows in self._read_ahead(windows, epoch, first):
            block = {name: tensor[skip:] for name, tensor in rows.items()} if skip else rows
            skip = 0
            if left:
                block = {name: torch.cat([left[name], tensor]) for name, tensor in block.items()}
            held = len(next(iter(block.values())))
            whole = held - held % self.batch_size
            left = {name: tensor[whole:] for name, tensor in block.items()} if whole < held else {}
            if whole:
                yield from slices({name: tensor[:whole] for name, tensor in block.items()}, self.batch_size)
        if left:
            yield left

    def _size(self, window: Tensor) -> int:
        """Rows of a window: the table's last block may be short."""
        last = -(-self.rows // self.block_rows) - 1
        short = (last + 1) * self.block_rows - self.rows
        return len(window) * self.block_rows - (short if bool((window == last).any()) else 0)

    def _read_ahead(self, windows: list[Tensor], epoch: int, first: int) -> Iterator[Batch]:
        with ThreadPoolExecutor(self.workers, "headway-read") as pool:
            pending: list[Future[Batch]] = []
            for number in range(first, len(windows)):
                pending.append(pool.submit(self._read, windows[number], epoch, number))
                if len(pending) > max(AHEAD, self.workers):
                    yield self._arrived(pending.pop(0).result())
            while pending:
                yield self._arrived(pending.pop(0).result())

    def _read(self, window: Tensor, epoch: int, number: int) -> Batch:
        """One window's rows, shuffled: in pinned memory where they go to a GPU, so that the copy needs no one to wait for it."""
        size = self.block_rows
        starts = (window * size).tolist()
        order = permutation(self._size(window), self.seed, epoch * 1_000_003 + number + 1)
        found: Batch = {}
        for name, tensor in self.tensors.items():
            rows = torch.cat([tensor[at : at + size] for at in starts])
            out = torch.empty_like(rows, pin_memory=True) if self.device.type == "cuda" else torch.empty_like(rows)
            found[name] = torch.index_select(rows, 0, order, out=out)
        return found

    def _arrived(self, rows: Batch) -> Batch:
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in rows.items()}
