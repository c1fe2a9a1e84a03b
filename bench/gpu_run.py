"""A prepared store that needs no file and no network, and a run directory that trains on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from headway.tasks import Target

COLUMNS = 32


def make_run(root: Path, rows: int, epochs: int, device: torch.device) -> RunDirectory:
    """``rows`` of numbers, the sign of a product of two of which a small network can learn; a tenth each for validation and test."""
    sizes, store = {"train": rows, "validation": rows // 10, "test": rows // 10}, root / "store"
    for seed, (split, count) in enumerate(sizes.items()):
        (store / split).mkdir(parents=True)
        numeric = np.random.default_rng(seed).normal(size=(count, COLUMNS)).astype(np.float32)
        arrays = {
            "numeric": numeric,
            "categorical": np.empty((count, 0), np.int32),
            "target": (numeric[:, 0] * numeric[:, 1] > 0).astype(np.int64),
            "unit": np.arange(count),
        }
        for name, values in arrays.items():
            np.save(store / split / f"{name}.npy", values)
    numbers = tuple(Number(f"x{i}", "numeric", 0.0, 0.0, 1.0) for i in range(COLUMNS))
    write_json(store / "preparation.json", Preparation(numbers, Target("y", "classification", ("no", "yes"))).to_json())
    units = {split: ["row", ""] for split in ("validation", "test")}
    write_json(store / "store.json", {"rows": sizes, "units": units})
    settings = {
        "epochs": epochs,
        "patience": epochs,
        "batch_size": 256,
        "learning_rate": 0.003,
        "checkpoint_seconds": 0.5,
    }
    project = {
        "name": "bench",
        "task": "classification",
        "model": {"name": "mlp", "width": 128, "depth": 2, "dropout": 0.1},
        "train": {**settings, "device": device.type, "precision": "fp32"},
        "gate": {},
    }
    run = RunDirectory.create(root, "bench", {"project": project})
    write_json(run.path / "store.json", {"path": str(store)})
    return run
