"""A linear model: logistic or ridge regression on standardised numbers and one-hot categories, fitted to its optimum by scikit-learn.

The measure that anything larger must meet, and on small or honest tables often the best choice.
Hastie, Tibshirani and Friedman 2009, "The Elements of Statistical Learning", sections 3.4.1 and 4.4.

Shapes: N rows, B batch, F numeric columns, C categorical columns, V codes of all columns together, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig
from headway.tasks import TargetTask

if TYPE_CHECKING:
    from torch import nn

Arrays = Mapping[str, np.ndarray]

CHUNK = 65_536
"""Rows predicted at once: in float64, all rows of a large table would take several times its memory."""


@dataclass(frozen=True)
class LinearFit:
    """(x - center) / spread times numbers_FO, plus a row of codes_VO for each code, plus bias_O."""

    center_F: np.ndarray
    spread_F: np.ndarray
    numbers_FO: np.ndarray
    codes_VO: np.ndarray
    bias_O: np.ndarray
    offsets_C: np.ndarray

    def outputs(self, arrays: Arrays) -> np.ndarray:
        """(N, O) logits, or values in the target's own unit."""
        numeric, categorical = np.asarray(arrays["numeric"]), np.asarray(arrays["categorical"])
        chunks = range(0, max(1, len(numeric)), CHUNK)
        return np.concatenate([self._outputs(numeric[i : i + CHUNK], categorical[i : i + CHUNK]) for i in chunks])

    def _outputs(self, numeric: np.ndarray, categorical: np.ndarray) -> np.ndarray:
        numbers = (numeric.astype(np.float64) - self.center_F) / self.spread_F
        return numbers @ self.numbers_FO + self.codes_VO[categorical + self.offsets_C].sum(1) + self.bias_O

    def standardised(self, mean: float, std: float) -> LinearFit:
        """The same for a target that a network sees as (value - mean) / std."""
        codes = self.codes_VO / std
        return LinearFit(
            self.center_F, self.spread_F, self.numbers_FO / std, codes, (self.bias_O - mean) / std, self.offsets_C
        )

    def state(self) -> dict[str, np.ndarray]:
        """The weights by the names of the network's parameters."""
        weights = {"center": self.center_F, "spread": self.spread_F, "numbers": self.numbers_FO}
        return {**weights, "codes": self.codes_VO, "bias": self.bias_O}


class Linear(ModelConfig):
    """Logistic or ridge regression, fitted at once: of the recipe only the seed is used."""

    is_network: ClassVar[bool] = False

    name: Literal["linear"] = "linear"
    l2: float = Field(1.0, gt=0, description="Strength of the L2 penalty: scikit-learn's 1 / C, or alpha.")
    rows: int = Field(
        200_000, ge=100, description="Training rows at most, drawn at random: a linear model is settled by far fewer."
    )

    def build(self, inputs: Inputs) -> nn.Module:
        """x_BF and codes_BC to outputs_BO."""
        from headway.models.layers import LinearNetwork

        return LinearNetwork(inputs.numeric, inputs.categorical, inputs.outputs)

    def fit(
        self, train: Arrays, cardinalities: Sequence[int], outputs: int, *, task: TargetTask, seed: int
    ) -> LinearFit:
        """Fit on ``numeric`` (N, F), ``categorical`` (N, C) and ``target`` (N,): class codes, or numbers in their own unit."""
        rows = np.arange(len(train["target"]))
        if len(rows) > self.rows:
            rows = np.sort(np.random.default_rng(seed).choice(rows, self.rows, replace=False))
        numeric = np.asarray(train["numeric"])[rows].astype(np.float64)
        center, spread = _scale(numeric)
        offsets = np.concatenate([[0], np.cumsum(cardinalities)])[: len(cardinalities)].astype(np.int64)
        codes = np.asarray(train["categorical"])[rows] + offsets
        x = _one_hot((numeric - center) / spread, codes, int(sum(cardinalities)))
        weights_VO, bias_O = task.solve_linear(x, np.asarray(train["target"])[rows], outputs, self.l2)
        split = numeric.shape[1]
        return LinearFit(center, spread, weights_VO[:split], weights_VO[split:], bias_O, offsets)


def _scale(numeric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (F,); 1 for a constant, which would otherwise be blown up by its rounding error."""
    constant = numeric.min(0) == numeric.max(0)
    return numeric.mean(0), np.where(constant, 1.0, numeric.std(0))


def _one_hot(numeric: np.ndarray, codes: np.ndarray, width: int) -> Any:
    """(N, F + V) sparse."""
    import scipy.sparse

    rows, columns = codes.shape
    pointers = np.arange(rows + 1) * columns
    hot = scipy.sparse.csr_matrix((np.ones(codes.size), codes.ravel(), pointers), shape=(rows, width))
    return scipy.sparse.hstack([scipy.sparse.csr_matrix(numeric), hot], format="csr")
