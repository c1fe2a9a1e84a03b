"""Prediction against what a user would have instead: `make bench NAME=predict`. Four minutes on two cores.

Frames of 10,000 rows and 100 columns (80 numbers, 20 categories, nulls in both) through an MLP, from a pandas frame to probabilities.
`bench.predict_anchors` has the same network as a plain `mlflow.pytorch` model, as a scikit-learn pipeline and in ONNX Runtime; all give the
same numbers. Both sides are one process in fp32 with a thread for each core. Then without a goal: ours as batch scoring does it, a process
of one thread for each core on Arrow batches, and our predictor compiled and in int8 against itself, where losing is an answer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from safetensors.torch import save_file

from bench.predict_anchors import CATEGORIES, NUMBERS, VALUES, Anchors
from bench.samples import Samples, options
from bench.side_by_side import Comparison, against_itself, conclude, measure
from headway.columns.category import FIRST_CODE, UNKNOWN, Category
from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.models.mlp import MLP
from headway.serve.bundle import Predictor, complete_bundle
from headway.serve.faster import hastened
from headway.serve.workers import Workers
from headway.tasks import Target
from headway.train.tune import physical_cores

ROWS, FRAMES, PAIRS = 10_000, 4, 16


def main() -> None:
    """Measure and keep the ratios."""
    settings, cores = options(), physical_cores()
    samples = Samples("predict", fresh=settings.fresh)
    torch.set_num_threads(cores)
    frame = _frame()
    batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        network = _make_bundle(bundle)
        ours = Predictor.load(bundle)
        anchors = Anchors(network, Path(folder), cores)
        own = ours.predict(frame)[:, 1]
        with Workers(bundle, cores) as workers:
            comparisons: list[Comparison] = []
            for name, anchor in anchors.by_name().items():
                _must_agree(name, anchor(frame), own)
                comparisons += _against(name, ours, workers, anchor, frame, batch)
            for way in ("compiled", "int8"):
                faster = hastened(ours, way)
                comparisons.append(_compared_ways(f"ours {way} against ours plain", faster, ours, batch))
            measure(samples, comparisons, settings)
    conclude("predict", samples, comparisons)


def _against(
    name: str,
    ours: Predictor,
    workers: Workers,
    anchor: Callable[[pd.DataFrame], np.ndarray],
    frame: pd.DataFrame,
    batch: pa.RecordBatch,
) -> list[Comparison]:
    """One process against one process, all processes against it, and the anchor against itself."""

    def theirs() -> object:
        return [anchor(frame) for _ in range(FRAMES)]

    return [
        Comparison(
            f"{name}: a third of its time", lambda: [ours.predict(frame) for _ in range(FRAMES)], theirs, PAIRS, 1 / 3
        ),
        Comparison(
            f"{name}: ours in a process for each core", lambda: list(workers.predict([batch] * FRAMES)), theirs, PAIRS
        ),
        against_itself(theirs, PAIRS, name),
    ]


def _compared_ways(label: str, faster: Predictor, plain: Predictor, batch: pa.RecordBatch) -> Comparison:
    return Comparison(label, lambda: faster.predict(batch), lambda: plain.predict(batch), PAIRS)


def _must_agree(name: str, answer: np.ndarray, own: np.ndarray) -> None:
    apart = np.abs(answer - own).max()
    if apart > 1e-5:
        raise SystemExit(f"{name} must predict what ours predicts, but is {apart:g} apart")


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns: dict[str, object] = {}
    for name in NUMBERS:
        values = rng.normal(size=ROWS)
        values[rng.random(ROWS) < 0.05] = np.nan
        columns[name] = values
    for name in CATEGORIES:
        codes = rng.integers(0, 30, ROWS)  # five of thirty values are new to the model
        columns[name] = pd.Series([f"v{code}" for code in codes]).where(rng.random(ROWS) > 0.05, None)
    return pd.DataFrame(columns)


def _make_bundle(folder: Path) -> torch.nn.Module:
    """An MLP of random weights as a bundle; the network. A value that it does not know adds nothing, as in scikit-learn."""
    numbers = tuple(Number(name, "numeric", 0.0, 0.0, 1.0) for name in NUMBERS)
    categories = tuple(Category(name, VALUES) for name in CATEGORIES)
    preparation = Preparation((*numbers, *categories), Target("t", "classification", ("no", "yes")))
    torch.manual_seed(0)
    model = MLP(width=128, depth=2)
    network = model.build(preparation.inputs()).eval()
    first = next(weight for weight in network.parameters() if weight.ndim == 2)
    with torch.no_grad():
        first[:, len(NUMBERS) + UNKNOWN :: FIRST_CODE + len(VALUES)] = 0.0
    folder.mkdir()
    save_file(network.state_dict(), folder / "weights.safetensors")
    complete_bundle(folder, preparation, model, "name: bench\n")
    return network


if __name__ == "__main__":
    main()
