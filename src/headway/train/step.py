"""One optimizer step: forward, backward, clip, step, average; eagerly, recorded, compiled, in parts, or replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from headway.data.batches import Batch
from headway.errors import ConfigError, TrainingError
from headway.train.optimizer import Optimizers
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recorded import Recorder
from headway.train.undo import Undo, is_out_of_memory

Loss = Callable[[Tensor, Tensor, float], Tensor]


class Step:
    """Steps a network in place and sums the losses on the device, where nobody has to wait for them.

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
        self.average = _average(network, recipe.ema)
        self.loss_sum = torch.zeros((), device=arithmetic.device)
        self.loss_steps = 0
        self.parts = recipe.accumulate
        self.notices: list[str] = []
        self._recipe = recipe
        self._full = batch_size
        self._compiled = _compiled(network, recipe)
        self._graph: _Graph | None = None
        self._undo = Undo(network, arithmetic.device)
        self.recorder = Recorder(network, self._loss, loss) if can_be_recorded(recipe, arithmetic) else None
        """None where steps are not to be recorded, or cannot be."""
        self.misrecorded = False
        """Whether a recording that was in use proved wrong."""

    @property
    def kept(self) -> nn.Module:
        """The network whose weights count: the running mean where there is one."""
        return self.network if self.average is None else self.average.module

    def __call__(self, batch: Batch) -> None:
        """One step on one batch. Raises TrainingError when even one row does not fit in memory, Misrecorded as ``check`` does."""
        if self._recipe.cuda_graphs and len(batch["target"]) == self._full:
            self._replay(batch)
        else:
            self._apply(self._gradients(batch))
        self.loss_steps += 1

    def check(self) -> None:
        """Compare a recording in use with the network once more. Raises Misrecorded when they differ: weights may be wrong by then."""
        if self.recorder is not None:
            self.recorder.check()

    def stop_recording(self) -> None:
        """Take every step eagerly from here on: a recording was wrong."""
        self.recorder, self.misrecorded = None, True
        self.optimizers.zero_grad()  # the step at which it was noticed has given weights their gradients

    def _gradients(self, batch: Batch) -> Tensor:
        """Give weights their gradients, in as many parts as fit in memory; returns the loss.

        Only this part of a step is tried again: what happens once a step (clip, optimizer, average) comes after it.
        """
        while True:
            self._undo.keep()
            try:
                loss = self._in_parts(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            else:
                self._undo.settle()
                return loss
            # Not within the except clause: the error holds the frames, and they hold the activations.
            self._undo.put_back()
            self._halve(len(batch["target"]))

    def _apply(self, loss: Tensor) -> None:
        """All that happens once a step, by the gradients there are."""
        self.update()
        self.loss_sum += loss
        if self.average is not None:
            self.average.update_parameters(self.network)

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
        forward = self._compiled if len(target) == self._full else self.network
        inputs = {name: tensor for name, tensor in batch.items() if name != "target"}
        if not self.arithmetic.autocasts:
            return self.loss(forward(**inputs), target, self._recipe.label_smoothing)
        with self.arithmetic.autocast():
            return self.loss(forward(**inputs), target, self._recipe.label_smoothing)

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
        if self.parts >= rows:
            raise TrainingError("training must fit in memory, but not even one row does; lower the model's size")
        self.parts = min(rows, self.parts * 2)
        self.notices.append(
            f"out of memory: batches are computed in {self.parts} parts of {-(-rows // self.parts)} from here on"
        )

    def _replay(self, batch: Batch) -> None:
        if self._graph is None:
            self._graph = _Graph(self, batch)
        self._graph.replay(batch)

    def take_loss(self) -> float:
        """Mean training loss since the last call; waits for the device."""
        loss = float(self.loss_sum) / max(1, self.loss_steps)
        self.loss_sum.zero_()
        self.loss_steps = 0
        return loss


class _Graph:
    """The whole step recorded once and replayed: one launch instead of hundreds.

    Recording needs rehearsals, which would be steps too many; the state is put back after them, in place.
    """

    def __init__(self, step: Step, batch: Batch) -> None:
        self._inputs = {name: tensor.clone() for name, tensor in batch.items()}
        held = [step.loss_sum, *step.network.parameters(), *step.network.buffers()]
        if step.average is not None:
            held += [*step.average.parameters(), *step.average.buffers()]
        before = [tensor.detach().clone() for tensor in held]
        states = [(value, value.clone()) for value in _state(step.optimizers)]
        random = torch.cuda.get_rng_state()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._work(step)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._work(step)
        torch.cuda.set_rng_state(random)
        known = {id(value) for value, _ in states}
        with torch.no_grad():
            for tensor, old in zip(held, before, strict=True):
                tensor.copy_(old)
            for value, old in states:
                value.copy_(old)
            for value in _state(step.optimizers):
                if id(value) not in known:  # made by the rehearsals: an optimizer's state begins at zero
                    value.zero_()

    def _work(self, step: Step) -> None:
        step._apply(step._in_parts(self._inputs))

    def replay(self, batch: Batch) -> None:
        for name, tensor in batch.items():
            self._inputs[name].copy_(tensor, non_blocking=True)
        self._graph.replay()


def _state(optimizers: Optimizers) -> list[Tensor]:
    return [
        value
        for part in optimizers.parts
        for state in part.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]


def _average(network: nn.Module, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def can_be_recorded(recipe: Recipe, arithmetic: Arithmetic) -> bool:
    """A checkpointed block draws its random numbers again by setting their state, and a scaler's factor changes: neither is a kernel."""
    alone = recipe.compile == "none" and not recipe.checkpoint_activations and not arithmetic.scaler().is_enabled()
    return recipe.record and arithmetic.device.type == "cpu" and alone


def _compiled(network: nn.Module, recipe: Recipe) -> Callable[..., Any]:
    """The network as the step calls it. Only full batches are compiled: another shape would be compiled anew."""
    if recipe.compile == "none":
        return network
    mode = None if recipe.compile == "default" else recipe.compile
    return torch.compile(network, mode=mode, dynamic=False)


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
    if recipe.cuda_graphs and device.type != "cuda":
        raise ConfigError("train.cuda_graphs needs an NVIDIA GPU, but this trains on the CPU; leave it false")
    if recipe.compile != "none" and device.type == "cpu" and not has_compiler():
        raise ConfigError("train.compile needs a C++ compiler, but there is none; install g++ or leave compile none")
    if recipe.compile == "reduce-overhead" and recipe.cuda_graphs:
        raise ConfigError("train.compile reduce-overhead records CUDA graphs itself; leave train.cuda_graphs false")
