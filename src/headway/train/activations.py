"""Activation checkpointing: a block's activations are computed again in the backward pass instead of being kept.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv:1604.06174).
"""

from __future__ import annotations

from torch import nn
from torch.utils.checkpoint import checkpoint

from headway.errors import ConfigError


def checkpoint_activations(network: nn.Module) -> None:
    """Wrap every block in place; names and weights stay. A network tells its blocks by an attribute ``blocks``.

    Raises ConfigError for a network without them.
    """
    blocks = getattr(network, "blocks", None)
    if not blocks:
        raise ConfigError("train.checkpoint_activations needs a model of several blocks, but this one has none")
    for block in blocks:
        block.forward = _twice(block.forward)


def _twice(forward):  # type: ignore[no-untyped-def]
    """The same function, run again in the backward pass, with the same dropout."""

    def run(*arguments, **keywords):  # type: ignore[no-untyped-def]
        return checkpoint(forward, *arguments, use_reentrant=False, **keywords)

    return run
