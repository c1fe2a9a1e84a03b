"""Rows that belong together: how alike they are in a column, and how much more chance alone explains for that.

The rows of a group, of a key, of a day are not independent: their shares vary more than those of as many independent rows. The
design effect says by how many times (Kish, Survey Sampling, 1965): 1 + (m - 1) r for units of m rows with the intraclass correlation
r. A bundle keeps r of each column, estimated from the training's units; the newest rows' own units say m. Nothing has changed where the
newest units are drawn as the training's were, so that r is the same: a single new day can be judged as well as a month.

A column of B bins has B - 1 contrasts, each with a design effect: the eigenvalues of n D^-1/2 V D^-1/2, where V is the covariance of
the shares p and D = diag(p) (Rao and Scott, The analysis of categorical data from complex sample surveys, 1981). V is
estimated by random groups (Wolter, Introduction to Variance Estimation, 2007): a unit's hash says which of 1,024 buckets it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.continuous import numbers
from headway.columns.mixing import spread
from headway.data.identity import GOLDEN
from headway.files.records import Record

BUCKETS = 1024

ROW = "row"
"""The name of a unit where each row stands for itself."""


@dataclass(frozen=True)
class Sizes(Record):
    """The units of some rows. ``size``: rows of the unit that a row drawn at random is in, on average. ``note``: what to know."""

    rows: int
    units: int
    size: float
    note: str = ""

    @classmethod
    def of(cls, values: np.ndarray) -> Sizes:
        """Rows with equal values belong together, (N,)."""
        each = np.unique(values, return_counts=True)[1].astype(float)
        return cls(len(values), len(each), float((each**2).sum() / max(1.0, each.sum())))


@dataclass(frozen=True)
class Together(Record):
    """Which rows of a training belong together: those alike in ``columns``, or those of one period of a column of time.

    ``name``: of a unit, as day or group; row where each row stands for itself. ``format``: how the column of time is written.
    """

    name: str = ROW
    columns: tuple[str, ...] = ()
    by_time: bool = False
    format: str | None = None
    sizes: Sizes = Sizes(0, 0, 1.0)


@dataclass(frozen=True)
class Correlation(Record):
    """How alike two rows of one unit are in one column, 0 to 1: on average over its contrasts, in the one with most, in being null.

    Estimated from units of ``size`` rows in ``samples`` buckets.
    """

    mean: float
    largest: float
    nulls: float
    size: float
    samples: int


@dataclass(frozen=True)
class Related:
    """Training's rows of a column, and other rows of it whose units have ``size`` rows: what chance does to either."""

    correlation: Correlation
    size: float

    def effects(self, contrasts: int) -> tuple[np.ndarray, np.ndarray]:
        """The design effects of both samples' shares, one for each contrast, the largest first."""
        return self._effects(self.correlation.size, contrasts), self._effects(self.size, contrasts)

    def _effects(self, size: float, contrasts: int) -> np.ndarray:
        mean, largest = (1 + (size - 1) * r for r in (self.correlation.mean, self.correlation.largest))
        others = max(1.0, (contrasts * mean - largest) / max(1, contrasts - 1))
        return np.array([largest, *[others] * (contrasts - 1)])

    @property
    def means(self) -> tuple[float, float]:
        """The design effect of either sample, on average over the contrasts."""
        mean = self.correlation.mean
        return 1 + (self.correlation.size - 1) * mean, 1 + (self.size - 1) * mean

    @property
    def of_nulls(self) -> tuple[float, float]:
        """The design effect of either sample's share of nulls."""
        nulls = self.correlation.nulls
        return 1 + (self.correlation.size - 1) * nulls, 1 + (self.size - 1) * nulls


def bucket_of(values: np.ndarray) -> np.ndarray:
    """(N,) which bucket the unit of each row is in: codes, moments or hashes."""
    bits = np.ascontiguousarray(values).view(np.uint64)
    with np.errstate(over="ignore"):
        return (spread(bits + GOLDEN) % np.uint64(BUCKETS)).astype(np.int64)


class Clusters:
    """Counts one column's rows by bucket and bin, as they stream by."""

    def __init__(self, edges: Sequence[float], categories: Sequence[str], bins: int) -> None:
        self._edges, self._categories, self._bins = np.asarray(edges, float), pa.array(categories, pa.string()), bins
        self._counts = np.zeros((BUCKETS, bins + 2))
        """(buckets, bins, then the nulls, then what is in no bin: infinite values and texts)"""

    def update(self, column: pa.Array, buckets: np.ndarray) -> None:
        """Add rows in canonical type, and the bucket of each, (N,)."""
        places = np.full(len(column), self._bins)
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        places[valid] = self._places(column.drop_null()) if self._bins else self._bins + 1
        width = self._counts.shape[1]
        counts = np.bincount(buckets * width + places, minlength=self._counts.size)
        self._counts += counts.reshape(self._counts.shape)

    def _places(self, column: pa.Array) -> np.ndarray:
        if pa.types.is_string(column.type) and not len(self._edges):
            places = pc.index_in(column, value_set=self._categories)
            return pc.fill_null(places, self._bins - 1).to_numpy(zero_copy_only=False)
        values = numbers(column)
        return np.where(np.isfinite(values), np.searchsorted(self._edges, values, side="left"), self._bins + 1)

    def correlation(self, size: float) -> Correlation:
        """How alike the rows of one unit are, where the units have ``size`` rows."""
        samples = int((self._counts.sum(1) > 0).sum())
        if size <= 1:
            return Correlation(0.0, 0.0, 0.0, 1.0, samples)
        if samples < 2:  # nothing says how units differ: each may be all alike
            return Correlation(1.0, 1.0, 1.0, size, samples)
        nulls = self._counts[:, self._bins]
        null = design_effects(np.stack([nulls, self._counts.sum(1) - nulls], 1))[0]
        mean, largest = design_effects(self._counts[:, : self._bins])
        mean, largest, null = (min(1.0, max(0.0, (effect - 1) / (size - 1))) for effect in (mean, largest, null))
        return Correlation(mean, largest, null, size, samples)


def design_effects(counts: np.ndarray) -> tuple[float, float]:
    """The mean and the largest design effect over the contrasts of (samples, bins) counts of random groups of units.

    The largest is that of one contrast beside equal others, with the same mean and the same variance between contrasts: of all that
    agree with both, the one with the longest tail. The variance is freed of what the estimate's own noise adds: for a Wishart
    matrix of v degrees of freedom, v^2 / ((v - 1)(v + 2)) (tr S^2 - (tr S)^2 / v) is unbiased for the trace of the square.
    """
    counts = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    samples, contrasts = len(counts), counts.shape[1] - 1
    if samples < 2 or contrasts < 1:
        return 1.0, 1.0
    rows = counts.sum(1)
    shares = counts.sum(0) / rows.sum()
    beyond = (counts - rows[:, None] * shares) / np.sqrt(shares * rows.sum())
    effects = samples / (samples - 1) * beyond.T @ beyond
    trace, squares, v = float(np.trace(effects)), float((effects**2).sum()), samples - 1
    mean = trace / contrasts
    if v > 1:
        squares = v**2 / ((v - 1) * (v + 2)) * (squares - trace**2 / v)
    variance = max(0.0, squares / contrasts - mean**2)
    return mean, mean + float(np.sqrt(variance * (contrasts - 1)))
