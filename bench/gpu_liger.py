"""Two kernels of a GPT's step beside liger-kernel's (Triton; `pip install liger-kernel`), at the size of the GPT of `make bench-gpu`.

The loss from the hidden state, whose logits both compute in chunks, and RMSNorm: forward and backward, in bf16 with weights in fp32.
Correctness first: the gradients of both against float64 on fresh inputs.

Shapes: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.gpu import Report
from bench.gpu_parts import ALLOWED, Sizes, begin, in_turns, relative_distance
from headway.data.batches import Batch
from headway.errors import ConfigError
from headway.tasks.projection import Projection, cross_entropy

FEW = 512
"""Tokens whose gradients are compared with float64's."""

EPSILON = 1e-6

Work = Callable[[Batch], Tensor]
"""A loss from a batch's `hidden` (N, D), `weight` (V, D) or (D,), and `target` (N,)."""


def liger(report: Report, sizes: Sizes) -> None:
    """Ours against liger-kernel's, where that is installed."""
    theirs = _loaded()
    width = sizes.gpt.width
    fused = theirs.LigerFusedLinearCrossEntropyLoss()
    norm = theirs.LigerRMSNorm(width, eps=EPSILON).to(report.device)
    losses: dict[str, Work] = {
        "liger": lambda batch: fused(batch["weight"].to(batch["hidden"].dtype), batch["hidden"], batch["target"]),
        "ours": lambda batch: _loss(batch, fused=False),
        "ours, compiled": lambda batch: _loss(batch, fused=True),
    }
    norms: dict[str, Work] = {
        "liger": lambda batch: _with_weight(norm, batch["weight"])(batch["hidden"]).square().mean(),
        "ours": lambda batch: _norm(batch["hidden"], batch["weight"]).square().mean(),
    }
    tokens = sizes.batch * sizes.gpt.context
    for label, works, shape in (
        ("linear cross-entropy", losses, (sizes.vocabulary, width)),
        ("RMSNorm", norms, (width,)),
    ):
        few, many = (_inputs(count, shape, sizes, seed, report.device) for count, seed in ((FEW, 12345), (tokens, 1)))
        _check(report, label, works, few)
        _beside(report, label, works, many, sizes.steps)


def _loaded() -> ModuleType:
    """The package's modules. Raises ConfigError where it is not there, or does not run here."""
    try:
        return importlib.import_module("liger_kernel.transformers")
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("liger_kernel"):
            raise ConfigError("liger-kernel is not installed") from None
        raise ConfigError(f"liger-kernel needs {missing}, which is not installed") from None
    except Exception as error:
        raise ConfigError(f"liger-kernel cannot be loaded: {(str(error).splitlines() or [''])[0][:200]}") from None


def _loss(batch: Batch, fused: bool) -> Tensor:
    return cross_entropy(Projection(batch["hidden"][None], batch["weight"], fused), batch["target"][None])


def _norm(hidden_ND: Tensor, weight_D: Tensor) -> Tensor:
    return functional.rms_norm(hidden_ND, weight_D.shape, weight_D.to(hidden_ND.dtype), EPSILON)


def _with_weight(norm: nn.Module, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Their module with our weight, cast as ours is."""
    return lambda hidden: torch.func.functional_call(norm, {"weight": weight.to(hidden.dtype)}, (hidden,))


def _inputs(tokens: int, shape: tuple[int, ...], sizes: Sizes, seed: int, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, shape[-1], generator=generator).to(device, torch.bfloat16)
    weight = torch.randn(*shape, generator=generator).to(device) * shape[-1] ** -0.5
    target = torch.randint(0, sizes.vocabulary, (tokens,), generator=generator).to(device)
    return {"hidden": hidden.requires_grad_(), "weight": weight.requires_grad_(), "target": target}


def _gradients(work: Work, batch: Batch) -> list[Tensor]:
    return list(torch.autograd.grad(work(batch), [batch["hidden"], batch["weight"]]))


def _check(report: Report, label: str, works: dict[str, Work], batch: Batch) -> None:
    exact = {name: tensor.detach().double().requires_grad_() for name, tensor in batch.items() if name != "target"}
    if batch["weight"].ndim == 2:
        loss = functional.cross_entropy(exact["hidden"] @ exact["weight"].t(), batch["target"])
    else:
        loss = _norm(exact["hidden"], exact["weight"]).square().mean()
    gradients = torch.autograd.grad(loss, [exact["hidden"], exact["weight"]])
    for name, work in works.items():
        far = relative_distance(_gradients(work, batch), gradients) / ALLOWED["bf16"]
        report.most(f"{label}, {name}: gradients' distance from float64's over the allowed", far, 1.0)


def _beside(report: Report, label: str, works: dict[str, Work], batch: Batch, steps: int) -> None:
    def side(name: str) -> Callable[[], Callable[[Batch], object]]:
        return lambda: lambda inputs: _gradients(works[name], inputs)

    anchor = begin(report, f"{label}, liger", side("liger"), batch)
    for name in works:
        if name == "liger" or not report.allows(f"{label}, {name}", 15.0):
            continue
        ours = begin(report, f"{label}, {name}", side(name), batch)
        ratio = in_turns(report, ours, anchor, batch, steps, None)
        for one in (ours, anchor):
            report.line(f"{one.label}: {1000 * one.seconds:.3f} ms forward and backward")
        report.ratio(f"{label}, {name}: against liger-kernel", ratio)
