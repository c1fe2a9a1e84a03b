"""Boosted trees and a linear model together: the first choice for tables of numbers and categories, small and large.

The rows of training and validation are dealt into parts. Trees grow once for each part, which is held aside and ends their growth; the
mean of these is the trees' prediction (Breiman 1996, "Bagging Predictors"). So every row teaches, and every row is predicted once by
models that have not seen it. On these predictions the linear model gets the share with the least loss, often none (van der Laan, Polley
and Hubbard 2007, "Super Learner").

Shapes: N rows, F numeric columns, C categorical columns, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig
from headway.models.boosting import Boosting, features, load_trees, mean_of, predict
from headway.models.contributions import Contributions, completed
from headway.models.linear import Linear, LinearFit
from headway.tasks import Target, TargetTask

if TYPE_CHECKING:
    import lightgbm
    from torch import nn

    from headway.data.prepared import PreparedRows

Arrays = Mapping[str, np.ndarray]

OnTree = Callable[[int, int, float, float], int | None]
"""Called after each tree with the number of its part, its own, the training loss and the validation loss; see `Boosting.fit`."""

PARTS = 5
MOST_WORK = 500_000_000
"""Rows times columns times the trees of a part, times classes where each has its own: four to seven seconds of a core. On 33,000 rows of
fine dust, trees still get better after 5,000 of them, and one long growth is better than five short ones.
"""

SHARES = np.linspace(0, 1, 21)
"""The linear model's, that are tried."""

TREES, LINEAR = "model.txt", "linear.safetensors"


class Ensemble(ModelConfig):
    """Boosted trees on parts of the rows, and a linear model beside them where it helps."""

    is_network: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("lightgbm", "scipy")

    name: Literal["ensemble"] = "ensemble"
    parts: int | Literal["auto"] = Field(
        "auto",
        description="Parts of the rows, each held aside once while trees grow on the others; 1: trees grow on the training rows, and "
        "then as many on all. auto: 5 where rows are independent and a part takes seconds, else 1.",
    )
    trees: int = Field(5000, ge=1, le=100_000, description="Trees of a part at most; early stopping takes fewer.")
    learning_rate: float = Field(0.1, gt=0, le=1, description="Weight of each new tree.")
    leaves: int = Field(31, ge=2, le=131_072, description="Leaves of a tree at most.")
    min_leaf: int = Field(20, ge=1, description="Rows in a leaf at least.")
    l2: float = Field(1.0, gt=0, description="L2 penalty of leaf values, and of the linear model.")

    @property
    def boosting(self) -> Boosting:
        """The trees of one part."""
        names = ("trees", "learning_rate", "leaves", "min_leaf", "l2")
        return Boosting(**{name: getattr(self, name) for name in names})

    def fit(
        self,
        inputs: Inputs,
        train: Arrays,
        validation: Arrays,
        *,
        target: Target,
        seed: int,
        patience: int,
        threads: int,
        on_tree: OnTree,
        independent: bool,
        first: int = 0,
    ) -> tuple[EnsembleFit, Growth]:
        """``independent``: whether rows may be dealt as they come; else the validation rows alone are held aside. ``first``: the number of
        the first part.

        Arrays hold ``numeric`` (N, F), ``categorical`` (N, C) and ``target`` (N,): class codes, or numbers in their own unit;
        ``weight`` (N,) where rows do not count the same.
        """
        task = target.learner
        names = [name for name in ("numeric", "categorical", "target", "weight") if name in train]
        rows = {name: np.concatenate([train[name], validation[name]]) for name in names}
        is_validation = np.arange(len(rows["target"])) >= len(train["target"])
        trial = self._trial(rows, inputs, patience) if independent and self.parts == "auto" else None
        count = 1 if trial == 0 or not independent else PARTS if self.parts == "auto" else self.parts
        for_trees = {**rows, "target": task.trees_target(target, rows["target"])}
        parts = _dealt(rows, count, seed) if count > 1 else np.where(is_validation, 0, -1)

        def grown(
            number: int, learnt: np.ndarray, aside: np.ndarray, trees: int, stops: bool = True
        ) -> lightgbm.Booster:
            """At most so many ``trees``; fewer where the rows aside end their growth."""
            return self.boosting.model_copy(update={"trees": trees}).fit(
                inputs,
                _take(for_trees, learnt),
                _take(for_trees, aside),
                task=task,
                seed=seed + number,
                patience=patience if stops else trees + 1,
                threads=threads,
                on_tree=lambda tree, ours, theirs: on_tree(first + number, tree, ours, theirs),
            )

        def line(learnt: np.ndarray) -> LinearFit:
            return Linear(l2=self.l2).fit(_take(rows, learnt), inputs.categorical, inputs.outputs, task=task, seed=seed)

        boosters: list[lightgbm.Booster] = []
        trees = np.zeros((len(parts), *task.no_predictions(inputs.outputs).shape[1:]))
        linear = np.zeros_like(trees)
        for number in range(parts.max() + 1):
            aside = parts == number
            boosters.append(grown(number, ~aside, aside, trial if trial and number == 0 else self.trees))
            if number == 0 and trial and boosters[0].current_iteration() == trial < self.trees:
                alone = self.model_copy(update={"parts": 1})  # these trees would take too long
                more: Any = {"target": target, "seed": seed, "patience": patience, "threads": threads}
                return alone.fit(inputs, train, validation, **more, on_tree=on_tree, independent=False, first=1)
            trees[aside] = task.of_trees(target, predict(boosters[-1], _take(rows, aside), inputs))
            linear[aside] = task.linear_predictions(line(~aside).outputs(_take(rows, aside)))
        best = tuple(booster.best_iteration or booster.current_iteration() for booster in boosters)
        known, everything = parts >= 0, np.ones(len(parts), bool)
        weight = rows["weight"][known] if "weight" in rows else None
        share = _share(task, inputs.outputs, rows["target"][known], trees[known], linear[known], weight)
        if count == 1:
            boosters = [grown(1, everything, is_validation, best[0], stops=False)]
        fit = EnsembleFit(mean_of(boosters, best), line(everything) if share else None, share)
        held_aside = task.pooled(trees, linear, share)
        loss = _loss(task, inputs.outputs, rows["target"][known], held_aside[known], weight)
        return fit, Growth(best, loss, held_aside[is_validation])

    def contributions(
        self,
        model: EnsembleFit,
        inputs: Inputs,
        rows: PreparedRows,
        others: PreparedRows,
        target: Target,
        which: np.ndarray,
    ) -> Contributions:
        """Those of the trees and of the linear model by its share, as log-odds and numbers are averaged.

        On another scale than the target's own numbers are averaged after it: what that changes is spread over the columns.
        """
        trees = self.boosting.contributions(model.trees, inputs, rows, others, target, which)
        if model.linear is None:
            return trees
        from headway.models.attribution import linear_contributions

        line = linear_contributions(_network_of(model.linear, target), rows, others, target, which)
        values = (1 - model.share) * trees.values + model.share * line.values
        base = (1 - model.share) * trees.base + model.share * line.base
        if inputs.outputs == 1 and not target.objective.is_plain:
            own = target.objective.before_link(model.predict(rows.arrays, inputs, target))
            values = completed(values, own - base)
        return Contributions(values, base)

    def _trial(self, rows: Arrays, inputs: Inputs, patience: int) -> int:
        """How many trees the first of several parts may take; 0 where that is too few for it to end by itself."""
        columns = max(1, inputs.numeric + len(inputs.categorical))
        numbers = len(rows["target"]) * columns * max(1, inputs.outputs - 1)
        trees = min(self.trees, MOST_WORK // numbers)
        return trees if trees > min(patience, self.trees - 1) else 0


@dataclass(frozen=True)
class Growth:
    """How a fit went. ``trees``: of each part; ``loss``: of the rows held aside, NaN where they define none; ``validation``: predictions
    for the validation rows by models that had not seen them.
    """

    trees: tuple[int, ...]
    loss: float
    validation: np.ndarray


@dataclass(frozen=True)
class EnsembleFit:
    """The trees, and the linear model with its share of a prediction; None where that is 0."""

    trees: lightgbm.Booster
    linear: LinearFit | None
    share: float

    def predict(self, arrays: Arrays, inputs: Inputs, target: Target) -> np.ndarray:
        """(N, classes) float32 probabilities, or (N,) values in the target's own unit."""
        task = target.learner
        of_trees = task.of_trees(target, predict(self.trees, arrays, inputs))
        if self.linear is None:
            return of_trees
        return task.pooled(of_trees, task.linear_predictions(self.linear.outputs(arrays)), self.share)

    def write(self, folder: Path) -> None:
        """Into a bundle."""
        from safetensors.numpy import save_file

        (folder / TREES).write_text(self.trees.model_to_string())
        if self.linear is not None:
            arrays = {**self.linear.state(), "offsets": self.linear.offsets_C, "share": np.array([self.share])}
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(folder / LINEAR))

    @classmethod
    def read(cls, folder: Path) -> EnsembleFit:
        """From a bundle."""
        trees = load_trees((folder / TREES).read_text())
        if not (folder / LINEAR).exists():
            return cls(trees, None, 0.0)
        from safetensors.numpy import load_file

        arrays = load_file(folder / LINEAR)
        share = float(arrays.pop("share")[0])
        return cls(trees, LinearFit.of(arrays), share)


def _network_of(fit: LinearFit, target: Target) -> nn.Module:
    """The linear model as a network."""
    import torch

    from headway.models.layers import LinearNetwork

    counts = np.diff([*fit.offsets_C, len(fit.codes_VO)]).tolist()
    network = LinearNetwork(len(fit.numbers_FO), counts, len(fit.bias_O))
    state = fit.standardised(*target.learner.standard(target)).state()
    network.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in state.items()})
    return network


def _take(rows: Arrays, chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[chosen] for name, array in rows.items()}


def _dealt(rows: Arrays, count: int, seed: int) -> np.ndarray:
    """(N,) the number of each row's part, at random; equal rows are in one part, and no part is empty."""
    contents = np.ascontiguousarray(features(rows))
    _, different = np.unique(contents.view(f"V{contents.itemsize * contents.shape[1]}").ravel(), return_inverse=True)
    order = np.random.default_rng(seed).permutation(different.max() + 1)
    return order[different] % count


def _share(
    task: TargetTask,
    outputs: int,
    target: np.ndarray,
    trees: np.ndarray,
    linear: np.ndarray,
    weight: np.ndarray | None,
) -> float:
    """The linear model's share with which the loss is least; the smaller of equal ones."""
    losses = [_loss(task, outputs, target, task.pooled(trees, linear, share), weight) for share in SHARES]
    return float(SHARES[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))])


def _loss(
    task: TargetTask, outputs: int, target: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
) -> float:
    criterion = task.criterion(outputs)
    try:
        value = criterion.of(target, predictions, weight)
    except ValueError:
        return float("nan")
    return -value if criterion.higher_is_better else value
