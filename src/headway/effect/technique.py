"""A technique: a named edit of the recipe, with what it needs and where it is described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headway.train.recipe import Recipe

Part = Literal["batches", "compute", "optimizer", "arithmetic", "step", "nothing"]
"""Which part of a step's time it can shorten. arithmetic: compute and optimizer; nothing: it saves something else."""

PARTS: dict[str, tuple[str, ...]] = {
    "batches": ("batches",),
    "compute": ("forward", "backward"),
    "optimizer": ("optimizer",),
    "arithmetic": ("forward", "backward", "optimizer"),
    "step": ("batches", "forward", "backward", "optimizer"),
    "nothing": (),
}
"""The measured parts of a step's time that each of these is."""

Change = Literal["nothing", "rounding", "maths"]
"""What it changes in the resulting weights: nothing beyond the order of a sum, the number format, or the maths itself."""

SCHEDULE = frozenset({"schedule", "learning_rate", "warmup"})
"""Fields that change how far a step goes, but not how it is computed."""

Measure = Literal["step", "prediction", "seeds", "run"]
"""What is timed: a training step, a prediction, a step of many networks, or when a whole run ends."""


@dataclass(frozen=True)
class Setting:
    """What a technique is applied to: the baseline's recipe and the machine. Plain values, so that any machine can be described."""

    recipe: Recipe
    model: str
    task: str
    rows: int
    """Samples in an epoch: rows of a table, windows of a text."""
    counts: int
    """What a step counts, over an epoch: rows, or tokens."""
    device: Literal["cpu", "cuda"]
    cores: int
    capability: tuple[int, int] | None = None
    compiler: bool = True
    torchao: bool = True
    convolutions: bool = False
    stackable: bool = False

    @property
    def epochs(self) -> int:
        """The most of a run of the baseline, with the last one counted whole where its steps or tokens end first."""
        bounds = [self.recipe.epochs]
        if self.recipe.steps is not None:
            bounds.append(-(-self.recipe.steps // -(-self.rows // self.batch_size)))
        if self.recipe.tokens is not None:
            bounds.append(-(-self.recipe.tokens // self.counts))
        return min(bounds)

    @property
    def batch_size(self) -> int:
        """The baseline's, which is a number."""
        assert self.recipe.batch_size != "auto"
        return self.recipe.batch_size


def _nothing(_setting: Setting) -> None:
    return None


@dataclass(frozen=True)
class Technique:
    """``edit`` gives the fields of the recipe that it sets; ``lacks`` the reason why it is not supported, or None."""

    name: str
    sentence: str
    reference: str
    part: Part
    changes: Change
    edit: Callable[[Setting], Mapping[str, Any]]
    lacks: Callable[[Setting], str | None] = _nothing
    measure: Measure = "step"
    slower: float = 0.0
    """An artificial delay after each step, as a share of it: the method is tested with effects that are known."""

    def applied(self, setting: Setting) -> Recipe:
        """The baseline's recipe with this technique. Raises ConfigError where the two do not go together."""
        return Recipe.parse({**setting.recipe.model_dump(), **self.edit(setting)}, "train")

    def keeps_the_step(self, setting: Setting) -> bool:
        """Whether its step is computed as the baseline's, so that the ratio of their times is 1 by definition."""
        fields = self.edit(setting)
        return self.measure == "step" and not self.slower and bool(fields) and SCHEDULE.issuperset(fields)

    def unsupported(self, setting: Setting) -> str | None:
        """Why it cannot be measured here; None where it can."""
        reason = self.lacks(setting)
        if reason is None and self.measure == "step" and not self.slower and self.edit(setting):
            fields = self.edit(setting)
            if all(getattr(setting.recipe, name) == value for name, value in fields.items()):
                return "the project's recipe has it already"
        return reason


def needs_gpu(setting: Setting, capability: tuple[int, int] = (0, 0)) -> str | None:
    """The reason why a GPU's technique is not supported; None where it is."""
    if capability == (0, 0):
        return None if setting.device == "cuda" else "needs an NVIDIA GPU"
    if setting.capability is None or setting.capability < capability:
        return f"needs an NVIDIA GPU of compute capability {capability[0]}.{capability[1]}"
    return None


def needs_compiler(setting: Setting) -> str | None:
    """The reason why nothing can be compiled; None where something can."""
    return None if setting.compiler else "needs a C++ compiler such as g++"
