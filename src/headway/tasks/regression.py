"""A number: squared error on the standardised target, or another loss, or another scale (`headway.tasks.objective`).

Shapes: N rows, B batch, K members.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from headway.tasks.base import Target
from headway.tasks.metric import Metric
from headway.tasks.number_losses import losses
from headway.tasks.number_metrics import DEVIANCES, MAE, RMSE, pinball, tweedie_deviance
from headway.tasks.numbers import Numbers
from headway.tasks.objective import PLAIN, Objective, weighted_mean
from headway.tasks.shallow import Weights

if TYPE_CHECKING:
    from torch import Tensor

LIGHTGBM = {
    "mae": ("regression_l1", "l1"),
    "huber": ("huber", "huber"),
    "quantile": ("quantile", "quantile"),
    "poisson": ("poisson", "poisson"),
    "gamma": ("gamma", "gamma"),
    "tweedie": ("tweedie", "tweedie"),
}
"""LightGBM's objective and metric of each loss but squared error."""

SCIKIT_LEARNS = {
    "mae": "absolute_error",
    "quantile": "quantile",
    "poisson": "poisson",
    "gamma": "gamma",
    "tweedie": "poisson",
}
"""The nearest loss that scikit-learn's histogram gradient boosting has, where it is not squared error."""

TINY = 1e-12
"""The least expected value whose logarithm is taken."""


class Regression(Numbers):
    """One number a row. An instance holds nothing but what is minimised."""

    has_interval = True
    losses = ("auto", "mse", "mae", "huber", "quantile", "poisson", "gamma", "tweedie")

    def __init__(self, objective: Objective = PLAIN) -> None:
        self.objective = objective

    def minimising(self, objective: Objective) -> Self:
        return self if objective == self.objective or objective.is_plain else type(self)(objective)

    def fitted(self, column: str, mean: float, std: float) -> Target:
        return Target(column, "regression", (), mean, std)

    @property
    def measured(self) -> tuple[Metric, ...]:
        own = self._own_metric
        return self.metrics if own in self.metrics else (*self.metrics, own)

    @property
    def _own_metric(self) -> Metric:
        """The metric of what is minimised."""
        objective = self.objective
        if objective.loss == "quantile":
            return pinball(objective.quantile)
        if objective.loss == "tweedie":
            return tweedie_deviance(objective.power)
        return {**DEVIANCES, "mae": MAE}.get(objective.loss, RMSE)

    def default_metric(self, classes: int) -> str:
        del classes
        return self._own_metric.name

    # Training

    def standard(self, target: Target) -> tuple[float, float]:
        own = self.objective
        return (target.mean, target.std) if own.is_plain else (own.center, own.spread)

    def training_target(self, target: Target, values: np.ndarray) -> np.ndarray:
        if not self.objective.is_plain:
            return self.objective.standardised(values)
        return ((np.asarray(values) - target.mean) / target.std).astype(np.float32)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0, weight: Tensor | None = None) -> Tensor:
        from torch.nn import functional

        del smoothing
        outputs = _whole(outputs.squeeze(-1))
        if outputs.ndim == 2:
            target = target[:, None].expand_as(outputs)
        if self.objective.is_plain and weight is None:
            return functional.mse_loss(outputs, target)
        each = losses(self.objective, outputs, target)
        if weight is not None:
            each = each * (weight[:, None] if each.ndim == 2 else weight)
        return each.mean()

    def decode(self, outputs: Tensor) -> Tensor:
        values = _whole(outputs.squeeze(-1))
        values = values.exp() if self.objective.has_log_link else values
        return values.mean(1) if values.ndim == 2 else values

    def score(self, decoded: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
        from torch.nn import functional

        if self.objective.is_plain and weight is None:
            return float(functional.mse_loss(decoded, target))
        outputs = decoded.clamp_min(TINY).log() if self.objective.has_log_link else decoded
        return float(weighted_mean(losses(self.objective, outputs, target), weight))

    def finish(self, target: Target, decoded: np.ndarray) -> np.ndarray:
        if not self.objective.is_plain:
            return self.objective.restored(decoded)
        return decoded.astype(np.float64) * target.std + target.mean

    def apart(self, target: Target, one: np.ndarray, other: np.ndarray) -> float:
        if self.objective.is_plain:
            return super().apart(target, one, other)
        if self.objective.has_log_link:
            return float(np.abs(np.log(one) - np.log(other)).max())
        return (
            float(np.abs(self.objective.on_scale(one) - self.objective.on_scale(other)).max()) / self.objective.spread
        )

    # Trees

    def lightgbm(self, outputs: int) -> tuple[str, str]:
        del outputs
        return LIGHTGBM.get(self.objective.loss, ("regression", "l2"))

    def lightgbm_options(self, outputs: int) -> Mapping[str, float]:
        del outputs
        own = self.objective
        options = {"huber": {"alpha": own.delta}, "quantile": {"alpha": own.quantile}}
        return {**options, "tweedie": {"tweedie_variance_power": own.power}}.get(own.loss, {})

    def trees_target(self, target: Target, values: np.ndarray) -> np.ndarray:
        """Squared error in the target's own unit, everything else standardised: huber's delta is in standard deviations."""
        del target
        return np.asarray(values) if self.objective.is_plain else self.objective.standardised(values)

    def of_trees(self, target: Target, values: np.ndarray) -> np.ndarray:
        del target
        return values if self.objective.is_plain else self.objective.restored(values)

    # Reasons

    def margins(self, target: Target, outputs: Tensor) -> Tensor:
        if (
            self.objective.has_log_link and outputs.ndim == 3
        ):  # the members' expected values are averaged, not their logarithms
            outputs = outputs.logsumexp(1) - math.log(outputs.shape[1])
        return super().margins(target, outputs)

    def margin_names(self, target: Target) -> tuple[str, ...]:
        scale = "log" if self.objective.has_log_link else self.objective.scale
        return ({"log": f"log of {target.column}", "log1p": f"log of 1 + {target.column}"}.get(scale, target.column),)

    def trees_standard(self, target: Target) -> tuple[float, float]:
        return super().trees_standard(target) if self.objective.is_plain else self.standard(target)

    # Baselines

    def trivial(self, target: np.ndarray, outputs: int, rows: int) -> np.ndarray:
        """Always the one value of least loss."""
        own = self.objective
        if own.is_plain:
            return super().trivial(target, outputs, rows)
        values = own.on_scale(target)
        best = np.mean(values) if self._level is None else np.quantile(values, self._level)
        return own.off_scale(np.full(rows, float(best)))

    @property
    def _level(self) -> float | None:
        """The quantile that is predicted; None where it is the mean."""
        own = self.objective
        return {"mae": 0.5, "quantile": own.quantile}.get(own.loss)

    def solve_linear(
        self, x: Any, target: np.ndarray, outputs: int, l2: float, weights: np.ndarray | None = None
    ) -> Weights:
        """Ridge regression on the target's scale, moved to the quantile of its residuals; with a log link a generalised linear model."""
        from sklearn.linear_model import Ridge, TweedieRegressor

        del outputs
        own = self.objective
        if own.has_log_link:
            power = {"poisson": 1.0, "gamma": 2.0}.get(own.loss, own.power)
            model = TweedieRegressor(power=power, alpha=l2 / len(target), link="log", max_iter=1000)
            # lbfgs' tolerance is absolute: in their own unit, tiny targets would learn nothing
            unit = float(np.average(target, weights=weights)) or 1.0
            model.fit(x, target / unit, weights)
            return np.asarray(model.coef_, np.float64)[:, None], np.array([model.intercept_ + np.log(unit)], np.float64)
        target = target if own.is_plain else own.on_scale(target)
        ridge = Ridge(alpha=l2).fit(x, target, weights)
        bias = ridge.intercept_
        if self._level is not None:
            bias += np.quantile(target - ridge.predict(x), self._level, method="inverted_cdf", weights=weights)
        return np.asarray(ridge.coef_, np.float64)[:, None], np.array([bias], np.float64)

    def linear_predictions(self, outputs: np.ndarray) -> np.ndarray:
        values = outputs[:, 0]
        if self.objective.is_plain:
            return values
        return np.exp(values) if self.objective.has_log_link else self.objective.off_scale(values)

    def boosted(
        self,
        x: np.ndarray,
        target: np.ndarray,
        z: np.ndarray,
        outputs: int,
        options: Mapping[str, Any],
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        own = self.objective
        if own.is_plain:
            return super().boosted(x, target, z, outputs, options, weights)
        options = {**options, "loss": SCIKIT_LEARNS.get(own.loss, "squared_error")}
        options |= {"quantile": own.quantile} if own.loss == "quantile" else {}
        return own.off_scale(super().boosted(x, own.on_scale(target), z, outputs, options, weights))

    def suits(self, distinct: int, numbers: np.ndarray | None) -> bool:
        del distinct
        return numbers is not None


def _whole(values: Tensor) -> Tensor:
    """In fp32 where the format is a coarser one."""
    return values if values.element_size() == 8 else values.float()


TASK = Regression()
