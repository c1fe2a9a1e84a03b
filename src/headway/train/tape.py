"""A tape of the kernels that one training step runs, and a function that runs the same kernels again.

It listens below autograd (TorchDispatchMode), so that forward and backward are one list of ATen operations with what each takes. Two things
do not fit into such a list: a value that Python reads, and a shape that depends on values. The tape notes the first one as ``reason`` and
lets the step finish: a step under the tape is an ordinary step.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from headway.data.batches import Batch

ATEN = torch.ops.aten
ALIASES = {ATEN.detach.default, ATEN.alias.default}
"""What is there for autograd alone: the same tensor under another name."""

VIEWS = {*ALIASES, ATEN.t.default, ATEN.view.default, ATEN.transpose.int, ATEN.expand.default}
"""Operations that compute nothing and are left out when their results are not used."""

INDEXING = {ATEN.index.Tensor, ATEN._unsafe_index.Tensor}
"""torch tags them as of a shape that depends on values; that is true of an index that is a mask, and of no other."""

READS = {
    "numpy": "numpy()",
    "__array__": "NumPy",
    "tolist": "tolist()",
    "data_ptr": "data_ptr()",
    "storage": "storage()",
    "untyped_storage": "untyped_storage()",
    "__dlpack__": "DLPack",
    "apply_": "apply_()",
    "map_": "map_()",
    "set_": "set_()",
}
"""Methods that give a tensor's values, or its memory, to Python without any kernel that a tape could hold."""


class Name(str):
    """A tensor's name in the function, as against a string that a kernel takes."""

    __slots__ = ()


class Kernel(NamedTuple):
    """One line of the function: what is called, on names or values, and the names of what comes out."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[Name]
    unpacked: bool


class Tape(TorchDispatchMode):
    """The kernels that run while it is entered. Names die with their tensors: the tape keeps no tensor that the step made."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.reason = ""
        self.kernels: list[Kernel] = []
        self.held: dict[str, Tensor] = {}
        """Tensors that the step took and no kernel made: weights, buffers, constants."""
        self.generators: list[torch.Generator] = []
        self.call: Callable[..., list[Tensor]] | None = None
        """The kernels as a function of the batch's tensors."""
        self._inputs = [Name(f"input_{number}") for number in range(len(batch))]
        self._names = WeakTensorKeyDictionary()
        for name, tensor in zip(self._inputs, batch.values(), strict=True):
            self._names[tensor] = name
        self._transposed: dict[str, Name] = {}

    def refuse(self, reason: str) -> None:
        """Note why the step cannot be recorded; the first reason counts."""
        self.reason = self.reason or reason

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._judge(func, args)
        inputs, keywords = (
            self._with_names(args),
            {key: self._with_names(value) for key, value in (kwargs or {}).items()},
        )
        out = func(*args, **(kwargs or {}))
        source: Any = inputs[0] if inputs else None
        if func in ALIASES:
            self._names[out] = source
        elif func is ATEN.t.default and source in self._transposed:
            self._names[out] = self._transposed[source]
        else:
            several = isinstance(out, (list, tuple))
            parts = list(out) if several else [out]
            results = [Name(f"r{len(self.kernels)}_{number}") for number in range(len(parts))]
            for part, name in zip(parts, results, strict=True):
                if isinstance(part, Tensor):
                    self._names[part] = name
                elif isinstance(part, (bool, int, float, complex)):
                    self.refuse(f"{_title(func)} gives Python a value that depends on the batch")
            self.kernels.append(Kernel(func, inputs, keywords, results, several))
            if func is ATEN.t.default:
                self._transposed[results[0]] = source
        return out

    def _judge(self, func: Any, args: Any) -> None:
        if func is ATEN._local_scalar_dense.default:
            self.refuse("Python reads the value of a tensor (item(), float(), bool() or an if)")
        elif func in INDEXING:
            if any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]):
                self.refuse("a tensor is indexed by a mask: the shape of the result depends on the batch")
        elif torch.Tag.dynamic_output_shape in func.tags:
            self.refuse(f"the shape of what {_title(func)} returns depends on the batch")

    def _with_names(self, value: Any) -> Any:
        """The value with names in the place of its tensors; a tensor that no kernel on the tape made is held."""
        if isinstance(value, Tensor):
            if value not in self._names:
                self._names[value] = name = Name(f"held_{len(self.held)}")
                self.held[name] = value
            return self._names[value]
        if isinstance(value, torch.Generator):
            self.generators.append(value)
        if isinstance(value, (list, tuple)):
            return type(value)(self._with_names(part) for part in value)
        return value

    def difference(self, other: Tape) -> str:
        """What another step did otherwise: empty when it ran the same kernels with the same constants."""
        if len(self.kernels) != len(other.kernels) or self.held.keys() != other.held.keys():
            return f"one step runs {len(self.kernels)} kernels and the next {len(other.kernels)}"
        for mine, theirs in zip(self.kernels, other.kernels, strict=True):
            if mine != theirs:
                return f"{_title(theirs.function)} takes another constant at every step"
        for name, tensor in self.held.items():
            if not _same_constant(tensor, other.held[name]):
                return "a tensor that no kernel made changes from step to step"
        return ""

    def compile(self, results: Sequence[Tensor | None]) -> None:
        """Set ``call``: it returns ``results``, and frees each tensor after its last use."""
        ends = self._with_names(list(results))
        kernels: list[tuple[Kernel, list[Name]]] = []
        needs = set(_names_in(ends))
        for kernel in reversed(self.kernels):
            if kernel.function not in VIEWS or needs.intersection(kernel.results):
                last = [name for name in dict.fromkeys(_names_in(kernel.args, kernel.kwargs)) if name not in needs]
                kernels.append((kernel, last))
                needs.update(last)
        scope: dict[str, Any] = dict(self.held)
        lines = [f"def call({', '.join(self._inputs)}):"]
        for number, (kernel, last) in enumerate(reversed(kernels)):
            scope[f"kernel_{number}"] = getattr(kernel.function, "_op", kernel.function)
            arguments = [_expression(value, scope) for value in kernel.args]
            arguments += [f"{key}={_expression(value, scope)}" for key, value in kernel.kwargs.items()]
            comma = "," if kernel.unpacked else ""
            lines.append(f"    {', '.join(kernel.results)}{comma} = kernel_{number}({', '.join(arguments)})")
            free = [name for name in last if name not in self.held]
            lines += [f"    {' = '.join(free)} = None"] if free else []
        lines.append(f"    return {_expression(ends, scope)}")
        exec(compile("\n".join(lines), "<recorded step>", "exec"), scope)
        self.call = scope["call"]


@contextlib.contextmanager
def reads_noted(tape: Tape) -> Iterator[None]:
    """Tell the tape of READS in this thread, by replacing the methods meanwhile.

    torch's own way to listen to methods (TorchFunctionMode) does not reach what a custom function or a hook does in the backward pass.
    """
    mine = threading.get_ident()
    replaced = {name: vars(Tensor).get(name) for name in READS}

    def noting(method: Callable[..., Any], title: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == mine:
                tape.refuse(f"Python reads the values of a tensor ({title})")
            return method(*args, **kwargs)

        return call

    for name, title in READS.items():
        setattr(Tensor, name, noting(getattr(Tensor, name), title))
    try:
        yield
    finally:
        for name, method in replaced.items():
            if method is None:  # inherited
                delattr(Tensor, name)
            else:
                setattr(Tensor, name, method)


def _title(function: Any) -> str:
    return str(function).removeprefix("aten.").split(".")[0]


def _same_constant(one: Tensor, other: Tensor) -> bool:
    """The same tensor, or an equal one: `torch.tensor(2.0)` in a forward pass is a new tensor at each step."""
    if one is other:
        return True
    same = one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
    return same and torch.equal(one, other)


def _expression(value: Any, scope: dict[str, Any]) -> str:
    """The value in Python's words; what has none gets a name in the function's scope."""
    if isinstance(value, Name):
        return value
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_expression(part, scope) for part in value) + "]"
    if value is None or isinstance(value, (bool, int)):
        return repr(value)
    name = f"constant_{len(scope)}"
    scope[name] = value
    return name


def _names_in(*values: Any) -> Iterator[Name]:
    for value in values:
        if isinstance(value, Name):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _names_in(*value)
        elif isinstance(value, dict):
            yield from _names_in(*value.values())
