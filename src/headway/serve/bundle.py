"""A bundle: a trained model with its preparation, as a folder of plain files that a fresh process can predict with.

bundle.json          format, task, model, inputs, classes, raw columns and their kinds, a regression's interval
preparation.json     the fitted preparation
project.yaml         the resolved project
weights.safetensors  or model.txt for boosting
checksums.json       of all of these, once the bundle is complete; bundles of early versions have none
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns.category import FIRST_CODE, UNKNOWN
from headway.data.inputs import Inputs
from headway.data.prepare import Preparation
from headway.data.prepared import PreparedRows
from headway.data.store import Store
from headway.files.atomic import read_json, write_atomically, write_json
from headway.models import ModelConfig, model_configs
from headway.models.boosting import Boosting
from headway.serve.interval import Interval
from headway.serve.reading import canonical_rows, refuse_unpredicted
from headway.serve.whole import description_of, whole

if TYPE_CHECKING:
    import lightgbm
    from torch import nn

    from headway.serve.text import TextPredictor

FORMATS = {"": 1, "tokens": 2, "ngrams": 3}
"""The format of a bundle by what its texts become beside numbers and codes: earlier versions can read those that they know."""
VARYING = 4
"""The format of a bundle with intervals of more than one width."""
DECODING = 5
"""The format of a bundle whose outputs become predictions in a way of their own: another scale or a log link."""
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
    inputs, ragged = preparation.inputs(), preparation.by_ragged.values()
    earliest = max(FORMATS.get(one.group, 2) for one in ragged) if ragged else FORMATS[""]
    earliest = VARYING if interval is not None and interval.varies else earliest
    described = {
        "format": earliest if preparation.target.objective.is_plain else DECODING,
        "task": preparation.target.task,
        "model": model.model_dump(mode="json"),
        "inputs": inputs.to_json(),
        "classes": list(preparation.target.classes),
        "features": preparation.kinds,
        "target": preparation.target.column,
        "interval": None if interval is None else interval.to_json(),
    }
    write_json(folder / "bundle.json", described)


@dataclass(frozen=True)
class Predictor:
    """A loaded bundle. Rows are prepared exactly as in training."""

    preparation: Preparation
    inputs: Inputs
    model: nn.Module | lightgbm.Booster
    interval: Interval | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """Read a bundle. Raises ConfigError when the folder is no bundle or of a newer format, DamagedError for a damaged one."""
        folder = Path(folder)
        with whole(folder) as described:
            preparation = Preparation.from_json(read_json(folder / "preparation.json"))
            inputs = Inputs.from_json(described["inputs"])
            config = model_configs()[described["model"]["name"]].parse(described["model"], "model")
            return cls(preparation, inputs, _load_model(folder, config, inputs), Interval.of(described))

    @property
    def commas(self) -> frozenset[str]:
        """The columns that have a decimal comma."""
        return frozenset(name for name, one in self.preparation.written.items() if one.decimal == ",")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a row must have."""
        return tuple(self.preparation.kinds)

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
        return self.decode(predictions)

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

    def decode(self, predictions: np.ndarray) -> pd.DataFrame:
        """`prediction`, and `probability_<class>` columns or, where the bundle has an interval, `low` and `high`."""
        return decode(self.preparation, self.interval, predictions)

    def canonical(self, rows: pd.DataFrame | pa.RecordBatch) -> pa.RecordBatch:
        """The columns that the preparation needs, in canonical types. Raises DataError as `predict` does."""
        return canonical_rows(self.preparation, rows)

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
        if not isinstance(self.model, _network_type()):
            from headway.models.boosting import predict

            target = self.preparation.target
            return target.learner.of_trees(target, predict(self.model, rows.arrays, self.inputs))
        return _predict_network(self.model, rows, self.preparation)


def decode(preparation: Preparation, interval: Interval | None, predictions: np.ndarray) -> pd.DataFrame:
    """The predictions in columns: `prediction`, and `probability_<class>` columns or `low` and `high`."""
    frame = preparation.target.decode(predictions)
    if interval is None:
        return frame
    low, high = interval.bounds(frame["prediction"].to_numpy())
    return frame.assign(low=low, high=high)


def load_predictor(folder: str | Path) -> Predictor | TextPredictor:
    """Read any bundle: a table's or a language model's."""
    if (Path(folder) / "tokenizer.json").is_file():
        from headway.serve.text import TextPredictor

        return TextPredictor.load(folder)
    return Predictor.load(folder)


def preparation_of(folder: Path) -> Preparation:
    """The preparation of a bundle, without its model. Raises ConfigError for a bundle of a newer format."""
    description_of(folder)
    if (folder / "tokenizer.json").is_file():
        from headway.serve.text import documents_preparation

        return documents_preparation(folder)
    return Preparation.from_json(read_json(folder / "preparation.json"))


def _network_type() -> type[Any]:
    from torch import nn

    return nn.Module


def _load_model(folder: Path, config: ModelConfig, inputs: Inputs) -> nn.Module | lightgbm.Booster:
    if isinstance(config, Boosting):
        from headway.models.boosting import load_lightgbm

        return load_lightgbm().Booster(model_str=(folder / "model.txt").read_text())
    from safetensors.torch import load_file

    from headway.models.folded import folded

    network = config.build(inputs)
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return folded(network.eval(), inputs.categorical)


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
