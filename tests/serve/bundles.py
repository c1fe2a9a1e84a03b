"""Small bundles with random weights, and rows for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from safetensors.torch import save_file

from headway import tracking
from headway.columns.category import Category
from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.models.mlp import MLP
from headway.run.directory import RunDirectory
from headway.serve.bundle import complete_bundle
from headway.serve.interval import Interval
from headway.serve.spread import Spread
from headway.tasks import Target
from headway.tracking.store import quietly
from tests.support.deciding import decide

CLASSES = Target("y", "classification", ("a", "b", "c"))
VALUE = Target("y", "regression", (), 10.0, 3.0)
SPREAD = Spread(np.array([[0, 2, 0]]), np.array([[0.0, 1.5, 0.25]]), np.array([[0.1, 0.4, -0.2, 0.7]]))
INTERVAL = Interval(0.9, (9.0, 11.0), (-2.0, -4.0), (3.0, 9.0), 500, SPREAD)
"""Whether x is at most 0, then whether k is unknown, or whether x is at most 0.5 (a quarter, prepared)."""


def bundle_of(folder: Path, target: Target, interval: Interval | None = None) -> Path:
    preparation = Preparation((Number("x", "numeric", 0.5, 0.0, 2.0, missing=True), Category("k", ("p", "q"))), target)
    torch.manual_seed(0)
    model = MLP(width=8, depth=2)
    folder.mkdir()
    save_file(model.build(preparation.inputs()).state_dict(), folder / "weights.safetensors")
    complete_bundle(folder, preparation, model, "name: x\n", interval)
    return folder


def rows(n: int, seed: int) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    x = [None if v < -1 else float(v) for v in rng.normal(size=n)]
    return pa.RecordBatch.from_pydict({"x": x, "k": rng.choice(["p", "q", "new"], n), "extra": np.arange(n)})


def registered(root: Path, name: str, keys: tuple[str, ...] = ("id",)) -> None:
    """A project `classes` (keys, three classes) or `values` (a regression with an interval) whose champion has random weights."""
    target = CLASSES if name == "classes" else VALUE
    text = f"task: {target.task}\ndata: {{source: rows.csv, target: y, features: {{x: numeric, k: categorical}}"
    text += f", keys: [{', '.join(keys)}]}}\n" if name == "classes" else "}\n"
    interval = INTERVAL if target is VALUE else None
    promoted(root, name, text, target.task, lambda folder: bundle_of(folder, target, interval), rows(5, 0).to_pandas())


def promoted(
    root: Path, name: str, text: str, task: str, make: Callable[[Path], object], example: pd.DataFrame
) -> None:
    """A project of this YAML whose champion is the bundle that ``make`` writes."""
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / f"{name}.yaml").write_text(text)
    plan = {"name": name, "description": "", "task": task, "model": {"name": "mlp"}}
    run = RunDirectory.create(root, name, {"project": plan, "seed": 0})
    make(run.bundle)
    tracking.begin(run, root, {}, "mlp", "")
    version = tracking.register(run, root, name, example)
    decide(root, name, version, {"promoted": True, "reason": "first"})


def loaded(root: Path, name: str) -> Any:
    """The champion as MLflow's users load it."""
    with quietly():
        import mlflow.pyfunc

        mlflow.set_tracking_uri(tracking.tracking_uri(root))
        try:
            return mlflow.pyfunc.load_model(f"models:/{name}@champion")
        finally:
            mlflow.set_tracking_uri(None)  # it is in the environment, too: every later test would use this store
