"""Where a regression's target lies around its prediction: an interval whose width follows the prediction.

Errors are seldom of one size: a house of 500,000 is missed by more than one of 100,000. One width for all then holds 99 % of the small
targets and 75 % of the large ones, where 90 % are stated. So the ends are functions of the prediction, estimated from the residuals of
the validation rows, and corrected so that rows outside of the estimate lie within them as often as stated, in each quarter of the
predictions. Where the inputs tell more of the errors than the prediction does, the ends are multiples of the error to be expected
(headway.serve.spread).

Shapes: N rows, K knots, P inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headway.serve.spread import Spread, fit_spread

if TYPE_CHECKING:
    from headway.evaluate.resample import Units

ROWS_OF_KNOT = 200
"""Validation rows behind each knot. Of 50, 100, 200 and 350, measured with trees and a linear model on two tables, 200 gives quarters the
coverage nearest to the level: fewer rows are noise, more cannot follow."""
MOST_KNOTS = 20
GROUPS = 4
ROWS_OF_GROUP = 100
"""Validation rows of a group with its own correction. With one for all, a linear model's held 94 % of bike_sharing's smallest quarter."""
FEWEST_VARYING = 2 * ROWS_OF_GROUP
"""With fewer validation rows, all intervals have one width."""
MOST_ROWS = 50_000
"""More validation rows are not used: a quarter of them tells its ends to .15 points."""
FOLDS = 10


def rows_to_fit(count: int) -> np.ndarray:
    """The numbers, in order, of the validation rows that an interval is fitted to: all, or MOST_ROWS drawn at random."""
    return np.sort(np.random.default_rng(0).permutation(count)[:MOST_ROWS])


@dataclass(frozen=True)
class Interval:
    """From prediction + ``below`` to prediction + ``above``: (K,) at the predictions ``at`` (K,), with straight lines between.

    Beyond the first and the last knot they stay as they are there.
    """

    level: float
    at: tuple[float, ...]
    below: tuple[float, ...]
    above: tuple[float, ...]
    rows: int
    """The number of validation rows that it is based on."""
    spread: Spread | None = None
    """The error to be expected, of which ``below`` and ``above`` are multiples; None: they are in the target's unit."""

    @classmethod
    def fit(
        cls,
        predictions: np.ndarray,
        target: np.ndarray,
        level: float = 0.9,
        inputs: np.ndarray | None = None,
        units: Units | None = None,
    ) -> Interval | None:
        """Of rows (N,) outside the training, with their ``inputs`` (N, P) and the ``units`` they belong to, if any; None for too few rows.

        Of many rows only those of `rows_to_fit` are worth their time and memory.

        Local quantiles of the residuals, conformalised (Romano, Patterson, Candès 2019, "Conformalized Quantile Regression",
        arXiv:1905.03222, a quantile for each side), with folds in place of a second part of the rows. Few rows: the quantiles of all
        residuals (Lei et al. 2018, "Distribution-Free Predictive Inference for Regression"). Early stopping used these rows, so the
        level is met approximately, not provably.
        """
        from headway.evaluate.resample import Units

        units = units or Units("row", len(predictions))
        predictions = np.asarray(predictions, np.float64)
        residuals = np.asarray(target, np.float64) - predictions
        n, tail = len(residuals), (1 - level) / 2
        if conformal_rank(n, tail) > n:
            return None
        fitted = None if inputs is None else fit_spread(_beside(inputs, predictions), residuals, units)
        spread, sizes = fitted or (None, np.ones(n))
        residuals = residuals / sizes
        ends = _conformalised(predictions, residuals, tail, units) if n >= FEWEST_VARYING else None
        at, below, above = ends or _constant(residuals, tail)
        return cls(level, tuple(at.tolist()), tuple(below.tolist()), tuple(above.tolist()), n, spread)

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Interval | None:
        """From bundle.json; None for a classification, and for bundles of early versions. Those of later ones had one width."""
        if values is None:
            return None
        knots = {name: tuple(np.atleast_1d(values.get(name, 0.0)).tolist()) for name in ("at", "below", "above")}
        return cls(values["level"], **knots, rows=values["rows"], spread=Spread.of(values.get("spread")))

    def to_json(self) -> dict[str, object]:
        """For bundle.json; one width is written as every version reads it."""
        values: dict[str, object] = {"level": self.level, "rows": self.rows}
        if self.spread is not None:
            values["spread"] = self.spread.to_json()
        if len(self.at) == 1:
            return {**values, "below": self.below[0], "above": self.above[0]}
        return {**values, "at": list(self.at), "below": list(self.below), "above": list(self.above)}

    @property
    def varies(self) -> bool:
        """Whether the width follows the prediction or the inputs."""
        return len(self.at) > 1 or self.spread is not None

    @property
    def remark(self) -> str:
        """For the reader of a run: why all intervals have one width, where too few rows are the reason."""
        if self.varies or self.rows >= FEWEST_VARYING:
            return ""
        why = f"a width that follows the prediction needs {FEWEST_VARYING} validation rows, but there are {self.rows}"
        return f"all intervals have one width: {why}"

    def bounds(self, predictions: np.ndarray, inputs: Callable[[], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The low and the high end (N,) of the intervals of rows with these ``inputs`` (N, P), which are asked for where they count."""
        unit = np.ones(1) if self.spread is None else self.spread.expected(_beside(inputs(), predictions))
        low = predictions + unit * np.interp(predictions, self.at, self.below)
        return low, predictions + unit * np.interp(predictions, self.at, self.above)


def _beside(inputs: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return np.concatenate([inputs, predictions[:, None]], axis=1, dtype=np.float64)


def conformal_rank(n: int, tail: float) -> int:
    """Which of n values in order, from 1, a further one exceeds with a probability of at most ``tail``. Beyond n: none does."""
    return int(np.ceil((n + 1) * (1 - tail)))


def _constant(residuals: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One knot: the same ends everywhere."""
    ordered, rank = np.sort(residuals), conformal_rank(len(residuals), tail)
    return np.zeros(1), ordered[[-rank]], ordered[[rank - 1]]


def _conformalised(
    predictions: np.ndarray, residuals: np.ndarray, tail: float, units: Units
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Knots of all rows, moved so far, in widths, as the group's rows of each fold lie outside of the other folds' knots.

    None where all predictions are about the same. A correction for each group: Boström, Johansson 2020, "Mondrian conformal regressors".
    """
    n = len(predictions)
    groups = min(n // ROWS_OF_GROUP, GROUPS)
    knots = max(groups, min(n // ROWS_OF_KNOT, MOST_KNOTS))
    least = 1e-3 * float(np.std(residuals)) or 1.0  # a width to divide by where all residuals of a knot are the same
    if units.count < 2 * FOLDS:  # too few to hold some aside: rows are
        units = replace(units, codes=None)
    fold = units.folds(FOLDS)
    beneath, beyond = np.empty(n), np.empty(n)
    for number in range(FOLDS):
        is_aside = fold == number
        at, below, above = _local_quantiles(predictions[~is_aside], residuals[~is_aside], tail, knots)
        low, high = np.interp(predictions[is_aside], at, below), np.interp(predictions[is_aside], at, above)
        width = np.maximum(high - low, least)
        beneath[is_aside], beyond[is_aside] = (low - residuals[is_aside]) / width, (residuals[is_aside] - high) / width
    at, below, above = _local_quantiles(predictions, residuals, tail, knots)
    if len(at) == 1:
        return None
    width, edges = np.maximum(above - below, least), _edges(predictions, groups)
    group, group_of_knot = (np.searchsorted(edges, values, side="right") for values in (predictions, at))
    for number in np.unique(group):
        rows, own = group == number, group_of_knot == number
        rank = min(conformal_rank(int(rows.sum()), tail), int(rows.sum())) - 1
        below[own] -= np.sort(beneath[rows])[rank] * width[own]
        above[own] += np.sort(beyond[rows])[rank] * width[own]
    return at, below, above


def _local_quantiles(
    predictions: np.ndarray, residuals: np.ndarray, tail: float, knots: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The residuals' quantiles in groups of about the same prediction and the same number of rows, at the groups' medians."""
    group = np.searchsorted(_edges(predictions, knots), predictions, side="right")
    groups = [group == number for number in np.unique(group)]
    at = np.array([np.median(predictions[rows]) for rows in groups])
    ends = np.array([np.quantile(residuals[rows], [tail, 1 - tail]) for rows in groups])
    return at, ends[:, 0], ends[:, 1]


def _edges(predictions: np.ndarray, groups: int) -> np.ndarray:
    """What divides predictions into groups of about as many rows; rows of one prediction stay together."""
    return np.unique(np.quantile(predictions, np.linspace(0, 1, groups + 1)[1:-1]))
