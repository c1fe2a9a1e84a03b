"""Several seeds or settings of one project: its networks trained at once, or one after the other where they cannot be."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from headway.files.atomic import read_json, write_array
from headway.models.stacked import NotAtOnce
from headway.run.directory import Journal, RunDirectory
from headway.run.result import Network, Result
from headway.train.change import forecasts
from headway.train.device import choose_device, name_of
from headway.train.each import fit_each
from headway.train.many import Fitted, ManyTraining, Variant
from headway.train.meter import Meter, peak_memory
from headway.train.network import tuned
from headway.train.precision import Arithmetic, choose_precision
from headway.train.recipe import Recipe
from headway.train.recording import Misrecorded
from headway.train.table import TableWorkload
from headway.train.threads import WINDOW_STEPS, Threads
from headway.train.tune import flops_of
from headway.train.workload import Workload


def fit_variants(run: RunDirectory, recipe: Recipe, workload: Workload) -> Result:
    """Train the networks of run.json's variants and write each one's predictions. What it cost is that of all together.

    Raises TrainingError where a loss becomes non-finite.
    """
    variants = [Variant(**values) for values in run.plan["variants"]]
    run.predictions("test").parent.mkdir(exist_ok=True)
    journal = run.journal()
    device = choose_device(recipe.device, lambda text: journal.write("warning", text=text))
    result = None
    if isinstance(workload, TableWorkload):
        try:
            result = _fit_at_once(run, workload, recipe, variants, device, journal)
        except NotAtOnce as error:
            journal.write("warning", text=f"the networks are trained one after the other: {error}")
    result = result or _fit_each(run, workload, recipe, variants, device, journal)
    journal.write("metric", step=result.steps, values=result.cost)
    journal.close()
    return result


def _fit_at_once(
    run: RunDirectory,
    workload: TableWorkload,
    recipe: Recipe,
    variants: Sequence[Variant],
    device: torch.device,
    journal: Journal,
) -> Result:
    """Raises NotAtOnce before anything is trained."""
    training = ManyTraining(workload, recipe, variants, device)
    try:
        _follow(training, journal)
    except Misrecorded as error:  # there are no checkpoints: all networks begin anew
        text = f"a recorded step was wrong ({error.difference}): training starts again without recording (train.record)"
        journal.write("warning", text=text)
        training = ManyTraining(workload, recipe.model_copy(update={"record": False}), variants, device)
        _follow(training, journal)
    each = zip(training.predictions("validation"), training.predictions("test"), strict=True)
    for k, (validation, test) in enumerate(each):
        values = forecasts(workload.store, {"validation": validation, "test": test})
        write_array(run.predictions(f"test-{k}"), values)
    arithmetic = choose_precision("fp32", device)
    training.meter.flops_a_unit = flops_of(recipe, workload, arithmetic) / int(recipe.batch_size)
    return _result(training.fitted, training.meter, arithmetic, recipe, workload.unit)


def _fit_each(
    run: RunDirectory,
    workload: Workload,
    recipe: Recipe,
    variants: Sequence[Variant],
    device: torch.device,
    journal: Journal,
) -> Result:
    arithmetic = choose_precision(recipe.precision, device)
    recipe, _ = tuned(run, recipe, workload, arithmetic)

    def show(step: int, steps: int, text: str) -> None:
        journal.write("progress", step=step, steps=steps, text=text)
        journal.flush()

    fitted, meter = list[Fitted](), Meter(device)
    for one, predictions in fit_each(workload, recipe, variants, arithmetic, meter, show):
        write_array(run.predictions(f"test-{len(fitted)}"), forecasts(workload.store, predictions))
        fitted.append(one)
    flops_a_step = float(read_json(run.path / "tuned.json")["flops_a_step"])
    meter.flops_a_unit = flops_a_step / workload.batches(recipe, device).count(0)
    return _result(fitted, meter, arithmetic, recipe, workload.unit)


def _result(fitted: Sequence[Fitted], meter: Meter, arithmetic: Arithmetic, recipe: Recipe, unit: str) -> Result:
    return Result(
        networks=tuple(Network(one.best_epoch, one.epochs, one.best_loss) for one in fitted),
        precision=str(arithmetic.name),
        device=name_of(arithmetic.device),
        steps=meter.steps,
        unit=unit,
        rows_per_second=meter.per_second,
        peak_memory_bytes=peak_memory(),
        batch_size=int(recipe.batch_size),
        threads=torch.get_num_threads(),
        cost=meter.cost(str(arithmetic.name), recipe.price_per_hour),
    )


def _follow(training: ManyTraining, journal: Journal) -> None:
    recipe, count = training.recipe, len(training.fitted)
    auto = recipe.threads in ("auto", 0)
    threads = Threads(torch.get_num_threads() if auto else int(recipe.threads), torch.set_num_threads)
    torch.set_num_threads(threads.most)
    for epoch in training.run():
        if auto:
            threads.look(epoch * WINDOW_STEPS, time.perf_counter())  # an epoch has steps enough for a rate
        going = sum(not fitted.is_done(recipe.patience) for fitted in training.fitted)
        text = f"epoch {epoch} of at most {recipe.epochs}, {going} of {count} networks still learning"
        journal.write("progress", step=epoch, steps=recipe.epochs, text=text)
        journal.flush()
