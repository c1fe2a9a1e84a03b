"""A linear model: logistic or ridge regression on standardised numbers, one-hot categories and weighted n-grams of texts.

Fitted to its optimum by scikit-learn: the measure that anything larger must meet, and on small or honest tables and on texts often the
best choice.
Hastie, Tibshirani and Friedman 2009, "The Elements of Statistical Learning", sections 3.4.1 and 4.4.

Shapes: N rows, B batch, F numeric columns, C categorical columns, V codes of all columns together, O outputs,
G n-grams of all columns together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from headway.data.inputs import Inputs
from headway.data.sparse import side_by_side
from headway.models.base import ModelConfig
from headway.models.contributions import Contributions
from headway.tasks import Target, TargetTask

if TYPE_CHECKING:
    from torch import nn

    from headway.data.prepared_rows import PreparedRows

Arrays = Mapping[str, np.ndarray]

CHUNK = 65_536
"""Rows predicted at once: in float64, all rows of a large table would take several times its memory."""


SCALES = (1.0, 1 / 4, 1 / 16, 1 / 64)
"""Of the n-grams, tried in this order until one is worse. Single words tell a topic; where a text hardly tells the target, they fit noise:
in two months of loans the AUC is .741 with 1, .783 with the scale that is chosen, and .784 with a few words' flags."""

SAMPLE = 6000
"""Training rows on which a scale is chosen."""


@dataclass(frozen=True)
class LinearFit:
    """(x - center) / spread times numbers_FO, plus a row of codes_VO for each code, plus weights times ngrams_GO, plus bias_O."""

    center_F: np.ndarray
    spread_F: np.ndarray
    numbers_FO: np.ndarray
    codes_VO: np.ndarray
    bias_O: np.ndarray
    offsets_C: np.ndarray
    ngrams_GO: np.ndarray | None = None
    scale: float = 1.0
    """The factor of the n-grams in the fit, which ``ngrams_GO`` has in it."""

    def outputs(self, arrays: Arrays, texts: Any = None) -> np.ndarray:
        """(N, O) logits, or values in the target's own unit. ``texts`` (N, G) sparse: see `headway.data.sparse`."""
        numeric, categorical = np.asarray(arrays["numeric"]), np.asarray(arrays["categorical"])
        chunks = range(0, max(1, len(numeric)), CHUNK)
        outputs = np.concatenate([self._outputs(numeric[i : i + CHUNK], categorical[i : i + CHUNK]) for i in chunks])
        return outputs if texts is None else outputs + texts @ self.ngrams_GO

    def _outputs(self, numeric: np.ndarray, categorical: np.ndarray) -> np.ndarray:
        numbers = (numeric.astype(np.float64) - self.center_F) / self.spread_F
        return numbers @ self.numbers_FO + self.codes_VO[categorical + self.offsets_C].sum(1) + self.bias_O

    def standardised(self, mean: float, std: float) -> LinearFit:
        """The same for a target that a network sees as (value - mean) / std."""
        return replace(
            self,
            numbers_FO=self.numbers_FO / std,
            codes_VO=self.codes_VO / std,
            bias_O=(self.bias_O - mean) / std,
            ngrams_GO=None if self.ngrams_GO is None else self.ngrams_GO / std,
        )

    def state(self) -> dict[str, np.ndarray]:
        """The weights by the names of the network's parameters."""
        weights = {"center": self.center_F, "spread": self.spread_F, "numbers": self.numbers_FO}
        texts = {} if self.ngrams_GO is None else {"ngrams": self.ngrams_GO}
        return {**weights, "codes": self.codes_VO, "bias": self.bias_O, **texts}

    @classmethod
    def of(cls, state: Mapping[str, np.ndarray]) -> LinearFit:
        """From ``state`` and the ``offsets``."""
        names = ("center", "spread", "numbers", "codes", "bias", "offsets")
        return cls(*(state[name] for name in names), ngrams_GO=state.get("ngrams"))


class Linear(ModelConfig):
    """Logistic or ridge regression, fitted at once: of the recipe only the seed is used."""

    is_network: ClassVar[bool] = False
    has_chance: ClassVar[bool] = False
    lacks: ClassVar[frozenset[str]] = frozenset({"mae", "huber", "quantile", "focal"})

    name: Literal["linear"] = "linear"
    l2: float = Field(1.0, gt=0, description="Strength of the L2 penalty: scikit-learn's 1 / C, or alpha.")
    rows: int = Field(
        200_000, ge=100, description="The most training rows, drawn at random; a linear model rarely needs more."
    )

    text: Literal["ngrams", "words"] = Field(
        "ngrams",
        description="How a text column is read: ngrams: TF-IDF of words and letter n-grams; words: a 0/1 column for each of some words.",
    )

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def build(self, inputs: Inputs) -> nn.Module:
        """x_BF, codes_BC and weighted n-grams to outputs_BO."""
        from headway.models.layers import LinearNetwork

        return LinearNetwork(inputs.numeric, inputs.categorical, inputs.outputs, inputs.tokens)

    def contributions(
        self,
        model: Any,
        inputs: Inputs,
        rows: PreparedRows,
        others: PreparedRows,
        target: Target,
        which: np.ndarray,
    ) -> Contributions:
        """In closed form: what a column adds to this row, less what it adds to the others on average."""
        del inputs
        from headway.models.attribution import linear_contributions

        return linear_contributions(model, rows, others, target, which)

    def fit(
        self,
        train: Arrays,
        cardinalities: Sequence[int],
        outputs: int,
        *,
        task: TargetTask,
        seed: int,
        texts: Any = None,
        scale: float | None = None,
    ) -> LinearFit:
        """Fit on ``numeric`` (N, F), ``categorical`` (N, C) and ``target`` (N,): class codes, or numbers in their own unit.

        ``texts`` (N, G) sparse, where columns become n-grams; ``scale``: their factor, by default the one that is best on rows held aside.
        """
        rows = np.arange(len(train["target"]))
        if len(rows) > self.rows:
            rows = np.sort(np.random.default_rng(seed).choice(rows, self.rows, replace=False))
        numeric = np.asarray(train["numeric"])[rows].astype(np.float64)
        center, spread = _scale(numeric)
        offsets = np.concatenate([[0], np.cumsum(cardinalities)])[: len(cardinalities)].astype(np.int64)
        codes = np.asarray(train["categorical"])[rows] + offsets
        x = _one_hot((numeric - center) / spread, codes, int(sum(cardinalities)))
        target = np.asarray(train["target"])[rows]
        row_weights = np.asarray(train["weight"])[rows] if "weight" in train else None
        if texts is not None:
            if scale is None:
                scale = self._scale_of(x, texts[rows], target, outputs, task, seed, row_weights)
            x = side_by_side(x, texts[rows] * scale)
        weights, bias_O = task.solve_linear(x, target, outputs, self.l2, row_weights)
        ends = np.cumsum([numeric.shape[1], sum(cardinalities)])
        numbers_FO, codes_VO, ngrams_GO = np.split(weights, ends)
        ngrams = None if texts is None else ngrams_GO * scale
        return LinearFit(center, spread, numbers_FO, codes_VO, bias_O, offsets, ngrams, scale or 1.0)

    def _scale_of(
        self,
        x: Any,
        texts: Any,
        target: np.ndarray,
        outputs: int,
        task: TargetTask,
        seed: int,
        row_weights: np.ndarray | None,
    ) -> float:
        """The factor of the n-grams with which a fit is best on rows held aside: the smaller, the stronger their penalty."""
        rows = np.random.default_rng(seed).permutation(len(target))[:SAMPLE]
        aside, rest = rows[: len(rows) // 5], rows[len(rows) // 5 :]
        criterion = task.criterion(outputs)
        best, lowest = SCALES[0], np.inf
        for scale in SCALES:
            weights, bias_O = task.solve_linear(
                side_by_side(x[rest], texts[rest] * scale),
                target[rest],
                outputs,
                self.l2,
                None if row_weights is None else row_weights[rest],
            )
            predictions = task.linear_predictions(side_by_side(x[aside], texts[aside] * scale) @ weights + bias_O)
            try:
                value = criterion.of(target[aside], predictions, None if row_weights is None else row_weights[aside])
            except ValueError:  # too few rows
                return best
            loss = -value if criterion.higher_is_better else value
            if not loss < lowest:
                break
            best, lowest = scale, loss
        return best


def _scale(numeric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (F,); 1 for a constant, which would otherwise be blown up by its rounding error."""
    constant = numeric.min(0) == numeric.max(0)
    return numeric.mean(0), np.where(constant, 1.0, numeric.std(0))


def _one_hot(numeric: np.ndarray, codes: np.ndarray, width: int) -> Any:
    """(N, F + V) sparse, each row with all of its numbers and one 1 for each code: to look for zeros first takes four times as long."""
    import scipy.sparse

    (rows, numbers), columns = numeric.shape, codes.shape[1]
    values, places = np.ones((rows, numbers + columns)), np.empty((rows, numbers + columns), np.int32)
    values[:, :numbers], places[:, :numbers], places[:, numbers:] = numeric, np.arange(numbers), numbers + codes
    pointers = np.arange(rows + 1) * (numbers + columns)
    return scipy.sparse.csr_matrix((values.ravel(), places.ravel(), pointers), shape=(rows, numbers + width))
