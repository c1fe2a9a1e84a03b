"""What the test rows may not have shown: one more unit as bad as the worst that they hold.

A bootstrap draws only from the units that are there. Where two models differ in few units, or a metric counts right and wrong, these may
hold no loss at all, and the interval is then a single point, even of few rows. For a count of x events Poisson's exact upper bound is a
quantile of Gamma(x + 1): that of x events and one more, whose weight is drawn from Gamma(1) (Garwood 1936, "Fiducial Limits for the
Poisson Distribution"; without events it is the rule of three: 3.7 events in 97.5 of 100 cases). So each draw gets one more unit with such
a weight. It costs little where there are many units, and it is what few very bad ones need.

Of a mean of losses such as the log loss, the worst row does not show what a mistake costs where there is none: there the one more
row has one of the other classes, drawn as the two models expect it.

Shapes: N rows, K classes, U units, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headway.evaluate.resample import Units
from headway.tasks.metric import Groups, Resampled

LOOKED_AT = 64
"""Of many units, those are tried whose rows differ most, by each way to see it, so many at either end."""

ALL = 1000
"""Up to so many units, each is tried."""


def most_apart(difference: Resampled, units: Units, target: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """How far one more unit, of those in which the models ``a`` and ``b`` are most apart, moves their difference from its value.

    Either way: what one has won in a unit, it may lose in the next. Predictions are (N,) or (N, K). Where no unit moves anything,
    the metric counts in steps, and one unit is taken to be lost whole. Nothing where the two are the same model.
    """
    if np.array_equal(a, b) and not np.isin(a, (0, 1)).all():  # to the last bit, and not only in what is right
        return 0.0
    codes = np.arange(units.rows) if units.codes is None else units.codes
    trials = _trials(units, codes, target, a, b)
    if units.groups is None:
        value = difference(np.ones((1, len(target))))[0]
        moves = np.array([float(difference(1.0 + (codes == unit)[None])[0] - value) for unit in trials])
    else:  # each of these units a group of its own, the others together
        group = np.full(units.count, len(trials))
        group[trials] = np.arange(len(trials))
        of_groups = difference.by_group(Groups(group[codes], len(trials) + 1))
        weights = 1.0 + np.eye(len(trials), len(trials) + 1)
        moves = of_groups(weights) - of_groups(np.ones((1, len(trials) + 1)))
    finite = (units.count + 1) * moves[np.isfinite(moves)]
    most = float(np.abs(finite).max(initial=0.0))
    if most == 0.0 and a.ndim == 2:
        return units.count / max(1, int(np.bincount(target.astype(np.int64)).min()))
    return most


def with_one_more(draws: np.ndarray, moves: float, count: int, seed: int) -> np.ndarray:
    """(R,) draws over ``count`` units with one more that moves them so far from their value, its weight drawn from Gamma(1)."""
    weight = np.random.default_rng([seed, 2]).exponential(size=len(draws))
    return draws + moves * weight / (count + weight)


def with_a_mistake(
    draws: np.ndarray, value: float, won: np.ndarray, chances: np.ndarray, target: np.ndarray, rows: int, seed: int
) -> np.ndarray:
    """(R,) draws of a mean over ``rows`` rows with one more row, its class another one than it had, its weight drawn from Gamma(1).

    ``won`` (N, K): what the mean is of, were a row of a class; ``chances`` (N, K): the classes' probabilities.
    """
    rng = np.random.default_rng([seed, 4])
    other = chances.astype(np.float64)
    other[np.arange(len(target)), target] = 0.0
    of_row = np.cumsum(other.sum(1))
    if not of_row[-1] > 0:  # both models are certain of every row, and right
        return draws
    row = np.searchsorted(of_row, rng.random(len(draws)) * of_row[-1], side="right").clip(max=len(target) - 1)
    of_class = np.cumsum(other[row], axis=1)
    code = (rng.random((len(draws), 1)) * of_class[:, -1:] >= of_class).sum(1).clip(max=other.shape[1] - 1)
    weight = rng.exponential(size=len(draws))
    return draws + (won[row, code] - value) * weight / (rows + weight)


def _trials(units: Units, codes: np.ndarray, target: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The units to try: (U,)."""
    if units.count <= ALL:
        return np.arange(units.count)
    ends = []
    for better in _views(target, a, b):
        order = np.argsort(np.bincount(codes, better, units.count), kind="stable")
        ends += [order[:LOOKED_AT], order[-LOOKED_AT:]]
    return np.unique(np.concatenate(ends))


def _views(target: np.ndarray, a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """(N,) how much better ``a`` is on a row: by its error, or by its class's probability, that one's rank, and whether it is right."""
    if a.ndim == 1:
        yield (b - target) ** 2 - (a - target) ** 2
        return
    rows, classes = np.arange(len(target)), target.astype(np.int64)
    own, other = a[rows, classes], b[rows, classes]
    yield own - other
    yield _ranks(own).astype(float) - _ranks(other)
    yield (a.argmax(1) == classes).astype(float) - (b.argmax(1) == classes)


def _ranks(values: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
