"""The network in torch.compile's kernels, as long as compiling works and does not outlast the training that it is for."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from headway.tasks.projection import Projection

MANY_BLOCKS = 8
"""From so many equal blocks on, one is compiled for all of them. Compiling takes as long as there are different layers: of twelve blocks as
one network, 27 s on an H100's machine; of 48, minutes. What is not fused is one addition of the stream at a block's edge. On two busy cores
twelve blocks took 126 s, not 291, but then 202 ms a step, not 184: on a CPU, where steps are long, the network is compiled as a whole."""


class TookTooLong(BaseException):
    """Compiling is interrupted. No Exception: the compiler would take it for a fault of its own, and go on."""


class Compiled:
    """Called as the network, which is compiled by the first call, for batches of ``rows``: another number would be compiled anew.

    A network of many equal blocks is compiled block by block, in the mode "default"; the others record graphs of all that they compile.

    The caller notes as ``proven`` that a whole step succeeded; until then a failure may be the compiler's.
    """

    def __init__(self, network: nn.Module, mode: str, rows: int, by_block: bool = False) -> None:
        """``by_block``: in the mode "default", compile one of many equal blocks for all. Other modes record graphs of all they compile."""
        self.rows, self.proven = rows, False
        self.limit: float | None = None
        """Seconds that the first step, which compiles, may take; None for any number."""
        self.seconds = 0.0
        """What the first step took."""
        self._network, self._mode = network, None if mode == "default" else mode
        self._by_block = by_block and mode == "default"
        self._call: Callable[..., Any] | None = None

    def __call__(self, **inputs: Tensor) -> Any:
        """The network's outputs."""
        if self._call is None:
            self._call = self._compile()
        outputs = self._call(**inputs)
        return outputs._replace(fused=True) if isinstance(outputs, Projection) else outputs

    def _compile(self) -> Callable[..., Any]:
        blocks = equal_blocks(self._network) if self._by_block else []
        if blocks:
            return _by_block(self._network, blocks)
        return torch.compile(self._network, mode=self._mode, dynamic=False)

    def forget(self) -> None:
        """Free what the compiler keeps of an attempt that failed."""
        self._call = None
        torch._dynamo.reset()


def equal_blocks(network: nn.Module) -> list[nn.Module]:
    """Its longest list of modules that differ in the values of their weights alone; empty where there are few. Not those that are
    computed twice: what is kept and what is computed again must come from one compiler."""
    lists = [list(module) for module in network.modules() if isinstance(module, nn.ModuleList)]
    equal = [blocks for blocks in lists if len(blocks) >= MANY_BLOCKS and len({_form(block) for block in blocks}) == 1]
    return max((blocks for blocks in equal if "forward" not in vars(blocks[0])), key=len, default=[])


def _form(block: nn.Module) -> tuple[object, ...]:
    """The same of two modules for which one compiled code serves; unlike any other's for a single layer, and for a class of torch's own,
    which the compiler takes up only with what is around it."""
    if not list(block.children()) or type(block).__module__.startswith("torch."):
        return (id(block),)
    return (type(block), *((name, weight.shape, weight.dtype) for name, weight in block.named_parameters()))


def _by_block(network: nn.Module, blocks: list[nn.Module]) -> Callable[..., Any]:
    """The network, whose blocks are compiled ones during this call only: elsewhere it meets batches of other shapes."""
    for block in blocks:
        block.compile(dynamic=False)
    compiled = [block._compiled_call_impl for block in blocks]

    def use(calls: Sequence[Any]) -> None:
        for block, call in zip(blocks, calls, strict=True):
            block._compiled_call_impl = call

    def call(**inputs: Tensor) -> Any:
        use(compiled)
        try:
            return network(**inputs)
        finally:
            use([None] * len(blocks))

    use([None] * len(blocks))
    return call


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
