"""The training of models with a fit of their own: gradient-boosted trees and linear models."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headway.data.config import SPLITS
from headway.data.sparse import sparse
from headway.data.store import Store
from headway.files.atomic import write_array
from headway.machine.cores import Use, Watch, allowed_cores
from headway.models import ModelConfig
from headway.models.boosting import Boosting
from headway.models.linear import Linear
from headway.run.directory import Journal, RunDirectory
from headway.train.diagnosis import contention
from headway.train.recipe import Recipe
from headway.train.target import target_of
from headway.train.threads import Threads

if TYPE_CHECKING:
    import lightgbm

LOOK_SECONDS = 0.2
"""Between two looks at how fast trees grow."""

PROGRESS_SECONDS = 0.5

OnTree = Callable[[int, float, float], None]
"""Called after each tree with its number, the training loss and the validation loss."""

Fit = tuple[dict[str, Any], dict[str, np.ndarray]]
"""The fields of result.json, and the predictions by split."""


def fit_estimator(run: RunDirectory, model: ModelConfig, recipe: Recipe, store: Store) -> Fit:
    """Fit on the training rows, write the bundle's model, and predict validation and test."""
    if isinstance(model, Linear):
        return _fit_linear(run, model, recipe, store)
    assert isinstance(model, Boosting)
    return _fit_boosting(run, model, recipe, store)


def _fit_linear(run: RunDirectory, model: Linear, recipe: Recipe, store: Store) -> Fit:
    import sklearn.linear_model  # noqa: F401  # takes seconds, which are not the fit's
    import torch
    from safetensors.torch import save_file

    from headway.train.meter import peak_memory

    inputs, target = store.preparation.inputs(), target_of(store, recipe.objective)
    task, start = target.learner, time.perf_counter()
    train = store.arrays("train")
    texts = {split: sparse(store.ragged(split), inputs.tokens) for split in SPLITS}
    fit = model.fit(train, inputs.categorical, inputs.outputs, task=task, seed=recipe.seed, texts=texts["train"])
    seconds = time.perf_counter() - start
    fit = fit.standardised(*task.standard(target))
    state = {name: torch.from_numpy(np.ascontiguousarray(values, np.float32)) for name, values in fit.state().items()}
    save_file(state, str(run.bundle / "weights.safetensors"))
    predictions, losses = {}, {}
    for split in SPLITS:
        arrays = store.arrays(split)
        decoded = task.decode(torch.from_numpy(fit.outputs(arrays, texts[split]).astype(np.float32)))
        losses[split] = task.score(decoded, torch.from_numpy(task.training_target(target, arrays["target"])))
        predictions[split] = task.finish(target, decoded.numpy())
    journal = run.journal()
    values = {"train/loss": losses["train"], "validation/loss": losses["validation"]}
    journal.write("metric", step=1, values=values)
    journal.close()
    result = {
        "precision": "fp64",
        "device": "cpu",
        "epochs": 1,
        "best_epoch": 1,
        "steps": 1,
        "rows_per_second": min(len(train["target"]), model.rows) / seconds,
        "peak_memory_bytes": peak_memory(),
        "parameters": sum(values.numel() for values in state.values()),
        "validation_loss": losses["validation"],
    }
    return result, {split: predictions[split] for split in ("validation", "test")}


def _fit_boosting(run: RunDirectory, model: Boosting, recipe: Recipe, store: Store) -> Fit:
    from headway.train.meter import peak_memory

    journal = run.journal()
    start, show = time.perf_counter(), _Progress(journal, model.trees)

    def on_tree(tree: int, train_loss: float, validation_loss: float) -> None:
        journal.write("metric", step=tree, values={"train/loss": train_loss, "validation/loss": validation_loss})
        show(tree, f"tree {tree}, validation loss {validation_loss:.4f}")

    grown = _grow(model, recipe, store, on_tree)
    seconds = time.perf_counter() - start
    best = grown.booster.best_iteration or grown.trees
    (run.bundle / "model.txt").write_text(grown.booster.model_to_string(num_iteration=grown.booster.best_iteration))
    journal.write("stage", name="diagnosis", step=grown.trees, text=grown.diagnosis, setting="")
    journal.close()
    result = {
        "precision": "fp64",
        "device": "cpu",
        "epochs": grown.trees,
        "best_epoch": best,
        "steps": grown.trees,
        "rows_per_second": store.rows["train"] * grown.trees / seconds,
        "peak_memory_bytes": peak_memory(),
        "parameters": best,
        "validation_loss": grown.validation_loss,
        "diagnosis": grown.diagnosis,
    }
    return result, grown.predictions


def fit_many(run: RunDirectory, model: Boosting, recipe: Recipe, store: Store, started: float) -> None:
    """Fit run.json's variants one after another: trees of several seeds share no arithmetic."""
    variants = run.plan["variants"]
    journal = run.journal()
    show = _Progress(journal, len(variants) * model.trees)
    run.predictions("test").parent.mkdir(exist_ok=True)
    fits: list[dict[str, Any]] = []
    for k, variant in enumerate(variants):

        def on_tree(tree: int, _train_loss: float, validation_loss: float) -> None:
            text = f"fit {len(fits) + 1} of {len(variants)}: tree {tree}, validation loss {validation_loss:.4f}"
            show(len(fits) * model.trees + tree, text)

        grown = _grow(model, recipe.model_copy(update={"seed": variant["seed"]}), store, on_tree)
        write_array(run.predictions(f"test-{k}"), grown.predictions["test"])
        best = grown.booster.best_iteration or grown.trees
        fits.append({"best_epoch": best, "epochs": grown.trees, "validation_loss": grown.validation_loss})
    journal.close()
    run.finish({"networks": fits, "seconds": round(time.perf_counter() - started, 3)})


class _Progress:
    """Journals how far a fit is, now and then."""

    def __init__(self, journal: Journal, steps: int) -> None:
        self._journal, self._steps, self._shown = journal, steps, 0.0

    def __call__(self, step: int, text: str) -> None:
        if time.perf_counter() - self._shown > PROGRESS_SECONDS:
            self._shown = time.perf_counter()
            self._journal.write("progress", step=step, steps=self._steps, text=text)
            self._journal.flush()


class GrowingThreads:
    """The number of threads that trees grow with: the stated one, or for `auto` one a core or a single one, what is faster.

    Numbers in between cannot be had while trees grow (see `headway.models.boosting.Teams`).
    """

    def __init__(
        self,
        setting: int | Literal["auto"],
        *,
        use: Callable[[], Use | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``use``: what the cores did since the last call; measured by default."""
        auto = setting in ("auto", 0)
        self.most = len(allowed_cores()) if auto else int(setting)
        self.count = self.most
        self._adapts = auto and self.most > 1
        self._use, self._clock = use or Watch().look, clock
        self._threads = Threads(2, self._apply, use=use, clock=clock)  # 2 stands for all
        self._due = clock() + LOOK_SECONDS
        self._looked = False

    def _apply(self, count: int) -> None:
        self.count = 1 if count == 1 else self.most

    def after(self, tree: int) -> int | None:
        """Another number from the next tree on; None where it stays."""
        now = self._clock()
        if not self._adapts or now < self._due:
            return None
        self._due = now + LOOK_SECONDS
        before = self.count
        if self._looked:
            self._threads.look(tree, now)
        else:
            self._begin()
        return self.count if self.count != before else None

    def _begin(self) -> None:
        """With one thread where others were busy while the rows were made ready: a trial beside them could take seconds."""
        self._looked = True
        use = self._use()
        if use is not None and use.contended:
            self._threads.begin(1)
            self._apply(1)


@dataclass(frozen=True)
class _Grown:
    """A booster, how many trees were grown, its predictions for validation and test, and what the fit cost in words."""

    booster: lightgbm.Booster
    trees: int
    predictions: dict[str, np.ndarray]
    diagnosis: str

    @property
    def validation_loss(self) -> float:
        """Of the best number of trees."""
        return float(next(iter(self.booster.best_score["validation"].values())))


def _grow(model: Boosting, recipe: Recipe, store: Store, on_tree: OnTree) -> _Grown:
    from headway.models.boosting import predict

    threads = GrowingThreads(recipe.threads)
    inputs, target = store.preparation.inputs(), target_of(store, recipe.objective)
    task = target.learner
    arrays = {split: store.arrays(split) for split in SPLITS}
    learnt = {
        split: {**arrays[split], "target": task.trees_target(target, arrays[split]["target"])} for split in SPLITS
    }
    trees, watch, start = 0, Watch(), time.perf_counter()

    def count(tree: int, train_loss: float, validation_loss: float) -> int | None:
        nonlocal trees
        trees = tree
        on_tree(tree, train_loss, validation_loss)
        return threads.after(tree)

    booster = model.fit(
        inputs,
        learnt["train"],
        learnt["validation"],
        task=task,
        seed=recipe.seed,
        patience=max(recipe.patience, 50),
        threads=threads.most,
        on_tree=count,
    )
    diagnosis = _diagnosis(trees, time.perf_counter() - start, watch.look(), threads.count)
    predictions = {
        split: task.of_trees(target, predict(booster, arrays[split], inputs)) for split in ("validation", "test")
    }
    return _Grown(booster, trees, predictions, diagnosis)


def _diagnosis(trees: int, seconds: float, use: Use | None, threads: int) -> str:
    """What a tree cost, and whether others had the cores that it needed."""
    text = f"a tree took {1000 * seconds / max(1, trees):.3g} ms with {threads} thread{'s' * (threads > 1)}"
    crowd = contention(use, threads) if use is not None else None
    return f"{text}; {crowd}" if crowd else text
