"""What a step changes beside weights: buffers and random numbers. Kept before an attempt, put back when it must not count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

LEARNT = 2
"""Steps after which it is known which buffers change and whether random numbers are drawn: only these are kept from then on."""


class State:
    """Copies of tensors and of generators' states, as they are now."""

    def __init__(self, tensors: Iterable[Tensor], generators: Sequence[torch.Generator]) -> None:
        self._tensors, self._generators = list(tensors), generators
        self.before = self.now()

    def now(self) -> list[Tensor]:
        """Copies of what they are at this moment."""
        return [t.detach().clone() for t in self._tensors] + [one.get_state() for one in self._generators]

    @torch.no_grad()
    def put(self, values: Sequence[Tensor]) -> None:
        """Set all to copies that ``now`` gave."""
        count = len(self._tensors)
        for tensor, value in zip(self._tensors, values[:count], strict=True):
            tensor.copy_(value)
        for generator, value in zip(self._generators, values[count:], strict=True):
            generator.set_state(value)

    def put_back(self) -> None:
        """As it was at first."""
        self.put(self.before)


class Undo:
    """Takes back an attempt at a step that ran out of memory: its running statistics and its random numbers.

    Used as: keep, attempt, then either settle or put_back. What a network changes shows in its first steps, and only that is kept later:
    most networks change nothing beside weights, and pay nothing.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._buffers = list(network.buffers())
        self._generators = [torch.default_generator]
        if device.type == "cuda":
            self._generators.append(torch.cuda.default_generators[device.index or torch.cuda.current_device()])
        self._steps = 0
        self._changing: set[int] = set()
        self._state: State | None = None

    def keep(self) -> None:
        """Before an attempt."""
        if self._steps == LEARNT:
            buffers = [b for number, b in enumerate(self._buffers) if number in self._changing]
            drawing = [g for number, g in enumerate(self._generators, len(self._buffers)) if number in self._changing]
            self._buffers, self._generators = buffers, drawing
            self._steps += 1
        self._state = State(self._buffers, self._generators) if self._buffers or self._generators else None

    def settle(self) -> None:
        """The attempt counts."""
        if self._steps < LEARNT and self._state is not None:
            pairs = zip(self._state.before, self._state.now(), strict=True)
            self._changing |= {number for number, (old, new) in enumerate(pairs) if not torch.equal(old, new)}
            self._steps += 1

    def put_back(self) -> None:
        """The attempt does not count."""
        if self._state is not None:
            self._state.put_back()
