"""How long a network may train, in optimizer steps, and when it is validated."""

from __future__ import annotations

from dataclasses import dataclass

from headway.data.batches import Batches
from headway.train.recipe import Recipe


@dataclass(frozen=True)
class Budget:
    """``steps``: the most in all; ``every``: those from one validation to the next, None where one ends each epoch of ``epoch`` steps."""

    steps: int
    every: int | None
    epoch: int

    def next_validation(self, step: int, step_in_epoch: int, validated: int) -> int:
        """The step after which it is due; ``validated``: the step of the last one. From a checkpoint on, it can be due at once."""
        if self.every is None:
            return min(step - step_in_epoch + self.epoch, self.steps)
        return min((validated // self.every + 1) * self.every, self.steps)

    def fewest(self, patience: int) -> int:
        """Steps of a training of which no validation is better than the first."""
        return min(self.steps, (patience + 1) * (self.every or self.epoch))


def budget_of(recipe: Recipe, batches: Batches) -> Budget:
    """The least of the recipe's epochs, steps and tokens. A step that goes beyond the tokens is the last."""
    bounds = [recipe.epochs * batches.steps]
    if recipe.steps is not None:
        bounds.append(recipe.steps)
    if recipe.tokens is not None:
        full = batches.count(0)
        whole, rest = divmod(recipe.tokens, full * (batches.steps - 1) + batches.count(batches.steps - 1))
        bounds.append(whole * batches.steps + -(-rest // full))
    return Budget(min(bounds), recipe.validate_every, batches.steps)
