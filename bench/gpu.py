"""What the engine's switches do on one NVIDIA GPU: `make bench-gpu`. Within ten minutes.

Needs torch, numpy, pandas, pyarrow, pydantic and PyYAML alone; fp8 is left out where torchao is not installed. Each ratio is our seconds
over the anchor's. Correctness is the largest difference of the logits from fp32's on inputs that were never seen, over their spread.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.side_by_side import Ratio, compare, write
from headway.data.batches import Batch, ResidentBatches
from headway.data.inputs import Inputs
from headway.errors import ConfigError
from headway.models.gpt import GPT
from headway.models.mlp import MLP
from headway.tasks import language
from headway.train.meter import count_flops, peak_flops
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic, apply_precision, choose_precision
from headway.train.recipe import Recipe
from headway.train.step import Step

TOLERANCE = {"tf32": 0.01, "bf16": 0.1, "fp16": 0.02, "fp8": 0.3, "compile": 0.001, "fp32": 1e-6}
"""Largest difference from fp32 that is put down to the format."""

PRECISIONS = ("tf32", "bf16", "fp16", "fp8")


def main() -> int:
    """Measure and keep the ratios; 2 where there is no GPU."""
    if not torch.cuda.is_available():
        print("make bench-gpu needs an NVIDIA GPU that torch can use, but there is none")
        return 2
    device = torch.device("cuda")
    for name, measured in {"gpu-mlp": mlp(device), "gpu-loader": loader(device), "gpu-gpt": gpt(device)}.items():
        for label, ratio in measured.items():
            print(f"{name}: {label}: {ratio.ratio:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]", flush=True)
        print(write(name, measured))
    return 0


def mlp(
    device: torch.device, *, rows: int = 256, wide: int = 4096, steps: int = 200, pairs: int = 5
) -> dict[str, Ratio]:
    """The small MLP eager against CUDA graphs; a wide one in every format and compiled, against fp32."""
    small = _mlp_parts(256, rows, device)
    ratios: dict[str, Ratio] = {}
    if device.type == "cuda":
        graphs = _steps(small, Recipe(batch_size=rows, cuda_graphs=True, precision="fp32"), device, steps)
        eager = _steps(small, Recipe(batch_size=rows, precision="fp32"), device, steps)
        ratios["32-256-256-2 at 256: CUDA graphs a fifth of eager"] = compare(graphs, eager, pairs, 1 / 5)
    return ratios | _formats(
        "wide MLP", _mlp_parts(wide, 4 * rows, device), 4 * rows, device, max(2, steps // 4), pairs
    )


def loader(device: torch.device, rows: int = 1_000_000, pairs: int = 5) -> dict[str, Ratio]:
    """Resident batches against a DataLoader that copies each batch to the device."""
    x, y = torch.randn(rows, 32), torch.randint(0, 2, (rows,))
    resident = ResidentBatches({"numeric": x.to(device), "target": y.to(device)}, 4096, 0)
    few = rows // 20
    pinned = device.type == "cuda"
    theirs = DataLoader(TensorDataset(x[:few], y[:few]), 4096, shuffle=True, pin_memory=pinned)

    def ours() -> float:
        begun = time.perf_counter()
        for _ in resident.epoch(0):
            pass
        _wait(device)
        return (time.perf_counter() - begun) / rows

    def anchor() -> float:
        begun = time.perf_counter()
        for batch in theirs:
            for tensor in batch:
                tensor.to(device, non_blocking=True)
        _wait(device)
        return (time.perf_counter() - begun) / few

    return {"resident batches against DataLoader": compare(ours, anchor, pairs, 0.01)}


def gpt(
    device: torch.device,
    config: GPT | None = None,
    *,
    vocabulary: int = 50_304,
    batch: int = 8,
    steps: int = 8,
    pairs: int = 3,
) -> dict[str, Ratio]:
    """GPT-2's size (124M weights with a tied head) in every format and compiled, against fp32."""
    chosen = config or GPT(layers=12, heads=12, width=768, context=1024, tied=True)

    def build() -> nn.Module:
        torch.manual_seed(0)
        return chosen.build(Inputs(tokens=(vocabulary,))).to(device)

    def fresh(seed: int) -> Batch:
        made = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, vocabulary, (batch, chosen.context + 1), generator=made).to(device)
        return {"tokens": tokens[:, :-1], "target": tokens[:, 1:]}

    return _formats("GPT", (build, language.TASK.loss, fresh), batch, device, steps, pairs)


Parts = tuple[Callable[[], nn.Module], Callable[[Tensor, Tensor, float], Tensor], Callable[[int], Batch]]


def _mlp_parts(width: int, rows: int, device: torch.device) -> Parts:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return MLP(width=width, depth=2, dropout=0.0).build(Inputs(32, (), (), 16)).to(device)

    def fresh(seed: int) -> Batch:
        made = torch.Generator().manual_seed(seed)
        x, y = torch.randn(rows, 32, generator=made), torch.randint(0, 16, (rows,), generator=made)
        return {
            "numeric": x.to(device),
            "categorical": torch.empty(rows, 0, dtype=torch.int32, device=device),
            "target": y.to(device),
        }

    return build, lambda outputs, target, smoothing: nn.functional.cross_entropy(outputs.float(), target), fresh


def _step(parts: Parts, recipe: Recipe, device: torch.device) -> Step:
    build, loss, _ = parts
    network = build()
    arithmetic = choose_precision(recipe.precision, device)
    apply_precision(network, arithmetic)
    optimizers = make_optimizer(network, recipe, capturable=recipe.cuda_graphs is True)
    return Step(network, optimizers, loss, arithmetic, recipe, int(recipe.batch_size))


def _steps(parts: Parts, recipe: Recipe, device: torch.device, steps: int) -> Callable[[], float]:
    """Seconds a step; what has to be recorded or compiled is so before the first measured one."""
    step, batch = _step(parts, recipe, device), parts[2](0)
    for _ in range(5):
        step(batch)

    def work() -> float:
        _process_wide(step.arithmetic)
        _wait(device)
        begun = time.perf_counter()
        for _ in range(steps):
            step(batch)
        _wait(device)
        return (time.perf_counter() - begun) / steps

    return work


def _process_wide(arithmetic: Arithmetic) -> None:
    """tf32 is a setting of the process: each side of a pair sets its own."""
    name = "tf32" if arithmetic.name in ("tf32", "fp8") else "fp32"
    apply_precision(nn.Identity(), Arithmetic(name, arithmetic.device, ""))


def _formats(label: str, parts: Parts, batch: int, device: torch.device, steps: int, pairs: int) -> dict[str, Ratio]:
    """Each format's and the compiler's time over fp32's, its utilisation, and its distance from fp32's logits."""
    plain = Recipe(batch_size=batch, precision="fp32")
    build, loss, fresh = parts
    example = fresh(0)
    target = example.pop("target")
    network = build()
    flops = count_flops(network, lambda: loss(network(**example), target, 0.0).backward())
    anchor = _steps(parts, plain, device, steps)
    recipes = {name: plain.model_copy(update={"precision": name}) for name in PRECISIONS}
    recipes |= _compiled_recipes(plain)
    found: dict[str, Ratio] = {}
    for name, recipe in recipes.items():
        if recipe.precision == "fp8" and importlib.util.find_spec("torchao") is None:
            continue
        try:
            ours = _steps(parts, recipe, device, steps)
        except ConfigError as error:
            print(f"{label}: {name}: {error}", flush=True)
            continue
        found[f"{label}: {name} against fp32"] = compare(ours, anchor, pairs)
        peak = peak_flops(device, str(recipe.precision))
        if flops and peak:
            used = flops / min(ours() for _ in range(3)) / peak
            found[f"{label}: {name}: share of the chip's peak"] = Ratio(used, used, used)
        apart = _distance(parts, recipe, device)
        found[f"{label}: {name}: distance from fp32 over the allowed"] = Ratio(
            *[apart / _allowed(recipe)] * 3, goal=1.0
        )
    return found


def _compiled_recipes(plain: Recipe) -> dict[str, Recipe]:
    compiled = plain.model_copy(update={"compile": "default"})
    return {"compile": compiled, "bf16 and compile": compiled.model_copy(update={"precision": "bf16"})}


def _allowed(recipe: Recipe) -> float:
    return TOLERANCE[str(recipe.precision)] if recipe.precision != "fp32" else TOLERANCE["compile"]


@torch.no_grad()
def _distance(parts: Parts, recipe: Recipe, device: torch.device) -> float:
    """The largest difference of the logits on fresh inputs, over their standard deviation."""
    batch = parts[2](12345)
    batch.pop("target")
    outputs: list[Tensor] = []
    for one in (recipe.model_copy(update={"precision": "fp32", "compile": "none"}), recipe):
        step = _step(parts, one, device)
        _process_wide(step.arithmetic)
        forward: Any = torch.compile(step.network) if one.compile not in ("auto", "none") else step.network
        with step.arithmetic.autocast():
            outputs.append(forward(**batch).float())
    return float((outputs[1] - outputs[0]).abs().max() / outputs[0].std().clamp_min(1e-12))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
