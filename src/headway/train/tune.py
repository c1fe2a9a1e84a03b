"""What a recipe leaves to be chosen: the batch size and the number of threads."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from headway.data.batches import Batch, inputs_of, weight_of
from headway.train.meter import count_flops
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recording import Misrecorded
from headway.train.workload import Workload

if TYPE_CHECKING:
    from headway.train.loop import Training

    Maker = Callable[[Workload, Recipe, Arithmetic], Training]
    """What makes a training of these."""

SMALL_STEP_FLOPS = 3e7
"""A step below this is shorter on one thread: starting a second for each operation takes longer than it saves."""

SMALLEST, LARGEST = 32, 65_536
ENOUGH = 0.9
"""The share of the best throughput that a batch size must reach: beyond it, larger batches only mean fewer steps."""

FEWEST_STEPS = 20
"""Steps that an epoch must have, even where larger batches would be faster."""

TRIAL_SECONDS = 0.3
FIRST_STEPS = 5
"""Before a trial: steps that record, check and warm up."""


_TORCHS_OWN = torch.get_num_threads()
"""The number that torch chose when it was loaded, before another one was set."""


@dataclass(frozen=True)
class Threads:
    """Threads to use, and the arithmetic of a step that says so (0 where it cannot be counted)."""

    count: int
    flops_a_step: float


def threads_of(recipe: Recipe, workload: Workload, arithmetic: Arithmetic) -> Threads:
    """The number to begin with: a rule, so that one seed gets the same number on every quiet machine; see `train.threads`."""
    flops = flops_of(recipe, workload, arithmetic)
    if recipe.threads not in ("auto", 0):
        return Threads(int(recipe.threads), flops)
    small = arithmetic.device.type == "cpu" and 0 < flops < SMALL_STEP_FLOPS
    return Threads(1 if small else physical_cores(), flops)


def physical_cores() -> int:
    """Cores that this process may use; a core's second thread gains nothing in arithmetic."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, _TORCHS_OWN))


def flops_of(recipe: Recipe, workload: Workload, arithmetic: Arithmetic) -> float:
    """Floating-point operations of one full step, forward and backward; 0 where they cannot be counted.

    Counted on the meta device, which computes nothing. Where a network cannot be there, it takes one step.
    """
    state = torch.get_rng_state()
    plain = recipe.model_copy(update={"device": "cpu"})
    batch = next(iter(workload.batches(plain, arithmetic.device).epoch(0)))
    try:
        return _flops(workload, batch, torch.device("meta")) or _flops(workload, batch, arithmetic.device)
    finally:
        torch.set_rng_state(state)


def _flops(workload: Workload, batch: Batch, device: torch.device) -> float:
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    target, weight, batch = batch["target"], weight_of(batch), inputs_of(batch)
    try:
        if device.type == "meta":
            with device:
                network = workload.build()
        else:
            network = workload.build().to(device)
    except (RuntimeError, NotImplementedError):  # a network whose weights follow from values
        return 0.0
    return count_flops(network, lambda: workload.loss(network(**batch), target, 0.0, *weight).backward())


def batch_size_of(recipe: Recipe, workload: Workload, arithmetic: Arithmetic, make: Maker) -> int:
    """The recipe's, or for `auto` the smallest power of two that reaches nine tenths of the best throughput."""
    if recipe.batch_size != "auto":
        return recipe.batch_size
    speeds: dict[int, float] = {}
    size = SMALLEST
    while size <= LARGEST:
        speed = _speed(recipe.model_copy(update={"batch_size": size}), workload, arithmetic, make)
        if speed is None:
            break
        speeds[size] = speed
        if size > SMALLEST and speed < 1.03 * max(v for s, v in speeds.items() if s < size):
            break
        size *= 2
    best = max(speeds.values(), default=0.0)
    return next((s for s, v in speeds.items() if v >= ENOUGH * best), SMALLEST)


def _speed(recipe: Recipe, workload: Workload, arithmetic: Arithmetic, make: Maker) -> float | None:
    """Rows a second at this batch size; None where it does not fit or an epoch would have too few steps."""
    try:
        training = make(workload, recipe, arithmetic)
    except ValueError:
        return None
    if training.batches.steps < FEWEST_STEPS and recipe.batch_size != SMALLEST:
        return None
    try:
        speed = _steady_speed(training)
    except Misrecorded:
        return _speed(recipe.model_copy(update={"record": False}), workload, arithmetic, make)
    return None if training.step.parts > recipe.accumulate else speed  # more parts: it ran out of memory


def _steady_speed(training: Training) -> float:
    """Rows a second after the first steps, over batches as in training: a step is recorded when it has seen several."""
    batches = (batch for epoch in itertools.count() for batch in training.batches.epoch(epoch))
    for batch in itertools.islice(batches, FIRST_STEPS):
        training.step(batch)
    training.step.take_loss()
    start, rows = time.perf_counter(), 0
    while time.perf_counter() - start < TRIAL_SECONDS:
        batch = next(batches)
        training.step(batch)
        rows += len(batch["target"])
    training.step.take_loss()
    return rows / (time.perf_counter() - start)
