"""Losses that are read late: on a GPU, reading a value waits for all that was launched before it, and launching stops meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mark:
    """The sum of the losses of ``count`` steps, up to ``step``, on its way to the CPU until ``arrived``."""

    step: int
    count: int
    total: Tensor
    arrived: torch.cuda.Event | None


class LateLosses:
    """Mean losses in the order of their steps, each as soon as it has arrived; from a CPU, at once."""

    def __init__(self) -> None:
        self._marks: list[Mark] = []

    def mark(self, step: int, total: Tensor, count: int) -> None:
        """Send a sum of losses off, and begin a new one."""
        if total.device.type == "cuda":
            host_total, arrived = torch.empty((), dtype=total.dtype, pin_memory=True), torch.cuda.Event()
            host_total.copy_(total.detach(), non_blocking=True)
            arrived.record()
            self._marks.append(Mark(step, count, host_total, arrived))
        else:
            self._marks.append(Mark(step, count, total.detach().clone(), None))
        total.zero_()

    def clear(self) -> None:
        """Forget those that were not read: training steps back."""
        self._marks.clear()

    def read(self, wait: bool) -> Iterator[tuple[int, float]]:
        """Step and mean loss of those that have arrived; with ``wait``, of all."""
        while self._marks:
            first = self._marks[0]
            if first.arrived is not None and not first.arrived.query():
                if not wait:
                    return
                first.arrived.synchronize()
            self._marks.pop(0)
            yield first.step, float(first.total) / max(1, first.count)
