"""One optimizer step: forward, backward, clip, step, average; eagerly, recorded, compiled, in parts, or replayed as a CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from headway.data.batches import Batch, inputs_of, weight_of
from headway.errors import ConfigError, TrainingError
from headway.train.average import Average
from headway.train.compiled import Compiled, TookTooLong, at_most, why
from headway.train.graph import StepGraph
from headway.train.memory import held_by_others, is_out_of_memory
from headway.train.optimizer import Optimizers
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recorded import Recorder
from headway.train.undo import Undo

Loss = Callable[..., Tensor]
"""Of outputs, target, smoothing and, where rows have some, weights."""


class Step:
    """Steps a network in place and sums the losses on the device, so that no step waits for them.

    ``notices``: what the step changed of itself, in words, for the journal.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: Optimizers,
        loss: Loss,
        arithmetic: Arithmetic,
        recipe: Recipe,
        batch_size: int,
    ) -> None:
        self.network, self.optimizers, self.loss, self.arithmetic = network, optimizers, loss, arithmetic
        self.scaler = arithmetic.scaler()
        self.average = Average(network, recipe.ema) if recipe.ema else None
        self.loss_sum = torch.zeros((), device=arithmetic.device)
        self.loss_steps = 0
        self.parts = recipe.accumulate
        self.notices: list[str] = []
        self._recipe = recipe
        self._full = batch_size
        rows, on_gpu = -(-batch_size // recipe.accumulate), arithmetic.device.type == "cuda"
        self.compiled = Compiled(network, recipe.compile, rows, by_block=on_gpu) if recipe.compiles else None
        """None where nothing is compiled, or cannot be."""
        self._undo = Undo(network, arithmetic.device)
        self.recorder = Recorder(network, self._loss, loss) if can_be_recorded(recipe, arithmetic) else None
        """None where steps are not to be recorded, or cannot be."""
        self.misrecorded = False
        """Whether a recording that was in use proved wrong."""
        self.graph = StepGraph(self) if recipe.cuda_graphs is True else None
        """None where steps are not to be captured, or cannot be."""

    @property
    def network_to_keep(self) -> nn.Module:
        """The network whose weights count: the running mean where there is one."""
        return self.network if self.average is None else self.average.module

    def __call__(self, batch: Batch) -> None:
        """One step on one batch. Raises TrainingError when even one row does not fit in memory, Misrecorded as ``check`` does."""
        if self.graph is not None and len(batch["target"]) == self._full:
            self._by_graph(self.graph, batch)
        else:
            self.eager(batch)
        self.loss_steps += 1

    def eager(self, batch: Batch) -> None:
        """All of a step but counting it, in as many parts as fit in memory."""
        self._apply(self._gradients(batch))

    def captured(self, batch: Batch) -> None:
        """The same without what a CUDA graph cannot hold: a second attempt."""
        self._apply(self._in_parts(batch))

    def check(self) -> None:
        """Compare a recording in use with the network once more. Raises Misrecorded when they differ: weights may be wrong by then."""
        if self.recorder is not None:
            self.recorder.check()

    def stop_recording(self) -> None:
        """Take every step eagerly from here on: a recording was wrong."""
        self.recorder, self.misrecorded = None, True
        self.optimizers.zero_grad()  # the step at which it was noticed has given weights their gradients

    def stop_compiling(self) -> None:
        """Call the network itself from here on."""
        self.compiled = None

    def stop_graphs(self) -> None:
        """Take every step eagerly from here on: it cannot be captured."""
        self.graph = None

    def _by_graph(self, graph: StepGraph, batch: Batch) -> None:
        graph(batch)
        if graph.reason:
            self.stop_graphs()
            self.notices.append(f"steps are not replayed as a CUDA graph (train.cuda_graphs): {graph.reason}")

    def _gradients(self, batch: Batch) -> Tensor:
        """Give weights their gradients, in as many parts as fit in memory; returns the loss.

        Only this part of a step is tried again: what happens once a step (clip, optimizer, average) comes after it.
        """
        while True:
            self._undo.keep()
            trial = self._trial(batch)
            failure = ""
            try:
                loss = self._in_parts(batch) if trial is None else self._compiling(trial, batch)
            except (Exception, TookTooLong) as error:
                if not is_out_of_memory(error):
                    if trial is None:
                        raise
                    failure = why(error)
            else:
                self._undo.settle()
                return loss
            # Not within the except clause: the error holds the frames, and they hold the activations.
            self._undo.put_back()
            if failure and trial is not None:
                self.optimizers.zero_grad()
                trial.forget()
                self.stop_compiling()
                self.notices.append(f"the network is not compiled (train.compile): {failure}")
            else:
                self._halve(len(batch["target"]))

    def _trial(self, batch: Batch) -> Compiled | None:
        """The compiled network, if this is the step that compiles it."""
        compiled = self.compiled
        first = compiled is not None and not compiled.proven and self.parts == self._recipe.accumulate
        return compiled if first and len(batch["target"]) == self._full else None

    def _compiling(self, compiled: Compiled, batch: Batch) -> Tensor:
        start = time.perf_counter()
        with at_most(compiled.limit):
            loss = self._in_parts(batch)
        if self.arithmetic.device.type == "cuda":
            torch.cuda.synchronize(self.arithmetic.device)
        compiled.proven, compiled.seconds = True, time.perf_counter() - start
        return loss

    def _apply(self, loss: Tensor) -> None:
        """All that happens once a step, by the gradients there are."""
        self.update()
        self.loss_sum += loss
        if self.average is not None:
            self.average.update()

    def _in_parts(self, batch: Batch) -> Tensor:
        if self.parts == 1:
            return self._backward(batch, 1.0)
        rows = len(batch["target"])
        size = -(-rows // self.parts)
        loss = torch.zeros((), device=self.arithmetic.device)
        for at in range(0, rows, size):
            part = {name: tensor[at : at + size] for name, tensor in batch.items()}
            loss = loss + self._backward(part, len(part["target"]) / rows)
        return loss

    def _backward(self, batch: Batch, share: float) -> Tensor:
        """Add a batch's gradients times ``share``; returns its share of the loss."""
        if self.recorder is not None and share == 1.0 and len(batch["target"]) == self._full:
            return self._recorded(self.recorder, batch)
        loss = self._loss(batch)
        if share != 1.0:
            loss = loss * share
        self.scaler.scale(loss).backward()
        return loss.detach()

    def _recorded(self, recorder: Recorder, batch: Batch) -> Tensor:
        loss = recorder(batch)
        if recorder.reason:
            self.recorder = None
            self.notices.append(f"steps are not recorded (train.record): {recorder.reason}")
        return loss

    def _loss(self, batch: Batch) -> Tensor:
        target = batch["target"]
        compiled = self.compiled
        forward = self.network if compiled is None or len(target) != compiled.rows else compiled
        inputs, weight = inputs_of(batch), weight_of(batch)
        if not self.arithmetic.autocasts:
            return self.loss(forward(**inputs), target, self._recipe.label_smoothing, *weight)
        with self.arithmetic.autocast():
            return self.loss(forward(**inputs), target, self._recipe.label_smoothing, *weight)

    def update(self) -> None:
        """Clip, step the weights by the gradients there are, and forget these."""
        if self._recipe.clip:
            for part in self.optimizers.parts:
                self.scaler.unscale_(part)
            nn.utils.clip_grad_norm_(self.optimizers.parameters, self._recipe.clip, foreach=True)
        if self.scaler.is_enabled():
            for part in self.optimizers.parts:
                self.scaler.step(part)
            self.scaler.update()
        else:
            self.optimizers.step()
        self.optimizers.zero_grad()

    def _halve(self, rows: int) -> None:
        """Out of memory: batches are computed in twice as many parts, with the same gradients."""
        self.optimizers.zero_grad()
        if self.arithmetic.device.type == "cuda":
            torch.cuda.empty_cache()
        others = held_by_others(self.arithmetic.device)
        if self.parts >= rows:
            why = f": {others}; wait for them, or lower" if others else "; lower"
            raise TrainingError(f"training must fit in memory, but not even one row does{why} the model's size")
        self.parts = min(rows, self.parts * 2)
        because = f" ({others})" if others else ""
        self.notices.append(
            f"out of memory{because}: batches are computed in {self.parts} parts of {-(-rows // self.parts)} from here on"
        )

    def take_loss(self) -> float:
        """Mean training loss since the last call; waits for the device."""
        loss = float(self.loss_sum) / max(1, self.loss_steps)
        self.loss_sum.zero_()
        self.loss_steps = 0
        return loss


def can_be_recorded(recipe: Recipe, arithmetic: Arithmetic) -> bool:
    """A checkpointed block draws its random numbers again by setting their state, and a scaler's factor changes: neither is a kernel."""
    alone = not recipe.compiles and not recipe.checkpoint_activations and not arithmetic.scaler().is_enabled()
    return recipe.record is not False and arithmetic.device.type == "cpu" and alone


def has_compiler() -> bool:
    """Whether torch.compile finds the C++ compiler that it needs on a CPU."""
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except (exc.InvalidCxxCompiler, RuntimeError):
        return False
    return True


def check_compiler(recipe: Recipe, device: torch.device) -> None:
    """Raises ConfigError where a recipe asks for what this machine cannot do."""
    if recipe.cuda_graphs is True and device.type != "cuda":
        raise ConfigError("train.cuda_graphs needs an NVIDIA GPU, but this trains on the CPU; leave it false")
    if recipe.compiles and device.type == "cpu" and not has_compiler():
        raise ConfigError("train.compile needs a C++ compiler, but there is none; install g++ or leave compile none")
    if recipe.compile == "reduce-overhead" and recipe.cuda_graphs is True:
        raise ConfigError("train.compile reduce-overhead records CUDA graphs itself; leave train.cuda_graphs false")
