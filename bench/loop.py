"""The training loop against Lightning and against a tight loop written by hand: `make bench NAME=loop`. Eight minutes on two cores.

The same MLP, data, batch size, optimizer, number of steps, number format (fp32) and number of threads: the one that suits the loop written
by hand best. Ours runs as in a real run: journal, meter and checkpoints on, and its first step, which is recorded, inside the clock. The
loop written by hand indexes a permutation and steps a fused AdamW, and does nothing else. Each ratio is our seconds over the anchor's.
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

from bench.samples import Samples, options
from bench.side_by_side import Comparison, against_itself, conclude, kept_threads, measure, with_threads
from headway.data.batches import Batches, ResidentBatches
from headway.data.inputs import Inputs
from headway.models.mlp import MLP
from headway.run.directory import RunDirectory
from headway.train.follow import Follower
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
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

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float, weight: Tensor | None = None) -> Tensor:
        return functional.cross_entropy(outputs, target, label_smoothing=smoothing)

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        return 0.0

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        return {}


def main() -> None:
    """Measure and keep the ratios."""
    settings = options()
    samples = Samples("loop", fresh=settings.fresh)
    comparisons: list[Comparison] = []
    for case, (columns, width, batch, steps, goal) in CASES.items():
        rows = Rows(columns, width, batch * steps)
        by_hand = loop_by_hand(rows, batch)
        threads = kept_threads(samples, case, by_hand)
        anchor, ours = with_threads(threads, by_hand), with_threads(threads, _ours(rows, batch, threads))
        label = f"{case}, {threads} thread{'s' * (threads > 1)}"
        comparisons += [
            Comparison(f"{label}: Lightning", ours, with_threads(threads, _lightning(rows, batch)), 6, goal),
            Comparison(f"{label}: loop by hand", ours, anchor, 12, 1 / 0.98),
            against_itself(anchor, 12, label),
        ]
    measure(samples, comparisons, settings)
    conclude("loop", samples, comparisons)


def _ours(rows: Rows, batch: int, threads: int) -> Callable[[], float]:
    settings = {"learning_rate": 0.001, "weight_decay": 0.01, "precision": "fp32", "threads": threads}
    recipe = Recipe.parse({"batch_size": batch, "epochs": 1, **settings}, "bench")

    def work() -> float:
        with tempfile.TemporaryDirectory() as folder:
            run = RunDirectory.create(Path(folder), "bench", {})
            follower = Follower(run, make_training(rows, recipe, Arithmetic("fp32", CPU, "")), {})
            start = time.perf_counter()
            follower.follow()
            return time.perf_counter() - start

    return work


def loop_by_hand(rows: Rows, batch: int) -> Callable[[], float]:
    """Seconds of one epoch in the loop that a user would write."""
    x, y = rows.tensors["numeric"], rows.tensors["target"]

    def work() -> float:
        torch.manual_seed(0)
        model = _sequential(rows)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.01, fused=True)
        start = time.perf_counter()
        for at in torch.randperm(len(x)).split(batch):
            loss = functional.cross_entropy(model(x[at]), y[at])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start

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
        start = seconds = 0.0

        def on_train_epoch_start(self, *_: Any) -> None:
            self.start = time.perf_counter()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.seconds = time.perf_counter() - self.start

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
