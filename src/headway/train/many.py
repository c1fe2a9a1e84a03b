"""Many small networks trained at once, for error bars at a fraction of the cost: K seeds, or K settings of one.

Each network has its own weights, order of rows and dropout, and ends as it would have ended alone (to rounding). On a CPU the small
products of K networks become one that fills the cores; the gain is gone when a single network's products fill them already.

Shapes: K networks, B batch, N rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headway.data.batches import Batch, epoch_order, inputs_of, weight_of
from headway.data.padded import widths_of
from headway.errors import ConfigError
from headway.models.stacked import NotAtOnce, decayed, single, stack
from headway.train.meter import Meter
from headway.train.optimizer import Optimizers
from headway.train.precision import choose_precision
from headway.train.recipe import Recipe
from headway.train.recorded import Recorder
from headway.train.schedule import rate
from headway.train.table import TableWorkload


@dataclass(frozen=True)
class Variant:
    """One of the networks: what may differ between them."""

    seed: int
    learning_rate: float
    weight_decay: float


@dataclass
class Fitted:
    """What became of one network."""

    variant: Variant
    best_loss: float = float("inf")
    best_epoch: int = 0
    epochs: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def is_done(self, patience: int) -> bool:
        """Whether it would have stopped by now."""
        return self.epochs - self.best_epoch >= patience


class StackedAdamW:
    """AdamW (Loshchilov and Hutter 2019) with a step size and a decay for each of K networks; the state is the optimizer's own."""

    def __init__(self, stacked: nn.Module, variants: Sequence[Variant], recipe: Recipe) -> None:
        with_decay, without = decayed(stacked)
        self._beta1, self._beta2, self._eps = recipe.beta1, recipe.beta2, 1e-8
        self._weights = [*with_decay, *without]
        self._means = [torch.zeros_like(w) for w in self._weights]
        self._squares = [torch.zeros_like(w) for w in self._weights]
        rates = torch.tensor([v.learning_rate for v in variants])
        decays = torch.tensor([v.weight_decay for v in variants])
        self._rates = [_beside(rates, w) for w in self._weights]
        self._decays = [_beside(decays if i < len(with_decay) else decays * 0, w) for i, w in enumerate(self._weights)]
        self._step, self._share = 0, 1.0

    def set_rate(self, share: float) -> None:
        """Take this share of every learning rate."""
        self._share = share

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self._weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step of all networks."""
        self._step += 1
        unbias1, unbias2 = 1 - self._beta1**self._step, 1 - self._beta2**self._step
        for weight, mean, square, base, decay in zip(
            self._weights, self._means, self._squares, self._rates, self._decays, strict=True
        ):
            gradient = weight.grad
            assert gradient is not None
            now = base * self._share
            weight.mul_(1 - now * decay)
            mean.lerp_(gradient, 1 - self._beta1)
            square.mul_(self._beta2).addcmul_(gradient, gradient, value=1 - self._beta2)
            weight.sub_(now / unbias1 * (mean / (square.sqrt() / unbias2**0.5 + self._eps)))


def _beside(values: Tensor, weight: Tensor) -> Tensor:
    """(K,) values so that they multiply a stacked weight; an embedding table has its networks one under the other."""
    if weight.ndim == 2:
        return values.repeat_interleave(len(weight) // len(values))[:, None].to(weight.device)
    return values[:, None, None].to(weight.device)


class ManyStep:
    """Steps K stacked networks, each on its own rows. ``loss`` is the mean of (K * B) outputs and targets; ``generators`` are dropout's."""

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizers | StackedAdamW,
        loss: Callable[..., Tensor],
        count: int,
        generators: Sequence[torch.Generator],
        record: bool = True,
    ) -> None:
        self._network, self._optimizer, self._mean, self._count = network, optimizer, loss, count
        on_cpu = next(network.parameters()).device.type == "cpu"
        self.recorder = Recorder(network, self._loss, loss, generators) if record and on_cpu else None

    def __call__(self, batch: Batch) -> None:
        """One step on (K, B, ...) tensors."""
        if self.recorder is not None:
            self.recorder(batch)
        else:
            self._loss(batch).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()

    def _loss(self, batch: Batch) -> Tensor:
        """The sum of each network's own mean."""
        outputs, weight = self._network(**inputs_of(batch)), [one.flatten() for one in weight_of(batch)]
        return self._mean(outputs.flatten(0, 1), batch["target"].flatten(), *weight) * self._count


class ManyTraining:
    """K networks of one workload under one recipe."""

    def __init__(
        self, workload: TableWorkload, recipe: Recipe, variants: Sequence[Variant], device: torch.device
    ) -> None:
        _check(recipe, workload)
        self.workload, self.recipe, self.device = workload, recipe, device
        self.fitted = [Fitted(variant) for variant in variants]
        networks, generators = [], []
        for (
            variant
        ) in variants:  # as one training alone: the seed, then the weights, then dropout from where these left off
            torch.manual_seed(variant.seed)
            networks.append(workload.build())
            generators.append(_dropouts_generator(variant.seed, device))
        self.network = stack(networks, generators).to(device)
        self._alone = networks[0].to(device)
        self._optimizer = self._optimizer_of(variants)
        self._step = ManyStep(
            self.network, self._optimizer, self._loss, len(variants), generators, recipe.record is not False
        )
        self._tensors = {name: t.to(device) for name, t in workload.tensors("train").items()}
        self._widths = widths_of(self._tensors)
        self.rows = len(self._tensors["target"])
        self.meter = Meter(device)

    def _optimizer_of(self, variants: Sequence[Variant]) -> Optimizers | StackedAdamW:
        """torch's own where all networks share its settings, for it is the faster."""
        if len({(v.learning_rate, v.weight_decay) for v in variants}) > 1:
            return StackedAdamW(self.network, variants, self.recipe)
        with_decay, without = decayed(self.network)
        groups: list[dict[str, Any]] = [{"params": with_decay, "weight_decay": variants[0].weight_decay}]
        groups += [{"params": without, "weight_decay": 0.0}] if without else []
        betas = (self.recipe.beta1, self.recipe.beta2)
        return Optimizers([torch.optim.AdamW(groups, lr=variants[0].learning_rate, betas=betas, fused=True)])

    def run(self) -> Iterator[int]:
        """Train until every network is done; yields the number of each epoch that ended. Raises Misrecorded."""
        size, steps = int(self.recipe.batch_size), -(-self.rows // int(self.recipe.batch_size))
        step = 0
        for epoch in range(self.recipe.epochs):
            self.network.train()
            self.meter.resume()
            for batch in self._epoch(epoch, size):
                self._optimizer.set_rate(rate(self.recipe, step, self.recipe.epochs * steps))
                self._step(batch)
                step += 1
                self.meter.count += batch["target"].numel()
                self.meter.steps += 1
            self.meter.pause()
            self._validate()
            yield epoch + 1
            if all(fitted.is_done(self.recipe.patience) for fitted in self.fitted):
                break
        if self._step.recorder is not None:
            self._step.recorder.check()

    def steps(self) -> Iterator[int]:
        """Steps at a constant rate without end, and how many rows each took over all networks: for measuring them."""
        self.network.train()
        for epoch in itertools.count():
            for batch in self._epoch(epoch, int(self.recipe.batch_size)):
                rows = batch["target"].numel()
                self._step(batch)
                yield rows

    def _loss(self, outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        return self.workload.loss(outputs, target, self.recipe.label_smoothing, weight)

    def _epoch(self, epoch: int, size: int) -> Iterator[Batch]:
        """(K, B, ...) batches: each network's rows in its own order."""
        seeds = [fitted.variant.seed for fitted in self.fitted]
        orders = torch.stack([epoch_order(self.rows, self._widths, size, seed, epoch) for seed in seeds]).to(
            self.device
        )
        for at in range(0, self.rows, size):
            rows = orders[:, at : at + size]
            yield {
                name: t.index_select(0, rows.flatten()).unflatten(0, rows.shape) for name, t in self._tensors.items()
            }

    def _validate(self) -> None:
        arithmetic = choose_precision("fp32", self.device)
        for k, fitted in enumerate(self.fitted):
            fitted_before = fitted.is_done(self.recipe.patience)
            if fitted_before:  # alone it would have stopped: what comes after does not count
                continue
            fitted.epochs += 1
            weights = single(self.network, k)
            self._alone.load_state_dict(weights)
            loss = self.workload.validate(self._alone, arithmetic)
            if loss < fitted.best_loss:
                fitted.best_loss, fitted.best_epoch, fitted.weights = loss, fitted.epochs, weights

    def predictions(self, split: str) -> Iterator[np.ndarray]:
        """Each network's predictions with its best weights."""
        arithmetic = choose_precision("fp32", self.device)
        for fitted in self.fitted:
            self._alone.load_state_dict(fitted.weights)
            yield self.workload.predict_split(self._alone, split, arithmetic)


def _dropouts_generator(seed: int, device: torch.device) -> torch.Generator:
    """Of one network, once its weights are drawn. On a CPU it goes on as it would alone; a GPU's draws are another kernel's than alone."""
    if device.type == "cpu":
        return torch.Generator().set_state(torch.get_rng_state())
    return torch.Generator(device).manual_seed(seed)


def _check(recipe: Recipe, workload: TableWorkload) -> None:
    """Raises ConfigError for a batch that is too large, NotAtOnce for what many networks at once cannot do."""
    rows = workload.store.rows["train"]
    if recipe.batch_size == "auto":
        raise NotAtOnce("many seeds at once need a number as train.batch_size, but it is auto")
    if recipe.batch_size > rows:
        raise ConfigError(f"train.batch_size must be at most the {rows:,} training rows, but is {recipe.batch_size:,}")
    requirements = {
        "optimizer": "adamw",
        "accumulate": 1,
        "clip": 0.0,
        "ema": 0.0,
        "compile": "none",
        "cuda_graphs": False,
    }
    for name, value in requirements.items():
        if getattr(recipe, name) not in (value, "auto"):
            raise NotAtOnce(f"many seeds at once need train.{name} {value}, but it is {getattr(recipe, name)}")
    if recipe.precision not in ("auto", "fp32"):
        raise NotAtOnce(f"many seeds at once are trained in fp32, but train.precision is {recipe.precision}")
