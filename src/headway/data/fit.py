"""Fit a preparation on the training rows: one streaming pass for the statistics, a bounded sample for the bins."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headway.columns import column_type, groups
from headway.columns.base import Encoding, Fitter
from headway.columns.config import PrepareConfig
from headway.columns.summary import Summary
from headway.columns.text import DocumentTokens
from headway.data.chunks import Chunk
from headway.data.config import SPLITS, DataConfig
from headway.data.passes import run
from headway.data.past import Past
from headway.data.places import Places
from headway.data.prepare import Preparation
from headway.data.split import TRAIN
from headway.tasks import Target, target_task

if TYPE_CHECKING:
    from headway.data.documents import Documents
    from headway.data.source import Table

SAMPLE_ROWS = 100_000
"""Training rows from which bins are computed: with more, the edges change by less than the data's own noise."""


def fit(
    table: Table,
    parts: np.ndarray,
    data: DataConfig,
    config: PrepareConfig,
    takes: Collection[str] = (),
    past: Past | None = None,
) -> Preparation:
    """Fit on the rows of ``table`` whose part is TRAIN, for a model that ``takes`` these arrays beside numbers and codes.

    ``past``: what some of the columns are made from, of time series.

    Raises ConfigError or DataError on a target that cannot be learnt.
    """
    fitting = Fitting(table, parts, config, takes)
    run(table, [fitting])
    preparation = Preparation(
        columns=_encodings(fitting.fitters.values()),
        target=target_task(table.task).fit(fitting.target, data.positive),
        date_format=data.date_format,
        written=dict(data.written),
        strip=table.csv.strip,
        null_values=table.csv.null_values,
        null_is_value=not table.textual,
        past=past,
    )
    if not config.bins:
        return preparation
    return replace(preparation, bins=_bins(preparation, pa.concat_batches(fitting.sample), config))


class Fitting:
    """The pass that hands the training rows to the fitters of all columns, and keeps a sample of them where there are bins."""

    def __init__(self, table: Table, parts: np.ndarray, config: PrepareConfig, takes: Collection[str]) -> None:
        self._parts, self._places, self._task = parts, Places(parts, len(SPLITS)), target_task(table.task)
        self.fitters = {
            name: column_type(kind).fitter_for(takes, name, config, name in table.numbers)
            for name, kind in table.learnable.items()
        }
        self.target = self._new_target(table.target)
        self.sample: list[pa.RecordBatch] = []
        self._in_sample = _sample_of(self._places.rows[TRAIN]) if config.bins else np.zeros(0, np.int64)

    def columns_of(self, file: int) -> tuple[str, ...]:  # noqa: ARG002
        """The features and the target."""
        return tuple(dict.fromkeys([*self.fitters, self.target.name]))

    def block(self, chunk: Chunk) -> tuple[Summary, list[Any], pa.RecordBatch]:
        """What some rows come to: of the target, of each column in the fitters' order, and their part of the sample."""
        here = self._parts[chunk.start : chunk.start + chunk.batch.num_rows] == TRAIN
        train = chunk.batch.filter(pa.array(here))
        values, target = train.column(self.target.name), self._new_target(self.target.name)
        target.update(values)
        labels = _labels(values, self._task.has_classes)
        partials = [fitter.block(train.column(name), labels) for name, fitter in self.fitters.items()]
        first = self._places.before(chunk.start)[TRAIN]
        within = np.searchsorted(self._in_sample, [first, first + train.num_rows])
        return target, partials, train.take(pa.array(self._in_sample[slice(*within)] - first))

    def add(self, partial: tuple[Summary, list[Any], pa.RecordBatch]) -> None:
        """Add what ``block`` returned."""
        target, partials, sample = partial
        self.target.merge(target)
        for fitter, one in zip(self.fitters.values(), partials, strict=True):
            fitter.add(one)
        self.sample.append(sample)

    def _new_target(self, name: str) -> Summary:
        return column_type(self._task.kind).summary(name)


def fit_documents(documents: Documents, config: PrepareConfig) -> Preparation:
    """Fit to the training documents: how they become tokens. There is no target."""
    training = (document.text for split, document in documents.parts() if split == "train")
    tokens = DocumentTokens.fit(documents.column, training, config.tokens, ends=documents.are_whole)
    return Preparation((tokens,), Target("", documents.table.task))


def _labels(target: pa.Array, classes: bool) -> pa.Array:
    """The class of each row; of numbers, one for all."""
    return target if classes else pa.array(np.zeros(len(target), np.int8)).cast(pa.string())


def _encodings(fitters: Iterable[Fitter]) -> tuple[Encoding, ...]:
    """Every fitter's encoding, where it gives one, in the order of the groups."""
    encodings = [one for fitter in fitters if (one := fitter.finish()) is not None]
    return tuple(sorted(encodings, key=lambda one: groups().index(one.group)))


def _sample_of(rows: int) -> np.ndarray:
    """Sorted numbers of at most SAMPLE_ROWS of so many training rows, spread evenly and the same every time."""
    if rows <= SAMPLE_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False))


def _bins(preparation: Preparation, rows: pa.RecordBatch, config: PrepareConfig) -> tuple[tuple[float, ...], ...]:
    """Edges of each prepared numeric column in its prepared unit; none for 0/1 columns and for columns without two edges."""
    numeric = preparation.apply(rows)["numeric"]
    target = preparation.target.apply(rows.column(preparation.target.column))
    regression = not target_task(preparation.target.task).has_classes
    edges = [
        column_edges(numeric[:, i], target, config, regression) if column.bins else ()
        for i, (_, column) in enumerate(preparation.by_array["numeric"])
    ]
    return tuple(e if len(e) >= 3 else () for e in edges)


def column_edges(column: np.ndarray, target: np.ndarray, config: PrepareConfig, regression: bool) -> tuple[float, ...]:
    """Bin edges of one column: the split points of a small tree on the target, or quantiles.

    Gorishniy et al. 2022 (arXiv:2203.05556), section 3.2; the same edges as `rtdl_num_embeddings.compute_bins`.
    """
    if config.bins_by == "quantile":
        edges = np.quantile(column, np.linspace(0, 1, config.bins + 1))
    else:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        edges = np.array([column.min(), column.max()])
        if config.bins > 1:
            tree_class = DecisionTreeRegressor if regression else DecisionTreeClassifier
            smallest = max(1, min(64, len(column) // 64))
            tree = tree_class(max_leaf_nodes=config.bins, min_samples_leaf=smallest, random_state=0)
            splits = tree.fit(column[:, None], target).tree_
            edges = np.concatenate([edges, splits.threshold[splits.children_left != splits.children_right]])
    return tuple(float(x) for x in np.unique(edges.astype(np.float32)))
