"""Fit a network: build it, run the loop, journal, save, and hand back the best weights' predictions."""

from __future__ import annotations

from dataclasses import asdict, fields

import torch

from headway.config import Config
from headway.files.atomic import digest, read_json, read_or_empty, write_json
from headway.models import ModelConfig
from headway.models.base import WEIGHTS
from headway.run.directory import RunDirectory
from headway.run.result import Result
from headway.train.activations import checkpoint_activations
from headway.train.budget import budget_of
from headway.train.choice import WAYS, Length, Way, choose_way, free, timed_on_gpu
from headway.train.device import choose_device, name_of
from headway.train.diagnosis import diagnose
from headway.train.fit import Fit
from headway.train.follow import Follower
from headway.train.loop import Training
from headway.train.meter import Meter, count_flops, peak_memory
from headway.train.optimizer import make_optimizer
from headway.train.precision import Arithmetic, apply_precision, choose_precision
from headway.train.recipe import Recipe
from headway.train.step import Step, check_compiler
from headway.train.threads import KeptThreads
from headway.train.tune import batch_size_of, threads_of
from headway.train.workload import Workload

LATER = frozenset({"validate_every", "kv_heads"})
"""Settings that checkpoints of earlier versions do not have: where they are null, they say nothing."""


def fit_network(run: RunDirectory, model: ModelConfig, recipe: Recipe, workload: Workload) -> Fit:
    """Train to the best validation loss."""
    from safetensors.torch import save_file

    notes: list[str] = []
    device = choose_device(recipe.device, notes.append)
    check_compiler(recipe, device)
    arithmetic = choose_precision(recipe.precision, device)
    original, (recipe, way) = recipe, tuned(run, recipe, workload, arithmetic)
    training = make_training(workload, recipe, arithmetic)
    training.step.notices += notes
    arithmetic = training.step.arithmetic
    if training.step.compiled is not None:
        training.step.compiled.limit = way.limit
    training.meter.flops_a_unit = read_json(run.path / "tuned.json")["flops_a_step"] / training.batches.count(0)
    training.meter.usual_flops_a_unit = workload.usual_flops(training.step.network)
    auto = original.threads in ("auto", 0) and device.type == "cpu"
    most = torch.get_num_threads()
    threads = KeptThreads(run.path / "tuned.json", most, torch.set_num_threads) if auto else None
    follower = Follower(run, training, identity(run, model, recipe), threads)
    follower.follow(way.reason)
    network = training.step.network_to_keep
    network.load_state_dict(training.best)
    save_file({k: v.to("cpu").contiguous() for k, v in training.best.items()}, run.bundle / WEIGHTS)
    predictions = workload.predictions(network, arithmetic)
    return Fit(_result(follower, training, workload, recipe, way), predictions)


def _result(follower: Follower, training: Training, workload: Workload, recipe: Recipe, way: Way) -> Result:
    """What the training has come to, what it cost, and where its time went."""
    arithmetic, progress = training.step.arithmetic, training.progress
    device = arithmetic.device
    cost = training.meter.cost(str(arithmetic.name), recipe.price_per_hour)
    if training.step.compiled is not None:
        cost["time/compiling_seconds"] = training.step.compiled.seconds
    bf16 = choose_precision("auto", device).name == "bf16"
    recipe = recipe.model_copy(update={"threads": torch.get_num_threads()})  # those of the end
    diagnosis = diagnose(
        cost, recipe, device=device.type, precision=str(arithmetic.name), unit=workload.unit, bf16=bf16
    )
    follower.conclude(cost, diagnosis)
    return Result(
        precision=str(arithmetic.name),
        precision_reason=arithmetic.reason,
        device=name_of(device),
        epochs=progress.epoch,
        best_epoch=progress.best_epoch,
        steps=progress.step,
        unit=workload.unit,
        rows_per_second=training.meter.per_second,
        peak_memory_bytes=peak_memory(),
        parameters=sum(p.numel() for p in training.step.network_to_keep.parameters()),
        validation_loss=progress.best_loss,
        batch_size=training.batches.batch_size,
        threads=torch.get_num_threads(),
        cost=cost,
        fit=f"best after step {progress.best_step:,} of {progress.step:,}" if recipe.has_budget else "",
        diagnosis=diagnosis.text,
        way=_way_text(way, training),
        try_=diagnosis.setting,
    )


def make_training(workload: Workload, recipe: Recipe, arithmetic: Arithmetic, meter: Meter | None = None) -> Training:
    """Everything that a recipe asks for, ready to run from the first step. Batch size and threads are numbers by now.

    ``meter``: one that goes on, of several trainings together.
    """
    torch.manual_seed(recipe.seed)
    network = workload.build()
    batches = workload.batches(recipe, arithmetic.device)
    if recipe.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyrefly: ignore
    network = network.to(arithmetic.device)
    effective = apply_precision(network, arithmetic, recipe.compiles)
    if recipe.checkpoint_activations:
        checkpoint_activations(network)
    optimizers = make_optimizer(network, recipe, capturable=recipe.cuda_graphs is True)
    step = Step(network, optimizers, workload.loss, effective, recipe, batches.batch_size)
    if recipe.precision == "fp8" and effective.name != "fp8":
        step.notices.append(f"this trains in {effective.name} (train.precision): {effective.reason}")
    return Training(workload, step, recipe, batches, meter or Meter(arithmetic.device))


def identity(run: RunDirectory, model: ModelConfig, recipe: Recipe) -> dict[str, str]:
    """What a checkpoint must be of for this training to go on from it."""
    free = {"checkpoint_seconds", "price_per_hour", "workers", "epochs", "steps", "tokens", "patience"}
    return {
        "data": read_json(run.path / "store.json").get("digest", ""),
        "model": _digest_of(model, set()),
        "recipe": _digest_of(recipe, free),
        "torch": torch.__version__,
    }


def _digest_of(settings: Config, free: set[str]) -> str:
    values = settings.model_dump(mode="json", exclude=free)
    return digest({name: value for name, value in values.items() if name not in LATER or value is not None})


def tuned(run: RunDirectory, recipe: Recipe, workload: Workload, arithmetic: Arithmetic) -> tuple[Recipe, Way]:
    """The recipe with values for what was left to be chosen, and why. Chosen once a run: a restart must take the same."""
    path = run.path / "tuned.json"
    if "threads" not in read_or_empty(path):
        size = batch_size_of(recipe, workload, arithmetic, make_training)
        sized = recipe.model_copy(update={"batch_size": size})
        threads = threads_of(sized, workload, arithmetic)
        torch.set_num_threads(threads.count)
        way = _way_of(sized.model_copy(update={"threads": threads.count}), workload, arithmetic, threads.flops_a_step)
        choice = {"batch_size": size, "threads": threads.count, "flops_a_step": threads.flops_a_step}
        write_json(path, {**choice, **asdict(way)})
    choice = read_json(path)
    torch.set_num_threads(choice["threads"])
    recipe = recipe.model_copy(update={"batch_size": choice["batch_size"], "threads": choice["threads"]})
    earlier = Way("none", False, True, "")  # what was taken before this was chosen
    own = {field.name: choice.get(field.name, getattr(earlier, field.name)) for field in fields(Way)}
    settings = {name: getattr(recipe, name) for name in WAYS if getattr(recipe, name) != "auto"}
    way = Way(**{**own, **settings})
    return way.applied(recipe), way


def _way_of(recipe: Recipe, workload: Workload, arithmetic: Arithmetic, flops_a_step: float) -> Way:
    length = Length(
        flops_a_step, budget_of(recipe, workload.batches(recipe, arithmetic.device)).fewest(recipe.patience)
    )
    way = choose_way(recipe, length, arithmetic, lambda: timed_on_gpu(recipe, workload, arithmetic, make_training))
    free(arithmetic.device)
    return way


def _way_text(way: Way, training: Training) -> str:
    """The choice for the terminal, with what compiling took."""
    compiled = training.step.compiled
    took = f"compiling took {compiled.seconds:.3g} s" if compiled is not None and compiled.proven else ""
    return "; ".join(text for text in (way.reason, took) if text)


__all__ = ["count_flops", "fit_network", "identity", "make_training"]
