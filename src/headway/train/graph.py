"""The whole step as one CUDA graph: one launch instead of hundreds.

A few steps run eagerly first, as training steps like all others; then one is captured, which computes nothing; then the graph takes a step
beside an eager one from the same state, and only where both agree is it used. What cannot be captured (a network that reads values in
Python, a GPU without the memory for it) trains eagerly.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from headway.data.batches import Batch
from headway.train.average import Average
from headway.train.memory import is_out_of_memory
from headway.train.optimizer import Optimizers
from headway.train.precision import Arithmetic

EAGER_STEPS = 3
"""Steps before the capture: they make the optimizer's state and choose the kernels of products."""

APART = 0.05
"""How far the graph's update may be from the eager one's, as a share of it: some kernels sum in no fixed order."""


class Graph(Protocol):
    """A captured step."""

    def replay(self) -> None:
        """Run its kernels on what is in the inputs now."""
        ...


class Steps(Protocol):
    """What is captured: a step that runs eagerly, and the same without what a graph cannot hold."""

    network: nn.Module
    optimizers: Optimizers
    arithmetic: Arithmetic
    average: Average | None
    loss_sum: Tensor

    def eager(self, batch: Batch) -> None: ...

    def captured(self, batch: Batch) -> None: ...


class Cuda:
    """The calls of CUDA that capturing needs."""

    def __init__(self, device: torch.device) -> None:
        self._generator = torch.cuda.default_generators[device.index or torch.cuda.current_device()]
        self._side = torch.cuda.Stream(device)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """On the stream of the later capture: autograd remembers the stream on which it saw a weight first."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            yield
        torch.cuda.current_stream().wait_stream(self._side)

    def capture(self, work: Callable[[], None]) -> Graph:
        """The kernels of ``work``, none of which run. Raises RuntimeError where that cannot be."""
        graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
        random, stream = self._generator.clone_state(), torch.cuda.current_stream()
        gc.collect()
        try:
            # thread_local: threads that read ahead pin memory meanwhile
            with (
                _no_collection(),
                torch.cuda.graph(graph, pool=pool, stream=self._side, capture_error_mode="thread_local"),
            ):
                work()
        except RuntimeError:
            self._clean_up(random, stream, pool)
            raise
        return graph

    def _clean_up(self, random: torch.Generator, stream: torch.cuda.Stream, pool: object) -> None:
        """After a capture that failed, torch 2.11 stays on its stream, its generator draws no more, and its allocator believes in it."""
        torch.cuda.set_stream(stream)
        self._generator.graphsafe_set_state(random)
        for end in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
            with contextlib.suppress(Exception):  # where the allocator has noticed by itself
                getattr(torch._C, end)(self._side.device_index, pool)

    def random(self) -> Tensor:
        """The state of the GPU's random numbers."""
        return self._generator.get_state()

    def set_random(self, state: Tensor) -> None:
        """Put it back."""
        self._generator.set_state(state)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the collector, which may free an earlier graph or event in the middle of a capture, by a call that ends it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class StepGraph:
    """Takes steps on batches of one shape: eagerly, then by the graph. Other shapes are stepped eagerly."""

    def __init__(self, step: Steps) -> None:
        self.reason = ""
        """Why steps are not replayed; empty while they can be."""
        self.eager_left = EAGER_STEPS
        self._step, self._cuda = step, Cuda(step.arithmetic.device)
        self._graph: Graph | None = None
        self._inputs: Batch = {}

    @property
    def is_captured(self) -> bool:
        """Whether steps are replayed by now."""
        return self._graph is not None

    def forget(self) -> None:
        """Capture anew: weights or the optimizer's state lie elsewhere now."""
        self._graph, self._inputs, self.eager_left = None, {}, EAGER_STEPS

    def __call__(self, batch: Batch) -> None:
        """One step. Where the graph is given up, ``reason`` says why, and the step was taken eagerly."""
        if self._graph is not None and _kinds(batch) == _kinds(self._inputs):
            torch._foreach_copy_(list(self._inputs.values()), list(batch.values()), non_blocking=True)
            self._graph.replay()
        elif self._graph is None and not self.eager_left and not self.reason:
            self._begin(batch)
        else:
            self.eager_left -= bool(self.eager_left)
            self._eager(batch)

    def _eager(self, batch: Batch) -> None:
        with self._cuda.aside():
            self._step.eager(batch)

    def _begin(self, batch: Batch) -> None:
        """Capture, and compare with an eager step, which is the one that counts."""
        inputs = {name: tensor.clone() for name, tensor in batch.items()}
        graph = self._captured(inputs)
        copies = self._copies() if graph is not None else None
        if (
            graph is None or copies is None
        ):  # not within an except clause: the error holds frames, and they hold the activations
            graph = None
            self._step.optimizers.zero_grad()  # gradients that lie in the lost graph's memory
            self._eager(batch)
            return
        self.reason = self._compare(graph, inputs, copies)
        if not self.reason:
            self._graph, self._inputs = graph, inputs

    def _captured(self, inputs: Batch) -> Graph | None:
        try:
            return self._cuda.capture(lambda: self._step.captured(inputs))
        except RuntimeError as error:
            self.reason = _why(error)
            return None

    def _copies(self) -> tuple[list[Tensor], list[Tensor]] | None:
        """All that a step changes, as it is now, and room for it after the graph's step; None where there is no memory for both."""
        try:
            now = [tensor.clone() for tensor in self._tensors()]
            return now, [torch.empty_like(tensor) for tensor in now]
        except RuntimeError as error:
            self.reason = _why(error)
            return None

    def _compare(self, graph: Graph, batch: Batch, copies: tuple[list[Tensor], list[Tensor]]) -> str:
        """How the graph differs from an eager step; empty where it does not, beyond the order of sums."""
        tensors, random = self._tensors(), self._cuda.random()
        before, replayed = copies
        graph.replay()
        torch._foreach_copy_(replayed, tensors)
        torch._foreach_copy_(tensors, before)
        self._cuda.set_random(random)
        self._eager(batch)
        weights = len(list(self._step.network.parameters()))
        for what, part in (("loss", slice(0, 1)), ("weights", slice(1, 1 + weights))):
            if _apart(before[part], tensors[part], replayed[part]) > APART:
                return (
                    f"its {what} differ from an eager step's"
                    if what == "weights"
                    else "its loss differs from an eager step's"
                )
        return ""

    def _tensors(self) -> list[Tensor]:
        """All that a step changes, the loss first, then the weights."""
        step = self._step
        tensors = [step.loss_sum, *step.network.parameters(), *step.network.buffers()]
        tensors += [] if step.average is None else step.average.tensors
        tensors += [
            value
            for part in step.optimizers.parts
            for state in part.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]
        return [tensor.detach() for tensor in tensors]


def _kinds(batch: Batch) -> list[tuple[object, ...]]:
    return [(name, tensor.shape, tensor.dtype) for name, tensor in batch.items()]


def _apart(before: Sequence[Tensor], eager: Sequence[Tensor], replayed: Sequence[Tensor]) -> float:
    """The distance of two updates over the length of the eager one; 0 where the eager one is not finite, which is another's to say."""
    length = torch.stack([(now - old).double().norm() for old, now in zip(before, eager, strict=True)]).norm()
    distance = torch.stack([(one - other).double().norm() for one, other in zip(eager, replayed, strict=True)]).norm()
    if not torch.isfinite(length) or not float(distance):
        return 0.0
    share = float(distance / length)
    return share if share == share else float("inf")


def _why(error: RuntimeError) -> str:
    """In one line. What went wrong while capturing is the context of what went wrong when the capture was ended."""
    cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
    if is_out_of_memory(error) or is_out_of_memory(cause):
        return "the GPU has no memory for the graph"
    return f"the step cannot be captured: {(str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]}"
