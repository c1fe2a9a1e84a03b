"""Fit a preparation on the training rows: one streaming pass for the statistics, a bounded sample for the bins."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.data.config import DataConfig
from headway.data.prepare import SECONDS_A_DAY, Category, Number, Preparation, PrepareConfig, Target, Words, tokens_of
from headway.data.profile import ColumnProfile, Profiler
from headway.data.split import TRAIN
from headway.errors import ConfigError, DataError

if TYPE_CHECKING:
    from headway.data.source import Table

SAMPLE_ROWS = 100_000
"""Training rows behind the bins: more changes the edges by less than the data's own noise."""

RANKS = 1000
"""Points of the quantile scale, as many as scikit-learn's QuantileTransformer takes."""


def fit(table: Table, parts: np.ndarray, data: DataConfig, config: PrepareConfig) -> Preparation:
    """Fit on the rows of ``table`` whose part is TRAIN. Raises ConfigError or DataError on a target that cannot be learnt."""
    profiler = Profiler({**table.kinds, table.target: "categorical" if table.task == "classification" else "numeric"})
    words = {name: _WordCounts() for name, kind in table.kinds.items() if kind == "text" and config.words}
    chosen = _sample_rows(parts)
    sample: list[pa.RecordBatch] = []
    for chunk in table.chunks(columns=[*table.kinds, table.target]):
        here = parts[chunk.start : chunk.start + chunk.batch.num_rows] == TRAIN
        train = chunk.batch.filter(pa.array(here))
        profiler.update(train)
        for name, counts in words.items():
            counts.update(train.column(name), train.column(table.target), table.task == "classification")
        sample.append(chunk.batch.filter(pa.array(chosen[chunk.start : chunk.start + chunk.batch.num_rows])))
    columns = profiler.profile().columns
    target = _target(columns[table.target], table, data)
    preparation = Preparation(
        numbers=tuple(
            number
            for name, kind in table.kinds.items()
            if kind in ("numeric", "date") and (number := _number(columns[name], config)) is not None
        ),
        categories=tuple(
            replace(_category(columns[name], config), numbers=name in table.numbers)
            for name, kind in table.kinds.items()
            if kind == "categorical"
        ),
        texts=tuple(Words(name, counts.best(config)) for name, counts in words.items()),
        target=target,
        date_format=data.date_format,
        strip=table.csv.strip,
        null_values=table.csv.null_values,
        typed=not table.textual,
    )
    if not config.bins:
        return preparation
    rows = pa.Table.from_batches(sample).combine_chunks().to_batches()[0]
    return replace(preparation, bins=_bins(preparation, rows, config))


def _sample_rows(parts: np.ndarray) -> np.ndarray:
    """(N,) bool: at most SAMPLE_ROWS training rows, spread evenly and the same every time."""
    rows = np.flatnonzero(parts == TRAIN)
    if len(rows) > SAMPLE_ROWS:
        rows = np.random.default_rng(0).choice(rows, SAMPLE_ROWS, replace=False)
    chosen = np.zeros(len(parts), bool)
    chosen[rows] = True
    return chosen


def _target(profile: ColumnProfile, table: Table, data: DataConfig) -> Target:
    if table.task == "regression":
        if profile.mean is None or not profile.std:
            raise DataError(f"the target {table.target} must vary, but every training row has the same value")
        return Target(table.target, "regression", (), profile.mean, profile.std)
    classes = sorted(profile.counts or {})
    if len(classes) < 2:
        raise DataError(f"the target {table.target} must have two classes, but the training rows have {len(classes)}")
    if data.positive is not None:
        if data.positive not in classes:
            raise ConfigError(
                f"data.positive must be a class of {table.target}, but is {data.positive!r} and the classes are "
                f"{', '.join(classes[:10])}"
            )
        classes = [c for c in classes if c != data.positive] + [data.positive]
    return Target(table.target, "classification", tuple(classes))


def _number(profile: ColumnProfile, config: PrepareConfig) -> Number | None:
    """None for a column without two values: there is nothing to learn from it, and nothing to divide by."""
    known = profile.rows - profile.nulls
    if not known or profile.mean is None or profile.min is None or profile.max is None or profile.min == profile.max:
        return None
    unit = SECONDS_A_DAY if profile.kind == "date" else 1.0
    median = float(profile.quantiles([0.5])[0])
    quantiles: tuple[float, ...] = ()
    mean, std = profile.mean / unit, (profile.std or 0.0) / unit
    if config.scale == "quantile":
        quantiles = tuple(float(q) / unit for q in profile.quantiles(list(np.linspace(0, 1, min(RANKS, known)))))
    elif config.scale == "none":
        mean, std = 0.0, 1.0
    return Number(
        column=profile.name,
        kind=profile.kind,
        fill=(median if config.impute == "median" else profile.mean) / unit,
        mean=mean,
        std=std or 1.0,
        quantiles=quantiles,
        missing=profile.nulls > 0,
        limits=(profile.min / unit, profile.max / unit) if profile.kind == "date" else None,
    )


def _category(profile: ColumnProfile, config: PrepareConfig) -> Category:
    """Most frequent first, ties by name, so that the codes do not hang on the rows' order."""
    counts = profile.counts if profile.counts is not None else dict(profile.frequent)
    kept = sorted(((-n, value) for value, n in counts.items() if n >= config.min_count))[: config.max_categories]
    return Category(profile.name, tuple(value for _, value in kept))


class _WordCounts:
    """In how many rows of each class each word stands."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.by_word: dict[str, Counter[str]] = {}

    def update(self, column: pa.Array, target: pa.Array, classes: bool) -> None:
        labels = target if classes else pa.array(np.zeros(len(target), np.int8)).cast(pa.string())
        rows, tokens = tokens_of(column)
        pairs = pa.table({"row": rows, "word": tokens, "label": labels.take(pa.array(rows))})
        pairs = (
            pairs.group_by(["row", "word", "label"])
            .aggregate([])
            .group_by(["word", "label"])
            .aggregate([([], "count_all")])
        )
        for word, label, n in zip(*(pairs.column(c).to_pylist() for c in ("word", "label", "count_all")), strict=True):
            if word:
                self.by_word.setdefault(word, Counter())[str(label)] += n
        for label, n in zip(*(pc.value_counts(labels).field(i).to_pylist() for i in (0, 1)), strict=True):
            self.rows[str(label)] += n

    def best(self, config: PrepareConfig) -> tuple[str, ...]:
        """The words that tell the classes apart most, by Pearson's chi-squared; for numbers, the most frequent."""
        words = [w for w, counts in self.by_word.items() if counts.total() >= config.min_count]
        if not words:
            return ()
        labels = list(self.rows)
        total = np.array([self.rows[label] for label in labels], float)
        seen = np.array([[self.by_word[w][label] for label in labels] for w in words], float)
        expected = seen.sum(1, keepdims=True) * (total / total.sum())
        unseen = total - seen
        expected_unseen = total - expected
        score = ((seen - expected) ** 2 / expected).sum(1)
        score += ((unseen - expected_unseen) ** 2 / np.maximum(expected_unseen, 1e-12)).sum(1)
        if len(labels) == 1:
            score = seen.sum(1)
        order = sorted(range(len(words)), key=lambda i: (-score[i], words[i]))[: config.words]
        return tuple(words[i] for i in order)


def _bins(preparation: Preparation, rows: pa.RecordBatch, config: PrepareConfig) -> tuple[tuple[float, ...], ...]:
    """Edges of each prepared numeric column in its prepared unit; none for 0/1 columns and for columns without two edges."""
    prepared = preparation.apply(rows)["numeric"]
    target = preparation.target.apply(rows.column(preparation.target.column))
    names = preparation.numeric_names
    plain = {n.column for n in preparation.numbers}
    edges = [
        column_edges(prepared[:, i], target, config, preparation.target.task == "regression") if name in plain else ()
        for i, name in enumerate(names)
    ]
    return tuple(e if len(e) >= 3 else () for e in edges)


def column_edges(column: np.ndarray, target: np.ndarray, config: PrepareConfig, regression: bool) -> tuple[float, ...]:
    """Bin edges of one column: the split points of a small tree on the target, or quantiles.

    Gorishniy et al. 2022 (arXiv:2203.05556), section 3.2; the same edges as `rtdl_num_embeddings.compute_bins`.
    """
    if config.bins_by == "quantile":
        found = np.quantile(column, np.linspace(0, 1, config.bins + 1))
    else:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        found = np.array([column.min(), column.max()])
        if config.bins > 1:
            tree_class = DecisionTreeRegressor if regression else DecisionTreeClassifier
            smallest = max(1, min(64, len(column) // 64))
            tree = tree_class(max_leaf_nodes=config.bins, min_samples_leaf=smallest, random_state=0)
            splits = tree.fit(column[:, None], target).tree_
            found = np.concatenate([found, splits.threshold[splits.children_left != splits.children_right]])
    return tuple(float(x) for x in np.unique(found.astype(np.float32)))
