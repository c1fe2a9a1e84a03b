"""Why a bundle predicts what it does of single rows: what each column of the table contributes, in the bundle's own margin.

background.parquet   some test rows, with which a row's columns are compared; not in the bundle of a model that needs none

Shapes: N rows, C columns of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.data.prepared_rows import PreparedRows, places_of
from headway.data.store import Store
from headway.errors import ConfigError
from headway.models import ModelConfig
from headway.models.description import Description
from headway.serve.bundle import Predictor
from headway.tasks import TargetTask, task_of
from headway.tasks.calibration import Calibration
from headway.tasks.reference import Reference

BACKGROUND = "background.parquet"
AT_ONCE = 256
"""Rows: beside a hundred others, and a text's thousands of n-grams each."""


@dataclass(frozen=True, eq=False)
class Reasons:
    """``contributions`` (N, C) of the ``columns``; with ``base`` (N,) they add up to the margin that ``what`` (N,) names."""

    columns: tuple[str, ...]
    contributions: np.ndarray
    base: np.ndarray
    what: np.ndarray


@dataclass(frozen=True)
class Explainer:
    """A loaded bundle that explains its predictions."""

    predictor: Predictor
    config: ModelConfig
    model: Any
    background: PreparedRows

    @classmethod
    def load(cls, folder: Path) -> Explainer:
        """Raises ConfigError for a bundle without a table's target, and for one without the rows to compare with."""
        described = Description.of(folder)
        refuse_unexplained(described.task)
        predictor, config = Predictor.load(folder), described.config
        background = _background(folder, config, predictor)
        return cls(predictor, config, config.load(folder, predictor.inputs), background)

    def reasons(self, batch: pa.RecordBatch, predictions: np.ndarray) -> Reasons:
        """Of rows that `Predictor.predict` takes, and its predictions for them."""
        target, inputs = self.predictor.preparation.target, self.predictor.inputs
        task = target.learner
        names = np.asarray(task.margin_names(target), object)
        which = task.explained(predictions)
        prepared = PreparedRows.of(self.predictor.preparation, self.predictor.canonical(batch))
        parts = [
            self.config.contributions(self.model, inputs, prepared.take(rows), self.background, target, which[rows])
            for rows in np.split(np.arange(len(which)), range(AT_ONCE, len(which), AT_ONCE))
        ]
        values = np.concatenate([part.values for part in parts])
        base = np.concatenate([part.base for part in parts])
        if target.reference is not None:
            values, base = _from_changes(target.reference, prepared, values, base)
        if target.calibration is not None:
            names, values, base = _recalibrated(target.calibration, names, values, base)
        columns, sums = self._by_column(values)
        return Reasons(columns, sums, base, names[which])

    def _by_column(self, values: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """The sums of (N, P) over all that each column of the table became."""
        preparation = self.predictor.preparation
        numeric, categorical = (len(preparation.by_array[name]) for name in ("numeric", "categorical"))
        ragged = {name: numeric + categorical + i for i, name in enumerate(preparation.by_ragged)}
        places = {
            column: [*at.numeric, *(numeric + i for i in at.categorical), *(ragged[name] for name in at.ragged)]
            for column, at in places_of(preparation).items()
        }
        return tuple(places), np.stack([values[:, at].sum(1) for at in places.values()], 1)


def _from_changes(
    reference: Reference, rows: PreparedRows, values: np.ndarray, base: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Contributions (N, P) to a change and their base as those to the level: the earlier value adds what it is above its mean."""
    values = reference.share * values
    values[:, reference.place] += reference.values(rows.arrays["numeric"]) - reference.center
    return values, reference.share * base + reference.center


def _recalibrated(
    calibration: Calibration, names: np.ndarray, values: np.ndarray, base: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contributions (N, P) and base to the log-odds after a recalibration; where that is no line, before it, and the names say so."""
    if calibration.line is None:
        return np.asarray([f"{name} before its recalibration" for name in names], object), values, base
    slope, intercept = calibration.line
    return names, slope * values, slope * base + intercept


def refuse_unexplained(name: str) -> None:
    """Raises ConfigError for a task that predicts no target from columns."""
    if not isinstance(task_of(name), TargetTask):
        raise ConfigError(f"reasons need columns of a table from which a target is predicted, but the task is {name}")


def keep_background(bundle: Path, store: Store, config: ModelConfig, count: int) -> None:
    """Keep so many test rows of a table in a bundle, drawn at random, where its model compares rows with others."""
    if config.completes or not config.compares_rows or not count:
        return
    total, columns = store.rows["test"], store.preparation.stored
    places = np.sort(np.random.default_rng(0).permutation(total)[:count])
    start, pieces = 0, []
    for batch in store.raw_test_batches():
        here = places[(places >= start) & (places < start + batch.num_rows)] - start
        pieces.append(batch.select(columns).take(pa.array(here)))
        start += batch.num_rows
    pq.write_table(pa.Table.from_batches(pieces), bundle / BACKGROUND)


def _background(folder: Path, config: ModelConfig, predictor: Predictor) -> PreparedRows:
    """The rows to compare with; none for a model that needs none."""
    if not config.compares_rows:
        return PreparedRows({}, {})
    if not (folder / BACKGROUND).exists():
        raise ConfigError(
            "reasons need rows in the bundle to compare with, but this version has none: evaluate.background was 0, or an earlier "
            "Headway registered it; retrain it"
        )
    preparation = predictor.preparation
    table = pq.read_table(folder / BACKGROUND, columns=preparation.stored)
    return PreparedRows.of(preparation, predictor.canonical(table.combine_chunks().to_batches()[0]))
