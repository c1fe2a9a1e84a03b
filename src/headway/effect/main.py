"""The process of a study: `python -m headway.effect.main RUN_DIRECTORY`. Reads run.json and store.json, writes effect.jsonl, effect.json.

Started again after it was killed, it resumes. Exit codes are those of training.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.effect.technique import Setting
from headway.effect.techniques import select
from headway.files.records import Record
from headway.models import parse_model
from headway.run.directory import RunDirectory
from headway.run.result import Result
from headway.train.main import guarded, workload_of
from headway.train.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from headway.train.workload import Workload


def study(run: RunDirectory) -> None:
    """Measure as run.json's "effect" says."""
    from headway.effect.conclusions import conclusions
    from headway.effect.lab import Lab
    from headway.effect.notebook import Notebook
    from headway.effect.study import Study

    plan = run.plan["effect"]
    techniques = select(plan["techniques"])
    book = Notebook(run.path / "effect.jsonl")
    answer = book.answer("setting")
    baseline = describe(run) if answer is None else Baseline.from_json(answer, book.path)
    if answer is None:
        book.add_answer("setting", baseline.to_json(), 0.0)
    plan = in_quality(plan, baseline.higher_is_better)
    journal = run.journal()
    for text in baseline.warnings:
        journal.write("warning", text=text)

    def say(share: float, text: str) -> None:
        journal.write("progress", step=round(1000 * share), steps=1000, text=text)
        journal.flush()

    lab = Lab.on(run.path, baseline.device)
    try:
        lab.load()
        findings = Study(lab, baseline, techniques, book, plan, say).run()
        replace(conclusions(findings), setting=baseline.to_json()).write(run.path / "effect.json")
    finally:
        lab.close()
        journal.close()
    run.finish(Result(seconds=round(book.seconds, 3)))


def in_quality(plan: Mapping[str, Any], higher_is_better: bool) -> Mapping[str, Any]:
    """The plan with its target as a quality, which is the metric negated where smaller is better."""
    negated = plan["target"] is not None and not higher_is_better
    return {**plan, "target": -plan["target"]} if negated else plan


@dataclass(frozen=True, kw_only=True)
class Baseline(Setting, Record):
    """The baseline and the machine as the notebook keeps them, the metric, and warnings."""

    metric: str
    higher_is_better: bool
    warnings: tuple[str, ...] = ()


def describe(run: RunDirectory) -> Baseline:
    """The baseline and the machine, described once a study: a study that is resumed on another machine would not be the same."""
    import torch
    from torch import nn

    from headway.effect.quality import metric_of
    from headway.evaluate.metrics import METRICS
    from headway.train.device import choose_device
    from headway.train.step import has_compiler
    from headway.train.tune import physical_cores

    project = run.plan["project"]
    notes: list[str] = []
    recipe = Recipe.parse(project["train"], "train")
    device = choose_device(recipe.device, notes.append)
    model = parse_model(project["model"])
    workload = workload_of(run, model)
    recipe = _plain_recipe(recipe, workload, device)
    batches, network = workload.batches(recipe, device), workload.build()
    metric = metric_of(run, workload)
    return Baseline(
        recipe=recipe,
        model=model.name,
        task=project["task"],
        rows=batches.steps * batches.batch_size,
        counts=sum(batches.count(step) for step in range(batches.steps)),
        device="cuda" if device.type == "cuda" else "cpu",
        cores=physical_cores(),
        capability=torch.cuda.get_device_capability(device) if device.type == "cuda" else None,
        compiler=device.type == "cuda" or has_compiler(),
        torchao=importlib.util.find_spec("torchao") is not None,
        convolutions=any(isinstance(m, nn.modules.conv._ConvNd) for m in network.modules()),
        stackable=model.is_stackable and _stackable(recipe),
        metric=metric,
        higher_is_better=METRICS[metric].higher_is_better,
        warnings=(*notes, *_neighbours(device.type)),
    )


def _plain_recipe(recipe: Recipe, workload: Workload, device: torch.device) -> Recipe:
    """As a plainly written PyTorch program computes it: a DataLoader, fp32, unfused, torch's own number of threads."""
    from headway.train.network import make_training
    from headway.train.precision import choose_precision
    from headway.train.tune import batch_size_of, physical_cores

    size = batch_size_of(recipe, workload, choose_precision("fp32", device), make_training)
    return plain(recipe.model_copy(update={"batch_size": size}), device.type, physical_cores())


def plain(recipe: Recipe, device: str, cores: int) -> Recipe:
    """The same maths without anything that makes it fast."""
    slow = {
        "residence": "loader",
        "optimizer_kernel": "foreach" if device == "cuda" else "plain",  # torch's own default
        "precision": "fp32",
        "compile": "none",
        "cuda_graphs": False,
        "record": False,
        "channels_last": False,
        "checkpoint_activations": False,
        "threads": cores,
        "keep_memory": False,
    }
    return Recipe.parse({**recipe.model_dump(), **slow}, "train")


def _stackable(recipe: Recipe) -> bool:
    return (recipe.optimizer, recipe.accumulate, recipe.clip, recipe.ema) == ("adamw", 1, 0.0, 0.0)


def _neighbours(device: str) -> list[str]:
    """A warning where other processes compute on the same GPU."""
    if device != "cuda":
        return []
    with suppress(Exception):  # without the driver's library it is unknown
        import pynvml

        from headway.machine.gpus import handle

        others = [p for p in pynvml.nvmlDeviceGetComputeRunningProcesses(handle(0)) if p.pid != os.getpid()]
        if others:
            return [f"the GPU is shared with {len(others)} other processes, which make times noisier and longer"]
    return []


def main(path: str) -> int:
    """Run the study of a run directory. Returns the exit code."""
    return guarded(RunDirectory(Path(path).resolve()), study)


if __name__ == "__main__":
    from headway.machine.processes import die_with_starter

    die_with_starter()
    sys.exit(main(sys.argv[1]))
