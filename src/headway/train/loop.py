"""The training loop. It yields after every step and every epoch; the caller logs, saves and stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from headway.base import TrainingError
from headway.data.batches import Batches
from headway.tasks.base import TaskLoss
from headway.train.checkpoint import pack_optimizer, unpack_optimizer
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe

PREDICT_ROWS = 8192
"""Rows predicted at once."""


@dataclass
class Progress:
    """Where the training stands. ``epoch`` and ``step_in_epoch`` say what has been done, ``step`` counts all steps."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0


@dataclass
class Training:
    """Everything that changes while a network trains."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    task: TaskLoss
    arithmetic: Arithmetic
    recipe: Recipe
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] = field(default_factory=dict)
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    loss_steps: int = 0
    validation_loss: float = float("inf")

    def run(self, batches: Batches, validation: Batches) -> Iterator[Literal["step", "epoch"]]:
        """Train until the epochs are done or the validation loss has not improved for ``patience`` of them."""
        self.loss_sum = self.loss_sum.to(self.arithmetic.device)
        done = self.progress
        while done.epoch < self.recipe.epochs and done.epoch - done.best_epoch < self.recipe.patience:
            self.model.train()
            for batch in batches.epoch(done.epoch, done.step_in_epoch):
                self.step(batch)
                done.step_in_epoch += 1
                done.step += 1
                yield "step"
            done.epoch, done.step_in_epoch = done.epoch + 1, 0
            loss = self.validate(validation)
            if loss < done.best_loss:
                done.best_loss, done.best_epoch = loss, done.epoch
                self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
            self.validation_loss = loss
            yield "epoch"

    def step(self, batch: dict[str, Tensor]) -> None:
        """One optimizer step."""
        target = batch["target"]
        with self.arithmetic.autocast():
            outputs = self.model(batch["numeric"], batch["categorical"])
            loss = self.task.loss(outputs, target)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.loss_sum += loss.detach()
        self.loss_steps += 1

    def mean_loss(self) -> float:
        """Mean training loss since the last call. Raises TrainingError when it is not finite."""
        loss = float(self.loss_sum) / max(1, self.loss_steps)
        self.loss_sum.zero_()
        self.loss_steps = 0
        if loss - loss != 0.0:
            raise TrainingError(
                f"the loss must stay finite, however it was {loss} by step {self.progress.step}; lower train.learning_rate"
            )
        return loss

    def validate(self, validation: Batches) -> float:
        """The validation loss of the weights as they are."""
        decoded = predict(self.model, validation.tensors, self.task, self.arithmetic)
        return self.task.score(decoded, validation.tensors["target"])

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All state as tensors and JSON values, for a checkpoint."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"optimizer.{k}": v for k, v in pack_optimizer(self.optimizer).items()}
        tensors |= {"random.cpu": torch.get_rng_state(), "loss_sum": self.loss_sum}
        if self.arithmetic.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        values = {**vars(self.progress), "loss_steps": self.loss_steps, "scaler": self.scaler.state_dict()}
        if values["best_loss"] == float("inf"):
            values["best_loss"] = None
        return tensors, values

    def unpack(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from what pack gave."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        device = self.arithmetic.device
        self.model.load_state_dict(part("model."))
        self.best = {k: v.to(device) for k, v in part("best.").items()}
        unpack_optimizer(self.optimizer, part("optimizer."))
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"])
        self.loss_sum = tensors["loss_sum"].to(device)
        self.loss_steps = values.pop("loss_steps")
        scaler = values.pop("scaler")
        if scaler:
            self.scaler.load_state_dict(scaler)
        if values["best_loss"] is None:
            values["best_loss"] = float("inf")
        self.progress = Progress(**values)


@torch.no_grad()
def predict(model: nn.Module, tensors: dict[str, Tensor] | Any, task: TaskLoss, arithmetic: Arithmetic) -> Tensor:
    """Decoded predictions of all rows, in order: (N, classes) probabilities, or (N,) standardised values."""
    model.eval()
    rows = len(tensors["numeric"])
    out = []
    for at in range(0, max(rows, 1), PREDICT_ROWS):
        with arithmetic.autocast():
            outputs = model(tensors["numeric"][at : at + PREDICT_ROWS], tensors["categorical"][at : at + PREDICT_ROWS])
        out.append(task.decode(outputs))
    return torch.cat(out)
