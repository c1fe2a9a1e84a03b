"""Forward and backward recorded once as the kernels that they are, and called one after another: on a CPU what a CUDA graph is on a GPU.

A small network's step spends half of its time between kernels: modules, hooks, the autograd engine. None of that depends on the batch. A
tape below autograd hears every kernel of one step with what it takes; a function that calls these and nothing else gives the same
gradients, bit for bit. It is believed only after it did so on another batch than the one that was recorded. What a model does by itself
between its kernels (counting its calls, say) is done no more: such a model must be trained with `train.record=false`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from headway.data.batches import Batch

Loss = Callable[[Batch], Tensor]
"""The network's loss on a batch."""

ATEN = torch.ops.aten
ALIASES = {ATEN.detach.default, ATEN.alias.default}
"""What is there for autograd alone: the same tensor under another name."""

VIEWS = {*ALIASES, ATEN.t.default, ATEN.view.default, ATEN.transpose.int, ATEN.expand.default}
"""What computes nothing and is left out when nobody uses it."""


class Unrecordable(RuntimeError):
    """A step that is more than its kernels: it reads values of tensors, or leaves torch and comes back."""


class Recorded:
    """A network's loss and gradients on batches of one shape. Weights and buffers are read, and changed, where they are."""

    def __init__(
        self, network: nn.Module, loss: Loss, batch: Batch, generators: Sequence[torch.Generator] = ()
    ) -> None:
        """Records; the network, its gradients (none) and the random numbers are left as they were. Raises Unrecordable.

        ``generators``: those that the network draws from besides torch's own.
        """
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._shapes = {name: (tensor.shape, tensor.stride()) for name, tensor in batch.items()}
        held = [*network.parameters(), *network.buffers()]
        before = _State(network, generators)
        try:
            with _Tape(batch) as tape:
                value = loss(batch)
                gradients = torch.autograd.grad(value, self._weights, allow_unused=True)
                owned = _own(gradients, self._weights, [*held, *batch.values()])
            self._call = tape.function([value, *owned])
            before.put_back()
            self._check(before, loss, batch)
        finally:
            before.put_back()

    def _check(self, before: _State, loss: Loss, batch: Batch) -> None:
        """That it does what autograd does, on the batch's rows in another order."""
        other = {
            name: torch.empty_strided(t.shape, t.stride(), dtype=t.dtype).copy_(t.roll(1, 0))
            for name, t in batch.items()
        }
        value = loss(other)
        gradients = torch.autograd.grad(value, self._weights, allow_unused=True)
        after = before.now()
        before.put_back()
        with torch.no_grad():
            again = self._call(*other.values())
        if not _same([value, *gradients], again) or not _same(after, before.now()):
            raise Unrecordable("it does more than its kernels tell")

    def fits(self, batch: Batch) -> bool:
        """Whether a batch has the shape that was recorded."""
        return all((batch[name].shape, batch[name].stride()) == shape for name, shape in self._shapes.items())

    def __call__(self, batch: Batch) -> Tensor:
        """Set every weight's gradient, which must be none before; returns the loss."""
        with torch.no_grad():
            loss, *gradients = self._call(*[batch[name] for name in self._shapes])
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        return loss


class _State:
    """All that a forward pass may change: buffers, and where the random numbers stand."""

    def __init__(self, network: nn.Module, generators: Sequence[torch.Generator]) -> None:
        self._buffers, self._generators = list(network.buffers()), [torch.default_generator, *generators]
        self._old = self.now()

    def now(self) -> list[Tensor]:
        """Copies of it."""
        return [buffer.clone() for buffer in self._buffers] + [one.get_state() for one in self._generators]

    def put_back(self) -> None:
        """As it was at first."""
        count = len(self._buffers)
        for buffer, old in zip(self._buffers, self._old[:count], strict=True):
            buffer.copy_(old)
        for generator, state in zip(self._generators, self._old[count:], strict=True):
            generator.set_state(state)


class _Name(str):
    """A tensor's name in the function, told from a string that a kernel takes."""

    __slots__ = ()


class _Kernel(NamedTuple):
    """One line of the function: what is called, on names or values, and the names of what comes out."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[_Name]
    unpacked: bool


class _Tape(TorchDispatchMode):
    """Hears every kernel that torch runs below autograd. Names die with their tensors: nothing is kept in memory for the tape."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self._inputs = [_Name(f"input_{number}") for number in range(len(batch))]
        self._names = WeakTensorKeyDictionary()
        for name, tensor in zip(self._inputs, batch.values(), strict=True):
            self._names[tensor] = name
        self._kernels: list[_Kernel] = []
        self._transposed: dict[str, _Name] = {}
        self._held: dict[str, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is ATEN._local_scalar_dense.default:
            raise Unrecordable("it reads the value of a tensor")
        told, named = self._told(args), {key: self._told(value) for key, value in (kwargs or {}).items()}
        out = func(*args, **(kwargs or {}))
        source: Any = told[0] if told else None
        if func in ALIASES:
            self._names[out] = source
        elif func is ATEN.t.default and source in self._transposed:
            self._names[out] = self._transposed[source]
        else:
            parts = list(out) if isinstance(out, (list, tuple)) else [out]
            results = [_Name(f"r{len(self._kernels)}_{number}") for number in range(len(parts))]
            for part, name in zip(parts, results, strict=True):
                if isinstance(part, Tensor):
                    self._names[part] = name
            self._kernels.append(_Kernel(func, told, named, results, isinstance(out, (list, tuple))))
            if func is ATEN.t.default:
                self._transposed[results[0]] = source
        return out

    def _told(self, value: Any) -> Any:
        """The value with its tensors' names in their place; a tensor that nobody on the tape made is held for good."""
        if isinstance(value, Tensor):
            if value not in self._names:
                self._names[value] = self._hold(value)
            return self._names[value]
        if isinstance(value, (list, tuple)):
            return type(value)(self._told(part) for part in value)
        return value

    def _hold(self, value: Any) -> _Name:
        name = _Name(f"held_{len(self._held)}")
        self._held[name] = value
        return name

    def function(self, wanted: Sequence[Tensor | None]) -> Callable[..., list[Any]]:
        """What was heard as a function of the batch's tensors, each let go after its last use."""
        ends = self._told(list(wanted))
        kernels, used = [], set(_names_in(ends))
        for kernel in reversed(self._kernels):
            if kernel.function not in VIEWS or used.intersection(kernel.results):
                done = [name for name in dict.fromkeys(_names_in(kernel.args, kernel.kwargs)) if name not in used]
                kernels.append((kernel, done))
                used.update(done)
        lines = [f"def call({', '.join(self._inputs)}):"]
        for number, (kernel, done) in enumerate(reversed(kernels)):
            self._held[f"kernel_{number}"] = getattr(kernel.function, "_op", kernel.function)
            given = [self._written(value) for value in kernel.args]
            given += [f"{key}={self._written(value)}" for key, value in kernel.kwargs.items()]
            comma = "," if kernel.unpacked else ""
            lines.append(f"    {', '.join(kernel.results)}{comma} = kernel_{number}({', '.join(given)})")
            free = [name for name in done if name not in self._held]
            lines += [f"    {' = '.join(free)} = None"] if free else []
        lines.append(f"    return {self._written(ends)}")
        scope = dict(self._held)
        exec(compile("\n".join(lines), "<recorded step>", "exec"), scope)
        return scope["call"]

    def _written(self, value: Any) -> str:
        if isinstance(value, _Name):
            return value
        if isinstance(value, (list, tuple)):
            return "[" + ", ".join(self._written(part) for part in value) + "]"
        if value is None or isinstance(value, (bool, int)):
            return repr(value)
        return self._hold(value)


def _names_in(*values: Any) -> Iterator[_Name]:
    for value in values:
        if isinstance(value, _Name):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _names_in(*value)
        elif isinstance(value, dict):
            yield from _names_in(*value.values())


def _own(gradients: Sequence[Tensor | None], weights: Sequence[Tensor], known: Sequence[Tensor]) -> list[Tensor | None]:
    """Each gradient in memory of its own, laid out as its weight: what autograd promises to optimizers."""
    taken = {tensor.untyped_storage().data_ptr() for tensor in known}
    owned: list[Tensor | None] = []
    for gradient, weight in zip(gradients, weights, strict=True):
        if gradient is not None:
            if gradient.stride() != weight.stride() or gradient.untyped_storage().data_ptr() in taken:
                gradient = torch.empty_like(weight).copy_(gradient)
            taken.add(gradient.untyped_storage().data_ptr())
        owned.append(gradient)
    return owned


def _same(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> bool:
    """Bit for bit, what is not a number included."""
    return all(
        b is None if a is None else b is not None and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )
