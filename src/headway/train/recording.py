"""One recording: what it was made of, what it has passed, when it is checked again."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from headway.data.batches import Batch
from headway.errors import TrainingError
from headway.train.guard import Guard
from headway.train.memory import is_out_of_memory
from headway.train.tape import Tape

CHECKS = 2
"""Checks on batches of other content and class balance before a recording is used."""

PATIENCE = 16
"""Where no batches differ so (one batch is all the data, a class is too rare), so many checks do."""

FIRST_GAP, LARGEST_GAP = 16, 2048
"""Steps between checks: each gap is about twice the one before. It is random, so that no periodic change of a network stays unseen."""

FAILURES = (RuntimeError, IndexError, TypeError, ValueError)
"""What torch raises where kernels do not fit their tensors, or a tape does not suit a network."""


class Misrecorded(TrainingError):
    """A recording that had passed its checks gave other numbers than the network."""

    def __init__(self, difference: str) -> None:
        self.difference = difference
        super().__init__(f"a recorded step must do what the network does, but {difference}; set train.record=false")


class Recording:
    """One recording: of one kind of batch and one state of the network."""

    def __init__(self, network: nn.Module, batch: Batch) -> None:
        self.guard = Guard(network, batch)
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.tape: Tape | None = None
        self.call: Callable[..., list[Tensor]] | None = None
        self.constants: list[Tensor] = []
        """What it takes beside weights, buffers and batches: kernels may change these as well."""
        self.generators: list[torch.Generator] = []
        self.accepted_batches = self.due = 0
        self.ready = False
        self.newest: Batch | None = None
        """The last batch since the last check."""
        self._network = network
        self._checks, self._gap, self._random = 0, FIRST_GAP, random.Random(0)

    def begin(self, batch: Batch, tape: Tape) -> None:
        """Make it, or make it anew, from a step's tape."""
        self.tape, self.call, self._checks, self.accepted_batches = tape, tape.call, 0, 0
        self._moments = _moments(batch)
        own = {id(tensor) for tensor in (*self._network.parameters(), *self._network.buffers())}
        self.constants = [tensor for tensor in tape.held.values() if id(tensor) not in own]
        self.generators = list({id(one): one for one in tape.generators}.values())

    def accept(self, batch: Batch) -> None:
        """It passed a check on this batch."""
        self.accepted_batches += 1
        self._checks += _differs(self._moments, _moments(batch))
        self.ready = self._checks >= CHECKS or self.accepted_batches >= PATIENCE
        if self.ready:
            self.tape = None
            self.plan_check()

    def plan_check(self) -> None:
        """When to compare next."""
        self.due = self._gap // 2 + self._random.randrange(self._gap)
        self._gap, self.newest = min(2 * self._gap, LARGEST_GAP), None

    def replay(self, batch: Batch) -> Tensor:
        """Set every weight's gradient; returns the loss."""
        assert self.call is not None
        try:
            with torch.no_grad():
                loss, *gradients = self.call(*batch.values())
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            raise Misrecorded(f"its kernels fail on another batch: {str(error).splitlines()[0]}") from error
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.newest = batch
        return loss


def _moments(batch: Batch) -> dict[str, tuple[float, float]]:
    """Sum and sum of squares of each tensor: the same for the same rows in any order."""
    values = {name: tensor if tensor.is_floating_point() else tensor.double() for name, tensor in batch.items()}
    return {
        name: (float(value.sum(dtype=torch.float64)), float(torch.linalg.vector_norm(value, dtype=torch.float64)))
        for name, value in values.items()
    }


def _differs(one: dict[str, tuple[float, float]], other: dict[str, tuple[float, float]]) -> bool:
    """Whether a batch has another target's distribution than the other, and other inputs."""
    differing = {
        name
        for name, pair in one.items()
        if any(abs(a - b) > 1e-9 * abs(a) for a, b in zip(pair, other[name], strict=True))
    }
    return ("target" in differing or "target" not in one) and bool(differing - {"target"} or set(one) == {"target"})
