"""The target and the weights of the rows as a recipe has them learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headway.config import suggest
from headway.data.config import SPLITS, Split
from headway.data.store import Store
from headway.errors import ConfigError, DataError
from headway.tasks import Objective, Target
from headway.train.recipe import Recipe


def target_of(store: Store, objective: Objective) -> Target:
    """The store's target with what is minimised, fitted to the training rows.

    Raises DataError where a row of any part has a value that the loss or the scale cannot have.
    """
    target = store.preparation.target
    if objective.is_plain:
        return target
    values = {split: np.asarray(store.arrays(split)["target"]) for split in SPLITS}
    objective.refuse_unfit(np.concatenate(list(values.values())))
    return replace(target, objective=objective.fitted(values["train"]))


def weights_of(store: Store, recipe: Recipe, split: Split) -> np.ndarray | None:
    """(N,) float64: how much each row of a part counts, its own weight times its class's; the training rows' mean is 1.

    None where all count the same. Raises ConfigError for weights of classes that there are not, DataError where no row counts.
    """
    if recipe.class_weights == "none" and store.weights(split) is None:
        return None
    by_class = _by_class(store, recipe)
    parts: tuple[Split, ...] = ("train", "validation")
    for part in parts:
        refuse_weightless(part, _products(store, part, by_class))
    mean = float(_products(store, "train", by_class).mean())
    return _products(store, split, by_class) / mean


def refuse_weightless(part: Split, weights: np.ndarray) -> None:
    """Raise DataError where no row of a part counts."""
    if not weights.any():
        name = {"train": "training"}.get(part, part)
        raise DataError(f"data.weight must be above 0 in some {name} row, but is 0 in all of them")


def refuse_strangers(recipe: Recipe, target: Target) -> None:
    """Raise ConfigError for weights of classes that there are not."""
    weights = recipe.class_weights if isinstance(recipe.class_weights, dict) else {}
    for name in weights:
        if name not in target.classes:
            near = suggest(name, list(target.classes))
            raise ConfigError(f"train.class_weights must name classes of {target.column}, but {name} is none{near}")


def _products(store: Store, split: Split, by_class: np.ndarray | None) -> np.ndarray:
    own = store.weights(split)
    target = np.asarray(store.arrays(split)["target"])
    of_class = np.ones(len(target)) if by_class is None else by_class[target]
    return of_class if own is None else of_class * own


def _by_class(store: Store, recipe: Recipe) -> np.ndarray | None:
    """(K,) the weight of each class; None where they count the same. Balanced: as scikit-learn has it, rows / (classes * its rows)."""
    setting, target = recipe.class_weights, store.preparation.target
    if setting == "none":
        return None
    if setting == "balanced":
        counts = np.bincount(np.asarray(store.arrays("train")["target"]), minlength=len(target.classes))
        return counts.sum() / (len(counts) * np.maximum(counts, 1))
    refuse_strangers(recipe, target)
    return np.array([setting.get(name, 1.0) for name in target.classes])
