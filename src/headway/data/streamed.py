"""Batches of a table that does not fit its device: shuffled in blocks, read ahead by threads, the same order on any number of them.

The rows lie in blocks of neighbours. An epoch permutes the blocks, takes them in windows of many blocks, and permutes the rows within a
window. Reading is then sequential within blocks, and a batch mixes rows of all its window's blocks. Where the order of the file carries
meaning, a window holds hundreds of blocks from everywhere, so that a batch is close to a random draw.

Shapes: N rows, B rows in a batch, W rows in a window.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import resource
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headway.data.batches import Batch, RowBatches, permutation, slices
from headway.data.padded import PaddedRows, Rows, row_bytes

WINDOW_BYTES = 1 << 23
BLOCKS_A_WINDOW = 128
AHEAD = 2
"""Windows read ahead of the one in use: one being read, one ready."""


@dataclass(frozen=True)
class StreamedBatches(RowBatches):
    """Memory-mapped tensors of one length on the CPU, shuffled in blocks by ``seed`` and sent to ``device``.

    ``workers`` threads read ahead; they change nothing but the speed. With ``shuffle`` false the rows come in order.
    """

    device: torch.device
    workers: int = 1
    window_bytes: int = WINDOW_BYTES
    blocks: int = BLOCKS_A_WINDOW

    @property
    def block_rows(self) -> int:
        """Rows of one block; those of the last may be fewer."""
        return max(1, self.window_bytes // (row_bytes(self.tensors) * self.blocks))

    def windows(self, epoch: int) -> list[Tensor]:
        """The blocks of each window, in the epoch's order."""
        blocks = permutation(-(-self.rows // self.block_rows), self.seed, epoch)
        return list(blocks.split(self.blocks))

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        windows = self.windows(epoch)
        skip, first = start * self.batch_size, 0
        while first < len(windows) and skip >= self._size(windows[first]):
            skip -= self._size(windows[first])
            first += 1
        remainder: Batch = {}
        for rows in self._read_ahead(windows, epoch, first):
            block = {name: tensor[skip:] for name, tensor in rows.items()} if skip else rows
            skip = 0
            if remainder:  # a batch across two windows; only its rows are copied
                need = self.batch_size - len(next(iter(remainder.values())))
                whole = {name: torch.cat([remainder[name], tensor[:need]]) for name, tensor in block.items()}
                block = {name: tensor[need:] for name, tensor in block.items()}
                remainder = {}
                if len(next(iter(whole.values()))) < self.batch_size:
                    remainder = whole
                    continue
                yield whole
            for batch in slices(block, self.batch_size) if len(next(iter(block.values()))) else ():
                if len(next(iter(batch.values()))) < self.batch_size:
                    remainder = batch
                else:
                    yield batch
        if remainder:
            yield remainder

    def _size(self, window: Tensor) -> int:
        """Rows of a window: the table's last block may be short."""
        last = -(-self.rows // self.block_rows) - 1
        short = (last + 1) * self.block_rows - self.rows
        return len(window) * self.block_rows - (short if bool((window == last).any()) else 0)

    def _read_ahead(self, windows: list[Tensor], epoch: int, first: int) -> Iterator[Batch]:
        with ThreadPoolExecutor(self.workers, "headway-read") as pool:
            pending: list[Future[Batch]] = []
            disk = Disk()
            for number in range(first, len(windows)):
                pending.append(pool.submit(self._read, windows[number], epoch, number, disk))
                if len(pending) > max(AHEAD, self.workers):
                    yield self._arrived(pending.pop(0).result())
            while pending:
                yield self._arrived(pending.pop(0).result())

    def _read(self, window: Tensor, epoch: int, number: int, disk: Disk) -> Batch:
        """One window's rows, shuffled: in pinned memory where they go to a GPU, so that nothing waits for the copy."""
        size = self.block_rows
        starts = window * size
        if disk.is_read:
            places = starts.tolist()
            for tensor in self.tensors.values():
                _will_need(tensor, places, size)
        rows = (starts[:, None] + torch.arange(size)).flatten()
        if len(rows) > self._size(window):
            rows = rows[rows < self.rows]
        order = permutation(len(rows), self.seed, epoch * 1_000_003 + number + 1)
        shuffled = np.take(rows.numpy(), order.numpy(), mode="clip")
        with disk.watched():
            return {name: self._gather(tensor, shuffled) for name, tensor in self.tensors.items()}

    def _gather(self, tensor: Rows, rows: np.ndarray) -> Tensor:
        """By numpy: one thread, while torch would start a pool of its own in each reader, whose idle threads spin."""
        if isinstance(tensor, PaddedRows):
            padded = tensor.values.new_empty((len(rows), tensor.width), pin_memory=self.device.type == "cuda")
            tensor.gather(rows, padded.numpy())
            return padded
        out = tensor.new_empty((len(rows), *tensor.shape[1:]), pin_memory=self.device.type == "cuda")
        if tensor.numel():
            np.take(
                tensor.numpy(), rows, axis=0, out=out.numpy(), mode="clip"
            )  # clip: raise would copy it all once more
        return out

    def _arrived(self, rows: Batch) -> Batch:
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in rows.items()}


class Disk:
    """Whether an epoch's rows come from the disk, or lie in the system's memory already, as the faults of the readers show.

    Asking the system to read ahead takes a fifth of the time of gathering rows that are there.
    """

    def __init__(self) -> None:
        self.is_read = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Around a gathering."""
        before = _faults()
        yield
        if _faults() > before:
            self.is_read = True


def _faults() -> int:
    """How often this thread has waited for the disk to read a page."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt if sys.platform == "linux" else 0


def _will_need(tensor: Rows, starts: Sequence[int], rows: int) -> None:
    """Ask the system to read these rows of a mapped file ahead, all blocks at once. Without it, they are read at their first use."""
    if isinstance(tensor, PaddedRows):
        _will_need(tensor.offsets, starts, rows + 1)
        bounds = [(tensor.offsets[at], tensor.offsets[min(at + rows, len(tensor))]) for at in starts]
        _advise(tensor.values, [(int(first), int(end)) for first, end in bounds])
    else:
        _advise(tensor, [(at, at + rows) for at in starts])


def _advise(tensor: Tensor, spans: Sequence[tuple[int, int]]) -> None:
    if sys.platform != "linux" or not tensor.numel():
        return
    stride = tensor.stride(0) * tensor.element_size()
    base, end = tensor.data_ptr(), tensor.data_ptr() + len(tensor) * stride
    page = mmap.PAGESIZE
    for start, stop in spans:
        first = (base + start * stride) // page * page
        length = min(base + stop * stride, end) - first
        _libc().madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_WILLNEED)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
