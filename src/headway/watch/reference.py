"""The profile of the training's rows that a registered bundle keeps: reference.json, a few kilobytes.

Numbers, dates and the lengths of texts are kept as counts between ten quantiles, categories as counts of the most frequent. PSI needs
no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headway.columns import Kind, column_type
from headway.columns.summary import Summary
from headway.data.profile import Profile
from headway.errors import ConfigError
from headway.files.records import Record
from headway.tasks import task_of
from headway.watch.clusters import Clusters, Correlation, Together

FILE = "reference.json"
BINS = 10
CATEGORIES = 50
"""Number of categories that are compared one by one; rarer ones are compared together."""

MOST_CATEGORIES = 1000
"""The whole list of categories is kept up to this number; where there are more, new ones are expected."""

PREDICTION = "prediction"


@dataclass(frozen=True)
class Column(Record):
    """One column as counts in bins. ``edges``: upper bounds of all bins but the last. ``categories``: those of all bins but the last.

    ``known``: every category that occurred, None where they are too many.
    """

    kind: Kind
    rows: int
    nulls: int
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    known: tuple[str, ...] | None
    counts: tuple[float, ...]
    correlation: Correlation | None = None
    """None where rows are independent, or where an older version did not measure it."""

    def bin_counts(self, column: Summary) -> np.ndarray:
        """Rows of another profile of the column in the bins of this one: (bins,)."""
        return column.bin_counts(self.edges, self.categories)

    def clusters(self) -> Clusters:
        """An empty count of rows by bin and unit."""
        return Clusters(self.edges, self.categories, len(self.counts))


@dataclass(frozen=True)
class Reference(Record):
    """All columns of the training's rows, the predictions of its test rows, and the SHA-256 of each file."""

    columns: Mapping[str, Column]
    prediction: Column | None
    files: tuple[str, ...]
    together: Together | None = None
    """Which rows belong together; None where an older version did not keep it."""

    @classmethod
    def of(cls, bundle: Path, version: str) -> Reference:
        """A version's reference. Raises ConfigError for a bundle without one."""
        try:
            return cls.read(bundle / FILE)
        except FileNotFoundError:
            raise ConfigError(
                f"the champion's bundle must have a profile of its training's rows, but version {version} has no {FILE}; "
                "retrain the project once"
            ) from None


def summarise(profile: Profile, prediction: Summary | None, files: Sequence[str]) -> Reference:
    """The reference of a training; ``files``: the SHA-256 of each."""
    columns = {name: shape(column) for name, column in profile.columns.items()}
    return Reference(columns, shape(prediction) if prediction else None, tuple(files))


def shape(column: Summary) -> Column:
    """A summary as bins: each tenth of the rows, or each frequent category."""
    edges, categories = column.bins(BINS, CATEGORIES)
    counts = tuple(column.bin_counts(edges, categories).tolist())
    return Column(column.kind, column.rows, column.nulls, edges, categories, column.every(MOST_CATEGORIES), counts)


def profile_predictions(columns: Sequence[pa.Array], classes: Sequence[str]) -> Summary:
    """The summary of predictions, each an array from `as_column`."""
    summary = column_type("categorical" if len(classes) > 2 else "numeric").summary(PREDICTION)
    for column in columns:
        summary.update(column)
    return summary


def as_column(task: str, predictions: np.ndarray, classes: Sequence[str]) -> pa.Array:
    """The values by which the task's predictions are watched, null where there is no prediction."""
    return pa.array(task_of(task).watched(predictions, classes).tolist(), from_pandas=True)
