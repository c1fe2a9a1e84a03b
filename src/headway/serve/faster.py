"""Faster ways to compute a registered network's predictions, each measured on real rows before it is used.

compiled       torch.compile's kernels; the same numbers but for rounding
int8           torchao: weights and inputs of the linear layers in eight bits; other numbers, within a tolerance
int8 compiled  both

Compiled code gains a third to a half on a CPU. int8 gains where the chip multiplies bytes (VNNI, AMX, tensor cores); without, it is many
times slower, which is why it is measured before it is used.
"""

from __future__ import annotations

import copy
import importlib.util
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from headway.errors import ConfigError
from headway.serve.bundle import Predictor

Way = Literal["compiled", "int8", "int8 compiled"]
WAYS: tuple[Way, ...] = get_args(Way)
WORTH_IT = 0.95
"""A way is used when its time is below this share of the plain one's: a few per cent are noise."""
HOPELESS = 3.0
"""A way whose first calls take this many times the plain one's is not called again."""


@dataclass(frozen=True)
class Trial:
    """The trial of a way on the sample: median seconds, and the largest change of a prediction, or why it is not supported.

    ``apart`` is in probability, or in standard deviations of a regression's target.
    """

    way: Way | Literal["plain"]
    seconds: float | None
    apart: float
    problem: str | None = None


def hastened(predictor: Predictor, way: Way) -> Predictor:
    """The predictor with its network computed another way.

    Raises ConfigError when the model is no network, or a compiler, torchao or a layer for it is missing.
    """
    network = predictor.model
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{way} prediction needs a network, but this bundle holds trees")
    if "int8" in way:
        network = int8(network)
    if "compiled" in way:
        network = compiled(network)
    return replace(predictor, model=network)


def fastest(
    predictor: Predictor,
    sample: pa.RecordBatch,
    ways: Sequence[Way] = WAYS,
    tolerance: float = 0.01,
    repeats: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Predictor, list[Trial]]:
    """The fastest predictor on ``sample`` among those within ``tolerance`` of the plain one, and all trials.

    ``sample`` should be as long as the batches to come. Compiling takes seconds to minutes; it pays for many batches.
    """
    plain = predictor.predict(sample)
    unit = predictor.preparation.target.std if plain.ndim == 1 else 1.0
    candidates: dict[str, Predictor] = {"plain": predictor}
    trials = {"plain": Trial("plain", None, 0.0)}
    limit = HOPELESS * max(_seconds(predictor, sample, clock) for _ in range(2))
    for way in ways:
        try:
            candidate = hastened(predictor, way)
            apart = float(np.abs(candidate.predict(sample) - plain).max(initial=0.0)) / unit
        except ConfigError as error:
            trials[way] = Trial(way, None, 0.0, str(error))
            continue
        first = min(_seconds(candidate, sample, clock) for _ in range(2))
        trials[way] = Trial(way, first, apart, None if apart <= tolerance else f"moves a prediction by {apart:.3g}")
        if first <= limit:
            candidates[way] = candidate
    for way, seconds in _interleaved(candidates, sample, repeats, clock).items():
        trials[way] = replace(trials[way], seconds=seconds)
    return candidates[_best(trials, candidates)], list(trials.values())


def _interleaved(
    candidates: dict[str, Predictor], sample: pa.RecordBatch, repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of each, called in turns, so that a slower machine affects all of them."""
    rounds = [{way: _seconds(one, sample, clock) for way, one in candidates.items()} for _ in range(repeats)]
    return {way: float(np.median([one[way] for one in rounds])) for way in candidates}


def _best(trials: dict[str, Trial], candidates: dict[str, Predictor]) -> str:
    seconds = {way: trials[way].seconds or 0.0 for way in candidates if trials[way].problem is None}
    best = min(seconds, key=lambda way: seconds[way])
    return best if seconds[best] < WORTH_IT * seconds["plain"] else "plain"


def _seconds(predictor: Predictor, sample: pa.RecordBatch, clock: Callable[[], float]) -> float:
    start = clock()
    predictor.predict(sample)
    return clock() - start


def compiled(network: nn.Module) -> nn.Module:
    """The network in torch.compile's kernels. Raises ConfigError without a compiler."""
    from headway.train.step import has_compiler

    if not has_compiler():
        raise ConfigError("compiled prediction needs a C++ compiler, but there is none; install g++")
    result = torch.compile(network, dynamic=True)  # a source's last batch is shorter than the others
    assert isinstance(result, nn.Module)
    return result


def int8(network: nn.Module) -> nn.Module:
    """A copy whose linear layers multiply bytes. Raises ConfigError without torchao or linear layers."""
    if importlib.util.find_spec("torchao") is None:
        raise ConfigError("int8 prediction needs the package torchao, but it is not installed; pip install torchao")
    if not any(isinstance(module, nn.Linear) for module in network.modules()):
        raise ConfigError("int8 prediction needs linear layers, but this network has none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao's warnings about parts for other hardware
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantised = copy.deepcopy(network)
        quantize_(quantised, Int8DynamicActivationInt8WeightConfig())
    return quantised
