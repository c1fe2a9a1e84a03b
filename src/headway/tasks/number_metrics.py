"""The metrics of numbers. Values come from scikit-learn, resampled ones from weighted sums.

Deviances are those of McCullagh and Nelder 1989, section 2.3; pinball loss: Koenker and Bassett 1978.

Shapes: N rows, R resamples. Target and prediction (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from headway.tasks.metric import (
    Columns,
    Metric,
    Resampled,
    Shared,
    Statistic,
    Value,
    mean_of,
    ratio,
    scikit_learns,
)


def _squared(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return (target.astype(np.float64) - prediction) ** 2


def _r2_of(target: np.ndarray, prediction: np.ndarray) -> float:
    if len(target) >= 2 and target.min() == target.max():
        raise ValueError("a constant target has no variance to explain")
    return scikit_learns("r2_score")(target, prediction)


def _r2(target: np.ndarray, prediction: np.ndarray, _shared: Shared) -> Resampled:
    mean = np.mean(target, dtype=np.float64)  # otherwise the spread is lost far from zero

    def columns(target: np.ndarray, prediction: np.ndarray) -> list[np.ndarray]:
        centered = target.astype(np.float64) - mean
        return [_squared(target, prediction), centered, centered**2]

    def value(sums: Sequence[np.ndarray]) -> np.ndarray:
        squared, centered, square, n = sums
        spread = square - n * (centered / n) ** 2
        return 1 - ratio(squared, np.where(spread > 0, spread, 0.0))

    return Statistic(Columns(columns, target, prediction), value)


def _absolute(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.abs(target - prediction)


def _mape_of(target: np.ndarray, prediction: np.ndarray) -> float:
    if (target == 0).any():
        raise ValueError("an error cannot be a share of 0")
    return scikit_learns("mean_absolute_percentage_error")(target, prediction)


def _shares(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.divide(np.abs(target - prediction), np.abs(target), out=np.full(len(target), np.nan), where=target != 0)


RMSE = Metric(
    "rmse", "RMSE", False, scikit_learns("root_mean_squared_error"), mean_of(_squared, root=True), is_error=True
)
MAE = Metric("mae", "MAE", False, scikit_learns("mean_absolute_error"), mean_of(_absolute), is_error=True)
R2 = Metric("r2", "R²", True, _r2_of, _r2, needs="different values")
MAPE = Metric(
    "mape",
    "MAPE",
    False,
    _mape_of,
    mean_of(_shares),
    is_error=True,
    needs="no zero",
)


def tweedie_losses(power: float, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """(N,) unit deviances of a Tweedie distribution: 1 is Poisson, 2 gamma."""
    y, mu = target.astype(np.float64), np.maximum(np.asarray(prediction, np.float64), 1e-30)
    if power == 1:
        safe = np.where(y > 0, y, 1.0)
        return 2 * (np.where(y > 0, y * np.log(safe / mu), 0.0) - y + mu)
    if power == 2:
        return 2 * (np.log(mu / np.maximum(y, 1e-30)) + y / mu - 1)
    return 2 * (
        np.maximum(y, 0) ** (2 - power) / ((1 - power) * (2 - power))
        - y * mu ** (1 - power) / (1 - power)
        + mu ** (2 - power) / (2 - power)
    )


def _deviance(name: str, title: str, power: float) -> Metric:
    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        from sklearn.metrics import mean_tweedie_deviance

        return float(mean_tweedie_deviance(target, prediction, power=power))  # ValueError where a value cannot be

    return Metric(
        name,
        title,
        False,
        value,
        mean_of(partial(tweedie_losses, power)),
        is_error=True,
        needs="domain",
    )


DEVIANCES = {
    "poisson": _deviance("poisson_deviance", "Poisson deviance", 1),
    "gamma": _deviance("gamma_deviance", "gamma deviance", 2),
}
"""By the loss that they are the metric of."""


@cache
def tweedie_deviance(power: float) -> Metric:
    """The metric of the loss tweedie: tweedie_deviance_150 for a power of 1.5."""
    return _deviance(f"tweedie_deviance_{round(power * 100)}", f"Tweedie deviance at {power:g}", power)


@cache
def pinball(quantile: float) -> Metric:
    """The metric of the loss quantile: pinball_90 for the quantile of .9."""

    def losses(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        above = target - np.asarray(prediction, np.float64)
        return np.maximum(quantile * above, (quantile - 1) * above)

    return Metric(
        f"pinball_{round(quantile * 100):02d}",
        f"pinball loss at {quantile:g}",
        False,
        _pinball_value(quantile),
        mean_of(losses),
        is_error=True,
    )


def _pinball_value(quantile: float) -> Value:
    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        from sklearn.metrics import mean_pinball_loss

        return float(mean_pinball_loss(target, prediction, alpha=quantile))

    return value


QUANTILES = tuple(percent / 100 for percent in range(1, 100))
POWERS = tuple(percent / 100 for percent in range(105, 200, 5))
FURTHER: tuple[Metric, ...] = (*DEVIANCES.values(), *map(pinball, QUANTILES), *map(tweedie_deviance, POWERS))
"""Metrics that are measured where the loss is theirs."""
