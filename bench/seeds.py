"""Sixteen seeds at once against one training in a loop written by hand: `make bench NAME=seeds`. Three minutes on two cores.

The ratio is the seconds of a step of sixteen stacked networks over those of a step of one network in the loop that `bench.loop` has. Both
sides are in fp32. Both have as many threads, once one and once one a core; the goal is judged where the loop by hand is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from bench.loop import Rows, loop_by_hand
from bench.samples import Samples, options
from bench.side_by_side import Comparison, against_itself, conclude, kept_threads, measure, with_threads
from headway.data.batches import Batch
from headway.models.stacked import decayed, stack
from headway.train.many import ManyStep
from headway.train.memory import keep_memory
from headway.train.optimizer import Optimizers
from headway.train.tune import physical_cores

SEEDS = 16
CASES = {"16-64-64-2 at 128": (16, 64, 128, 300, 2.0), "32-256-256-2 at 256": (32, 256, 256, 60, 9.0)}


def main() -> None:
    """Measure and keep the ratios."""
    keep_memory()
    settings = options()
    samples = Samples("seeds", fresh=settings.fresh)
    comparisons: list[Comparison] = []
    for case, (columns, width, batch, steps, goal) in CASES.items():
        rows = Rows(columns, width, batch * 64)
        many, one = _many(rows, batch, steps), _step_by_hand(rows, batch)
        best = kept_threads(samples, case, one)
        for threads in sorted({1, physical_cores()}):
            label = f"{case}, {threads} thread{'s' * (threads > 1)}"
            ours, anchor = with_threads(threads, many), with_threads(threads, one)
            judged = goal if threads == best else None
            comparisons.append(Comparison(f"{label}: 16 seeds against one by hand", ours, anchor, 16, judged))
            comparisons.append(against_itself(anchor, 16, label))
    measure(samples, comparisons, settings)
    conclude("seeds", samples, comparisons)


def _step_by_hand(rows: Rows, batch: int) -> Callable[[], float]:
    work = loop_by_hand(rows, batch)
    steps = len(rows.tensors["target"]) // batch
    return lambda: work() / steps


def _many(rows: Rows, batch: int, steps: int) -> Callable[[], float]:
    generators = [torch.Generator()] * SEEDS
    network = stack([rows.build() for _ in range(SEEDS)], generators)
    with_decay, without = decayed(network)
    groups = [{"params": with_decay, "weight_decay": 0.01}, {"params": without, "weight_decay": 0.0}]
    optimizer = Optimizers([torch.optim.AdamW(groups, fused=True)])
    step = ManyStep(network, optimizer, lambda outputs, target: rows.loss(outputs, target, 0.0), SEEDS, generators)
    orders = torch.stack([torch.randperm(len(rows.tensors["target"])) for _ in range(SEEDS)])
    few = max(1, steps // 8)

    def batch_of(number: int) -> Batch:
        at = number % 64 * batch
        places = orders[:, at : at + batch]
        return {
            name: t.index_select(0, places.flatten()).unflatten(0, places.shape) for name, t in rows.tensors.items()
        }

    def work() -> float:
        start = time.perf_counter()
        for number in range(few):
            step(batch_of(number))
        return (time.perf_counter() - start) / few

    return work


if __name__ == "__main__":
    main()
