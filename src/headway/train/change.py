"""Whether a model of time series learns the target or its change since an earlier value, by a rule on training and validation rows.

change.json   in the run directory: the decision, and why
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from headway.columns.number import Number
from headway.data.config import SPLITS
from headway.data.prepare import Preparation
from headway.data.store import Store
from headway.errors import ConfigError
from headway.files.records import Record
from headway.models.boosting import features
from headway.run.directory import RunDirectory
from headway.tasks.reference import Reference
from headway.train.fit import Fit
from headway.train.recipe import Recipe

FILE = "change.json"

SURE = 1.645
"""Standard errors by which a change must forecast better than the target itself: chance alone reaches it once in twenty times."""

MOST_ROWS = 20_000
"""Training rows of a trial, drawn at random: a second of a core."""


@dataclass(frozen=True)
class Change(Record):
    """``reference``: since what the change is learnt; None for the target itself. ``text``: why, for the reader of a run."""

    reference: Reference | None = None
    text: str = ""

    @classmethod
    def of(cls, run: RunDirectory) -> Change:
        """That of a run; of one that decided nothing, the target itself."""
        path = run.path / FILE
        return cls.read(path) if path.exists() else cls()


def store_to_learn(run: RunDirectory, recipe: Recipe) -> Store:
    """The run's store, with the target that is learnt. Decides it once: a training that goes on learns the same."""
    store = Store(run.store)
    if not (run.path / FILE).exists():
        change = decide(store, recipe)
        if change is not None:
            change.write(run.path / FILE)
    reference = Change.of(run).reference
    return store if reference is None else replace(store, reference=replace(reference, share=1.0))


def decide(store: Store, recipe: Recipe) -> Change | None:
    """The change with which fast trees err least on validation rows, where that is no chance; None where the rows are no series.

    Raises ConfigError where the earlier value that `train.change_since` names is no column.
    """
    choice, preparation = recipe.change_since, store.preparation
    if preparation.past is None or choice == "none":
        if choice in ("auto", "none"):
            return None
        raise ConfigError(f"train.change_since needs data.series, but is {choice} without it; remove it")
    choices = references(preparation) if recipe.objective.is_plain else {}
    if choice != "auto":
        if choice not in choices:
            raise ConfigError(
                f"train.change_since {choice} needs that earlier target as a lag, the loss mse and prepare.scale standard, but one of "
                "these differs; remove it"
            )
        return Change(choices[choice], f"it learns the change since {choices[choice].column} (train.change_since)")
    if not choices:
        return None
    own = _trial(store, None)
    trials = {name: _trial(store, reference) for name, reference in choices.items()}
    best = min(trials, key=lambda name: float(trials[name].mean()))
    what, gain = f"change since {choices[best].column}", own - trials[best]
    numbers = " and ".join(f"{np.sqrt(squares.mean()):.4g}" for squares in (trials[best], own))
    numbers = f"fast trees have an RMSE on the validation rows with it and without of {numbers}"
    if gain.mean() <= SURE * gain.std() / np.sqrt(len(gain)):
        return Change(None, f"it learns the target itself, not its {what}: {numbers}")
    return Change(choices[best], f"it learns the {what}: {numbers}")


def references(preparation: Preparation) -> Mapping[str, Reference]:
    """The earlier targets since which a change can be learnt, by the words of `train.change_since`."""
    past = preparation.past
    assert past is not None
    series, columns = past.series, preparation.by_array["numeric"]
    places = {output.name: place for place, (_, output) in enumerate(columns)}
    result: dict[str, Reference] = {}
    for word, steps in (("newest", series.horizon), ("season", series.seasonal_lag)):
        name = next((name for name, lag in past.lags.items() if lag == (past.target, steps)), None)
        if name not in places or (word == "season" and steps == series.horizon):
            continue
        encoding = columns[places[name]][0]
        if isinstance(encoding, Number) and not encoding.quantiles and encoding.limits is None:
            marker = places[name] + 1 if encoding.missing else None
            result[word] = Reference(name, places[name], encoding.mean, encoding.std, marker)
    return result


def _trial(store: Store, reference: Reference | None) -> np.ndarray:
    """(N,) squared errors of trees on the validation rows, with the best share of their change."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    train, validation = (store.arrays(split) for split in ("train", "validation"))
    rows = np.random.default_rng(0).permutation(len(train["target"]))[:MOST_ROWS]
    numeric, target = np.asarray(train["numeric"])[rows], np.asarray(train["target"])[rows]
    x = features({"numeric": numeric, "categorical": np.asarray(train["categorical"])[rows]})
    trees = HistGradientBoostingRegressor(early_stopping=False, random_state=0)
    trees.fit(x, target if reference is None else reference.changes(target, numeric))
    forecast, truth = trees.predict(features(validation)), np.asarray(validation["target"])
    if reference is not None:
        own = np.asarray(validation["numeric"])
        forecast = reference.shrunk(forecast, truth, own).levels(forecast, own)
    return (truth - forecast) ** 2


def shrunk(run: RunDirectory, store: Store, fit: Fit) -> Fit:
    """The fit with as much of its change as is best on the validation rows, which its run keeps beside the decision."""
    if store.reference is None:
        return fit
    reference, predictions = of_best_share(store.reference, store, fit.predictions)
    change = Change.of(run)
    text = change.text.partition("; of its change")[0]
    replace(change, reference=reference, text=f"{text}; of its change {reference.share:.0%} is forecast").write(
        run.path / FILE
    )
    return replace(fit, predictions=predictions)


def forecasts(store: Store, predictions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N, ...) of the test rows, with as much of a model's change as is best on the validation rows; as they are without a change."""
    if store.reference is None:
        return predictions["test"]
    return of_best_share(store.reference, store, predictions)[1]["test"]


def of_best_share(
    whole: Reference, store: Store, predictions: Mapping[str, np.ndarray]
) -> tuple[Reference, dict[str, np.ndarray]]:
    """From predictions with the ``whole`` change: the share that is best on the validation rows, and the predictions with it."""
    arrays = store.arrays("validation")
    numeric = np.asarray(arrays["numeric"])
    levels = np.asarray(arrays["target"]) + whole.values(numeric)
    reference = whole.shrunk(predictions["validation"] - whole.values(numeric), levels, numeric)
    result: dict[str, np.ndarray] = {}
    for split in SPLITS:
        if split in predictions:
            before = reference.values(np.asarray(store.arrays(split)["numeric"]))
            result[split] = before + reference.share * (predictions[split] - before)
    return reference, result
