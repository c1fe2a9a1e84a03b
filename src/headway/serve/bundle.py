"""A bundle: a trained model with its preparation, as a folder of plain files that a fresh process can predict with.

bundle.json          see `headway.models.description`
preparation.json     the fitted preparation; bundles of documents of early versions have tokenizer.json
project.yaml         the resolved project
history.parquet      of time series: the newest rows, in which the past of later rows is
weights.safetensors  of a network; other models have files of their own (`headway.models`)
checksums.json       of all of these, once the bundle is complete; bundles of early versions have none
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns.category import FIRST_CODE, UNKNOWN
from headway.data.inputs import Inputs
from headway.data.prepare import Preparation
from headway.data.prepared_rows import PreparedRows
from headway.data.sparse import sparse
from headway.data.store import Store
from headway.errors import ConfigError
from headway.files.atomic import write_atomically, write_json
from headway.models import ModelConfig
from headway.models.base import Estimator
from headway.models.boosting import features
from headway.models.description import (
    CHANGES,
    COMPOSED,
    DECODING,
    FEATURES,
    OF_SERIES,
    RAGGED,
    SPREAD,
    TEMPERATURE,
    THRESHOLD,
    VARYING,
    Description,
    format_of,
    preparation_of,
)
from headway.serve.following import Following
from headway.serve.interval import Interval
from headway.serve.reading import canonical_rows, composed, refuse_unpredicted
from headway.serve.text import TextPredictor
from headway.serve.whole import whole
from headway.tasks.calibration import OF_MANY

if TYPE_CHECKING:
    from torch import nn

LATENCY_ROWS = 1000
LATENCY_REPEATS = 5
FEWEST_TO_WARN = 20
"""The least number of rows for a warning of unknown values."""


def complete_bundle(
    folder: Path, preparation: Preparation, model: ModelConfig, project_yaml: str, interval: Interval | None = None
) -> None:
    """Add everything that predicting needs to the weights that training wrote."""
    write_json(folder / "preparation.json", preparation.to_json())
    write_atomically(folder / "project.yaml", project_yaml)
    target, needs = preparation.target, needs_of(preparation, interval)
    described = Description(
        format=format_of(needs),
        needs=tuple(sorted(needs)),
        task=target.task,
        model=model.model_dump(mode="json", exclude={"weights"}),  # a file to start from, of which nothing is left
        inputs=preparation.inputs(),
        classes=target.classes,
        features=preparation.kinds,
        target=target.column or None,
        interval=None if interval is None else interval.to_json(),
    )
    described.write(folder / "bundle.json")


def needs_of(preparation: Preparation, interval: Interval | None) -> set[str]:
    """What predicting with a bundle needs, of `headway.models.description.FEATURES`."""
    target = preparation.target
    groups = {one.group for one in preparation.by_ragged.values()}
    is_needed = {
        VARYING: interval is not None and interval.varies,
        SPREAD: interval is not None and interval.spread is not None,
        DECODING: not target.objective.is_plain,
        OF_SERIES: preparation.past is not None,
        CHANGES: target.reference is not None,
        COMPOSED: bool(preparation.composition.columns),
        THRESHOLD: target.threshold is not None or target.calibration is not None,
        TEMPERATURE: target.calibration is not None and target.calibration.method == OF_MANY,
    }
    return {name for name, needed in is_needed.items() if needed} | {
        group if group in FEATURES else RAGGED for group in groups
    }


@dataclass(frozen=True)
class Predictor:
    """A loaded bundle that predicts rows. They are prepared exactly as in training."""

    every: ClassVar[bool] = True
    """Whether a row must have every column of ``columns``; otherwise one of them is enough."""

    preparation: Preparation
    inputs: Inputs
    model: nn.Module | Estimator
    interval: Interval | None = None
    following: Following | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """As `load_predictor`, of a bundle that predicts rows. Raises ConfigError for another."""
        predictor = load_predictor(folder)
        if not isinstance(predictor, Predictor):
            task = predictor.preparation.target.task
            raise ConfigError(f"{folder} must be a bundle that predicts rows, but its task is {task}")
        return predictor

    @property
    def commas(self) -> frozenset[str]:
        """The columns that have a decimal comma."""
        return frozenset(name for name, one in self.preparation.written.items() if one.decimal == ",")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row must have."""
        return tuple(self.preparation.composition.sources(self.preparation.needed))

    @property
    def observed(self) -> tuple[str, ...]:
        """The columns that a row may have besides, for the past of other rows."""
        return tuple(self.preparation.observed)

    def predict(self, rows: pd.DataFrame | pa.RecordBatch, strict: bool = True) -> np.ndarray:
        """(N, classes) float32 probabilities or (N,) float64 values, rows in order.

        Raises DataError when a column is missing or holds what its kind cannot be. Columns not needed are ignored;
        categories never seen in training fall into the unknown bucket; nulls are imputed. So are infinities, unless it is ``strict``.
        """
        return self.compute(PreparedRows.of(self.preparation, self.canonical(rows), strict))

    def answer(self, rows: pd.DataFrame | pa.RecordBatch, _params: Mapping[str, Any]) -> pd.DataFrame:
        """The result of MLflow's predict: `prediction`, and `probability_<class>` columns or `low` and `high`. Raises as `predict`."""
        batch = self.canonical(rows)
        prepared = PreparedRows.of(self.preparation, batch, strict=True)
        self._warn_of_unknown(batch, prepared.arrays["categorical"])
        predictions = self.compute(prepared)
        refuse_unpredicted(predictions)
        return decode(self.preparation, self.interval, self._with_interval(predictions, prepared))

    def with_interval(self, rows: pd.DataFrame | pa.RecordBatch) -> np.ndarray:
        """As `predict`; where the bundle has an interval (N, 3) float64: predictions, low and high ends."""
        prepared = PreparedRows.of(self.preparation, self.canonical(rows), strict=True)
        return self._with_interval(self.compute(prepared), prepared)

    def _with_interval(self, predictions: np.ndarray, rows: PreparedRows) -> np.ndarray:
        if self.interval is None:
            return predictions
        predictions = predictions.astype(np.float64)
        return np.stack([predictions, *self.interval.bounds(predictions, lambda: features(rows.arrays))], 1)

    def _warn_of_unknown(self, batch: pa.RecordBatch, codes_BC: np.ndarray) -> None:
        """Warn of a column with mostly new values, which were probably read in another way than in training."""
        if len(codes_BC) < FEWEST_TO_WARN:
            return
        for (encoding, output), codes in zip(self.preparation.by_array["categorical"], codes_BC.T, strict=True):
            is_new, name = codes == UNKNOWN, encoding.column
            values, categories = batch.column(name), (output.codes or 0) - FIRST_CODE
            if categories > 1 and is_new.sum() > 0.5 * max(1, len(values) - values.null_count):
                example = values[int(np.flatnonzero(is_new)[0])].as_py()
                text = f"most values of {name} are not in the training data, for example {example!r}"
                warnings.warn(f"{text}; check that these rows are read as in training", UserWarning, stacklevel=3)

    def canonical(self, rows: pd.DataFrame | pa.RecordBatch) -> pa.RecordBatch:
        """The columns that the preparation needs, in canonical types. Raises DataError as `predict` does."""
        rows = composed(self.preparation, rows)
        batch = canonical_rows(self.preparation, rows)
        if self.following is not None:
            for name, column in self.following.past_of(rows).items():
                batch = batch.append_column(name, column)
        return batch

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the target."""
        return self.preparation.target.classes

    def test_predictions(self, store: Path) -> np.ndarray:
        """For the raw test rows that a store holds, in order."""
        return np.concatenate([self.predict(batch) for batch in Store(store).raw_test_batches()])

    def latency_ms(self, store: Path) -> float:
        """Milliseconds to predict 1,000 of these rows; fewer rows are repeated."""
        first = next(Store(store).raw_test_batches(LATENCY_ROWS))
        rows = pa.Table.from_batches([first] * -(-LATENCY_ROWS // first.num_rows)).slice(0, LATENCY_ROWS)
        batch = rows.combine_chunks().to_batches()[0]
        seconds = []
        for _ in range(LATENCY_REPEATS):
            start = time.perf_counter()
            self.predict(batch)
            seconds.append(time.perf_counter() - start)
        return 1000 * float(np.median(seconds))

    def compute(self, rows: PreparedRows) -> np.ndarray:
        """The same of rows that are prepared already."""
        target = self.preparation.target
        return target.levels(target.calibrated(self._compute(rows)), rows.arrays["numeric"])

    def _compute(self, rows: PreparedRows) -> np.ndarray:
        target = self.preparation.target
        if isinstance(self.model, Estimator):
            return self.model.predict(rows.arrays, self.inputs, target, sparse(rows.ragged, self.inputs.tokens))
        return _predict_network(self.model, rows, self.preparation)


def answers_of(predictor: AnyPredictor, rows: pa.RecordBatch) -> np.ndarray:
    """What ``decode`` takes. Raises as `predict`."""
    return predictor.with_interval(rows) if isinstance(predictor, Predictor) else predictor.predict(rows)


def decode(preparation: Preparation, interval: Interval | None, answers: np.ndarray) -> pd.DataFrame:
    """The predictions in columns: `prediction`, and `probability_<class>` columns or `low` and `high`."""
    if interval is None:
        return preparation.target.decode(answers)
    return preparation.target.decode(answers[:, 0]).assign(low=answers[:, 1], high=answers[:, 2])


AnyPredictor = Predictor | TextPredictor


def load_predictor(folder: str | Path) -> AnyPredictor:
    """Read a bundle. Raises ConfigError when the folder is no bundle or of a newer format, DamagedError for a damaged one."""
    folder = Path(folder)
    with whole(folder) as described:
        preparation, config = preparation_of(folder), described.config
        model = _fast(config.load(folder, described.inputs), described.inputs)
        if config.completes:
            assert not isinstance(model, Estimator), "it reads rows"
            return TextPredictor(preparation, config.window, model)
        interval, following = Interval.of(described.interval), Following.of(folder, preparation)
        return Predictor(preparation, described.inputs, model, interval, following)


def _fast(model: nn.Module | Estimator, inputs: Inputs) -> nn.Module | Estimator:
    """The same, quicker to predict with where it is a network."""
    if isinstance(model, Estimator):
        return model
    from headway.models.folded import folded

    return folded(model, inputs.categorical)


def _predict_network(network: nn.Module, rows: PreparedRows, preparation: Preparation) -> np.ndarray:
    """On the CPU, in full precision: a registered model gives the same numbers everywhere."""
    import torch

    from headway.data.padded import tensors_of
    from headway.train.precision import choose_precision
    from headway.train.table import predict

    tensors = tensors_of(rows)
    task = preparation.target.learner
    decoded = predict(network, tensors, task, choose_precision("fp32", torch.device("cpu")))
    return task.finish(preparation.target, decoded.numpy())
