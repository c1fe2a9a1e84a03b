"""Batches against torch's DataLoader: `make bench NAME=loader`. Two minutes on two cores.

Each ratio is our seconds a row over the anchor's: 1,000,000 rows of 32 numbers and a class, shuffled, in batches of 4,096. Both sides have
the number of threads that suits the DataLoader best; where two of ours are compared, both have all cores. The memory-mapped store lies in
the page cache. The slow anchor goes over a part of the rows; its cost a row does not depend on how many.
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

from bench.samples import Samples, options
from bench.side_by_side import Comparison, against_itself, conclude, kept_threads, measure, with_threads
from headway.data.batches import Batches, ResidentBatches
from headway.data.streamed import StreamedBatches
from headway.train.tune import physical_cores

ROWS, COLUMNS, BATCH = 1_000_000, 32, 4096
FEW = 50_000


def main() -> None:
    """Measure and keep the ratios."""
    settings = options()
    samples = Samples("loader", fresh=settings.fresh)
    torch.manual_seed(0)
    tensors = {"numeric": torch.randn(ROWS, COLUMNS), "target": torch.randint(0, 2, (ROWS,))}
    with tempfile.TemporaryDirectory() as folder:
        mapped = {name: _mapped(Path(folder) / f"{name}.npy", tensor) for name, tensor in tensors.items()}
        comparisons = [*_against_torch(samples, tensors), *_against_memory(tensors, mapped)]
        measure(samples, comparisons, settings)
    conclude("loader", samples, comparisons)


def _against_torch(samples: Samples, tensors: dict[str, Tensor]) -> list[Comparison]:
    """Resident batches against two DataLoaders."""
    data = TensorDataset(*tensors.values())
    few = DataLoader(TensorDataset(*(t[:FEW] for t in tensors.values())), BATCH, shuffle=True)
    lists = DataLoader(data, sampler=BatchSampler(RandomSampler(data), BATCH, False), batch_size=None)
    resident = _ours(ResidentBatches(tensors, BATCH, 0))
    ratios = []
    for label, anchor, goal in (
        ("DataLoader(TensorDataset): a hundredth of its time", _anchor(few, FEW), 0.01),
        ("DataLoader with BatchSampler: a tenth of its time", _anchor(lists, ROWS), 0.1),
    ):
        threads = kept_threads(samples, label, anchor)
        ours, theirs = with_threads(threads, resident), with_threads(threads, anchor)
        ratios += [Comparison(label, ours, theirs, 12, goal), against_itself(theirs, 12, label.partition(":")[0])]
    return ratios


def _against_memory(tensors: dict[str, Tensor], mapped: dict[str, Tensor]) -> list[Comparison]:
    """Rows on disk against rows in memory, with all cores on both sides."""
    cores = physical_cores()
    streamed = StreamedBatches(mapped, BATCH, 0, torch.device("cpu"), workers=cores)
    memory = with_threads(cores, _ours(ResidentBatches(tensors, BATCH, 0)))

    def against(label: str, batches: Batches) -> Comparison:
        return Comparison(label, with_threads(cores, _ours(batches)), memory, 16, 1.25)

    return [
        against("memory: memory-mapped takes at most 1.25 times as long", ResidentBatches(mapped, BATCH, 0)),
        against("memory: streamed in blocks takes at most 1.25 times as long", streamed),
        against_itself(memory, 16, "memory"),
    ]


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
    start = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - start) / rows


if __name__ == "__main__":
    main()
