"""What models and baselines without a network ask of a task: linear models, trees, and predictions that are made of others.

Shapes: N rows, F numeric columns, V codes of all categorical columns, G columns of a sparse matrix, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Weights = tuple[np.ndarray, np.ndarray]
"""Of a linear model: (F + V, O), and the bias (O,)."""


class Shallow(ABC):
    """A target as scikit-learn and LightGBM learn it."""

    @abstractmethod
    def lightgbm(self, outputs: int) -> tuple[str | Callable[..., Any], str | Callable[..., Any]]:
        """The objective and the metric of LightGBM: names that it has, or functions as it calls them."""

    def lightgbm_options(self, outputs: int) -> Mapping[str, float]:
        """Further parameters of LightGBM's objective."""
        del outputs
        return {}

    @abstractmethod
    def solve_linear(
        self, x: Any, target: np.ndarray, outputs: int, l2: float, weights: np.ndarray | None = None
    ) -> Weights:
        """A linear model of x (N, F + V), sparse, fitted to its optimum by scikit-learn; ``target`` is in its own unit.

        ``weights`` (N,) of the rows; None where each counts the same.
        """

    @abstractmethod
    def is_one_score(self, outputs: int) -> bool:
        """Whether one number says all of a prediction: a value, or the probability of one of two classes."""

    @abstractmethod
    def of_scores(self, scores: np.ndarray) -> np.ndarray:
        """Such numbers, (N,), as predictions."""

    @abstractmethod
    def trivial(self, target: np.ndarray, outputs: int, rows: int) -> np.ndarray:
        """The predictions for so many rows of who knows only the training rows' target."""

    def telling(self, x: Any, target: np.ndarray, most: int) -> np.ndarray:
        """(M,): at most so many columns of x (N, G), sparse and not negative, those that tell most of the target, in order."""
        strengths = self.strengths(x, target)
        return np.sort(np.argsort(-np.nan_to_num(strengths), kind="stable")[:most])

    @abstractmethod
    def strengths(self, x: Any, target: np.ndarray) -> np.ndarray:
        """(G,): how much each column of x (N, G), sparse and not negative, tells of the target; NaN of one that says nothing."""

    @abstractmethod
    def linear_predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions of a linear model with ``solve_linear``'s weights, from its outputs (N, O)."""

    @abstractmethod
    def pooled(self, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
        """Predictions of two models as one; ``share``: the second one's."""

    @abstractmethod
    def boosted(
        self,
        x: np.ndarray,
        target: np.ndarray,
        z: np.ndarray,
        outputs: int,
        options: Mapping[str, Any],
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predictions for the rows ``z`` of scikit-learn's histogram gradient boosting, fitted to the rows ``x`` with their weights."""
