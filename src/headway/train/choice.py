"""How a step runs where the recipe leaves it to be chosen: recorded, as one CUDA graph, compiled, or eagerly.

On a GPU a few steps are timed, eagerly and as a graph. On a CPU a rule by the step's arithmetic decides, so that one seed gives the same
weights on every quiet machine. What a recipe states is obeyed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from headway.data.batches import Batch
from headway.train.meter import peak_flops
from headway.train.precision import Arithmetic
from headway.train.recipe import Compile, Recipe
from headway.train.step import has_compiler
from headway.train.workload import Workload

if TYPE_CHECKING:
    from headway.train.loop import Training
    from headway.train.tune import Maker

WAYS = ("compile", "cuda_graphs", "record")
"""The fields of a recipe that may be left to be chosen here."""

LARGEST_RECORDED = 1e9
"""Operations of a step beyond which recording saves less than a hundredth: of 1e8 it saved 7 %, of 3e8 1 %, of 4e9 nothing."""

COMPILE_SECONDS = 60.0
"""What compiling a large network takes: a GPT of 124M weights 27 s on an H100's machine, 40 s by hand."""

WORTH_COMPILING = 300.0
"""Seconds of steps that must be ahead: compiled, that GPT's took .55 of the eager time, others gain less."""

SLOW_CORE = 5e10
"""Operations a second of one core, about; an hour of them must be ahead for compiling on a CPU, which changes last bits."""

FASTER = 0.9
"""The share of the eager step's time that a CUDA graph must stay below."""

LONGEST_TIMED = 0.01
"""Seconds that a step's arithmetic may take at the chip's peak for a graph to be tried: launching all kernels takes less."""

UNKNOWN_PEAK = 1e14
TIMED_STEPS, TIMED_SECONDS = 5, 0.1


@dataclass(frozen=True)
class Way:
    """How steps run, as fields of the recipe, and why in one line; empty where the recipe states all of it."""

    compile: Compile
    cuda_graphs: bool
    record: bool
    reason: str
    limit: float | None = None
    """Seconds that compiling may take: those of the steps that are ahead; None where it was stated."""

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with nothing left to be chosen."""
        return recipe.model_copy(
            update={"compile": self.compile, "cuda_graphs": self.cuda_graphs, "record": self.record}
        )


@dataclass(frozen=True)
class Length:
    """A step's arithmetic, and how many steps there are at least: early stopping may end a training after its patience."""

    flops_a_step: float
    steps: int


@dataclass(frozen=True)
class Timed:
    """Milliseconds of an eager step and of the same as a CUDA graph, or why there is none."""

    eager: float
    graph: float | None = None
    lacks: str = ""


def choose_way(recipe: Recipe, length: Length, arithmetic: Arithmetic, timed: Callable[[], Timed]) -> Way:
    """``timed`` is asked where it matters: on a GPU, about a step that may be bound by its launches."""
    if "auto" not in (recipe.compile, recipe.cuda_graphs, recipe.record):
        return Way(recipe.compile, bool(recipe.cuda_graphs), bool(recipe.record), "")
    if arithmetic.device.type == "cuda":
        return _on_gpu(recipe, length, arithmetic, timed)
    return _on_cpu(recipe, length)


def _on_cpu(recipe: Recipe, length: Length) -> Way:
    short = length.flops_a_step <= LARGEST_RECORDED
    record = short if recipe.record == "auto" else recipe.record
    compile_: Compile = recipe.compile
    reason = f"steps are {'recorded' if record else 'not recorded'}, {_arithmetic(length.flops_a_step)}"
    if recipe.compile == "auto":
        hours = length.steps * length.flops_a_step / SLOW_CORE / 3600
        compile_ = "default" if not short and hours >= 1 and has_compiler() else "none"
        if compile_ == "default":
            reason = f"the network is compiled, because at least {hours:,.0f} core hours of training remain"
            return Way(compile_, False, record, reason, limit=3600 * hours)
    elif recipe.compile != "none":
        reason = ""  # compiled as stated, and recording is for what is not compiled
    return Way(compile_, recipe.cuda_graphs is True, record, reason)


def _arithmetic(flops: float) -> str:
    if not flops:
        return "of unknown arithmetic"
    return f"{flops / 1e9:.3g} GFLOP each" if flops >= 1e9 else f"{flops / 1e6:.3g} MFLOP each"


def _on_gpu(recipe: Recipe, length: Length, arithmetic: Arithmetic, timed: Callable[[], Timed]) -> Way:
    record = recipe.record is not False  # on a GPU it means nothing
    peak = peak_flops(arithmetic.device, str(arithmetic.name)) or UNKNOWN_PEAK
    at_best = length.flops_a_step / peak
    times, milliseconds, graphs, reasons = None, 3000 * at_best, recipe.cuda_graphs is True, list[str]()
    if recipe.cuda_graphs == "auto":
        lacks = lacks_graphs(recipe, arithmetic)
        if lacks:
            reasons.append(f"no CUDA graph, for {lacks}")
        elif at_best > LONGEST_TIMED:
            reasons.append(f"no CUDA graph, because its arithmetic takes {1000 * at_best:.3g} ms a step at least")
        else:
            times = timed()
            graphs, text = _judge(times)
            milliseconds = times.graph if graphs and times.graph is not None else times.eager
            reasons.append(text)
    compile_: Compile = recipe.compile
    seconds, limit = length.steps * milliseconds / 1000, None
    if recipe.compile == "auto":
        compile_, text = _compiled(graphs, seconds)
        reasons.append(text)
        limit = seconds if compile_ == "default" else None
    return Way(compile_, graphs, record, "; ".join(text for text in reasons if text), limit)


def _judge(times: Timed) -> tuple[bool, str]:
    if times.graph is None:
        return False, f"no CUDA graph, because {times.lacks}"
    both = f"{times.graph:.3g} ms, eagerly {times.eager:.3g} ms"
    if times.graph <= FASTER * times.eager:
        return True, f"a step is one CUDA graph: {both}"
    return False, f"no CUDA graph, which gains little: {both}"


def _compiled(graphs: bool, seconds: float) -> tuple[Compile, str]:
    if graphs:
        return "none", ""
    if seconds >= WORTH_COMPILING:
        return "default", f"compiled, because at least {seconds:,.0f} s of steps remain"
    return (
        "none",
        f"not compiled, because that takes about {COMPILE_SECONDS:.0f} s, and at least {seconds:,.0f} s of steps remain",
    )


def lacks_graphs(recipe: Recipe, arithmetic: Arithmetic) -> str:
    """Why a step cannot be one CUDA graph by what the recipe says; empty where it may be."""
    if arithmetic.name == "fp16":
        return "fp16's scaler decides on the CPU"
    if recipe.accumulate > 1:
        return "batches are computed in parts"
    if recipe.checkpoint_activations:
        return "activations are computed twice"
    if recipe.compiles:
        return "the network is compiled as stated"
    if recipe.optimizer == "sgd" and recipe.optimizer_kernel != "fused":
        return "sgd takes its rate from the device in the fused kernel only"
    return ""


def timed_on_gpu(recipe: Recipe, workload: Workload, arithmetic: Arithmetic, make: Maker) -> Timed:
    """Times steps of a training that is thrown away."""
    training = make(workload, recipe.model_copy(update={"cuda_graphs": True, "compile": "none"}), arithmetic)
    step, batches = training.step, _full(training)
    assert step.graph is not None
    step.graph.eager_left = 2 * TIMED_STEPS
    _milliseconds(training, batches, TIMED_STEPS)
    eager = _milliseconds(training, batches, TIMED_STEPS)
    step(next(batches))
    if step.graph is None:
        return Timed(eager, None, step.notices[-1].partition(": ")[2])
    count = max(TIMED_STEPS, round(1000 * TIMED_SECONDS / eager))
    return Timed(eager, _milliseconds(training, batches, count))


def _full(training: Training) -> Iterator[Batch]:
    """Full batches without end. Where all the data are fewer rows than a batch, there are none."""
    size = training.batches.batch_size
    for epoch in itertools.count():
        yield from (batch for batch in training.batches.epoch(epoch) if len(batch["target"]) == size)


def _milliseconds(training: Training, batches: Iterator[Batch], count: int) -> float:
    training.step.take_loss()  # waits for the device
    start = time.perf_counter()
    for batch in itertools.islice(batches, count):
        training.step(batch)
    training.step.take_loss()
    return 1000 * (time.perf_counter() - start) / count


def free(device: torch.device) -> None:
    """Give back what a training that was thrown away held."""
    import gc

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
