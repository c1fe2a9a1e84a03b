"""The training loop. It yields after every step and every epoch; the caller logs, saves and stops."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from headway.data.batches import Batch, Batches
from headway.errors import TrainingError
from headway.train.budget import Budget, budget_of
from headway.train.late import LateLosses
from headway.train.meter import Meter
from headway.train.optimizer import pack_optimizers, unpack_optimizers
from headway.train.recipe import Recipe
from headway.train.schedule import rate
from headway.train.step import Step
from headway.train.workload import Workload

MARK_EVERY = 50
"""On a GPU, one step in so many is timed by events."""


class NonFinite(TrainingError):
    """The loss is not a number any more."""


@dataclass
class Progress:
    """Where the training stands. ``epoch`` and ``step_in_epoch`` say what has been done, ``step`` counts all steps.

    ``validations``: how many there were; ``validated``: the step of the last one. The best loss is of ``best_epoch``, ``best_step`` and
    ``best_validation``.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    validations: int = 0
    validated: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best_step: int = 0
    best_validation: int = 0
    rate: float = 1.0
    """What a non-finite loss has left of the learning rate."""


@dataclass
class Training:
    """Everything that changes while a network trains."""

    workload: Workload
    step: Step
    recipe: Recipe
    batches: Batches
    meter: Meter
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)
    late: LateLosses = field(default_factory=LateLosses)
    validation_loss: float = float("inf")

    @cached_property
    def budget(self) -> Budget:
        """How long it may take."""
        return budget_of(self.recipe, self.batches)

    def run(self) -> Iterator[Literal["step", "validation"]]:
        """Train until the budget is spent or the validation loss has not improved for ``patience`` validations, one an epoch by default.

        Raises Misrecorded when recorded steps turn out wrong: what was trained since the last checkpoint may be, too.
        """
        progress = self.progress
        while self._goes_on:
            self.step.network.train()
            self.meter.resume()
            end = self.budget.next_validation(progress.step, progress.step_in_epoch, progress.validated)
            for _ in self._until(end):
                yield "step"
            self.meter.pause()
            self._validate()
            yield "validation"
        self.step.check()

    @property
    def _goes_on(self) -> bool:
        progress = self.progress
        if progress.validations - progress.best_validation >= self.recipe.patience:
            return False
        return progress.step < self.budget.steps or progress.validated < progress.step

    def _until(self, end: int) -> Iterator[None]:
        """The steps up to step ``end``, over as many epochs as they take."""
        progress, steps = self.progress, self.batches.steps
        while True:
            if progress.step_in_epoch == steps:
                progress.epoch, progress.step_in_epoch = progress.epoch + 1, 0
            if progress.step >= end:
                return
            with closing(self.batches.epoch(progress.epoch, progress.step_in_epoch)) as batches:
                yield from self._steps(islice(batches, end - progress.step))

    def _steps(self, batches: Iterator[Batch]) -> Iterator[None]:
        progress, meter, clock = self.progress, self.meter, time.perf_counter
        optimizers, count, total = self.step.optimizers, self.batches.count, self.budget.steps
        marks = meter.device.type == "cuda"
        before = clock()
        for batch in batches:
            arrival = clock()
            meter.wait += arrival - before
            optimizers.set_rate(progress.rate * rate(self.recipe, progress.step, total))
            if marks and progress.step % MARK_EVERY == 0:
                self._marked(batch)
            else:
                self.step(batch)
            meter.compute += clock() - arrival
            meter.count += count(progress.step_in_epoch)
            meter.steps += 1
            progress.step_in_epoch += 1
            progress.step += 1
            yield
            before = clock()

    def _marked(self, batch: Batch) -> None:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        self.step(batch)
        end.record()
        self.meter.marks.append((start, end))

    def _validate(self) -> None:
        """The validation loss of the weights that count; the best are kept."""
        progress = self.progress
        loss = self.workload.validate(self.step.network_to_keep, self.step.arithmetic)
        self.validation_loss = loss
        progress.validations, progress.validated = progress.validations + 1, progress.step
        if loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = loss, progress.epoch
            progress.best_step, progress.best_validation = progress.step, progress.validations
            self.best = {
                name: tensor.detach().clone() for name, tensor in self.step.network_to_keep.state_dict().items()
            }

    def mark_loss(self) -> None:
        """Send the mean training loss since the last mark on its way, if there was a step since."""
        step = self.step
        if step.loss_steps:
            self.late.mark(self.progress.step, step.loss_sum, step.loss_steps)
            step.loss_steps = 0

    def losses(self, wait: bool = False) -> Iterator[tuple[int, float]]:
        """Marked losses that have arrived, each with its step; all of them with ``wait``. Raises NonFinite when one is not finite."""
        for step, loss in self.late.read(wait):
            if loss - loss != 0.0:
                raise NonFinite(f"the loss must stay finite, but was {loss} by step {step}; lower train.learning_rate")
            yield step, loss

    @property
    def is_finite(self) -> bool:
        """Whether the weights may be kept: the losses since the last mark are finite. Waits for the device."""
        return bool(torch.isfinite(self.step.loss_sum))

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All state as tensors and JSON values, for a checkpoint. The tensors are copies on the CPU."""
        step = self.step
        tensors = {f"model.{k}": v for k, v in step.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"optimizer.{k}": v for k, v in pack_optimizers(step.optimizers).items()}
        if step.average is not None:
            tensors |= {f"average.{k}": v for k, v in step.average.state_dict().items()}
        tensors |= {"random.cpu": torch.get_rng_state(), "loss_sum": step.loss_sum}
        if step.arithmetic.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        values = {**vars(self.progress), "loss_steps": step.loss_steps, "parts": step.parts}
        values["misrecorded"] = step.misrecorded
        values["uncompiled"] = self.recipe.compiles and step.compiled is None
        values["uncaptured"] = self.recipe.cuda_graphs is True and step.graph is None
        values["scaler"] = step.scaler.state_dict()
        if values["best_loss"] == float("inf"):
            values["best_loss"] = None
        return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}, values

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from what pack gave."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        step, device = self.step, self.step.arithmetic.device
        step.network.load_state_dict(part("model."))
        self.best = {k: v.to(device) for k, v in part("best.").items()}
        unpack_optimizers(step.optimizers, part("optimizer."))
        if step.average is not None:
            step.average.load_state_dict(part("average."))
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.late.clear()
        step.loss_sum.copy_(tensors["loss_sum"])
        values = dict(values)
        step.loss_steps, step.parts = values.pop("loss_steps"), values.pop("parts")
        if values.pop("misrecorded", False):  # checkpoints from before it was kept lack it
            step.stop_recording()
        if values.pop("uncompiled", False):
            step.stop_compiling()
        if values.pop("uncaptured", False):
            step.stop_graphs()
        if step.graph is not None:
            step.graph.forget()
        scaler = values.pop("scaler")
        if scaler:
            step.scaler.load_state_dict(scaler)
        if values["best_loss"] is None:
            values["best_loss"] = float("inf")
        vars(self.progress).update({**_by_epoch(values, self.batches.steps), **values})


def _by_epoch(values: Mapping[str, Any], steps: int) -> dict[str, int]:
    """What a checkpoint of an earlier version leaves out: there was one validation after each epoch of ``steps``."""
    return {
        "validations": values["epoch"],
        "validated": values["step"] - values["step_in_epoch"],
        "best_step": values["best_epoch"] * steps,
        "best_validation": values["best_epoch"],
    }
