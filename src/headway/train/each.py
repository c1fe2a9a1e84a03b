"""Several seeds or settings of one network, one training after the other: where `headway.train.many` cannot train them at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from headway.errors import TrainingError
from headway.train.loop import NonFinite, Training
from headway.train.many import Fitted, Variant
from headway.train.meter import Meter
from headway.train.network import make_training
from headway.train.precision import Arithmetic
from headway.train.recipe import Recipe
from headway.train.recording import Misrecorded
from headway.train.workload import Workload

SHOWN_SECONDS = 0.5


def fit_each(
    workload: Workload,
    recipe: Recipe,
    variants: Sequence[Variant],
    arithmetic: Arithmetic,
    meter: Meter,
    show: Callable[[int, int, str], None],
) -> Iterator[tuple[Fitted, Mapping[str, np.ndarray]]]:
    """What became of each network, and its predictions by split. Batch size and threads are numbers by now. ``meter``: of all together.

    ``show`` is given the steps done, the steps of all trainings, and a text. Raises TrainingError where a loss becomes non-finite.
    """
    for k, variant in enumerate(variants):
        own = recipe.model_copy(update=vars(variant))

        def show_own(training: Training, k: int = k) -> None:
            steps = training.budget.steps
            text = f"network {k + 1} of {len(variants)}: step {training.progress.step:,} of at most {steps:,}"
            show(k * steps + training.progress.step, len(variants) * steps, text)

        try:
            training = _train(workload, own, arithmetic, meter, show_own)
        except Misrecorded:  # there are no checkpoints: it begins anew
            training = _train(workload, own.model_copy(update={"record": False}), arithmetic, meter, show_own)
        except NonFinite as error:
            raise TrainingError(f"seed {variant.seed}, learning rate {variant.learning_rate:g}: {error}") from None
        progress, network = training.progress, training.step.network_to_keep
        network.load_state_dict(training.best)
        fitted = Fitted(variant, progress.best_loss, progress.best_epoch, progress.epoch)
        yield fitted, workload.predictions(network, arithmetic)


def _train(
    workload: Workload, recipe: Recipe, arithmetic: Arithmetic, meter: Meter, show: Callable[[Training], None]
) -> Training:
    """A training that is done."""
    training = make_training(workload, recipe, arithmetic, meter)
    last_show = 0.0
    for what in training.run():
        if what == "validation":
            training.mark_loss()
            list(training.losses(wait=True))  # raises where one is lost
        elif time.perf_counter() - last_show > SHOWN_SECONDS:
            last_show = time.perf_counter()
            show(training)
    return training
