"""Quality by epoch, by which two variants are compared. Larger is better, whatever the metric."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import nn

from headway.effect.statistics import Bound
from headway.evaluate.config import GateConfig
from headway.evaluate.metrics import METRICS, differences, primary
from headway.evaluate.resample import Units, draw_weights
from headway.run.directory import RunDirectory
from headway.train.language import LanguageWorkload
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.table import TableWorkload, predict
from headway.train.workload import Workload

BLOCK_TOKENS, RESAMPLES = 512, 1000


class Curve(TypedDict):
    """``passes``, ``quality`` and ``loss`` after each epoch: passes over the data, the deciding metric (negated where smaller is
    better) and the validation loss; ``seconds`` of training alone; ``diverged``: its loss became non-finite, so that it was ended."""

    passes: list[float]
    quality: list[float]
    loss: list[float]
    seconds: float
    diverged: bool


def metric_of(run: RunDirectory, workload: Workload) -> str:
    """The name of the metric by which the project's gate decides; for a text, the loss."""
    if not isinstance(workload, TableWorkload):
        return "loss"
    gate, classes = GateConfig.parse(run.plan["project"]["gate"], "gate"), len(workload.target.classes)
    return primary(
        workload.target.task, classes, gate.metric or workload.task.leading_metric(classes, _targets(workload))
    )


def quality_of(run: RunDirectory, workload: Workload, network: nn.Module, arithmetic: Arithmetic) -> float:
    """The deciding metric on the validation data, negated where smaller is better."""
    if not isinstance(workload, TableWorkload):
        return -workload.validate(network, arithmetic)
    metric = METRICS[metric_of(run, workload)]
    value = metric.value(_targets(workload), _predicted(workload, network, arithmetic))
    return value if metric.higher_is_better else -value


def difference(
    run: RunDirectory, workload: Workload, network: nn.Module, other: nn.Module, arithmetic: Arithmetic
) -> dict[str, float]:
    """{"value", "low", "high"}: how much better ``other`` predicts the validation data, with the paired bootstrap's 95 % interval.

    Rows, or the units that they belong to, are resampled; of a text, blocks of neighbouring tokens.
    """
    if isinstance(workload, TableWorkload):
        ours, theirs = (_predicted(workload, one, arithmetic) for one in (other, network))
        units = Units.of(*workload.store.units("validation"))
        value, low, high = differences(metric_of(run, workload), _targets(workload), ours, theirs, units=units)
        return {"value": value, "low": low, "high": high}
    assert isinstance(workload, LanguageWorkload)
    gained = workload.validation_losses(network, arithmetic) - workload.validation_losses(other, arithmetic)
    blocks = np.array([block.mean() for block in np.array_split(gained, max(2, len(gained) // BLOCK_TOKENS))])
    resamples = np.concatenate([w @ blocks for w in draw_weights(Units("block", len(blocks)), RESAMPLES, 0)]) / len(
        blocks
    )
    low, high = np.quantile(resamples, [0.025, 0.975])
    return {"value": float(gained.mean()), "low": float(low), "high": float(high)}


def _targets(workload: TableWorkload) -> np.ndarray:
    return np.asarray(workload.store.arrays("validation")["target"])


def _predicted(workload: TableWorkload, network: nn.Module, arithmetic: Arithmetic) -> np.ndarray:
    predicted = predict(network, workload.tensors("validation"), workload.task, arithmetic)
    return workload.task.finish(workload.target, predicted.float().cpu().numpy())


def train_curve(
    run: RunDirectory, workload: Workload, recipe: Recipe, arithmetic: Arithmetic, seed: int, epochs: int
) -> Curve:
    """Train for ``epochs`` from ``seed`` on, never ending early; the schedule is fitted to these epochs, each of which is validated."""
    whole = {"steps": None, "tokens": None, "validate_every": None}
    recipe = recipe.model_copy(update={"seed": seed, "epochs": epochs, "patience": epochs, **whole})
    torch.manual_seed(seed)
    training = make_training(workload, recipe, arithmetic)
    curve = Curve(passes=[], quality=[], loss=[], seconds=0.0, diverged=False)
    start = time.perf_counter()
    for what in training.run():
        if what != "validation":
            continue
        curve["seconds"] += time.perf_counter() - start
        curve["diverged"] = not (training.is_finite and math.isfinite(training.validation_loss))
        if curve["diverged"]:
            break
        curve["passes"].append(float(training.progress.epoch))
        curve["loss"].append(training.validation_loss)
        curve["quality"].append(quality_of(run, workload, training.step.network_to_keep, arithmetic))
        start = time.perf_counter()
    return curve


def final_quality(curve: Curve) -> float:
    """The quality of the weights that a run keeps: those of the best validation loss."""
    return curve["quality"][int(np.argmin(curve["loss"]))]


@dataclass(frozen=True)
class Passes:
    """Log-ratios (S,) of passes over the data until a quality was reached, technique over baseline, by seed.

    ``first``, ``second``: how many of the ``seeds`` trainings of each reached it. Where only one of the two did, the other would need at
    least as many passes as it had, so that the log-ratio is a bound (``censored``). A seed of which neither did is left out.
    """

    logs: np.ndarray
    first: int
    second: int
    seeds: int
    censored: frozenset[Bound]

    @property
    def bound(self) -> Bound | None:
        """The side from which the mean of the log-ratios is a bound; None where some bound it from below and others from above."""
        return next(iter(self.censored), "none") if len(self.censored) < 2 else None

    @property
    def all_reached(self) -> bool:
        """Whether each training reached it."""
        return self.first == self.second == self.seeds


def passes_until(pairs: Sequence[tuple[Curve, Curve]], target: float) -> Passes:
    """Until the target, of the baseline's and the technique's trainings with the same seeds."""
    logs: list[float] = []
    censored: set[Bound] = set()
    counts_to_target = [(passes_to(a, target), passes_to(b, target)) for a, b in pairs]
    for (a, b), (first, second) in zip(pairs, counts_to_target, strict=True):
        if first is None and second is None:
            continue
        if second is None:
            censored.add("below")
        if first is None:
            censored.add("above")
        logs.append(math.log((second or b["passes"][-1]) / (first or a["passes"][-1])))
    counts = [sum(one[side] is not None for one in counts_to_target) for side in (0, 1)]
    return Passes(np.array(logs), counts[0], counts[1], len(pairs), frozenset(censored))


def passes_to(curve: Curve, target: float) -> float | None:
    """Passes over the data until the target is first reached, between two epochs by a straight line; None where it never is."""
    before: tuple[float, float] | None = None
    for passes, quality in zip(curve["passes"], curve["quality"], strict=True):
        if quality >= target:
            if before is None or quality == before[1]:
                return passes
            return before[0] + (passes - before[0]) * (target - before[1]) / (quality - before[1])
        before = passes, quality
    return None


def differences_of(pairs: Sequence[tuple[Curve, Curve]]) -> np.ndarray:
    """(S,) differences of the quality that a training keeps, second less first."""
    return np.array([final_quality(second) - final_quality(first) for first, second in pairs])


def stop_early(curve: Curve, patience: int) -> Curve:
    """The same run with early stopping: until then it is the same as the whole run."""
    best, at = math.inf, 0
    for epoch, loss in enumerate(curve["loss"]):
        if loss < best:
            best, at = loss, epoch
        if epoch - at >= patience:
            break
    return Curve(
        passes=curve["passes"][: epoch + 1],
        quality=curve["quality"][: epoch + 1],
        loss=curve["loss"][: epoch + 1],
        seconds=curve["seconds"],
        diverged=False,
    )
