"""The parts of `make bench-gpu`, in their order. Each measures what it says first for correctness, against float64 on fresh inputs."""

from __future__ import annotations

import copy
import functools
import gc
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import hand
from bench.gpu import Part, Report
from bench.side_by_side import Ratio, block
from headway.data.batches import Batch, Batches, ResidentBatches
from headway.data.inputs import Inputs
from headway.errors import ConfigError
from headway.models.gpt import GPT
from headway.tasks import language
from headway.train.choice import Length, choose_way, timed_on_gpu
from headway.train.meter import peak_flops
from headway.train.network import make_training
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic, apply_precision, choose_precision
from headway.train.recipe import Recipe
from headway.train.step import Step
from headway.train.tune import flops_of
from headway.train.workload import Workload

NAMES = ("gpt", "table", "xl", "fp8", "loader", "run", "xl-compiled", "liger")

ALLOWED = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 5e-2, "fp16": 1e-2, "fp8": 0.2}
"""The distance of gradients from float64's, as a share of their length, that is put down to the format."""

STUDENT = (0.0, 12.71, 4.303, 3.182, 2.776, 2.571, 2.447)
"""Student's quantile at .975 by degrees of freedom: scipy is none of the packages that there are."""


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    gpt: GPT
    xl: GPT
    layer: GPT
    """Two layers of the large one, for fp8."""
    vocabulary: int
    batch: int
    xl_batch: int
    rows: int
    steps: int
    round: int
    """Steps of a table that are timed at once."""
    compile_seconds: float
    """What compiling a GPT takes about."""


FULL = Sizes(
    gpt=GPT(layers=12, heads=12, width=768, context=1024, tied=True),
    xl=GPT(layers=48, heads=25, width=1600, context=1024, tied=True),
    layer=GPT(layers=2, heads=25, width=1600, context=1024, tied=True),
    vocabulary=50_304,
    batch=32,
    xl_batch=8,
    rows=1_000_000,
    steps=8,
    round=100,
    compile_seconds=40.0,
)
TINY = Sizes(
    gpt=GPT(layers=2, heads=2, width=32, context=16, tied=True),
    xl=GPT(layers=3, heads=2, width=32, context=16, tied=True),
    layer=GPT(layers=1, heads=2, width=32, context=16, tied=True),
    vocabulary=64,
    batch=4,
    xl_batch=2,
    rows=6_000,
    steps=2,
    round=3,
    compile_seconds=1.0,
)


def parts(tiny: bool) -> list[Part]:
    """All of them; 1.5B compiled comes late, for it takes the longest to begin, and last what few machines have the package for."""
    from bench.gpu_liger import liger

    sizes = TINY if tiny else FULL
    does: tuple[Callable[[Report, Sizes], None], ...] = (
        gpt,
        table,
        xl,
        fp8,
        loader,
        killed_and_resumed,
        xl_compiled,
        liger,
    )
    return [(name, functools.partial(_with, do, sizes)) for name, do in zip(NAMES, does, strict=True)]


def _with(do: Callable[[Report, Sizes], None], sizes: Sizes, report: Report) -> None:
    do(report, sizes)


# ---- steps, ours and by hand ------------------------------------------------------------------------------------------------------------


@dataclass
class Side:
    """One of two that are measured in turns."""

    label: str
    step: Callable[[Batch], object]
    first: float
    """Seconds until the first step was done, building and compiling included."""
    peak: int
    """Most bytes of the GPU that it held; 0 on a CPU."""
    seconds: float = 0.0


def begin(report: Report, label: str, make: Callable[[], Callable[[Batch], object]], batch: Batch) -> Side:
    """Build one side and take its first steps."""
    device = report.device
    memory = _memory_of(device)
    start = time.perf_counter()
    step = make()
    step(dict(batch))
    _wait(device)
    first = time.perf_counter() - start
    for _ in range(2):
        step(dict(batch))
    _wait(device)
    side = Side(label, step, first, _peak(device) - memory)
    report.line(f"{label}: first step after {first:.1f} s, at most {side.peak / 2**30:.2f} GiB")
    for notice in step.notices if isinstance(step, Step) else ():
        report.line(f"{label}: {notice}")  # not compiled after all, or in parts
    return side


def in_turns(
    report: Report, ours: Side, anchor: Side, batch: Batch, steps: int, goal: float | None, blocks: int = 3
) -> Ratio:
    """Ours over the anchor's time, from blocks A B B A; the best time of each is kept with its side."""
    logs: list[float] = []

    def timed(side: Side) -> Callable[[], float]:
        def work() -> float:
            start = time.perf_counter()
            for _ in range(steps):
                side.step(dict(batch))
            _wait(report.device)
            seconds = (time.perf_counter() - start) / steps
            side.seconds = min(side.seconds or seconds, seconds)
            return seconds

        return work

    for number in range(blocks):
        logs.append(block(timed(ours), timed(anchor), number))
    return ratio_of(logs, goal)


def ratio_of(logs: list[float], goal: float | None) -> Ratio:
    """Geometric mean with Student's 95 % interval."""
    values = np.array(logs)
    half = STUDENT[len(values) - 1] * values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    low, middle, high = (float(np.exp(values.mean() + by)) for by in (-half, 0.0, half))
    return Ratio(middle, low, high, goal, len(values))


def engine(network: nn.Module, loss: Callable[..., Tensor], recipe: Recipe, device: torch.device) -> Step:
    """The project's own step."""
    arithmetic = choose_precision(recipe.precision, device)
    arithmetic = apply_precision(network, arithmetic)
    optimizers = make_optimizer(network, recipe, capturable=recipe.cuda_graphs is True)
    return Step(network, optimizers, loss, arithmetic, recipe, int(recipe.batch_size))


def built(config: GPT, sizes: Sizes, device: torch.device) -> nn.Module:
    """A GPT whose weights are drawn where they lie: a CPU takes half a minute for those of the large one."""
    torch.manual_seed(0)
    with device:
        return config.build(Inputs(tokens=(sizes.vocabulary,)))


def tokens(config: GPT, sizes: Sizes, batch: int, seed: int, device: torch.device) -> Batch:
    """Random ones, the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(0, sizes.vocabulary, (batch, config.context + 1), generator=generator).to(device)
    return {"tokens": draws[:, :-1].contiguous(), "target": draws[:, 1:].contiguous()}


def check(
    report: Report, label: str, network: nn.Module, loss: Callable[..., Tensor], recipe: Recipe, batch: Batch
) -> None:
    """The gradients of one step against float64's on fresh inputs: a step of plain SGD at rate 1 takes away just these."""
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0, "cuda_graphs": False}
    reference = copy.deepcopy(network).double().eval()
    inputs = {name: t.double() if t.is_floating_point() else t for name, t in batch.items() if name != "target"}
    outputs, target = reference(**inputs), batch["target"]
    if outputs.ndim == 3 and target.ndim == 1:  # the members of an ensemble
        target = target[:, None].expand(outputs.shape[:2])
    functional.cross_entropy(outputs.flatten(0, -2), target.flatten()).backward()
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    rows = len(batch["target"])
    step = engine(network, loss, recipe.model_copy(update={**plain, "batch_size": rows}), report.device)
    network.train()
    step(dict(batch))
    names, gradients = zip(*((name, w.grad) for name, w in reference.named_parameters()), strict=True)
    far = relative_distance([before[name] - network.get_parameter(name).detach() for name in names], gradients)
    allowed = ALLOWED[str(step.arithmetic.name)]
    report.most(f"{label}: gradients' distance from float64's over the allowed", far / allowed, 1.0)


def relative_distance(ours: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """How far tensors are from float64's, as a share of the length of these."""
    far = sum(float((one.double() - other).square().sum()) for one, other in zip(ours, exact, strict=True))
    return (far / sum(float(other.square().sum()) for other in exact)) ** 0.5


# ---- 1: a GPT of GPT-2's size -----------------------------------------------------------------------------------------------------------


def gpt(report: Report, sizes: Sizes) -> None:
    """124M weights at 32 x 1,024 tokens in bf16, eagerly and compiled, beside the loop by hand."""
    device, config = report.device, sizes.gpt
    few = tokens(config, sizes, 2, 12345, device)
    check(report, "eager", built(config, sizes, device), language.TASK.loss, Recipe(precision="bf16"), few)
    batch, losses = tokens(config, sizes, sizes.batch, 1, device), list[float]()
    for compiled in (False, True):
        how, goal, share = ("compiled", 1 / 1.15, 0.50) if compiled else ("eager", 1.0, None)
        if compiled and not report.allows("compiled", 2 * sizes.compile_seconds):
            return
        ours = begin(report, f"{how}, ours", lambda: _our_gpt(config, sizes, sizes.batch, compiled, device), batch)  # noqa: B023
        assert isinstance(ours.step, Step)
        losses.append(ours.step.take_loss())
        anchor = begin(report, f"{how}, by hand", lambda: _their_gpt(config, sizes, compiled, device), batch)  # noqa: B023
        ratio = in_turns(report, ours, anchor, batch, sizes.steps, goal)
        for side in (ours, anchor):
            _say_gpt(report, side, config, sizes, sizes.batch)
        report.ratio(f"{how}, against the loop by hand", ratio)
        _utilisation(report, how, ours, config, sizes, sizes.batch, share)
        if compiled:
            apart = abs(losses[1] - losses[0]) / losses[0]
            report.most("compiled: the first losses' distance from the eager ones over .01 of them", apart / 0.01, 1.0)
        report.most(f"{how}, peak GiB", ours.peak / 2**30, 12.0 if compiled else None)
        report.most(f"{how}, seconds to the first step", ours.first)
        del ours, anchor
        _forget(device)


def _our_gpt(
    config: GPT, sizes: Sizes, batch: int, compiled: bool, device: torch.device, precision: Any = "bf16"
) -> Step:
    way = "default" if compiled else "none"
    recipe = Recipe(batch_size=batch, precision=precision, compile=way, cuda_graphs=False, learning_rate=6e-4)
    return engine(built(config, sizes, device).train(), language.TASK.loss, recipe, device)


def _their_gpt(config: GPT, sizes: Sizes, compiled: bool, device: torch.device) -> Callable[[Batch], Tensor]:
    torch.manual_seed(0)
    with device:
        network = hand.GPT(sizes.vocabulary, config.layers, config.heads, config.width, config.context)
    return hand.gpt_loop(network, compiled=compiled).step


def _flops(config: GPT, sizes: Sizes) -> float:
    """6 N + 12 L D T a token (Chowdhery et al. 2022, arXiv:2204.02311, appendix B)."""
    weights = config.layers * 12 * config.width**2 + sizes.vocabulary * config.width
    return 6.0 * weights + 12.0 * config.layers * config.width * config.context


def _say_gpt(report: Report, side: Side, config: GPT, sizes: Sizes, batch: int) -> None:
    rate = batch * config.context / side.seconds
    tera = rate * _flops(config, sizes) / 1e12
    report.line(f"{side.label}: {1000 * side.seconds:.1f} ms a step, {rate:,.0f} tokens/s, {tera:.4g} TFLOP/s")


def _utilisation(
    report: Report, how: str, side: Side, config: GPT, sizes: Sizes, batch: int, goal: float | None
) -> None:
    peak = peak_flops(report.device, "bf16")
    if peak is None:
        report.line(f"{how}, MFU: the peak of this device is not known")
        return
    used = batch * config.context / side.seconds * _flops(config, sizes) / peak
    report.share(f"{how}, MFU", used, goal)


# ---- 2: steps on a table ----------------------------------------------------------------------------------------------------------------


class Rows(Workload):
    """Random rows on the device and a network on their numbers; nothing is validated."""

    unit: ClassVar[str] = "rows"

    def __init__(
        self, make: Callable[[], nn.Module], columns: int, outputs: int, rows: int, device: torch.device
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        x, y = torch.randn(rows, columns, generator=generator), torch.randint(0, outputs, (rows,), generator=generator)
        self.tensors = {"numeric": x.to(device), "target": y.to(device)}
        self._make = make

    def build(self) -> nn.Module:
        return self._make()

    def batches(self, recipe: Recipe, device: torch.device) -> Batches:
        return ResidentBatches(self.tensors, int(recipe.batch_size), recipe.seed)

    def loss(self, outputs: Tensor, target: Tensor, smoothing: float, weight: Tensor | None = None) -> Tensor:
        if outputs.ndim == 3:
            outputs, target = outputs.flatten(0, 1), target.repeat_interleave(outputs.shape[1])
        return functional.cross_entropy(outputs, target)

    def validate(self, network: nn.Module, arithmetic: Arithmetic) -> float:
        return 0.0

    def predictions(self, network: nn.Module, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
        return {}


def table(report: Report, sizes: Sizes) -> None:
    """An MLP 32-256-256-2 and a TabM as for `adult` at 256: chosen by default, eager, and by hand as a CUDA graph; all in fp32."""
    wide = 256 if report.device.type == "cuda" else 16
    networks: dict[str, tuple[int, Callable[[], nn.Module]]] = {
        "mlp": (32, lambda: hand.MLP(32, wide, 2)),
        "tabm": (200, lambda: hand.TabM(200, wide // 2, 2, 16, 0.1)),
    }
    for name, (columns, make) in networks.items():
        if report.allows(name, 5.0):
            _on_a_table(report, name, Rows(make, columns, 2, min(sizes.rows, 40_000), report.device), sizes.round)


def _on_a_table(report: Report, name: str, rows: Rows, count: int) -> None:
    device, size = report.device, 256
    recipe = Recipe(batch_size=size, precision="fp32", threads=1, weight_decay=0.01)
    arithmetic = choose_precision("fp32", device)
    few = {key: tensor[:64] for key, tensor in rows.tensors.items()}
    exact = rows.build().to(device)
    for module in exact.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    check(report, name, exact, rows.loss, recipe, few)
    length = Length(flops_of(recipe, rows, arithmetic), 5_000)
    start = time.perf_counter()
    way = choose_way(recipe, length, arithmetic, lambda: timed_on_gpu(recipe, rows, arithmetic, make_training))
    report.line(f"{name}: {way.reason} (choosing took {time.perf_counter() - start:.2f} s)")
    plain = {"compile": "none", "cuda_graphs": False, "record": False}
    choice = _epochs(report, f"{name}, chosen", rows, way.applied(recipe), count)
    eager = _epochs(report, f"{name}, eager", rows, recipe.model_copy(update=plain), count)
    by_hand = _by_hand(report, f"{name}, by hand as a graph", rows, size, count)
    goal = 1 / 8 if name == "mlp" else None
    report.ratio(f"{name}: chosen against eager", _rounds(choice, eager, goal))
    report.ratio(f"{name}: chosen against the loop by hand with its own graph", _rounds(choice, by_hand, None))
    for side in (choice, eager, by_hand):
        report.line(f"{side.label}: {1000 * side.seconds:.3f} ms a step, {size / side.seconds:,.0f} rows/s")
    report.most(f"{name}: chosen, ms a step", 1000 * choice.seconds, 0.5 if name == "tabm" else None)


def _rounds(ours: Side, anchor: Side, goal: float | None) -> Ratio:
    def timed(side: Side) -> Callable[[], float]:
        def work() -> float:
            seconds = side.step({})
            assert isinstance(seconds, float)
            side.seconds = min(side.seconds or seconds, seconds)
            return seconds

        return work

    return ratio_of([block(timed(ours), timed(anchor), number) for number in range(4)], goal)


def _epochs(report: Report, label: str, rows: Rows, recipe: Recipe, count: int) -> Side:
    """Our training: its batches, its rate, its step."""
    training = make_training(rows, recipe, choose_precision("fp32", report.device))
    training.step.network.train()

    def endless() -> Iterator[Batch]:
        for epoch in itertools.count():
            yield from training.batches.epoch(epoch)

    return _side(report, label, endless(), training.step, count)


def _by_hand(report: Report, label: str, rows: Rows, size: int, count: int) -> Side:
    """A permutation that is indexed, and the step, as a graph where there are graphs."""
    torch.manual_seed(0)
    loop = hand.table_loop(rows.build().to(report.device).train())
    x, y = rows.tensors["numeric"], rows.tensors["target"]
    if report.device.type == "cuda":
        loop = hand.captured(loop, {"numeric": x[:size], "target": y[:size]})

    def endless() -> Iterator[Batch]:
        while True:
            for at in torch.randperm(len(x), device=x.device).split(size):
                if len(at) == size:
                    yield {"numeric": x[at], "target": y[at]}

    return _side(report, label, endless(), loop.step, count)


def _side(report: Report, label: str, batches: Iterator[Batch], step: Callable[[Batch], object], count: int) -> Side:
    def some(_: Batch) -> float:
        start = time.perf_counter()
        for batch in itertools.islice(batches, count):
            step(batch)
        _wait(report.device)
        return (time.perf_counter() - start) / count

    start = time.perf_counter()
    step(next(batches))
    _wait(report.device)
    first = time.perf_counter() - start
    some({})
    return Side(label, some, first, 0)


# ---- 3 and 7: 1.5B weights --------------------------------------------------------------------------------------------------------------


def xl(report: Report, sizes: Sizes) -> None:
    """1.5B weights at 8 x 1,024 tokens in bf16, eagerly."""
    _xl(report, sizes, compiled=False)


def xl_compiled(report: Report, sizes: Sizes) -> None:
    """The same compiled."""
    if report.allows("1.5B compiled", sizes.compile_seconds):  # one of its blocks is
        _xl(report, sizes, compiled=True)


def _xl(report: Report, sizes: Sizes, compiled: bool) -> None:
    device, config, size = report.device, sizes.xl, sizes.xl_batch
    how = "compiled" if compiled else "eager"
    if not report.allows(how, 10.0):
        return
    batch = tokens(config, sizes, size, 1, device)
    side = begin(report, f"{how}, ours", lambda: _our_gpt(config, sizes, size, compiled, device), batch)
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(max(1, sizes.steps // 2)):
            side.step(dict(batch))
        _wait(device)
        seconds = (time.perf_counter() - start) / max(1, sizes.steps // 2)
        side.seconds = min(side.seconds or seconds, seconds)
    _say_gpt(report, side, config, sizes, size)
    _utilisation(report, how, side, config, sizes, size, 0.55 if compiled else None)
    report.most(f"{how}, peak GiB", side.peak / 2**30)
    report.most(f"{how}, seconds to the first step", side.first)
    del side
    _forget(device)


# ---- 4: fp8 -----------------------------------------------------------------------------------------------------------------------------


def fp8(report: Report, sizes: Sizes) -> None:
    """Two layers of the large GPT's size, compiled, in fp8 and in bf16."""
    device, config, size = report.device, sizes.layer, sizes.xl_batch
    if not report.allows("fp8 against bf16", sizes.compile_seconds):
        return
    few = tokens(config, sizes, 2, 12345, device)
    check(report, "bf16", built(config, sizes, device), language.TASK.loss, Recipe(precision="bf16"), few)
    precision = apply_precision(built(config, sizes, device), choose_precision("fp8", device))
    if precision.name != "fp8":
        raise ConfigError(precision.reason)
    check(report, "fp8", built(config, sizes, device), language.TASK.loss, Recipe(precision="fp8"), few)
    batch = tokens(config, sizes, size, 1, device)
    ours = begin(report, "fp8", lambda: _our_gpt(config, sizes, size, True, device, "fp8"), batch)
    anchor = begin(report, "bf16", lambda: _our_gpt(config, sizes, size, True, device), batch)
    report.ratio("fp8 against bf16, compiled", in_turns(report, ours, anchor, batch, sizes.steps, 1 / 1.15))
    for side in (ours, anchor):
        _say_gpt(report, side, config, sizes, size)
    del ours, anchor
    _forget(device)


# ---- 5: batches -------------------------------------------------------------------------------------------------------------------------


def loader(report: Report, sizes: Sizes) -> None:
    """Resident batches against a DataLoader that copies each batch to the device."""
    from torch.utils.data import DataLoader, TensorDataset

    device, rows = report.device, sizes.rows
    x, y = torch.randn(rows, 32), torch.randint(0, 2, (rows,))
    resident = ResidentBatches({"numeric": x.to(device), "target": y.to(device)}, 4096, 0)
    few = rows // 20
    theirs = DataLoader(TensorDataset(x[:few], y[:few]), 4096, shuffle=True, pin_memory=device.type == "cuda")

    def ours() -> float:
        start = time.perf_counter()
        for _ in resident.epoch(0):
            pass
        _wait(device)
        return (time.perf_counter() - start) / rows

    def anchor() -> float:
        start = time.perf_counter()
        for batch in theirs:
            for tensor in batch:
                tensor.to(device, non_blocking=True)
        _wait(device)
        return (time.perf_counter() - start) / few

    ours(), anchor()
    logs = [block(ours, anchor, number) for number in range(3)]
    report.ratio("resident batches against DataLoader", ratio_of(logs, 0.01))


# ---- 6: a training, killed and resumed --------------------------------------------------------------------------------------------------


EPOCHS = {"tiny": 100, "full": 40}
"""Seconds of training on a CPU and on a GPU, so that the first checkpoint, after half a second, is found while it goes on."""


def killed_and_resumed(report: Report, sizes: Sizes) -> None:
    """A prepared store trained by `python -m headway.train.main`, killed once, and resumed."""
    if importlib.util.find_spec("safetensors") is None:
        report.line("left out: checkpoints need safetensors, which is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="headway-gpu-") as folder:
        from bench.gpu_run import make_run

        if not report.allows("a training, killed and resumed", 20.0):
            return
        epochs = EPOCHS["tiny" if sizes is TINY else "full"]
        run = make_run(Path(folder), rows=min(sizes.rows, 200_000), epochs=epochs, device=report.device)
        command = [sys.executable, "-m", "headway.train.main", str(run.path)]
        start = time.perf_counter()
        environment = {**os.environ, "HEADWAY_PARENT": str(os.getpid())}  # so that it ends where this is cut off
        first = subprocess.Popen(command, env=environment)
        while first.poll() is None and not any(event.step > 0 for event in run.events() if event.kind == "checkpoint"):
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.perf_counter() - start
        if run.result is not None:
            report.line(f"left out: the training ended within {killed:.1f} s, before it could be killed")
            return
        reached = max((event.step for event in run.events() if event.kind == "checkpoint"), default=0)
        report.line(f"killed after {killed:.1f} s, with a checkpoint at step {reached}")
        start = time.perf_counter()
        limit = max(10.0, report.left)
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
        result = run.result
        if outcome.returncode or result is None:
            report.most("trainings that did not resume", 1.0, 0.0)
            report.line((outcome.stderr.strip().splitlines() or ["no word"])[-1][:300])
            return
        resumed = [event.step for event in run.events() if event.fields.get("name") == "resumed"]
        report.line(
            f"resumed at step {resumed}, ended at step {result.steps} after {time.perf_counter() - start:.1f} s"
        )
        report.line(f"{result.precision} on {result.device}, {result.rows_per_second:,.0f} rows/s; {result.way}")
        report.most("trainings that did not resume", float(not resumed or resumed[0] == 0), 0.0)
        report.most(
            "accuracy below .9 on what a network can learn",
            float(_accuracy(run.predictions("test"), folder) < 0.9),
            0.0,
        )


def _accuracy(predictions: Path, folder: str) -> float:
    target = np.load(Path(folder) / "store" / "test" / "target.npy")
    return float((np.load(predictions).argmax(1) == target).mean())


# ---- the device -------------------------------------------------------------------------------------------------------------------------


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory_of(device: torch.device) -> int:
    """Bytes that are held now; the peak is counted from here on."""
    gc.collect()
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _forget(device: torch.device) -> None:
    """Free what is not referred to any more, and all that was compiled: what is still called would be compiled anew."""
    gc.collect()
    torch._dynamo.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
