"""What a forward pass leaves behind in Python: counters, caches, lists, random numbers of Python and NumPy.

A recorded step runs kernels and no Python, so that a network which changes Python's state cannot be recorded. The state is a flat list of
leaves, reached from the network and its loss through attributes, containers, closures, classes and the globals and modules that their
functions name.
"""

from __future__ import annotations

import functools
import itertools
import operator
import os
import random
import sys
import types
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

LEAVES = 20_000
"""Nearest first: what lies beyond (a vocabulary, a table's categories) is not walked. A thousand leaves take 3 ms."""

ARRAY_BYTES = 1 << 22
"""A larger NumPy array is compared by identity: a data set, not a statistic."""

VALUES = (int, float, complex, str, bytes, bool, type(None), range, slice, torch.dtype, torch.device, torch.Size)
ATOMS = (types.BuiltinFunctionType, torch.Tensor, torch.Generator)
"""Compared by identity. What kernels do to a tensor, the tape holds; another tensor in its place is a change."""

LIBRARIES = frozenset(
    {"torch", "numpy", "builtins", "pandas", "pyarrow", "pydantic", "pydantic_core", "scipy", "sklearn"}
)
"""Functions, classes and modules of these are not entered, nor are classes and modules of the standard library but for ``os.environ``."""

STANDARD = str(Path(os.__file__).parent)
"""Where the standard library is."""


class Leaf(NamedTuple):
    """One value, and where it was reached."""

    path: str
    value: object


def python_state(*roots: object) -> list[Leaf]:
    """The leaves reached from ``roots``, and the states of Python's and NumPy's own random numbers."""
    leaves = [Leaf("random", hash(random.getstate()))]
    if "numpy.random" in sys.modules:
        leaves.append(Leaf("numpy.random", _digest(np.random.get_state())))
    queue = deque((getattr(root, "__qualname__", type(root).__name__), root) for root in roots)
    objects: dict[int, object] = {}  # keeps what it names: a freed object's id is taken again
    while queue and len(leaves) < LEAVES:
        path, value = queue.popleft()
        if isinstance(value, VALUES):
            leaves.append(Leaf(path, value))
        elif id(value) not in objects:
            objects[id(value)] = value
            try:
                leaf, below = _opened(value)
            except Exception:  # an object that does not like to be looked into must not end a training
                leaf, below = value, ()
            leaves.append(Leaf(path, leaf))
            queue.extend((f"{path}.{name}", part) for name, part in below)
    return leaves


def changed(before: list[Leaf], after: list[Leaf]) -> str:
    """Where two states differ first; empty when they do not."""
    for one, other in zip(before, after, strict=False):
        if one.path != other.path:
            return one.path
        same = one.value is other.value or (type(one.value) is type(other.value) and _equal(one.value, other.value))
        if not same:
            return one.path
    shorter, longer = sorted((before, after), key=len)
    return longer[len(shorter)].path if len(longer) > len(shorter) else ""


def _equal(one: object, other: object) -> bool:
    return isinstance(one, (*VALUES, tuple)) and (one == other or (one != one and other != other))


def _opened(value: object) -> tuple[object, Iterable[tuple[object, object]]]:
    """A value as a leaf (compared by identity, but for values), and the named parts below it."""
    if isinstance(value, ATOMS):
        return value, ()
    if isinstance(value, np.ndarray):
        small = value.nbytes <= ARRAY_BYTES and value.dtype != object
        return _digest(value) if small else value, ()
    if isinstance(value, Mapping):
        return value, [*zip(map(_key, value), value.values(), strict=True)]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return len(value), enumerate(value)
    if isinstance(value, types.FunctionType):
        return value, _of_function(value)
    if isinstance(value, types.MethodType):
        return value.__func__, [("__self__", value.__self__)]
    if isinstance(value, types.ModuleType):
        return value, _of_module(value)
    if isinstance(value, type):
        return value, list(_of_class(value))
    if isinstance(value, nn.Module):
        attributes = [(name, part) for name, part in vars(value).items() if not isinstance(part, (dict, set)) or part]
        return value, [*attributes, *_of_class(type(value))]
    return _of_object(value)


def _of_object(value: object) -> tuple[object, Iterable[tuple[object, object]]]:
    if isinstance(value, random.Random):
        return hash(value.getstate()), ()
    if isinstance(value, np.random.Generator):
        return _digest(value.bit_generator.state), ()
    if isinstance(value, np.random.RandomState):
        return _digest(value.get_state()), ()
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        return (None if frame is None else frame.f_lasti), (() if frame is None else frame.f_locals.items())
    if isinstance(value, types.CellType):
        try:
            return value, [("", value.cell_contents)]
        except ValueError:  # an empty cell
            return value, ()
    if isinstance(value, Iterator) and not hasattr(value, "__dict__"):
        return _position(value), ()
    slots = [(name, getattr(value, name, None)) for name in getattr(type(value), "__slots__", ()) if name != "__dict__"]
    attributes = getattr(value, "__dict__", {}).items()
    return value, [*slots, *attributes, *_wrapped(value), (type(value).__name__, type(value))]


def _wrapped(value: object) -> list[tuple[str, object]]:
    """What an object calls that holds a function out of sight."""
    if isinstance(value, (staticmethod, classmethod)):
        return [("", value.__func__)]
    if isinstance(value, property):
        return [("", value.fget), ("", value.fset)]
    if isinstance(value, functools.partial):
        return [("", value.func), ("", value.args), ("", value.keywords)]
    return []


def _is_library(module: str) -> bool:
    """Whether a module of this name is of LIBRARIES or the standard library; a project's own ``sched.py`` is not."""
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names:
        return top in LIBRARIES
    origin = getattr(getattr(sys.modules.get(top), "__spec__", None), "origin", None) or ""
    return origin in ("built-in", "frozen") or origin.startswith(STANDARD)


def _of_module(module: types.ModuleType) -> list[tuple[str, object]]:
    """What a module holds, but for modules, and functions and classes of others: those count where they are named."""
    if module is os:
        return [("environ", os.environ)]
    if _is_library(module.__name__):
        return []
    return [
        (name, part)
        for name, part in vars(module).items()
        if not name.startswith("__")
        and not isinstance(part, types.ModuleType)
        and (not isinstance(part, (types.FunctionType, type)) or part.__module__ == module.__name__)
    ]


def _of_class(kind: type) -> Iterator[tuple[str, object]]:
    """The attributes of a class and of those it inherits from: a count can be kept there, or in what a method names."""
    for base in kind.__mro__:
        if not _is_library(base.__module__):
            yield from ((name, part) for name, part in vars(base).items() if not name.startswith("__"))


def _of_function(function: types.FunctionType) -> list[tuple[object, object]]:
    """A function's closure, defaults, attributes, and those globals and modules that it names."""
    if (function.__module__ or "").partition(".")[0] in LIBRARIES:
        return []
    parts: list[tuple[object, object]] = [("", cell) for cell in function.__closure__ or ()]
    parts += [("defaults", function.__defaults__), ("attributes", function.__dict__)]
    names = _names(function.__code__)
    package = function.__globals__.get("__package__") or ""
    absolute = {name: sys.modules.get(name) or sys.modules.get(f"{package}.{name}") for name in names}
    imported = {name: module for name, module in absolute.items() if module is not None}  # by an import in the function
    return parts + _named_parts(function.__globals__, names) + _named_parts(imported, names)


def _names(code: types.CodeType) -> list[str]:
    """What code names, and the functions within it: globals, attributes, and modules that it imports, in one list."""
    within = [name for part in code.co_consts if isinstance(part, types.CodeType) for name in _names(part)]
    return list(dict.fromkeys([*code.co_names, *within]))


def _named_parts(space: Mapping[str, object], names: Iterable[str]) -> list[tuple[object, object]]:
    """The named parts of a name space, and those of the modules among them: ``package.schedule.calls`` is three names."""
    parts, ids, modules = [], set(), [("", space)]
    for path, contents in modules:
        for name in names:
            if name not in contents:
                continue
            part = contents[name]
            parts.append((path + name, part))
            if isinstance(part, types.ModuleType) and id(part) not in ids and not _is_library(part.__name__):
                ids.add(id(part))
                modules.append((f"{path}{name}.", vars(part)))
    return parts


def _position(iterator: Iterator[Any]) -> object:
    """Where an iterator of C stands."""
    if isinstance(iterator, itertools.count):
        return repr(iterator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 deprecates the reduction of itertools
        try:
            return operator.length_hint(iterator) or repr(iterator.__reduce__())
        except TypeError:
            return iterator


def _digest(value: object) -> int:
    """A number that follows a NumPy value's content."""
    if isinstance(value, np.ndarray):
        return hash((value.shape, str(value.dtype), value.tobytes()))
    if isinstance(value, Mapping):
        return hash(tuple((key, _digest(part)) for key, part in value.items()))
    if isinstance(value, tuple):
        return hash(tuple(_digest(part) for part in value))
    return hash(value)


def _key(key: object) -> str:
    """A mapping's key in a path, without the address of an object."""
    return str(key) if isinstance(key, (str, int, tuple)) else type(key).__name__
