"""What a metric is, and the weighted sums that a metric's bootstrap is made of.

Shapes: N rows, G groups of rows, K classes, R resamples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

BLOCK = 500_000
"""Rows whose losses are computed at once where they are summed by group."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each row: ``codes`` (N,) from 0 to ``count`` - 1."""

    codes: np.ndarray
    count: int

    def sums(self, values: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """(G,) or (G, K): ``values`` (N,) or (N, K) of some rows, summed by group."""
        codes = self.codes[rows]
        if values.ndim == 1:
            return np.bincount(codes, values, self.count)
        return np.stack([np.bincount(codes, column, self.count) for column in values.T], 1)


Weighted = Callable[[np.ndarray], np.ndarray]
"""Weights (R, N) of rows, or (R, G) of groups, to values (R,)."""


class Sums(ABC):
    """What rows, or groups of rows, sum to. Several statistics ask for the same: it is worked out once for each weights."""

    _weights: np.ndarray | None = None
    _last: Any = None

    def sums(self, weights: np.ndarray) -> Any:
        """Weighted by (R, N), or of groups by (R, G)."""
        if self._weights is not weights:
            self._weights, self._last = weights, self._summed(weights)
        return self._last

    @abstractmethod
    def _summed(self, weights: np.ndarray) -> Any:
        """The sums."""


class RowSums(Sums):
    """Of rows."""

    _groups: Groups | None = None
    _grouped: Sums | None = None

    def by_group(self, groups: Groups) -> Sums:
        """The same of whole groups: as much to sum as there are groups, for any number of rows."""
        if self._groups is not groups or self._grouped is None:
            self._groups, self._grouped = groups, self._by_group(groups)
        return self._grouped

    @abstractmethod
    def _by_group(self, groups: Groups) -> Sums:
        """One pass over the rows."""

    def whole(self, groups: Groups) -> Any:
        """The sums of all rows, each counted once: those of one resample, R = 1. ``groups``: any, whose sums are wanted anyway."""
        return self.by_group(groups).sums(np.ones((1, groups.count)))


class Resampled(Protocol):
    """A statistic of weighted rows."""

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Weights (R, N) to values (R,)."""

    def by_group(self, groups: Groups) -> Weighted:
        """The same statistic of weights of groups, (R, G). Of ranks it is near it: by how much resamples lie apart is what counts."""

    def whole(self, groups: Groups) -> float:
        """The value of all rows, from the sums of any groups of them, without anything of the size of rows times columns."""


@dataclass(frozen=True, eq=False)
class Statistic:
    """The ``value`` (R,) of what rows sum to."""

    rows: RowSums
    value: Callable[[Any], np.ndarray]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return self.value(self.rows.sums(weights))

    def by_group(self, groups: Groups) -> Weighted:
        grouped = self.rows.by_group(groups)
        return lambda weights: self.value(grouped.sums(weights))

    def whole(self, groups: Groups) -> float:
        return float(self.value(self.rows.whole(groups))[0])


@dataclass(frozen=True, eq=False)
class Combined:
    """A value of several statistics of the same rows: a difference, a mean."""

    parts: Sequence[Resampled]
    value: Callable[[Sequence[np.ndarray]], np.ndarray]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        return self.value([one(weights) for one in self.parts])

    def by_group(self, groups: Groups) -> Weighted:
        parts = [one.by_group(groups) for one in self.parts]
        return lambda weights: self.value([one(weights) for one in parts])

    def whole(self, groups: Groups) -> float:
        return float(self.value([np.array([one.whole(groups)]) for one in self.parts])[0])


def mean_of_all(values: Sequence[np.ndarray]) -> np.ndarray:
    """(R,) the mean of several statistics."""
    return np.mean(values, axis=0)


class Columns(RowSums):
    """Numbers of each row: ``of`` gives columns, (N,) or (N, K) each, of the rows of ``arrays``, (N, ...) each.

    Sums are those of each column, (R,) or (R, K), and last that of the weights.
    """

    def __init__(self, of: Callable[..., Sequence[np.ndarray]], *arrays: np.ndarray) -> None:
        self._of, self._arrays = of, arrays

    @cached_property
    def _columns(self) -> Sequence[np.ndarray]:
        return self._of(*self._arrays)

    def _summed(self, weights: np.ndarray) -> list[np.ndarray]:
        return [*(weights @ column for column in self._columns), weights.sum(1)]

    def _by_group(self, groups: Groups) -> ColumnsOfGroups:
        total: list[np.ndarray] = []
        for start in range(0, len(groups.codes), BLOCK):
            columns = self._sums_of(groups, slice(start, start + BLOCK))
            total = [a + b for a, b in zip(total, columns, strict=True)] if total else columns
        return ColumnsOfGroups(total, np.bincount(groups.codes, minlength=groups.count).astype(np.float64))

    def _sums_of(self, groups: Groups, rows: slice) -> list[np.ndarray]:
        """Each column of some rows, summed by group."""
        return [groups.sums(column, rows) for column in self._of(*(array[rows] for array in self._arrays))]


class ColumnsOfGroups(Sums):
    """``columns`` summed by group, (G,) or (G, K) each, and the ``rows`` (G,) of each group."""

    def __init__(self, columns: Sequence[np.ndarray], rows: np.ndarray) -> None:
        self._columns, self._rows = columns, rows

    def _summed(self, weights: np.ndarray) -> list[np.ndarray]:
        return [*(weights @ column for column in self._columns), weights @ self._rows]


Shared = dict[int, Any]
"""What the metrics of one model have in common, by class."""

Maker = Callable[[np.ndarray, np.ndarray, Shared], Resampled]

Value = Callable[[np.ndarray, np.ndarray], float]
"""The metric of target and prediction, as headway.evaluate.metrics has them. Raises ValueError where the rows define none."""


Sizes = Callable[[np.ndarray, np.ndarray], np.ndarray]
Trials = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Metric:
    """A metric by name."""

    name: str
    title: str
    higher_is_better: bool
    value: Value
    resampled: Maker
    is_error: bool = False
    """Whether its size depends on the target, so that a margin is a share of it."""
    needs: Literal["rows", "every class", "different values", "no zero", "domain"] = "rows"
    """What the target must have for the metric to be defined."""
    counts_cases: bool = False
    """Whether it goes by which rows are right, or above others: few rows may show no case of a loss, by luck."""
    needs_rarer: bool = False
    """Whether, of two classes, the rarer one's rows decide: a thousand others tell nothing of where three positives are ranked."""
    class_losses: Callable[[np.ndarray], np.ndarray] | None = None
    """Of a mean of losses: (N, K) probabilities to the loss (N, K) of each row, were it of each class."""
    decides: bool = True
    """Whether the gate may decide by it: models of different tokenizers cannot be compared in nats a token."""
    sizes: Sizes | None = None
    """(N,) how much each row counts, of target and prediction, where rows are as unequal as documents are; None where they are alike."""
    is_macro: bool = False
    """Whether it is of the event where there are two classes, otherwise the mean over classes."""
    of_labels: bool = False
    """Whether it is of the predicted classes, so that of two classes it depends on the threshold."""
    trials: Trials | None = None
    """(N,) bool of target and prediction: the rows of which it is the share that are right; None where it is no share of rows."""
    is_biased: bool = False
    """Whether resampling alone moves it, as noise moves a sum of absolute gaps: its draws are brought back around the value."""

    def of(self, target: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None) -> float:
        """The value where rows count by ``weight`` (N,). Raises ValueError where the rows define none."""
        value = self.value(target, prediction)
        return value if weight is None else float(self.resampled(target, prediction, {})(weight[None])[0])

    def value_of_many(self, target: np.ndarray, prediction: np.ndarray, statistic: Resampled, groups: Groups) -> float:
        """The value of many rows, as `value` has it to rounding; scikit-learn takes a second for each of ten million rows.

        ``statistic``: the metric's own of these rows; ``groups``: any of them.
        """
        if self.needs not in ("rows", "every class") or (self.needs == "rows" and prediction.ndim == 1):
            return self.value(target, prediction)
        if not np.isfinite(prediction).all():
            raise ValueError("a prediction is not a finite number")
        if self.needs == "every class" and (np.bincount(target, minlength=prediction.shape[1]) == 0).any():
            raise ValueError("a class is missing")
        return statistic.whole(groups)


Losses = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Target and prediction to a number for each row."""


def mean_of(losses: Losses, root: bool = False) -> Maker:
    """Weighted means of per-row values, as one product; ``root``: the square root of it."""

    def mean(sums: Sequence[np.ndarray]) -> np.ndarray:
        value = sums[0] / sums[1]
        return np.sqrt(value) if root else value

    def make(target: np.ndarray, prediction: np.ndarray, _shared: Shared) -> Resampled:
        return Statistic(Columns(lambda t, p: [losses(t, p)], target, prediction), mean)

    return make


def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; NaN where b is zero."""
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b != 0)


def scikit_learns(name: str) -> Value:
    """scikit-learn's metric of that name, of numbers."""

    def value(target: np.ndarray, prediction: np.ndarray) -> float:
        import sklearn.metrics

        if len(target) < 2:
            raise ValueError("one row defines no spread")
        return float(getattr(sklearn.metrics, name)(target, prediction))

    return value
