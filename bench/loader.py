"""Batches against torch's DataLoader: `make bench NAME=loader`. One minute on two cores.

Each ratio is our seconds a row over the anchor's: 1,000,000 rows of 32 numbers and a class, shuffled, in batches of 4,096. The
memory-mapped store lies in the page cache. The slow anchor goes over a part of the rows; its cost a row does not depend on how many.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from bench.side_by_side import compare, write
from headway.data.batches import Batches, ResidentBatches
from headway.data.streamed import StreamedBatches

ROWS, COLUMNS, BATCH = 1_000_000, 32, 4096
FEW = 50_000


def main() -> None:
    """Measure and keep the ratios."""
    torch.manual_seed(0)
    numeric, target = torch.randn(ROWS, COLUMNS), torch.randint(0, 2, (ROWS,))
    with tempfile.TemporaryDirectory() as folder:
        mapped = {
            name: _mapped(Path(folder) / f"{name}.npy", t) for name, t in (("numeric", numeric), ("target", target))
        }
        resident = ResidentBatches({"numeric": numeric, "target": target}, BATCH, 0)
        on_disk = ResidentBatches(mapped, BATCH, 0)
        streamed = StreamedBatches(mapped, BATCH, 0, torch.device("cpu"), workers=2)
        rows = DataLoader(TensorDataset(numeric[:FEW], target[:FEW]), BATCH, shuffle=True)
        data = TensorDataset(numeric, target)
        lists = DataLoader(data, sampler=BatchSampler(RandomSampler(data), BATCH, False), batch_size=None)
        ours = _ours(resident)
        ratios = {
            "DataLoader(TensorDataset): a hundredth of its time": compare(ours, _anchor(rows, FEW), 10, 0.01),
            "DataLoader with BatchSampler: a tenth of its time": compare(ours, _anchor(lists, ROWS), 10, 0.1),
            "memory-mapped against memory: at most 1.25": compare(_ours(on_disk), ours, 15, 1.25),
            "streamed in blocks against memory: at most 1.25": compare(_ours(streamed), ours, 15, 1.25),
            "A/A: memory against memory": compare(_ours(resident), ours, 15),
        }
    for label, ratio in ratios.items():
        print(f"{label}: {ratio.ratio:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]")
    print(write("loader", ratios))


def _mapped(path: Path, tensor: Tensor) -> Tensor:
    np.save(path, tensor.numpy())
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _ours(batches: Batches) -> Callable[[], float]:
    """Seconds a row of one epoch."""
    epochs = iter(range(1_000_000))
    return lambda: _seconds_a_row(batches.epoch(next(epochs)), ROWS)


def _anchor(loader: DataLoader[tuple[Tensor, ...]], rows: int) -> Callable[[], float]:
    return lambda: _seconds_a_row(loader, rows)


def _seconds_a_row(batches: Iterable[object], rows: int) -> float:
    begun = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - begun) / rows


if __name__ == "__main__":
    main()
