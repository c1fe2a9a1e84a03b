"""What tasks whose target is a number have in common.

Shapes: N rows, B batch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from headway.columns.summary import Summary
from headway.errors import DataError
from headway.tasks.base import Answered, Target, TargetTask
from headway.tasks.metric import Metric
from headway.tasks.number_metrics import FURTHER, MAE, MAPE, R2, RMSE
from headway.tasks.proposal import Problem

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Numbers(TargetTask):
    """A target of numbers, of which a model gives one for a row."""

    kind = "numeric"
    dtype = np.dtype(np.float64)
    metrics: ClassVar[tuple[Metric, ...]] = (RMSE, MAE, R2, MAPE)
    further: ClassVar[tuple[Metric, ...]] = FURTHER
    baselines = ("trivial", "linear", "boosting", "naive", "seasonal_naive")

    def problems(self, summary: Summary, positive: str | None) -> list[Problem]:
        del summary, positive
        return []

    def fit(self, summary: Summary, positive: str | None) -> Target:
        del positive
        if summary.mean is None or not summary.std:
            raise DataError(f"the target {summary.name} must vary, but every training row has the same value")
        return self.fitted(summary.name, summary.mean, summary.std)

    @abstractmethod
    def fitted(self, column: str, mean: float, std: float) -> Target:
        """Fitted to a column of this mean and spread."""

    def outputs(self, target: Target) -> int:
        del target
        return 1

    def encode(self, target: Target, column: pa.Array) -> np.ndarray:
        del target
        return column.to_numpy(zero_copy_only=False).astype(np.float64)

    def answer(self, target: Target, predictions: np.ndarray) -> pd.DataFrame:
        """`prediction` alone."""
        import pandas as pd

        del target
        return pd.DataFrame({"prediction": np.asarray(predictions, np.float64)})

    def answered(self, classes: Sequence[str]) -> dict[str, Answered]:
        del classes
        return {"prediction": "double"}

    def strengths(self, x: Any, target: np.ndarray) -> np.ndarray:
        """F of a regression on the column alone."""
        from sklearn.feature_selection import f_regression

        return f_regression(x, target)[0]

    def no_predictions(self, outputs: int) -> np.ndarray:
        del outputs
        return np.zeros(0, np.float32)

    def default_metric(self, classes: int) -> str:
        del classes
        return self.metrics[0].name

    def pictures(self, classes: Sequence[str], target: np.ndarray) -> tuple[str, ...]:
        del classes, target
        return ("residuals",)

    def is_one_score(self, outputs: int) -> bool:
        return outputs == 1

    def of_scores(self, scores: np.ndarray) -> np.ndarray:
        return scores

    def trivial(self, target: np.ndarray, outputs: int, rows: int) -> np.ndarray:
        """Always their mean."""
        del outputs
        return np.full(rows, float(np.mean(target)))

    def pooled(self, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
        """The weighted mean."""
        return (1 - share) * np.asarray(first, np.float64) + share * np.asarray(second, np.float64)

    def boosted(
        self,
        x: np.ndarray,
        target: np.ndarray,
        z: np.ndarray,
        outputs: int,
        options: Mapping[str, Any],
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        from sklearn.ensemble import HistGradientBoostingRegressor

        del outputs
        return np.asarray(HistGradientBoostingRegressor(**options).fit(x, target, weights).predict(z), np.float64)

    def margins(self, target: Target, outputs: Tensor) -> Tensor:
        """In the target's own unit, or on the scale on which it is learnt; members averaged."""
        values = outputs.squeeze(-1)
        values = values.mean(1) if values.ndim == 2 else values
        center, spread = self.standard(target)
        return (values * spread + center)[:, None]

    def margin_names(self, target: Target) -> tuple[str, ...]:
        return (target.column,)

    def why(self, distinct: str) -> str:
        return f"is a number with {distinct}"
