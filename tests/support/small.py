"""A small prepared store, made by hand so that the training core is tested without reading any file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headway.columns.category import Category
from headway.columns.config import PrepareConfig, TokensConfig
from headway.columns.number import Number
from headway.columns.ragged import Ragged
from headway.columns.text import TokensFitter
from headway.data.arrays import GrowingRagged
from headway.data.prepare import Preparation
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.tasks import Target

ROWS = {"train": 600, "validation": 200, "test": 200}


def make_rows(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Two numbers and a category whose classes a small network can tell apart."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(rows, 2)).astype(np.float32)
    categorical = rng.integers(2, 5, size=(rows, 1)).astype(np.int32)
    logit = 2 * numeric[:, 0] * numeric[:, 1] + (categorical[:, 0] - 3)
    return {
        "numeric": numeric,
        "categorical": categorical,
        "target": (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int64),
    }


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDirectory]:
    """Make a run directory whose store is ready: ``make_run(model={...}, train={...}, task=...)``."""
    store = tmp_path / "store"
    for seed, (split, rows) in enumerate(ROWS.items()):
        (store / split).mkdir(parents=True)
        for name, values in make_rows(rows, seed).items():
            np.save(store / split / f"{name}.npy", values)
        np.save(store / split / "unit.npy", np.arange(rows))
    numbers = tuple(Number(name, "numeric", 0.0, 0.0, 1.0) for name in ("a", "b"))
    edges = tuple(float(x) for x in np.linspace(-3, 3, 9))
    preparation = Preparation(
        (*numbers, Category("c", ("x", "y", "z"))), Target("t", "classification", ("no", "yes")), (edges, edges)
    )
    write_json(store / "preparation.json", preparation.to_json())
    units = {"validation": ["row", ""], "test": ["row", ""]}
    write_json(store / "store.json", {"rows": ROWS, "units": units})

    def make(model: dict[str, Any] | None = None, train: dict[str, Any] | None = None) -> RunDirectory:
        # On the CPU, where weights are the same bit for bit; what must hold on a GPU is in tests/train/test_on_gpu.py.
        own = {"epochs": 6, "batch_size": 32, "learning_rate": 0.01, "threads": 1, "device": "cpu"}
        settings = {**own, **(train or {})}
        plan = {
            "project": {
                "name": "small",
                "task": "classification",
                "model": model or {"name": "mlp", "width": 16, "depth": 2},
                "train": settings,
                "gate": {},
            }
        }
        run = RunDirectory.create(tmp_path, "small", plan)
        write_json(run.path / "store.json", {"path": str(store)})
        return run

    return make


VOCABULARY = 260


def add_tokens(store: Path) -> None:
    """Beside the numbers of a small store a column of up to six tokens a row, one of which the class decides on."""
    preparation = Preparation.from_json(read_json(store / "preparation.json"))
    texts = pa.array(["some text", None], pa.string())
    fitter = TokensFitter("note", PrepareConfig(tokens=TokensConfig(vocabulary=VOCABULARY)))
    fitter.update(texts, texts)
    tokens = fitter.finish()
    assert tokens is not None
    write_json(store / "preparation.json", replace(preparation, columns=(*preparation.columns, tokens)).to_json())
    write_json(store / "store.json", {**read_json(store / "store.json"), "ragged": ["tokens_0"]})
    for seed, split in enumerate(ROWS):
        rng, target = np.random.default_rng(seed), np.load(store / split / "target.npy")
        lists = [
            [*rng.integers(1, 257, rng.integers(6)), *([257 + label] if rng.random() < 0.7 else [])] for label in target
        ]
        with GrowingRagged(store / split, "tokens_0", np.dtype(np.int32)) as growing:
            growing.append(Ragged.of(lists))
