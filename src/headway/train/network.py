"""Fit a network: build it, run the loop, journal, save, and hand back the best weights' predictions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from headway.base import ConfigError
from headway.data.batches import Batches
from headway.data.config import Split
from headway.data.store import Store
from headway.models import ModelConfig
from headway.run import Journal, RunDirectory
from headway.tasks import task_of
from headway.tasks.base import TaskLoss
from headway.train.checkpoint import load_newest, save_checkpoint
from headway.train.loop import Training, predict
from headway.train.meter import Meter, peak_memory
from headway.train.optimizer import make_optimizer
from headway.train.precision import choose_device, choose_precision
from headway.train.recipe import Recipe

POINTS_AN_EPOCH = 10
"""How often the training loss is read within an epoch: reading it waits for the device."""

PROGRESS_SECONDS = 0.5


def fit_network(
    run: RunDirectory, model: ModelConfig, recipe: Recipe, store: Store
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Train to the best validation loss. Returns the result's fields and the predictions by split."""
    device = choose_device(recipe.device)
    arithmetic = choose_precision(recipe.precision, device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    task = task_of(store.preparation.target)
    network = model.build(store.preparation.inputs()).to(device)
    training = Training(network, make_optimizer(network, recipe), arithmetic.scaler(), task, arithmetic, recipe)
    train = Batches(_tensors(store, "train", task, device), recipe.batch_size, recipe.seed)
    if recipe.batch_size > train.rows:
        raise ConfigError(
            f"train.batch_size must be at most the {train.rows:,} training rows, however it is {recipe.batch_size:,}"
        )
    validation = Batches(_tensors(store, "validation", task, device), recipe.batch_size, recipe.seed)
    journal = run.journal()
    meter = _follow(run, training, train, validation, journal)
    network.load_state_dict(training.best)
    save_file({k: v.to("cpu").contiguous() for k, v in training.best.items()}, run.bundle / "weights.safetensors")
    splits: tuple[Split, ...] = ("validation", "test")
    predictions: dict[str, np.ndarray] = {}
    for split in splits:
        decoded = predict(network, _tensors(store, split, task, device), task, arithmetic)
        predictions[split] = task.finish(decoded.cpu().numpy())
    journal.close()
    result: dict[str, Any] = {
        "precision": str(arithmetic.name),
        "precision_reason": arithmetic.reason,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "epochs": training.progress.epoch,
        "best_epoch": training.progress.best_epoch,
        "steps": training.progress.step,
        "rows_per_second": meter.rows_per_second,
        "peak_memory_bytes": peak_memory(),
        "parameters": sum(p.numel() for p in network.parameters()),
        "validation_loss": training.progress.best_loss,
    }
    return result, predictions


def _tensors(store: Store, split: Split, task: TaskLoss, device: torch.device) -> dict[str, Tensor]:
    """The split's arrays on the device."""
    arrays = store.arrays(split)
    return {
        "numeric": torch.from_numpy(np.array(arrays["numeric"])).to(device),
        "categorical": torch.from_numpy(np.array(arrays["categorical"], np.int64)).to(device),
        "target": torch.from_numpy(task.training_target(arrays["target"])).to(device),
    }


def _follow(run: RunDirectory, training: Training, train: Batches, validation: Batches, journal: Journal) -> Meter:
    """Run the loop; journal what it yields; save a checkpoint now and then; go on from one where there is one."""
    told = _already_told(run)
    found = load_newest(run.checkpoints)
    if found is not None:
        training.unpack(*found)
        journal.write("stage", name="resumed", step=training.progress.step)
    done = training.progress
    every = max(1, train.steps // POINTS_AN_EPOCH)
    meter = Meter()
    meter.resume()
    saved = shown = time.perf_counter()
    for what in training.run(train, validation):
        values: dict[str, float] = {}
        if what == "step":
            meter.add(min(train.batch_size, train.rows - (done.step_in_epoch - 1) * train.batch_size))
            if done.step_in_epoch % every == 0:
                values["train/loss"] = training.mean_loss()
            if done.step_in_epoch == train.steps:
                meter.pause()  # validation follows
        else:
            values |= {"validation/loss": training.validation_loss, "epoch": float(done.epoch)}
            values["rows_per_second"] = meter.rows_per_second
            meter.resume()
        values = {name: value for name, value in values.items() if done.step > told.get(name, 0)}
        if values:
            journal.write("metric", step=done.step, values=values)
        now = time.perf_counter()
        if what == "epoch" or now - shown >= PROGRESS_SECONDS:
            shown = now
            journal.write("progress", **_position(training, train))
            journal.flush()
        if now - saved >= training.recipe.checkpoint_seconds:
            _save(run, training, journal)
            saved = time.perf_counter()
    meter.pause()
    _save(run, training, journal)
    return meter


def _already_told(run: RunDirectory) -> dict[str, int]:
    """The last step journaled for each metric: what is trained again after a restart is not told again."""
    told: dict[str, int] = {}
    for event in run.events():
        for name in event.metrics:
            told[name] = max(told.get(name, 0), event.step)
    return told


def _position(training: Training, train: Batches) -> dict[str, Any]:
    done = training.progress
    text = f"epoch {min(done.epoch + 1, training.recipe.epochs)} of at most {training.recipe.epochs}"
    if done.best_epoch:
        text += f", best validation loss {done.best_loss:.4f} in epoch {done.best_epoch}"
    steps = training.recipe.epochs * train.steps
    return {"step": done.step, "steps": steps, "epoch": done.epoch, "epochs": training.recipe.epochs, "text": text}


def _save(run: RunDirectory, training: Training, journal: Journal) -> None:
    """A full disk must not end a training: it goes on with the last good checkpoint, and says so."""
    journal.flush()  # before the checkpoint: what it holds as done must have been told
    try:
        save_checkpoint(run.checkpoints, training.progress.step, *training.pack())
        journal.write("checkpoint", step=training.progress.step)
    except OSError as error:
        journal.write("warning", text=f"no checkpoint at step {training.progress.step}: {error.strerror}; going on")
    journal.flush()
