"""The training of models with a fit of their own: gradient-boosted trees and linear models."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headway.data.config import SPLITS, SplitConfig
from headway.data.sparse import sparse
from headway.data.store import Store
from headway.files.atomic import write_array
from headway.machine.cores import Use, Watch
from headway.models import ModelConfig
from headway.models.base import WEIGHTS
from headway.models.boosting import TREES, Boosting, Trees
from headway.models.cross_fitting import OnTree as CountedTree
from headway.models.ensemble import Ensemble
from headway.models.linear import Linear
from headway.run.directory import Journal, RunDirectory
from headway.run.result import Network, Result
from headway.train.change import forecasts
from headway.train.diagnosis import contention
from headway.train.fit import Fit
from headway.train.growing import GrowingThreads
from headway.train.recipe import Recipe
from headway.train.target import target_of, weights_of

PROGRESS_SECONDS = 0.5

OnTree = Callable[[int, int, float, float], None]
"""Called after each tree with its part's number and its own, the training loss and the validation loss."""

FEWEST_PATIENCE = 50
"""Trees without a better validation loss before growth ends, at least: a tree is a small step."""

INDEPENDENT = ("stratified", "random")
"""Ways to split by which a row belongs to no other, unless several have one key."""


def fit_estimator(run: RunDirectory, model: ModelConfig, recipe: Recipe, store: Store) -> Fit:
    """Fit on the training rows, write the bundle's model, and predict validation and test."""
    if isinstance(model, Linear):
        return _fit_linear(run, model, recipe, store)
    assert isinstance(model, (Boosting, Ensemble))
    return _fit_trees(run, model, recipe, store)


def _fit_linear(run: RunDirectory, model: Linear, recipe: Recipe, store: Store) -> Fit:
    import sklearn.linear_model  # noqa: F401  # takes seconds, which are not the fit's
    import torch
    from safetensors.torch import save_file

    from headway.train.meter import peak_memory

    inputs, target = store.preparation.inputs(), target_of(store, recipe.objective)
    task, start = target.learner, time.perf_counter()
    parts = _arrays(store, recipe)
    train = parts["train"]
    texts = {split: sparse(store.ragged(split), inputs.tokens) for split in SPLITS}
    fit = model.fit(train, inputs.categorical, inputs.outputs, task=task, seed=recipe.seed, texts=texts["train"])
    seconds = time.perf_counter() - start
    fit = fit.standardised(*task.standard(target))
    state = {name: torch.from_numpy(np.ascontiguousarray(values, np.float32)) for name, values in fit.state().items()}
    save_file(state, str(run.bundle / WEIGHTS))
    predictions, losses = {}, {}
    for split in SPLITS:
        arrays = parts[split]
        decoded = task.decode(torch.from_numpy(fit.outputs(arrays, texts[split]).astype(np.float32)))
        truth = torch.from_numpy(task.training_target(target, arrays["target"]))
        losses[split] = task.score(
            decoded, truth, *(torch.from_numpy(arrays[name]) for name in arrays if name == "weight")
        )
        predictions[split] = store.levels(split, task.finish(target, decoded.numpy()))
    journal = run.journal()
    values = {"train/loss": losses["train"], "validation/loss": losses["validation"]}
    journal.write("metric", step=1, values=values)
    journal.close()
    result = Result(
        precision="fp64",
        device="cpu",
        epochs=1,
        best_epoch=1,
        steps=1,
        rows_per_second=min(len(train["target"]), model.rows) / seconds,
        peak_memory_bytes=peak_memory(),
        parameters=sum(values.numel() for values in state.values()),
        validation_loss=losses["validation"],
        fit="fitted at once",
    )
    return Fit(result, {split: predictions[split] for split in ("validation", "test")})


def _fit_trees(run: RunDirectory, model: Boosting | Ensemble, recipe: Recipe, store: Store) -> Fit:
    from headway.train.meter import peak_memory

    journal = run.journal()
    start, show, latest = time.perf_counter(), _Progress(journal, model.trees), 0

    def on_tree(part: int, tree: int, train_loss: float, validation_loss: float) -> None:
        nonlocal latest
        if tree > latest:  # the curves of further parts are alike
            latest = tree
            journal.write("metric", step=tree, values={"train/loss": train_loss, "validation/loss": validation_loss})
        show(tree, f"{f'part {part + 1}, ' * (part > 0)}tree {tree}, validation loss {validation_loss:.4f}")

    fit = _grow(run, model, recipe, store, on_tree)
    seconds = time.perf_counter() - start
    fit.write(run.bundle)
    journal.write("stage", name="diagnosis", step=fit.trees, text=fit.diagnosis, setting="")
    journal.close()
    result = Result(
        precision="fp64",
        device="cpu",
        epochs=fit.trees,
        best_epoch=fit.best,
        steps=fit.trees,
        rows_per_second=store.rows["train"] * fit.trees / seconds,
        peak_memory_bytes=peak_memory(),
        parameters=fit.best,
        validation_loss=fit.validation_loss,
        fit=fit.text,
        diagnosis=fit.diagnosis,
    )
    return Fit(result, fit.predictions)


def fit_many(run: RunDirectory, model: ModelConfig, recipe: Recipe, store: Store, start: float) -> None:
    """Fit run.json's variants one after another: trees of several seeds share no arithmetic."""
    assert isinstance(model, (Boosting, Ensemble))
    variants = run.plan["variants"]
    journal = run.journal()
    show = _Progress(journal, len(variants) * model.trees)
    run.predictions("test").parent.mkdir(exist_ok=True)
    fits: list[Network] = []
    for k, variant in enumerate(variants):

        def on_tree(_part: int, tree: int, _train_loss: float, validation_loss: float) -> None:
            text = f"fit {len(fits) + 1} of {len(variants)}: tree {tree}, validation loss {validation_loss:.4f}"
            show(len(fits) * model.trees + tree, text)

        fit = _grow(run, model, recipe.model_copy(update={"seed": variant["seed"]}), store, on_tree)
        write_array(run.predictions(f"test-{k}"), forecasts(store, fit.predictions))
        fits.append(Network(fit.best, fit.trees, fit.validation_loss))
    journal.close()
    run.finish(Result(networks=tuple(fits), seconds=round(time.perf_counter() - start, 3)))


class _Progress:
    """Journals how far a fit is, now and then."""

    def __init__(self, journal: Journal, steps: int) -> None:
        self._journal, self._steps, self._shown = journal, steps, 0.0

    def __call__(self, step: int, text: str) -> None:
        if time.perf_counter() - self._shown > PROGRESS_SECONDS:
            self._shown = time.perf_counter()
            self._journal.write("progress", step=step, steps=self._steps, text=text)
            self._journal.flush()


@dataclass(frozen=True)
class _TreeFit:
    """A fit of trees: all that were grown, those that are kept, predictions for validation and test, what it is and cost in words."""

    write: Callable[[Path], object]
    best: int
    validation_loss: float
    predictions: dict[str, np.ndarray]
    trees: int = 0
    text: str = ""
    diagnosis: str = ""


def _grow(run: RunDirectory, model: Boosting | Ensemble, recipe: Recipe, store: Store, on_tree: OnTree) -> _TreeFit:
    threads, trees, watch, start = GrowingThreads(recipe.threads), 0, Watch(), time.perf_counter()

    def count(part: int, tree: int, train_loss: float, validation_loss: float) -> int | None:
        nonlocal trees
        trees += 1
        on_tree(part, tree, train_loss, validation_loss)
        change = threads.after(trees)
        return threads.count if tree == 1 else change  # each part begins with all threads

    if isinstance(model, Ensemble):
        split = SplitConfig.parse(run.plan["project"].get("split", {}), "split")
        result = _ensemble(
            model, recipe, store, threads.most, count, split.by in INDEPENDENT and not _share_keys(store)
        )
    else:
        result = _boosting(model, recipe, store, threads.most, count)
    diagnosis = _diagnosis(trees, time.perf_counter() - start, watch.look(), threads.count)
    text = result.text or f"best with {result.best} of {trees} trees"
    predictions: dict[str, np.ndarray] = {
        split: store.levels(split, result.predictions[split]) for split in SPLITS if split in result.predictions
    }
    return replace(result, predictions=predictions, trees=trees, text=text, diagnosis=diagnosis)


def _share_keys(store: Store) -> bool:
    """Whether several rows have one key, as those of validation show: the split keeps them together."""
    name, codes, _ = store.units("validation")
    return name == "key" and len(np.unique(codes)) < len(codes)


def _boosting(model: Boosting, recipe: Recipe, store: Store, threads: int, on_tree: CountedTree) -> _TreeFit:
    inputs, target = store.preparation.inputs(), target_of(store, recipe.objective)
    task = target.learner
    arrays = _arrays(store, recipe)
    learnt = {
        split: {**arrays[split], "target": task.trees_target(target, arrays[split]["target"])}
        for split in ("train", "validation")
    }
    texts = {split: sparse(store.ragged(split), inputs.tokens) for split in SPLITS}
    booster = model.fit(
        inputs,
        learnt["train"],
        learnt["validation"],
        task=task,
        seed=recipe.seed,
        patience=max(recipe.patience, FEWEST_PATIENCE),
        threads=threads,
        on_tree=lambda tree, train_loss, validation_loss: on_tree(0, tree, train_loss, validation_loss),
        texts=(texts["train"], texts["validation"]),
    )
    best = booster.best_iteration or booster.current_iteration()
    return _TreeFit(
        write=lambda folder: (folder / TREES).write_text(booster.model_to_string(num_iteration=best)),
        best=best,
        validation_loss=float(next(iter(booster.best_score["validation"].values()))),
        predictions={
            split: Trees(booster).predict(arrays[split], inputs, target, texts[split])
            for split in ("validation", "test")
        },
    )


def _arrays(store: Store, recipe: Recipe) -> dict[str, dict[str, np.ndarray]]:
    """Those of each part, with `weight` where rows do not count the same."""
    weights = {split: weights_of(store, recipe, split) for split in SPLITS}
    return {
        split: store.arrays(split) | ({} if (own := weights[split]) is None else {"weight": own}) for split in SPLITS
    }


def _ensemble(
    model: Ensemble, recipe: Recipe, store: Store, threads: int, on_tree: CountedTree, independent: bool
) -> _TreeFit:
    import sklearn.linear_model  # noqa: F401  # takes seconds, which are not the trees'

    inputs, target = store.preparation.inputs(), target_of(store, recipe.objective)
    arrays = _arrays(store, recipe)
    texts = {split: sparse(store.ragged(split), inputs.tokens) for split in SPLITS}
    fit, growth = model.fit(
        inputs,
        arrays["train"],
        arrays["validation"],
        target=target,
        seed=recipe.seed,
        patience=max(recipe.patience, FEWEST_PATIENCE),
        threads=threads,
        on_tree=on_tree,
        independent=independent,
        texts=(texts["train"], texts["validation"]),
    )
    test = fit.predict(arrays["test"], inputs, target, texts["test"])
    return _TreeFit(
        write=fit.write,
        best=fit.trees.current_iteration(),
        validation_loss=growth.loss,
        predictions={"validation": growth.validation, "test": test},
        text=f"{_trees_of(growth.trees)}, share of the linear model {fit.share:.0%}",
    )


def _trees_of(counts: Sequence[int]) -> str:
    if len(counts) == 1:
        return f"{counts[0]} trees, grown again on training and validation rows"
    return f"{sum(counts)} trees of {len(counts)} parts, each held aside once"


def _diagnosis(trees: int, seconds: float, use: Use | None, threads: int) -> str:
    """What a tree cost, and whether others had the cores that it needed."""
    text = f"a tree took {1000 * seconds / max(1, trees):.3g} ms with {threads} thread{'s' * (threads > 1)}"
    crowd = contention(use, threads) if use is not None else None
    return f"{text}; {crowd}" if crowd else text
