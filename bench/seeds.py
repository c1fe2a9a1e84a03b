"""Sixteen seeds at once against one training alone: `make bench NAME=seeds`. Two minutes on two cores.

The ratio is the seconds of a step of sixteen stacked networks over those of a step of one, each with the threads that suit it. One is
trained by the engine, recorded, and by the loop written by hand that `bench.loop` has, which is twice as slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from bench.loop import CPU, Rows, by_hand
from bench.side_by_side import compare, write
from headway.data.batches import Batch
from headway.models.stacked import decayed, stack
from headway.train.many import ManyStep
from headway.train.memory import keep_memory
from headway.train.network import make_training
from headway.train.optimizer import Optimizers
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.tune import physical_cores, threads_of

SEEDS = 16
CASES = {"16-64-64-2 at 128": (16, 64, 128, 300, 3.0), "32-256-256-2 at 256": (32, 256, 256, 60, 9.0)}


def main() -> None:
    """Measure and keep the ratios."""
    keep_memory()
    ratios = {}
    for label, (columns, width, batch, steps, goal) in CASES.items():
        rows = Rows(columns, width, batch * 64)
        many, one = _many(rows, batch, steps), _one(rows, batch, steps)
        ratios[f"{label}: 16 seeds against one"] = compare(many, one, 12, goal)
        ratios[f"{label}: 16 seeds against one by hand"] = compare(many, _step_by_hand(rows, batch), 12, goal)
    for label, ratio in ratios.items():
        print(f"{label}: {ratio.ratio:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] goal {ratio.goal}")
    print(write("seeds", ratios))


def _one(rows: Rows, batch: int, steps: int) -> Callable[[], float]:
    recipe = Recipe(batch_size=batch, precision="fp32")
    arithmetic = Arithmetic("fp32", CPU, "")
    threads = threads_of(recipe, rows, arithmetic).count
    training = make_training(rows, recipe, arithmetic)
    batches = list(training.batches.epoch(0))

    def work() -> float:
        torch.set_num_threads(threads)
        begun = time.perf_counter()
        for number in range(steps):
            training.step(batches[number % len(batches)])
        return (time.perf_counter() - begun) / steps

    return work


def _step_by_hand(rows: Rows, batch: int) -> Callable[[], float]:
    work = by_hand(rows, batch)
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
        chosen = orders[:, at : at + batch]
        return {
            name: t.index_select(0, chosen.flatten()).unflatten(0, chosen.shape) for name, t in rows.tensors.items()
        }

    def work() -> float:
        torch.set_num_threads(physical_cores())
        begun = time.perf_counter()
        for number in range(few):
            step(batch_of(number))
        return (time.perf_counter() - begun) / few

    return work


if __name__ == "__main__":
    main()
