"""The requests that a variant's process answers: step, predict, train many networks; each answer holds the time that it took.

step        optimizer steps on the training batches; prediction: forward passes in blocks; seeds: steps of sixteen networks at once
"""

from __future__ import annotations

import itertools
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from headway.data.batches import Batch, inputs_of, weight_of
from headway.effect.quality import Curve, difference, train_curve
from headway.run.directory import RunDirectory
from headway.train.loop import Training
from headway.train.many import ManyTraining, Variant
from headway.train.meter import read_energy
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.table import PREDICT_ROWS, TableWorkload
from headway.train.tune import physical_cores
from headway.train.workload import Workload

SEEDS = 16
TAUGHT = 20
"""Steps before a network's predictions are timed, so that its weights are trained rather than random."""

REST_SECONDS = 0.002
"""Pause after a window: the threads of this process spin for a while before they sleep, which would slow down the other process."""


class Desk(ABC):
    """The requests to one variant."""

    unit: ClassVar[str] = "rows"
    _on_gpu = 0

    def __init__(self, run: RunDirectory, workload: Workload, recipe: Recipe, arithmetic: Arithmetic) -> None:
        self._forget_peak()
        self.run, self.workload, self.recipe, self.arithmetic = run, workload, recipe, arithmetic

    def _forget_peak(self) -> None:
        """Let the kernel count this process's peak from here on, and torch that of the GPU."""
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()
            self._on_gpu = torch.cuda.memory_allocated()
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._at_start = _status("VmRSS")

    @abstractmethod
    def one(self) -> int:
        """One step; returns its number of rows or tokens."""

    def steps(self, count: int, lead: int = 0) -> dict[str, float]:
        """{"seconds", "count", "cpu", "joules" where there is a counter} of ``count`` steps, the device's work included; "cpu": the CPU
        seconds of all threads of this process.

        ``lead`` unmeasured steps come first: they bring back into the caches what the other process displaced.
        """
        device = self.arithmetic.device
        for _ in range(lead):
            self.one()
        joules = read_energy(device)
        _wait(device)
        start, cpu = time.perf_counter(), time.process_time()
        total = sum(self.one() for _ in range(count))
        _wait(device)
        answer = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "count": float(total)}
        after = read_energy(device)
        if joules is not None and after is not None and after >= joules:
            answer["joules"] = after - joules
        time.sleep(REST_SECONDS)
        return answer

    def clock(self) -> dict[str, float]:
        """{"cpu"}: CPU seconds of all threads of this process so far."""
        return {"cpu": time.process_time()}

    def memory(self) -> dict[str, float]:
        """{"peak"}: the most bytes that this variant held beyond those at its start."""
        if self.arithmetic.device.type == "cuda":
            return {"peak": float(torch.cuda.max_memory_allocated() - self._on_gpu)}
        return {"peak": max(0.0, _status("VmHWM") - self._at_start)}


class StepDesk(Desk):
    """Trains."""

    def __init__(self, *what: Any, slower: float = 0.0) -> None:
        super().__init__(*what)
        self._training = make_training(self.workload, self.recipe, self.arithmetic)
        self._slower = slower
        self._batches = _endless(self._training)

    def one(self) -> int:
        start = time.perf_counter()
        batch, count = next(self._batches)
        self._training.step(batch)
        if self._slower:
            _wait(self.arithmetic.device)
            _spin_until(start + (time.perf_counter() - start) * (1 + self._slower))
        return count

    def breakdown(self, seconds: float) -> dict[str, float]:
        """Seconds a step of the parts: batches, forward, backward, optimizer; over about ``seconds``, after a rehearsal."""
        step, device = self._training.step, self.arithmetic.device
        parts = {"batches": 0.0, "forward": 0.0, "backward": 0.0, "optimizer": 0.0}
        steps, until = 0, time.perf_counter() + seconds

        def part(name: str, do: Callable[[], Any]) -> Any:
            start = time.perf_counter()
            result = do()
            _wait(device)
            parts[name] += time.perf_counter() - start
            return result

        while time.perf_counter() < until or steps < 3:
            batch, _ = part("batches", lambda: next(self._batches))
            target = batch["target"]
            inputs, weight = inputs_of(batch), weight_of(batch)

            def forward(
                inputs: Batch = inputs,
                target: torch.Tensor = target,
                weight: tuple[torch.Tensor, ...] = weight,
            ) -> torch.Tensor:
                with self.arithmetic.autocast():
                    return self.workload.loss(step.network(**inputs), target, self.recipe.label_smoothing, *weight)

            loss = part("forward", forward)
            part("backward", lambda loss=loss: step.scaler.scale(loss).backward())
            part("optimizer", step.update)
            steps += 1
        return {name: value / steps for name, value in parts.items()}

    def losses(self, count: int) -> dict[str, list[float]]:
        """The training losses of the next steps, by which two variants are compared."""
        return {"losses": [self._loss() for _ in range(count)]}

    def _loss(self) -> float:
        batch, _ = next(self._batches)
        self._training.step(batch)
        return self._training.step.take_loss()

    def train(self, seed: int, epochs: int) -> Curve:
        """A whole training from this seed on: quality after each epoch."""
        return train_curve(self.run, self.workload, self.recipe, self.arithmetic, seed, epochs)


class PredictionDesk(Desk):
    """Predicts blocks of training rows with a network after a short training, plainly, compiled or in int8."""

    def __init__(self, *what: Any, way: str = "plain") -> None:
        super().__init__(*what)
        self._way = way
        training = self._train_for(TAUGHT)
        self._network = _hastened(training.step.network_to_keep.eval(), way)
        size = min(PREDICT_ROWS[self.arithmetic.device.type], self._rows(training))
        recipe = self.recipe.model_copy(update={"batch_size": size, "residence": "auto"})
        if not isinstance(self.workload, TableWorkload):
            recipe = recipe.model_copy(update={"batch_size": self.recipe.batch_size})
        block = next(iter(self.workload.batches(recipe, self.arithmetic.device).epoch(0)))
        self._count = block.pop("target").numel()
        self._block = block

    def _train_for(self, steps: int) -> Training:
        training = make_training(self.workload, self.recipe, self.arithmetic)
        for batch in itertools.islice(training.batches.epoch(0), steps):
            training.step(batch)
        return training

    def _rows(self, training: Training) -> int:
        return sum(training.batches.count(step) for step in range(training.batches.steps))

    @torch.no_grad()
    def one(self) -> int:
        with self.arithmetic.autocast():
            self._network(**self._block)
        return self._count

    def quality(self) -> dict[str, float]:
        """How much better its predictions are in this way than plainly, after an epoch: see ``difference``."""
        plain = self._train_for(sys.maxsize).step.network_to_keep.eval()
        return difference(self.run, self.workload, plain, _hastened(plain, self._way), self.arithmetic)


class SeedsDesk(Desk):
    """Trains many networks at once; a row counts once for each of them."""

    def __init__(self, *what: Any) -> None:
        super().__init__(*what)
        assert isinstance(self.workload, TableWorkload)
        torch.set_num_threads(physical_cores())
        recipe = self.recipe
        variants = [Variant(recipe.seed + k, recipe.learning_rate, recipe.weight_decay) for k in range(SEEDS)]
        training = ManyTraining(self.workload, recipe, variants, self.arithmetic.device)
        self._counts = training.steps()

    def one(self) -> int:
        return next(self._counts)


def _endless(training: Training) -> Iterator[tuple[Batch, int]]:
    """The batches of epoch after epoch, each with its count."""
    epoch = 0
    while True:
        for step, batch in enumerate(training.batches.epoch(epoch)):
            yield batch, training.batches.count(step)
        epoch += 1


def _hastened(network: nn.Module, way: str) -> nn.Module:
    from headway.serve import faster

    return {"plain": lambda n: n, "compiled": faster.compiled, "int8": faster.int8}[way](network)


def _spin_until(end: float) -> None:
    """Not a sleep, which would give the core away and slow down what follows: more than the planted share."""
    while time.perf_counter() < end:
        pass


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _status(name: str) -> float:
    """Bytes of a line of this process's status; 0 where the system has none."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) * 1024
    return 0.0
