"""Whether a batch and a network are still those that a recording was made of; asked before each step, in microseconds."""

from __future__ import annotations

from operator import attrgetter, is_
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as modules
from torch.utils.hooks import RemovableHandle

from headway.data.batches import Batch
from headway.train.python_state import VALUES

PLUMBING = frozenset(vars(nn.Module())) - {"training"}
"""What every module holds; of its hooks, parts and tensors the guard knows by other ways."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GLOBAL_HOOKS = (
    modules._global_forward_hooks,
    modules._global_forward_pre_hooks,
    modules._global_backward_hooks,
    modules._global_backward_pre_hooks,
)
PARTS = ("_parameters", "_buffers", "_modules")


class Guard:
    """Shapes, strides and dtypes of a batch; of a network its modules, their attributes and modes, the identity and requires_grad of its
    weights, its hooks; autocast and the other settings that decide which kernels run.
    """

    def __init__(self, network: nn.Module, batch: Batch) -> None:
        self._names, self._kinds = list(batch), _kinds(batch)
        self._settings = _settings()
        self._weights = list(network.parameters())
        self._required = [weight.requires_grad for weight in self._weights]
        self._holders: list[dict[str, Any]] = []
        self._keys: list[str] = []
        self._values: list[object] = []
        self._sized: list[dict[Any, Any]] = []
        self._hooks: list[dict[Any, Any]] = list(GLOBAL_HOOKS)
        self.modes = [(module, module.training) for module in network.modules()]
        for module, _ in self.modes:
            own = vars(module)
            self._hold(own, [name for name in own if name not in PLUMBING])
            for part in PARTS:
                self._hold(own[part], list(own[part]))
            self._sized += [own, *(own[part] for part in PARTS)]
            self._hooks += [own[name] for name in HOOKS]
        self._sized += [hooks for hooks in self._hooks if hooks]  # those may be removed; others can only be added
        self._sizes = [len(entries) for entries in self._sized]
        self._next_hook = RemovableHandle.next_id

    def _hold(self, holder: dict[str, Any], keys: list[str]) -> None:
        self._holders += [holder] * len(keys)
        self._keys += keys
        self._values += [holder[key] for key in keys]

    def fits(self, batch: Batch) -> bool:
        """Whether nothing of it has changed."""
        return (
            _kinds(batch) == self._kinds
            and list(batch) == self._names
            and list(map(len, self._sized)) == self._sizes
            and (RemovableHandle.next_id == self._next_hook or self._without_new_hooks())
            and (all(map(is_, map(dict.get, self._holders, self._keys), self._values)) or self._equal())
            and list(map(_requires_grad, self._weights)) == self._required
            and _settings() == self._settings
        )

    def _without_new_hooks(self) -> bool:
        """A hook was registered somewhere; torch counts them. Whether it is none of this network's."""
        sized = {id(entries) for entries in self._sized}
        if any(hooks and id(hooks) not in sized for hooks in self._hooks):
            return False
        self._next_hook = RemovableHandle.next_id
        return True

    def _equal(self) -> bool:
        """A plain value may be another object of the same value."""
        now = list(map(dict.get, self._holders, self._keys))
        for new, old in zip(now, self._values, strict=True):
            if new is not old and not (type(new) is type(old) and isinstance(new, VALUES) and new == old):
                return False
        self._values = now
        return True


_requires_grad = attrgetter("requires_grad")


def _kinds(batch: Batch) -> list[tuple[object, ...]]:
    return [(tensor.shape, tensor.stride(), tensor.dtype) for tensor in batch.values()]


def _settings() -> tuple[object, ...]:
    return (
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
    )
