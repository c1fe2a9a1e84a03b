"""Prediction against MLflow's pyfunc of the same bundle: `make bench NAME=predict`. Five minutes on two cores.

10,000-row frames of 100 columns (80 numbers, 20 categories, nulls in both) through an MLP. The anchor is
`mlflow.pyfunc.load_model(...).predict` on pandas frames; ours is what batch scoring uses: a predictor in a process for each core, on Arrow
batches as they come from a file. Both give the same numbers. Then, against our own plain predictor in one process: on Arrow batches against
pyfunc, compiled, and in int8, where losing is an answer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from safetensors.torch import save_file

from bench.side_by_side import compare, write
from headway import tracking
from headway.data.prepare import Category, Number, Preparation, Target
from headway.models.mlp import MLP
from headway.run import RunDirectory
from headway.serve.bundle import Predictor, complete_bundle
from headway.serve.faster import hastened
from headway.serve.workers import Workers

ROWS, NUMBERS, CATEGORIES = 10_000, 80, 20
FRAMES, PAIRS = 16, 20


def main() -> None:
    """Measure and keep the ratios."""
    frame = _frame()
    batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bundle = _registered(root, frame)
        mlflow.set_tracking_uri(tracking.tracking_uri(root))
        theirs = mlflow.pyfunc.load_model("models:/bench@champion")
        plain = Predictor.load(bundle)
        with Workers(bundle) as workers:
            expected = theirs.predict(frame)["probability"].to_numpy()
            for found in [plain.predict(batch), *workers.predict([batch] * 2)]:
                _must_agree(found[:, 1], expected)
            ratios = {
                "a third of pyfunc's time": compare(
                    lambda: list(workers.predict([batch] * FRAMES)),
                    lambda: [theirs.predict(frame) for _ in range(FRAMES)],
                    PAIRS,
                    1 / 3,
                )
            }
        ratios["in one process against pyfunc"] = compare(
            lambda: plain.predict(batch), lambda: theirs.predict(frame), PAIRS
        )
        for way in ("compiled", "int8"):
            other = hastened(plain, way)
            ratios[f"{way} against plain"] = compare(
                lambda p=other: p.predict(batch), lambda: plain.predict(batch), PAIRS
            )
    for label, ratio in ratios.items():
        print(f"{label}: {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
    print(write("predict", ratios))


def _must_agree(found: np.ndarray, expected: np.ndarray) -> None:
    apart = np.abs(found - expected).max()
    if apart > 1e-5:
        raise SystemExit(f"both must predict the same, however they are {apart:g} apart")


def _frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns: dict[str, object] = {}
    for i in range(NUMBERS):
        values = rng.normal(size=ROWS)
        values[rng.random(ROWS) < 0.05] = np.nan
        columns[f"n{i}"] = values
    for i in range(CATEGORIES):
        codes = rng.integers(0, 30, ROWS)
        columns[f"c{i}"] = pd.Series([f"v{c}" for c in codes]).where(rng.random(ROWS) > 0.05, None)
    return pd.DataFrame(columns)


def _registered(root: Path, frame: pd.DataFrame) -> Path:
    """A champion with random weights; its bundle."""
    numbers = tuple(Number(f"n{i}", "numeric", 0.0, 0.0, 1.0) for i in range(NUMBERS))
    values = tuple(f"v{c}" for c in range(25))
    categories = tuple(Category(f"c{i}", values) for i in range(CATEGORIES))
    preparation = Preparation(numbers, categories, (), Target("t", "classification", ("no", "yes")))
    plan = {"name": "bench", "description": "", "task": "classification", "model": {"name": "mlp"}}
    run = RunDirectory.create(root, "bench", {"project": plan, "seed": 0})
    run.bundle.mkdir()
    torch.manual_seed(0)
    model = MLP(width=128, depth=2)
    save_file(model.build(preparation.inputs()).state_dict(), run.bundle / "weights.safetensors")
    complete_bundle(run.bundle, preparation, model, "name: bench\n")
    tracking.begin(run, root, {}, "mlp", "")
    version = tracking.register(run, root, "bench", frame.head())
    tracking.promote(root, "bench", version, {"promoted": True, "reason": "first"})
    champion = tracking.champion(root, "bench")
    assert champion is not None
    return champion.bundle


if __name__ == "__main__":
    main()
