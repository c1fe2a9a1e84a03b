"""Where a training's time went, and which one setting is worth trying next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headway.machine.cores import Use
from headway.train.recipe import Recipe

NOTICEABLE = 0.15
"""A share of the time below which a remedy is not worth a try."""

CROWDED = 0.2
"""The share of the cores that others must have, and that the threads must lack, for contention to be named."""

WORTH_COMPILING = 120.0
"""Seconds of training below which compiling, half a minute on a CPU, costs more than it can save: a GPT gains a third, others less."""

SMALL_STEP_MS = 1.0
"""A GPU step shorter than this is mostly launching kernels."""


@dataclass(frozen=True)
class Diagnosis:
    """``text`` for people; ``setting`` is `train.field=value`, or empty when nothing is worth trying."""

    text: str
    setting: str


def diagnose(
    cost: Mapping[str, float], recipe: Recipe, *, device: str, precision: str, unit: str, bf16: bool
) -> Diagnosis:
    """Judge by what the meter found. ``device`` is cpu or cuda, ``bf16`` whether the hardware computes in it."""
    wait, other = cost["time/wait"], cost["time/other"]
    went = (
        f"{1 - wait - other:.0%} of the time went into steps ({_milliseconds(cost['time/step_ms'])} ms each), "
        f"{wait:.0%} into waiting for {unit}, {other:.0%} into logging"
    )
    reason, setting = _advice(cost, recipe, device, precision, bf16)
    return Diagnosis(f"{went}; {reason}", setting)


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _advice(cost: Mapping[str, float], recipe: Recipe, device: str, precision: str, bf16: bool) -> tuple[str, str]:
    """The remedy for the largest loss."""
    crowd = _crowd(cost, recipe) if device == "cpu" else None
    if crowd is not None:  # its waiting looks like long steps, which no other setting makes shorter
        return crowd, ""
    if cost["time/wait"] > NOTICEABLE:
        if recipe.residence == "stream":
            return "the rows may fit on the device: try train.residence=device", "train.residence=device"
        setting = f"train.workers={recipe.workers * 2}"
        return f"reading is the bottleneck: try {setting}", setting
    if cost["time/other"] > NOTICEABLE:
        setting = f"train.checkpoint_seconds={recipe.checkpoint_seconds * 4:g}"
        return f"writing checkpoints and the journal takes much of the time: try {setting}", setting
    if device == "cuda":
        return _gpu(cost, recipe, precision, bf16)
    if bf16 and precision == "fp32":
        return "this CPU computes in bf16: try train.precision=bf16", "train.precision=bf16"
    if not recipe.compiles and cost["time/step_ms"] > 5 and cost.get("time/seconds", 0.0) > WORTH_COMPILING:
        return "almost all of a step is computation: try train.compile=default", "train.compile=default"
    if recipe.batch_size != "auto" and cost["time/step_ms"] < 0.5:
        size = recipe.batch_size * 2
        return (
            f"steps are short, so that much of one is overhead: try train.batch_size={size}",
            f"train.batch_size={size}",
        )
    return "nothing to change", ""


def _crowd(cost: Mapping[str, float], recipe: Recipe) -> str | None:
    """What others took of the cores that the training's threads needed; None where it had them."""
    ours, others, cores = (cost.get(f"cores/{name}", 0.0) for name in ("ours", "others", "all"))
    threads = recipe.threads if isinstance(recipe.threads, int) else int(cores)
    return contention(Use(cost.get("time/seconds", 0.0), int(cores), ours, others), threads)


def contention(use: Use, threads: int) -> str | None:
    """What others took of the cores that so many threads needed; None where these had them."""
    cores, demand = use.cores, min(threads, use.cores)
    free = cores - use.ours - use.others
    if not cores or use.others < CROWDED * cores or use.ours > (1 - CROWDED) * demand or free > CROWDED * cores:
        return None
    team = "1 thread" if demand == 1 else f"{demand} threads"
    return (
        f"other processes used {use.others:.1f} of the {cores} cores: your {team} got {use.ours:.1f} of a core; "
        "run it when the machine is quieter"
    )


def _gpu(cost: Mapping[str, float], recipe: Recipe, precision: str, bf16: bool) -> tuple[str, str]:
    device_ms = cost.get("time/device_ms", cost["time/step_ms"])
    launched = recipe.cuda_graphs is True or recipe.compile == "reduce-overhead"
    if not launched and precision != "fp16" and min(device_ms, cost["time/step_ms"]) < SMALL_STEP_MS:
        return "the GPU waits for kernel launches: try train.cuda_graphs=true", "train.cuda_graphs=true"
    if precision == "fp32" and bf16:
        return "the GPU computes bf16 many times faster than fp32: try train.precision=bf16", "train.precision=bf16"
    if not recipe.compiles:
        return "the network is not compiled: try train.compile=default", "train.compile=default"
    return "nothing to change", ""
