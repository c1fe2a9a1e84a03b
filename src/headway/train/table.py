"""Training on the prepared rows of a table.

Shapes: N rows, B batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from headway.data.batches import Batch, Batches, ResidentBatches, inputs_of, weight_of
from headway.data.config import Split
from headway.data.loader import LoaderBatches
from headway.data.padded import Rows, batch_of, padded, widths_of
from headway.data.store import Store
from headway.data.streamed import StreamedBatches
from headway.errors import ConfigError
from headway.models import ModelConfig
from headway.tasks import TargetTask
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.target import target_of, weights_of
from headway.train.workload import Workload

PREDICT_ROWS = {"cpu": 2048, "cuda": 8192}
"""Rows predicted at once: a layer's outputs stay in a core's cache; a GPU wants more."""


PREDICT_TOKENS = 1 << 17
"""Tokens of texts predicted at once, padding included: a transformer of width 128 takes half a gigabyte for them."""


@dataclass
class TableWorkload(Workload):
    """A store of prepared rows, and the model that is to learn from them."""

    unit: ClassVar[str] = "rows"

    store: Store
    model: ModelConfig
    recipe: Recipe = field(default_factory=Recipe)
    """What is minimised, and how much each class counts."""

    def __post_init__(self) -> None:
        preparation = self.store.preparation
        self.target = target_of(self.store, self.recipe.objective)
        self.task = self.target.learner
        self._inputs = preparation.inputs()
        self._held: dict[str, dict[str, Rows]] = {}

    def build(self) -> nn.Module:
        return self.model.build(self._inputs)

    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        size, rows = recipe.batch_size, self.store.rows["train"]
        assert size != "auto"
        if size > rows:
            raise ConfigError(f"train.batch_size must be at most the {rows:,} training rows, but is {size:,}")
        tensors = self.tensors("train")
        if recipe.residence == "loader":
            return LoaderBatches(tensors, size, recipe.seed, device)
        if not fits(tensors, recipe.residence, device):
            return StreamedBatches(tensors, size, recipe.seed, device, recipe.workers)
        if "train" not in self._held:  # on a CPU the map itself is held: the page cache is its memory
            self._held["train"] = {name: tensor.to(device) for name, tensor in tensors.items()}
        one_shape = recipe.compiles or recipe.cuda_graphs is True  # another width would be compiled or captured anew
        return ResidentBatches(self._held["train"], size, recipe.seed, one_shape)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float, weight: Tensor | None = None) -> Tensor:
        return self.task.loss(outputs, target, smoothing, *(() if weight is None else (weight,)))

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        if "validation" not in self._held:  # read once; on its device when it fits beside the training rows
            tensors = self.tensors("validation")
            where = arithmetic.device if fits(tensors, "auto", arithmetic.device) else torch.device("cpu")
            self._held["validation"] = {name: tensor.to(where) for name, tensor in tensors.items()}
        arrays = self._held["validation"]
        target = cast(Tensor, arrays["target"])
        decoded = predict(network, arrays, self.task, arithmetic)
        weight = [cast(Tensor, one).to(decoded.device) for one in weight_of(arrays)]
        return self.task.score(decoded, target.to(decoded.device), *weight)

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        return {split: self.predict_split(network, split, arithmetic) for split in ("validation", "test")}

    def predict_split(self, network: nn.Module, split: str, arithmetic: Arithmetic) -> np.ndarray:
        """A split's predictions in the target's own unit: (N, classes) or (N,)."""
        tensors = self.tensors(cast(Split, split))
        outputs = self.task.finish(self.target, predict(network, tensors, self.task, arithmetic).cpu().numpy())
        return self.store.levels(cast(Split, split), outputs)

    def tensors(self, split: Split) -> dict[str, Rows]:
        """The split's arrays where they are on disk; the target as the loss takes it."""
        arrays = self.store.arrays(split, "c")
        rows: dict[str, Rows] = {name: torch.from_numpy(arrays[name]) for name in ("numeric", "categorical")}
        rows |= padded(self.store.ragged(split, "c"))
        rows |= {"target": torch.from_numpy(self.task.training_target(self.target, arrays["target"]))}
        weights = weights_of(self.store, self.recipe, split)
        return rows if weights is None else {**rows, "weight": torch.from_numpy(weights.astype(np.float32))}


def fits(tensors: Mapping[str, Rows], residence: str, device: torch.device) -> bool:
    """Whether rows are held on the device: half of the free memory is theirs, the rest is the network's."""
    if residence != "auto":
        return residence == "device"
    size = sum(t.nbytes for t in tensors.values())
    return size <= (torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_memory()) / 2


def _free_memory() -> int:
    """Bytes that can be had without swapping: the page cache gives way."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


@torch.no_grad()
def predict(model: nn.Module, tensors: Mapping[str, Rows], task: TargetTask, arithmetic: Arithmetic) -> Tensor:
    """Decoded predictions of all rows, in order: (N, classes) probabilities, or (N,) standardised values."""
    model.eval()
    inputs = inputs_of(tensors)
    out = []
    widths = widths_of(inputs)
    order = None if widths is None or not len(widths) else torch.from_numpy(np.argsort(widths, kind="stable"))
    for rows in _parts(inputs, order, widths, PREDICT_ROWS[arithmetic.device.type]):
        batch = {name: tensor.to(arithmetic.device) for name, tensor in rows.items()}
        with arithmetic.autocast():
            outputs = model(**batch)
        out.append(task.decode(outputs))
    decoded = torch.cat(out)
    return decoded if order is None else torch.empty_like(decoded).index_copy_(0, order.to(decoded.device), decoded)


def _parts(inputs: Mapping[str, Rows], order: Tensor | None, widths: np.ndarray | None, step: int) -> Iterator[Batch]:
    """All rows, so many at once: in ``order``, by which ragged ones need little padding, or as they are."""
    at, rows = 0, len(next(iter(inputs.values())))
    while at < max(rows, 1):
        if order is None or widths is None:
            yield {name: tensor[at : at + step] for name, tensor in inputs.items()}
            at += step
        else:
            widest = int(widths[order[at : at + step].numpy()].max())
            part = order[at : at + min(step, max(1, PREDICT_TOKENS // widest))]
            yield batch_of(inputs, part)
            at += len(part)


def table_workload(path: Path, model: ModelConfig, recipe: Recipe | None = None) -> TableWorkload:
    """The workload of a prepared store."""
    return TableWorkload(Store(path), model, recipe or Recipe())
