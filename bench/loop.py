"""The training loop against Lightning and against a tight loop written by hand: `make bench NAME=loop`. Five minutes on two cores.

The same MLP, data, batch size, optimizer and number of steps. Ours runs as in a real run: journal, meter and checkpoints on, and with the
number of threads that the recipe's `auto` takes; the anchors run with torch's. The loop written by hand indexes a permutation and steps
a fused AdamW, and does nothing else. Each ratio is our seconds over the anchor's.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench.side_by_side import Ratio, compare, write
from headway.data.batches import Batches, ResidentBatches
from headway.models.base import Inputs
from headway.models.mlp import MLP
from headway.run import RunDirectory
from headway.train.follow import Follower
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.tune import threads_of
from headway.train.workload import Workload

CPU = torch.device("cpu")
CASES = {  # label: columns, width, batch size, steps, goal against Lightning
    "32-256-256-2 at 4096": (32, 256, 4096, 50, 1 / 3),
    "32-256-256-2 at 256": (32, 256, 256, 800, 1 / 3),
    "16-64-64-2 at 128": (16, 64, 128, 2000, 1 / 4),
}


class Rows(Workload):
    """Random rows and the MLP; nothing is validated, so that steps alone are measured."""

    unit: ClassVar[str] = "rows"

    def __init__(self, columns: int, width: int, rows: int) -> None:
        torch.manual_seed(0)
        self.tensors = {
            "numeric": torch.randn(rows, columns),
            "categorical": torch.empty(rows, 0, dtype=torch.int32),
            "target": torch.randint(0, 2, (rows,)),
        }
        self.config, self.inputs = MLP(width=width, depth=2, dropout=0.0), Inputs(columns, (), (), 2)

    def build(self) -> nn.Module:
        return self.config.build(self.inputs)

    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        assert recipe.batch_size != "auto"
        return ResidentBatches({k: v.to(device) for k, v in self.tensors.items()}, recipe.batch_size, recipe.seed)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return functional.cross_entropy(outputs, target, label_smoothing=smoothing)

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        return 0.0

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        return {}


def main() -> None:
    """Measure and keep the ratios."""
    ratios: dict[str, Ratio] = {}
    for label, (columns, width, batch, steps, goal) in CASES.items():
        rows = Rows(columns, width, batch * steps)
        ours, anchor = _ours(rows, batch), by_hand(rows, batch)
        ratios[f"{label}: Lightning"] = compare(ours, _lightning(rows, batch), 4, goal)
        ratios[f"{label}: loop by hand"] = compare(ours, anchor, 10, 1 / 0.98)
        ratios[f"{label}: A/A of the loop by hand"] = compare(anchor, anchor, 6)
    for label, ratio in ratios.items():
        print(f"{label}: {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] goal {ratio.goal}")
    print(write("loop", ratios))


def _ours(rows: Rows, batch: int) -> Callable[[], float]:
    recipe = Recipe(batch_size=batch, epochs=1, learning_rate=0.001, weight_decay=0.01, precision="fp32")

    def work() -> float:
        with tempfile.TemporaryDirectory() as folder:
            run = RunDirectory.create(Path(folder), "bench", {})
            before = torch.get_num_threads()
            arithmetic = Arithmetic("fp32", CPU, "")
            torch.set_num_threads(threads_of(recipe, rows, arithmetic).count)
            try:
                follower = Follower(run, make_training(rows, recipe, arithmetic), {})
                begun = time.perf_counter()
                follower.follow()
                return time.perf_counter() - begun
            finally:
                torch.set_num_threads(before)

    return work


def by_hand(rows: Rows, batch: int) -> Callable[[], float]:
    x, y = rows.tensors["numeric"], rows.tensors["target"]

    def work() -> float:
        torch.manual_seed(0)
        model = _sequential(rows)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.01, fused=True)
        begun = time.perf_counter()
        for at in torch.randperm(len(x)).split(batch):
            loss = functional.cross_entropy(model(x[at]), y[at])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - begun

    return work


def _sequential(rows: Rows) -> nn.Sequential:
    width, columns = rows.config.width, rows.inputs.numeric
    return nn.Sequential(
        nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, rows.inputs.outputs)
    )


def _lightning(rows: Rows, batch: int) -> Callable[[], float]:
    """Lightning with everything off that can be turned off: no logger, no checkpoints, no progress bar."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = _sequential(rows)

        def training_step(self, batch: list[Tensor], _number: int) -> Tensor:
            x, y = batch
            return functional.cross_entropy(self.model(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.001, weight_decay=0.01, fused=True)

    class Clock(lightning.Callback):
        begun = seconds = 0.0

        def on_train_epoch_start(self, *_: Any) -> None:
            self.begun = time.perf_counter()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.seconds = time.perf_counter() - self.begun

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader = DataLoader(TensorDataset(rows.tensors["numeric"], rows.tensors["target"]), batch, shuffle=True)

    def work() -> float:
        torch.manual_seed(0)
        clock = Clock()
        off = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        with warnings.catch_warnings(), contextlib.redirect_stderr(None):
            warnings.simplefilter("ignore")
            lightning.Trainer(max_epochs=1, accelerator="cpu", callbacks=[clock], **off).fit(Module(), loader)
        return clock.seconds

    return work


if __name__ == "__main__":
    main()
