"""Forward and backward recorded once as the kernels that they are, and called one after another: on a CPU what a CUDA graph is on a GPU.

A small network's step spends half of its time between kernels: modules, hooks, the autograd engine. A recording skips that and must still
give autograd's gradients bit for bit. It is

observed   The first steps run eagerly under a tape. A network that reads values in Python, has shapes that depend on values, or changes
           Python's state is refused. The next step must run the same kernels with the same constants.
checked    The recording runs beside at least two eager steps, from the same state, on batches of other content and class balance.
guarded    It holds for one kind of batch and one state of the network (see Guard); another kind gets a recording of its own.
rechecked  Again later, at growing intervals, and before each checkpoint: a difference raises Misrecorded.

Wherever an eager step and the recording run side by side, the eager step counts: a network that is refused has been trained, and called, as
without recording. A library's capture was measured instead: the step of a small MLP takes 234 us recorded, 327 us eagerly, 640 us by
torch.compile with AOTAutograd's kernels (backend aot_eager).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from headway.data.batches import Batch
from headway.train.memory import is_out_of_memory
from headway.train.python_state import changed, python_state
from headway.train.recording import FAILURES, Misrecorded, Recording
from headway.train.tape import Tape, reads_noted
from headway.train.undo import State

Loss = Callable[[Batch], Tensor]
"""The network's loss on a batch."""

ATTEMPTS = 3
"""Steps that may run other kernels, or change Python's state, before recording is given up: a cache is filled once."""

KINDS = 4
"""Recordings kept. Further kinds of batches or networks run eagerly."""


class Recorder:
    """A network's loss and gradients: from eager steps at first, from a recording once it is proven right."""

    def __init__(
        self, network: nn.Module, loss: Loss, watched: object = None, generators: Sequence[torch.Generator] = ()
    ) -> None:
        """``watched``: what ``loss`` calls beside the network; ``generators``: those that the network draws from beside torch's own."""
        self.reason = ""
        """Why steps are not recorded; empty while they can be."""
        self._network, self._loss, self._roots = network, loss, (network, watched)
        self._generators = [torch.default_generator, *generators]
        self._recordings: list[Recording] = []
        self._attempts = 0
        self._current: Recording | None = None

    @property
    def recording(self) -> Recording | None:
        """The recording in use; None while steps run eagerly."""
        return self._current if self._current is not None and self._current.ready else None

    def stop(self, reason: str) -> None:
        """Run every step eagerly from here on. Raises Misrecorded if a recording was used since it was last compared."""
        if any(recording.newest is not None for recording in self._recordings):
            raise Misrecorded(reason)  # another kind of batch shows what this one's next check would have shown
        self.reason, self._recordings, self._current = reason, [], None

    def __call__(self, batch: Batch) -> Tensor:
        """Set every weight's gradient, which must be none before; returns the loss. Raises Misrecorded."""
        current = self._current
        if current is None or not current.guard.fits(batch):
            current = self._current = self._of(batch)
            if current is None:
                return self._eager(batch)
        if not current.ready:
            return self._observe(current, batch)
        if current.due:
            current.due -= 1
            return current.replay(batch)
        loss, difference = self._compare(current, batch)
        if difference:
            raise Misrecorded(difference)
        current.plan_check()
        return loss

    def check(self) -> None:
        """Compare every recording that was used since it was compared, on its newest batch. Raises Misrecorded.

        Between steps, when weights have no gradient. Nothing changes by it.
        """
        recordings = [recording for recording in self._recordings if recording.newest is not None]
        modes = [(module, module.training) for module in self._network.modules()] if recordings else []
        try:
            for recording in recordings:
                self._check(recording)
        finally:
            for module, mode in modes:
                module.training = mode

    def _check(self, recording: Recording) -> None:
        batch, recording.newest = recording.newest, None
        for module, mode in recording.guard.modes:
            module.training = mode
        if batch is None or not recording.guard.fits(batch):  # of a network that has changed since
            return
        state = State([*self._network.buffers(), *recording.constants], [*self._generators, *recording.generators])
        try:
            _, difference = self._compare(recording, batch)
        finally:
            state.put_back()
            _forget_gradients(self._network)
        if difference:
            raise Misrecorded(difference)

    def _of(self, batch: Batch) -> Recording | None:
        """The recording of this kind of batch and network, a new one if need be; None where steps run eagerly."""
        if self.reason:
            return None
        for recording in self._recordings:
            if recording.guard.fits(batch):
                return recording
        if len(self._recordings) == KINDS:
            return None
        if any(weight._backward_hooks or weight._post_accumulate_grad_hooks for weight in self._network.parameters()):
            self.stop("a weight has a hook on its gradient")
            return None
        self._recordings.append(Recording(self._network, batch))
        return self._recordings[-1]

    def _eager(self, batch: Batch) -> Tensor:
        loss = self._loss(batch)
        loss.backward()
        return loss.detach()

    def _observe(self, recording: Recording, batch: Batch) -> Tensor:
        """An eager step from which a recording is made, or beside which it is checked."""
        before = python_state(*self._roots)
        tape = Tape(batch) if recording.accepted_batches == 0 else None
        try:
            loss, difference = self._compare(recording, batch, tape)
        except _Untraceable as error:
            self.stop(str(error))
            return self._eager(batch)
        if tape is not None and tape.reason:
            self.stop(tape.reason)
        else:
            path = changed(before, python_state(*self._roots))
            effect = f"{path} changes in Python at every step" if path else ""
            self._judge(recording, batch, tape, effect, difference)
        return loss

    def _judge(self, recording: Recording, batch: Batch, tape: Tape | None, effect: str, difference: str) -> None:
        """What an observed step means for the recording. ``effect``: what it changed in Python."""
        other = recording.tape.difference(tape) if recording.tape is not None and tape is not None else ""
        if effect or other:
            self._attempts += 1
            if self._attempts == ATTEMPTS:
                self.stop(effect or other)
            elif effect:
                self._recordings.remove(recording)
                self._current = None
            else:
                assert tape is not None
                recording.begin(batch, tape)
        elif difference:
            self.stop(difference)
        elif recording.call is None:
            assert tape is not None
            recording.begin(batch, tape)
        else:
            recording.accept(batch)
            self._attempts = 0

    def _compare(self, recording: Recording, batch: Batch, tape: Tape | None = None) -> tuple[Tensor, str]:
        """An eager step, and the recording from the same state. Returns the step's loss and how the recording differs."""
        buffers = [*self._network.buffers(), *recording.constants]
        state = State(buffers, [*self._generators, *recording.generators])
        versions = [weight._version for weight in self._network.parameters()]
        try:
            loss = self._eager(batch) if tape is None else self._taped(recording, batch, tape)
        except FAILURES as error:
            if tape is None or is_out_of_memory(error):
                raise
            state.put_back()
            _forget_gradients(self._network)
            raise _Untraceable(f"torch cannot trace it: {str(error).splitlines()[0]}") from error
        if [weight._version for weight in self._network.parameters()] != versions:
            return loss, "the forward pass changes weights"
        if recording.call is None:
            return loss, ""
        after = state.now()
        state.put_back()
        try:
            with torch.no_grad():
                results = recording.call(*batch.values())
        except FAILURES as error:
            if is_out_of_memory(error):
                raise
            return loss, f"its kernels fail on another batch: {str(error).splitlines()[0]}"
        finally:
            end = state.now()
            state.put(after)
        gradients = [weight.grad for weight in recording.weights]
        if not _same([loss, *gradients], results):
            return loss, "its loss or gradients differ from the network's"
        return loss, "" if _same(after, end) else "its buffers or random numbers differ from the network's"

    def _taped(self, recording: Recording, batch: Batch, tape: Tape) -> Tensor:
        weights = recording.weights
        with tape:
            with reads_noted(tape):
                value = self._loss(batch)
                value.backward()
            tensors = [*self._network.parameters(), *self._network.buffers(), *batch.values()]
            owned = _own([weight.grad for weight in weights], weights, tensors)
        if not tape.reason:
            tape.compile([value, *owned])
        for weight, gradient in zip(weights, owned, strict=True):
            weight.grad = gradient
        return value.detach()


class _Untraceable(Exception):
    """The tape itself does not suit the network."""


def _forget_gradients(network: nn.Module) -> None:
    for weight in network.parameters():
        weight.grad = None


def _own(
    gradients: Sequence[Tensor | None], weights: Sequence[Tensor], tensors: Sequence[Tensor]
) -> list[Tensor | None]:
    """Each gradient in memory of its own, laid out as its weight: what autograd promises to optimizers."""
    pointers = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    owned: list[Tensor | None] = []
    for gradient, weight in zip(gradients, weights, strict=True):
        if gradient is not None:
            if gradient.stride() != weight.stride() or gradient.untyped_storage().data_ptr() in pointers:
                gradient = torch.empty_like(weight).copy_(gradient)
            pointers.add(gradient.untyped_storage().data_ptr())
        owned.append(gradient)
    return owned


def _same(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> bool:
    """Bit for bit, what is not a number included."""
    return all(
        b is None if a is None else b is not None and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )
