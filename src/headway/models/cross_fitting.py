"""Models fitted to all rows but one part, for each part of the rows: every row is predicted by models that have not seen it.

Shapes: N rows, F numeric columns, C categorical columns, G n-grams of texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headway.data.inputs import Inputs
from headway.models.boosting import Boosting, features, predict, telling_ngrams
from headway.models.linear import Linear, LinearFit
from headway.tasks import Target, TargetTask

if TYPE_CHECKING:
    import lightgbm

Arrays = Mapping[str, np.ndarray]

OnTree = Callable[[int, int, float, float], int | None]
"""Called after each tree with the number of its part, its own, the training loss and the validation loss; see `Boosting.fit`."""

PARTS = 5
DISTINCT_OF_PART = 20
"""Different rows that a part must have."""
MOST_WORK = 500_000_000
"""Rows times columns times the trees of a part, times classes where each has its own: four to seven seconds of a core. On 33,000 rows of
fine dust, trees still get better after 5,000 of them, and one long growth is better than five short ones.
"""

SHARES = np.linspace(0, 1, 21)
"""The linear model's, that are tried."""


@dataclass(frozen=True)
class PartsFitter:
    """Fits trees and linear models to some of the rows.

    ``parts``: of the rows; `Ensemble.parts`. ``texts``: the n-grams of the rows, (N, G) sparse; None where no column becomes them.
    """

    boosting: Boosting
    parts: int | Literal["auto"]
    inputs: Inputs
    rows: Arrays
    target: Target
    seed: int
    patience: int
    threads: int
    on_tree: OnTree
    texts: Any = None

    def dealt(self) -> CrossFit | None:
        """The fits of several parts; None where rows recur so much that parts would differ in kind, and where their trees would take
        too long, which the first part tells.
        """
        if self.parts != "auto":
            stated = dealt_parts(self.rows, self.parts, self.seed, self.texts)
            return None if stated is None else self.crossed(stated)
        numbers = int(self._values * max(1, self.inputs.outputs - 1))
        trial = min(self.boosting.trees, MOST_WORK // numbers)
        if trial <= min(self.patience, self.boosting.trees - 1):
            return None
        parts = dealt_parts(self.rows, PARTS, self.seed, self.texts)
        if parts is None:
            return None
        first = self.grown(0, parts != 0, parts == 0, trial, ngrams=self._ngrams_of(parts))
        if (
            first.best_iteration + self.patience > trial < self.boosting.trees
        ):  # of the trees, LightGBM keeps the best alone
            return None
        return self.crossed(parts, first)

    def crossed(self, parts: np.ndarray, first: lightgbm.Booster | None = None) -> CrossFit:
        """Fits to all rows but one of the ``parts`` (N,), which number the rows held aside, and are -1 for the others."""
        task, inputs = self.target.learner, self.inputs
        trees = np.zeros((len(parts), *task.no_predictions(inputs.outputs).shape[1:]))
        linear = np.zeros_like(trees)
        boosters = [] if first is None else [first]
        ngrams = self._ngrams_of(parts)
        for number in range(parts.max() + 1):
            aside = parts == number
            if number == len(boosters):
                boosters.append(self.grown(number, ~aside, aside, self.boosting.trees, ngrams=ngrams))
            rows, texts = _take(self.rows, aside), self._texts_of(aside)
            trees[aside] = task.of_trees(self.target, predict(boosters[number], rows, inputs, texts))
            linear[aside] = task.linear_predictions(self.line(~aside).outputs(rows, texts))
        return CrossFit(task, inputs.outputs, self.rows, parts >= 0, boosters, trees, linear)

    def grown(
        self,
        number: int,
        learnt: np.ndarray,
        aside: np.ndarray,
        trees: int,
        stops: bool = True,
        ngrams: Sequence[int] | None = None,
    ) -> lightgbm.Booster:
        """At most so many ``trees``; fewer where the rows aside end their growth.

        ``ngrams``: those that have a column. Of these only the ones that tell most of the rows learnt are filled: what tells the target of
        the rows aside is not chosen by them.
        """
        rows, own = self._trees_rows, self._telling(learnt)
        texts = [self._texts_of(part, own) for part in (learnt, aside)]
        return self.boosting.model_copy(update={"trees": trees}).fit(
            self.inputs,
            _take(rows, learnt),
            _take(rows, aside),
            task=self.target.learner,
            seed=self.seed + number,
            patience=self.patience if stops else trees + 1,
            threads=self.threads,
            on_tree=lambda tree, ours, theirs: self.on_tree(number, tree, ours, theirs),
            texts=texts,
            ngrams=own if ngrams is None else ngrams,
        )

    def line(self, learnt: np.ndarray) -> LinearFit:
        """The linear model of these rows, with the scale of the n-grams that suits all of them."""
        return self._line(learnt, self._scale)

    @cached_property
    def _scale(self) -> float | None:
        """One of a few, so that choosing it by all rows hardly tells the rows aside; for each part it would take as long as five fits."""
        return None if self.texts is None else self._line(np.ones(len(self.rows["target"]), bool), None).scale

    def _line(self, learnt: np.ndarray, scale: float | None) -> LinearFit:
        return Linear(l2=self.boosting.l2).fit(
            _take(self.rows, learnt),
            self.inputs.categorical,
            self.inputs.outputs,
            task=self.target.learner,
            seed=self.seed,
            texts=self._texts_of(learnt),
            scale=scale,
        )

    @cached_property
    def _trees_rows(self) -> Arrays:
        return {**self.rows, "target": self.target.learner.trees_target(self.target, self.rows["target"])}

    @property
    def _values(self) -> float:
        """How many numbers trees read at most, zeros of n-grams left out."""
        dense = len(self.rows["target"]) * max(1, self.inputs.numeric + len(self.inputs.categorical))
        if self.texts is None:
            return dense
        return dense + self.texts[:, self._telling(np.ones(len(self.rows["target"]), bool))].nnz

    def _telling(self, learnt: np.ndarray) -> list[int]:
        """The n-grams that tell most of the target of these rows."""
        return telling_ngrams(self.target.learner, self._texts_of(learnt), _take(self._trees_rows, learnt))

    def _ngrams_of(self, parts: np.ndarray) -> list[int]:
        """Those that tell most of the rows beside any part: boosters of the same columns are one in the end."""
        return sorted({n for number in range(parts.max() + 1) for n in self._telling(parts != number)})

    def _texts_of(self, rows: np.ndarray, filled: Sequence[int] | None = None) -> Any:
        """(M, G) of these rows; of the n-grams but the ``filled`` ones nothing."""
        if self.texts is None:
            return None
        texts = self.texts[rows]
        if filled is None:
            return texts
        is_filled = np.zeros(texts.shape[1], texts.dtype)
        is_filled[list(filled)] = 1
        texts.data *= is_filled[texts.indices]
        texts.eliminate_zeros()
        return texts


@dataclass(frozen=True)
class CrossFit:
    """Boosters, and the predictions (N, ...) of trees and of linear models for the ``aside`` rows (N,), which these have not seen."""

    task: TargetTask
    outputs: int
    rows: Arrays
    aside: np.ndarray
    boosters: list[lightgbm.Booster]
    trees: np.ndarray
    linear: np.ndarray

    @property
    def best(self) -> tuple[int, ...]:
        """How many trees of each booster are the best."""
        return tuple(booster.best_iteration or booster.current_iteration() for booster in self.boosters)

    def pooled(self, share: float) -> np.ndarray:
        """(N, ...) predictions; ``share``: the linear model's."""
        return self.task.pooled(self.trees, self.linear, share)

    def loss(self, share: float) -> float:
        """Of the rows aside; NaN where they define none."""
        weight = self.rows["weight"][self.aside] if "weight" in self.rows else None
        criterion = self.task.criterion(self.outputs)
        try:
            value = criterion.of(self.rows["target"][self.aside], self.pooled(share)[self.aside], weight)
        except ValueError:
            return float("nan")
        return -value if criterion.higher_is_better else value

    def share(self) -> float:
        """The linear model's with which the loss is least; the smaller of equal ones."""
        return float(SHARES[int(np.argmin(np.nan_to_num([self.loss(share) for share in SHARES], nan=np.inf)))])


def _take(rows: Arrays, places: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[places] for name, array in rows.items()}


def dealt_parts(rows: Arrays, count: int, seed: int, texts: Any = None) -> np.ndarray | None:
    """(N,) the number of each row's part, at random; equal rows are in one part, and no part is empty.

    None where few rows differ, or many are equal: the models of the other parts would know nothing of such rows. Of one category with
    two values each model predicted the value that it had not seen: a validation AUC of .03.
    """
    contents = features(rows)
    if texts is not None:  # equal texts have equal products with two random directions, different ones do not
        directions = np.random.default_rng(seed).standard_normal((texts.shape[1], 2))
        contents = np.column_stack([contents, texts @ directions])
    contents = np.ascontiguousarray(contents)
    whole = contents.view(f"V{contents.itemsize * contents.shape[1]}").ravel()
    _, different, times = np.unique(whole, return_inverse=True, return_counts=True)
    few = len(times) < max(count, min(DISTINCT_OF_PART * count, len(whole) / 2))
    if few or times.max() > max(1, len(whole) / (2 * count)):
        return None
    order = np.random.default_rng(seed).permutation(len(times))
    return order[different] % count
