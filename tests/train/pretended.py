"""A CUDA graph on a CPU: what is captured is kept as a function, and called again where the graph would be replayed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from headway.train import graph, network


@dataclass
class Replayed:
    """The work of a step, on the inputs that it was captured with."""

    work: Callable[[], None]

    def replay(self) -> None:
        self.work()


class PretendedCuda:
    """As headway.train.graph.Cuda."""

    def __init__(self, device: torch.device) -> None:
        del device

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        yield

    def capture(self, work: Callable[[], None]) -> graph.Graph:
        return Replayed(work)

    def random(self) -> Tensor:
        return torch.get_rng_state()

    def set_random(self, state: Tensor) -> None:
        torch.set_rng_state(state)


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: type = PretendedCuda) -> None:
    """Have steps on a CPU be captured by ``cuda``."""
    monkeypatch.setattr(graph, "Cuda", cuda)
    monkeypatch.setattr(network, "check_compiler", lambda recipe, device: None)
