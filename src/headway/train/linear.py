"""A linear model's training: one fit, its weights, its predictions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from headway.data.store import Store
from headway.models.linear import Linear
from headway.run import RunDirectory
from headway.train.recipe import Recipe


def fit_linear(
    run: RunDirectory, model: Linear, recipe: Recipe, store: Store
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fit on the training rows. Returns the result, and predictions of validation and test."""
    import torch
    from safetensors.torch import save_file

    from headway.tasks import task_of
    from headway.train.meter import peak_memory

    inputs, target = store.preparation.inputs(), store.preparation.target
    regression, begun = target.task == "regression", time.perf_counter()
    train = store.arrays("train")
    fit = model.fit(train, inputs.categorical, inputs.outputs, regression=regression, seed=recipe.seed)
    seconds = time.perf_counter() - begun
    if regression:
        fit = fit.standardised(target.mean, target.std)
    state = {name: torch.from_numpy(np.ascontiguousarray(values, np.float32)) for name, values in fit.state().items()}
    save_file(state, str(run.bundle / "weights.safetensors"))
    task = task_of(target)
    predictions, losses = {}, {}
    for split in ("train", "validation", "test"):
        arrays = store.arrays(split)
        decoded = task.decode(torch.from_numpy(fit.outputs(arrays).astype(np.float32)))
        losses[split] = task.score(decoded, torch.from_numpy(task.training_target(arrays["target"])))
        predictions[split] = task.finish(decoded.numpy())
    journal = run.journal()
    values = {"train/loss": losses["train"], "validation/loss": losses["validation"]}
    journal.write("metric", step=1, values=values)
    journal.close()
    result = {
        "precision": "fp64",
        "device": "cpu",
        "epochs": 1,
        "best_epoch": 1,
        "steps": 1,
        "rows_per_second": min(len(train["target"]), model.rows) / seconds,
        "peak_memory_bytes": peak_memory(),
        "parameters": sum(values.numel() for values in state.values()),
        "validation_loss": losses["validation"],
    }
    return result, {split: predictions[split] for split in ("validation", "test")}
