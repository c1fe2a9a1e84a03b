"""Fit a preparation on the training rows: one streaming pass for the statistics, a bounded sample for the bins."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headway.columns import column_type, groups
from headway.columns.base import Encoding, Fitter
from headway.columns.codes import decoded, written_out
from headway.columns.config import PrepareConfig
from headway.columns.summary import Summary
from headway.columns.text import DocumentTokens
from headway.data.cache import Cache
from headway.data.chunks import Chunk
from headway.data.config import SPLITS, DataConfig
from headway.data.growth import Borders
from headway.data.passes import run
from headway.data.past import Past
from headway.data.places import Places
from headway.data.prepare import Preparation
from headway.data.profile import read_summary
from headway.data.split import TRAIN, VALIDATION
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
    borders: Borders | None = None,
    cache: Cache | None = None,
) -> Preparation:
    """Fit on the rows of ``table`` whose part is TRAIN, for a model that ``takes`` these arrays beside numbers and codes.

    ``past``: what some of the columns are made from, of time series. ``borders``: of the files, where not all are fitted to, or where what
    the first files come to is kept in ``cache`` for a later fit.

    Raises ConfigError or DataError on a target that cannot be learnt.
    """
    fitting = Fitting(table, parts, config, takes, borders, cache)
    run(table, [fitting], rows_of={} if borders is None else borders.rows_of)
    fitting.keep()
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


_Partial = tuple[int, Summary, list[Any] | None, pa.RecordBatch | None]


class Fitting:
    """The pass that hands the training rows to the fitters of all columns, and keeps a sample of them where there are bins.

    It goes on from what the first files came to in an earlier fit, where that is kept. Nothing is with bins: their sample is of all rows.
    """

    def __init__(
        self,
        table: Table,
        parts: np.ndarray,
        config: PrepareConfig,
        takes: Collection[str],
        borders: Borders | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._parts, self._task = parts, target_task(table.task)
        self._fits = (True,) * len(table.files) if borders is None else borders.fits
        self.fitters = {
            name: column_type(kind).fitter_for(takes, name, config, name in table.numbers)
            for name, kind in table.learnable.items()
        }
        self.target = self._new_target(table.target)
        self.sample: list[pa.RecordBatch] = []
        self._places = Places(_fitted_parts(parts, borders), len(SPLITS))
        self._in_sample = _sample_of(self._places.rows[TRAIN]) if config.bins else np.zeros(0, np.int64)
        self._cache = None if config.bins or table.extra else cache
        self._table, self._contents = table, None if borders is None else borders.contents
        settings = [config.model_dump(mode="json"), sorted(takes), sorted(table.numbers), table.target]
        self._states = {} if borders is None else {n + 1: [*settings, one] for n, one in enumerate(borders.fitting)}
        self._borders = set() if borders is None else {borders.training, len(table.files)} - {0}
        self._known = self._take()
        self._file = self._known

    def __getstate__(self) -> dict[str, object]:
        """For another machine: what `block` needs."""
        return {**self.__dict__, "_cache": None, "_states": {}, "_table": None}

    def columns_of(self, file: int) -> tuple[str, ...]:
        """The features and the target; the target alone of a file that is not fitted to, nothing of one whose rows were added before."""
        if file < self._known:
            return ()
        return tuple(dict.fromkeys([*(self.fitters if self._fits[file] else ()), self.target.name]))

    def block(self, chunk: Chunk) -> _Partial:
        """The file, and what some rows come to: of the target, of each column in the fitters' order, and their part of the sample."""
        here = self._parts[chunk.start : chunk.start + chunk.rows] == TRAIN
        train = chunk.held.filter(pa.array(here))
        values, target = written_out(train.column(self.target.name)), self._new_target(self.target.name)
        target.update(values)
        if not self._fits[chunk.file]:
            return chunk.file, target, None, None
        labels = _labels(values, self._task.has_classes)
        columns = {name: train.column(name) for name in self.fitters}
        partials = [
            fitter.block(columns[name] if fitter.takes_codes else written_out(columns[name]), labels)
            for name, fitter in self.fitters.items()
        ]
        first = self._places.before(chunk.start)[TRAIN]
        within = np.searchsorted(self._in_sample, [first, first + train.num_rows])
        return chunk.file, target, partials, decoded(train.take(pa.array(self._in_sample[slice(*within)] - first)))

    def add(self, partial: _Partial) -> None:
        """Add what ``block`` returned."""
        file, target, partials, sample = partial
        if file != self._file:
            self._reach(file)
        self.target.merge(target)
        for fitter, one in zip(self.fitters.values(), partials or (), strict=partials is not None):
            fitter.add(one)
        if sample is not None:
            self.sample.append(sample)

    def keep(self) -> None:
        """All rows are added."""
        self._reach(len(self._fits))

    def _reach(self, file: int) -> None:
        """The rows of all files before ``file`` are added: keep what they come to, at the borders where a later fit may go on."""
        for border in sorted(self._borders):
            if self._file < border <= file and self._cache is not None:
                states = {name: fitter.to_json() for name, fitter in self.fitters.items()}
                if all(state is not None for state in states.values()) and self._is_same():
                    values = {"target": self.target.to_json(heavy=None), "fitters": states}
                    self._cache.keep(values, "fit", self._states[border])
                break
        self._file = file

    def _is_same(self) -> bool:
        """Whether no file has changed since the states were named by the files' contents."""
        return self._table is not None and self._table.contents == self._contents

    def _take(self) -> int:
        """Go on from what the most files came to before. Returns how many these are."""
        if self._cache is None:
            return 0
        for border, state in sorted(self._states.items(), reverse=True):
            values = self._cache.values("fit", state)
            if values is not None:
                self.target = read_summary(values["target"])
                for name, fitter in self.fitters.items():
                    fitter.take(values["fitters"][name])
                return border
        return 0

    def _new_target(self, name: str) -> Summary:
        return column_type(self._task.kind).summary(name)


def _fitted_parts(parts: np.ndarray, borders: Borders | None) -> np.ndarray:
    """(N,) the parts, where only rows that are fitted to are training rows."""
    if borders is None or all(borders.fits):
        return parts
    own = parts.copy()
    for number, fits in enumerate(borders.fits):
        if not fits:
            own[borders.rows[number] : borders.rows[number + 1]] = VALIDATION
    return own


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
