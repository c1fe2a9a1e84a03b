"""The network in torch.compile's kernels, as long as compiling works and does not outlast the training that it is for."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn


class TookTooLong(BaseException):
    """Compiling is interrupted. No Exception: the compiler would take it for a fault of its own, and go on."""


class Compiled:
    """Called as the network, which is compiled by the first call, for batches of ``rows``: another number would be compiled anew.

    Whoever calls it notes as ``proven`` that a whole step went well; until then what fails may be the compiler.
    """

    def __init__(self, network: nn.Module, mode: str, rows: int) -> None:
        self.rows, self.proven = rows, False
        self.limit: float | None = None
        """Seconds that the first step, which compiles, may take; None for any number."""
        self.seconds = 0.0
        """What the first step took."""
        self._network, self._mode = network, None if mode == "default" else mode
        self._call: Callable[..., Any] | None = None

    def __call__(self, **inputs: Tensor) -> Tensor:
        """The network's outputs."""
        if self._call is None:
            self._call = torch.compile(self._network, mode=self._mode, dynamic=False)
        return self._call(**inputs)

    def forget(self) -> None:
        """Free what the compiler keeps of an attempt that failed."""
        self._call = None
        torch._dynamo.reset()


@contextlib.contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raises TookTooLong in the block after so many seconds; only the main thread of a process can be interrupted."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def why(error: BaseException) -> str:
    """In one line, what became of compiling."""
    if isinstance(error, TookTooLong):
        return "it took longer than the training without compiling"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
