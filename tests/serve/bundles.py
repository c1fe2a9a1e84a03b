"""Small bundles with random weights, and rows for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

from headway.data.prepare import Category, Number, Preparation, Target
from headway.models.mlp import MLP
from headway.serve.bundle import complete_bundle

CLASSES = Target("y", "classification", ("a", "b", "c"))
VALUE = Target("y", "regression", (), 10.0, 3.0)


def bundle_of(folder: Path, target: Target) -> Path:
    preparation = Preparation(
        (Number("x", "numeric", 0.5, 0.0, 2.0, missing=True),), (Category("k", ("p", "q")),), (), target
    )
    torch.manual_seed(0)
    model = MLP(width=8, depth=2)
    folder.mkdir()
    save_file(model.build(preparation.inputs()).state_dict(), folder / "weights.safetensors")
    complete_bundle(folder, preparation, model, "name: x\n")
    return folder


def rows(n: int, seed: int) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    x = [None if v < -1 else float(v) for v in rng.normal(size=n)]
    return pa.RecordBatch.from_pydict({"x": x, "k": rng.choice(["p", "q", "new"], n), "extra": np.arange(n)})
