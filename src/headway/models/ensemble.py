"""Boosted trees and a linear model together: the first choice for tables of numbers, categories and texts, small and large.

The rows of training and validation are dealt into parts. Trees grow once for each part, which is held aside and ends their growth; the
mean of these is the trees' prediction (Breiman 1996, "Bagging Predictors"). So every row teaches, and every row is predicted once by
models that have not seen it. On these predictions the linear model gets the share with the least loss, often none (van der Laan, Polley
and Hubbard 2007, "Super Learner").

Shapes: N rows, F numeric columns, C categorical columns, G n-grams of texts, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from headway.data.inputs import Inputs
from headway.data.sparse import one_below_the_other, sparse
from headway.models.base import Estimator, ModelConfig
from headway.models.boosting import TREES, Boosting, Trees, load_trees, mean_of
from headway.models.contributions import Contributions, completed
from headway.models.cross_fitting import OnTree, PartsFitter
from headway.models.linear import LinearFit
from headway.tasks import Target

if TYPE_CHECKING:
    import lightgbm
    from torch import nn

    from headway.data.prepared_rows import PreparedRows

Arrays = Mapping[str, np.ndarray]

LINEAR = "linear.safetensors"


class Ensemble(ModelConfig):
    """Boosted trees on parts of the rows, and a linear model beside them where it helps."""

    is_network: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("lightgbm", "scipy")

    name: Literal["ensemble"] = "ensemble"
    parts: int | Literal["auto"] = Field(
        "auto",
        description="Parts of the rows, each held aside once while trees grow on the others; 1: trees grow on the training rows, and "
        "then as many on all. auto: 5 where rows are independent and a part takes seconds, otherwise 1. Where few rows differ: 1.",
    )
    trees: int = Field(5000, ge=1, le=100_000, description="The most trees of a part; early stopping ends with fewer.")
    learning_rate: float = Field(0.1, gt=0, le=1, description="Weight of each new tree.")
    leaves: int = Field(31, ge=2, le=131_072, description="The most leaves of a tree.")
    min_leaf: int = Field(20, ge=1, description="The fewest rows in a leaf.")
    l2: float = Field(1.0, gt=0, description="L2 penalty of leaf values, and of the linear model.")
    text: Literal["ngrams", "words"] = Field(
        "ngrams",
        description="How a text column is read: ngrams: TF-IDF of words and letter n-grams, of which trees read those that separate "
        "best; words: a 0/1 column for each of some words.",
    )

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    @property
    def boosting(self) -> Boosting:
        """The trees of one part."""
        names = ("trees", "learning_rate", "leaves", "min_leaf", "l2", "text")
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
        texts: Sequence[Any] = (None, None),
    ) -> tuple[EnsembleFit, Growth]:
        """``independent``: whether rows may be dealt as they come; otherwise the validation rows alone are held aside.

        Arrays hold ``numeric`` (N, F), ``categorical`` (N, C) and ``target`` (N,): class codes, or numbers in their own unit;
        ``weight`` (N,) where rows do not count the same. ``texts``: the n-grams of both, (N, G) sparse; None where no column becomes them.
        """
        names = [name for name in ("numeric", "categorical", "target", "weight") if name in train]
        rows = {name: np.concatenate([train[name], validation[name]]) for name in names}
        is_validation = np.arange(len(rows["target"])) >= len(train["target"])
        both = None if texts[0] is None else one_below_the_other(texts)
        fitter = PartsFitter(self.boosting, self.parts, inputs, rows, target, seed, patience, threads, on_tree, both)
        everything = np.ones(len(is_validation), bool)
        crossed = fitter.dealt() if independent and self.parts != 1 else None
        if crossed is None:
            crossed = fitter.crossed(np.where(is_validation, 0, -1))
            again = fitter.grown(1, everything, is_validation, crossed.best[0], stops=False)
            trees = mean_of([again], crossed.best)
        else:
            trees = mean_of(crossed.boosters, crossed.best)
        share = crossed.share()
        fit = EnsembleFit(trees, fitter.line(everything) if share else None, share)
        return fit, Growth(crossed.best, crossed.loss(share), crossed.pooled(share)[is_validation])

    def load(self, folder: Path, inputs: Inputs) -> EnsembleFit:
        del inputs
        return EnsembleFit.read(folder)

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
        trees = self.boosting.contributions(Trees(model.trees), inputs, rows, others, target, which)
        if model.linear is None:
            return trees
        from headway.models.attribution import linear_contributions

        line = linear_contributions(_network_of(model.linear, inputs, target), rows, others, target, which)
        values = (1 - model.share) * trees.values + model.share * line.values
        base = (1 - model.share) * trees.base + model.share * line.base
        if inputs.outputs == 1 and not target.objective.is_plain:
            own = target.objective.before_link(
                model.predict(rows.arrays, inputs, target, sparse(rows.ragged, inputs.tokens))
            )
            values = completed(values, own - base)
        return Contributions(values, base)


@dataclass(frozen=True)
class Growth:
    """How a fit went. ``trees``: of each part; ``loss``: of the rows held aside, NaN where they define none; ``validation``: predictions
    for the validation rows by models that had not seen them.
    """

    trees: tuple[int, ...]
    loss: float
    validation: np.ndarray


@dataclass(frozen=True)
class EnsembleFit(Estimator):
    """The trees, and the linear model with its share of a prediction; None where that is 0."""

    trees: lightgbm.Booster
    linear: LinearFit | None
    share: float

    def predict(self, arrays: Arrays, inputs: Inputs, target: Target, texts: Any = None) -> np.ndarray:
        task, of_trees = target.learner, Trees(self.trees).predict(arrays, inputs, target, texts)
        if self.linear is None:
            return of_trees
        return task.pooled(of_trees, task.linear_predictions(self.linear.outputs(arrays, texts)), self.share)

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


def _network_of(fit: LinearFit, inputs: Inputs, target: Target) -> nn.Module:
    """The linear model as a network."""
    import torch

    from headway.models.layers import LinearNetwork

    counts = np.diff([*fit.offsets_C, len(fit.codes_VO)]).tolist()
    network = LinearNetwork(len(fit.numbers_FO), counts, len(fit.bias_O), inputs.tokens)
    state = fit.standardised(*target.learner.standard(target)).state()
    network.load_state_dict({name: torch.from_numpy(array.astype(np.float32)) for name, array in state.items()})
    return network
