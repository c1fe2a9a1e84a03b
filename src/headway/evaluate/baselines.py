"""Cheap models beside which every model stands, each fitted by scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.machine.cores import allowed_cores, free_cores, spin_briefly
from headway.models.linear import Linear
from headway.tasks import PLAIN, Objective, TargetTask, TaskName, target_task

MOST_CODES = 254
"""Category codes that scikit-learn's boosting takes; rarer ones share one."""

ASIDE = 0.1
"""The share of rows that scikit-learn's early stopping sets aside."""

ROWS_A_THREAD = 20_000
"""Fewer rows gain nothing from another thread."""

ROUNDS = 400
"""Rounds of boosting at most; early stopping takes fewer."""

FEWEST_ROUNDS = 40
"""With fewer rounds, boosting says nothing about the data."""

TRIAL = 2
"""Rounds that are timed where all of them may take minutes."""

QUICK, FEW_TREES = 10_000_000, 20
"""Of fewer values times the trees of a round, and fewer trees, all rounds take less than a minute: they are not timed."""

BUDGET = 120.0
"""Seconds of boosting at most."""

TEXT_COLUMNS = 256
"""The n-grams that boosting is given. On sms_spam, 128 have an AUC of .989, 256 of .997; twice as many are no better."""

TEXT_ROWS = 20_000
"""Training rows at most, drawn at random, where boosting reads n-grams: 57,000 rows of loans took 17 s, not 3 s without n-grams."""

Arrays = Mapping[str, np.ndarray]

Note = Callable[[str, str], None]
"""Called with the name of a baseline that is left out, limited by its budget or fitted to a sample, and the reason."""

Texts = tuple[Any, Any]
"""Weighted n-grams of the training rows and of the test rows, (N, G) sparse; None of a table without texts."""

NO_TEXTS: Texts = (None, None)


class LeftOut(Exception):
    """Raised by a baseline that is not worth its time; the text is the reason."""


@dataclass(frozen=True)
class Budget:
    """How long boosting may take, and where to say what that means."""

    seconds: float = BUDGET
    note: Note = lambda _name, _text: None


@dataclass(frozen=True)
class _Case:
    """What a baseline is fitted to; see `fit_baselines`."""

    task: TargetTask
    train: Arrays
    test: Arrays
    outputs: int
    cardinalities: Sequence[int]
    seed: int
    texts: Texts
    budget: Budget

    def note_sample(self, name: str, rows: int) -> None:
        """Say that a baseline is fitted to so many of the training rows: with all of them it may be better."""
        self.budget.note(name, f"fitted to {rows:,} of {len(self.train['target']):,} training rows, drawn at random")


@dataclass(frozen=True)
class Fitted:
    """A baseline's predictions for the test rows, and the seconds it took to fit and predict."""

    prediction: np.ndarray
    seconds: float


def fit_baselines(
    names: Sequence[str],
    task: TaskName,
    train: Arrays,
    test: Arrays,
    *,
    outputs: int,
    cardinalities: Sequence[int],
    seed: int,
    texts: Texts = NO_TEXTS,
    objective: Objective = PLAIN,
    budget: Budget | None = None,
) -> dict[str, Fitted]:
    """Fit each on the training arrays (``numeric``, ``categorical``, ``target``) and predict the test rows.

    ``texts``: the weighted n-grams of both. ``outputs``: how many numbers a model gives for a row. Predictions are (N, classes)
    probabilities, or (N,) values in the target's own unit. ``objective``: what is minimised, by them as by the model; ``weight`` (N,) of
    the training arrays says how much each row counts, where that differs. A baseline that is left out, as the ``budget`` says, has none.
    """
    budget = budget or Budget()
    makers = {"trivial": _trivial, "linear": _linear, "boosting": _boosting}
    if (
        not train["numeric"].shape[1] and not cardinalities and texts[0] is None
    ):  # tokens alone, which none of them reads
        makers = dict.fromkeys(makers, _trivial)
    learner = target_task(task).minimising(objective)
    case, results = _Case(learner, train, test, outputs, cardinalities, seed, texts, budget), {}
    for name in names:
        start = time.perf_counter()
        try:
            prediction = makers[name](case)
        except LeftOut as reason:
            budget.note(name, f"left out: {reason}")
        else:
            results[name] = Fitted(prediction, time.perf_counter() - start)
    return results


def _trivial(case: _Case) -> np.ndarray:
    """As of one who knows the training rows' target alone."""
    return case.task.trivial(np.asarray(case.train["target"]), case.outputs, len(case.test["target"]))


def _linear(case: _Case) -> np.ndarray:
    """The model linear as it comes."""
    task, (of_train, of_test), model = case.task, case.texts, Linear()
    if len(case.train["target"]) > model.rows:
        case.note_sample("linear", model.rows)
    fit = model.fit(case.train, case.cardinalities, case.outputs, task=task, seed=case.seed, texts=of_train)
    return task.linear_predictions(fit.outputs(case.test, of_test))


def _boosting(case: _Case) -> np.ndarray:
    """scikit-learn's histogram gradient boosting with early stopping, otherwise as it comes."""
    spin_briefly()
    import sklearn.ensemble  # noqa: F401  # threads are limited in the libraries that are loaded
    from threadpoolctl import threadpool_limits

    task, train, texts, cardinalities = case.task, case.train, case.texts, case.cardinalities
    common = [_common_codes(np.asarray(train["categorical"])[:, i], n) for i, n in enumerate(cardinalities)]
    if texts[0] is not None and len(train["target"]) > TEXT_ROWS:
        case.note_sample("boosting", TEXT_ROWS)
        some = np.sort(np.random.default_rng(case.seed).choice(len(train["target"]), TEXT_ROWS, replace=False))
        train, texts = {name: np.asarray(values)[some] for name, values in train.items()}, (texts[0][some], texts[1])
    target = np.asarray(train["target"])
    x, z = (_with_codes(part, common) for part in (train, case.test))
    if texts[0] is not None:
        columns = task.telling(texts[0], target, TEXT_COLUMNS)
        x, z = (np.hstack([some[:, columns].toarray(), rest]) for some, rest in zip(texts, (x, z), strict=True))
    numbers = x.shape[1] - len(cardinalities)
    options = {
        "categorical_features": [False] * numbers + [True] * len(cardinalities),
        "early_stopping": True,
        "validation_fraction": ASIDE,
        "random_state": case.seed,
        "max_iter": ROUNDS,
    }
    # With every core in use and another process busy, a fit of one second took 26: others' cores are left to them.
    useful = min(len(allowed_cores()), len(x) // ROWS_A_THREAD)
    threads = max(1, min(useful, round(free_cores()))) if useful > 1 else 1
    with threadpool_limits(threads, user_api="openmp"):
        options["max_iter"] = _rounds(case, x, target, options, threads)
        return task.boosted(x, target, z, case.outputs, options, train.get("weight"))


def _rounds(case: _Case, x: np.ndarray, target: np.ndarray, options: Mapping[str, Any], threads: int) -> int:
    """As many rounds as the budget has time for, by the processor's time of the first ones. Raises LeftOut where these are too few."""
    outputs, budget = case.outputs, case.budget
    trees = outputs if outputs > 2 else 1
    if trees < FEW_TREES and x.size * trees < QUICK:
        return ROUNDS
    start = time.process_time()
    case.task.boosted(x, target, x[:1], outputs, {**options, "early_stopping": False, "max_iter": TRIAL})
    a_round = (time.process_time() - start) / threads / TRIAL
    rounds = min(ROUNDS, int(budget.seconds / max(a_round, 1e-9)))
    fact = f"a round of {trees:,} {'trees' if trees > 1 else 'tree'} takes {a_round:.2g} s"
    limit = f"in evaluate.boosting_seconds: {budget.seconds:g}"
    if rounds < FEWEST_ROUNDS:
        raise LeftOut(f"{fact}, so that there is no time for {FEWEST_ROUNDS} {limit}")
    if rounds < ROUNDS:
        budget.note("boosting", f"at most {rounds} rounds, not {ROUNDS}: {fact}, and there is no time for more {limit}")
    return rounds


def _common_codes(codes: np.ndarray, cardinality: int) -> np.ndarray:
    """New code of each code: the most frequent in training keep one of their own, the others share the last."""
    counts = np.bincount(codes, minlength=cardinality)
    if cardinality <= MOST_CODES:
        return np.arange(cardinality)
    order = np.argsort(-counts, kind="stable")
    new = np.full(cardinality, MOST_CODES)
    new[order[:MOST_CODES]] = np.arange(MOST_CODES)
    return new


def _with_codes(part: Arrays, common: Sequence[np.ndarray]) -> np.ndarray:
    codes = np.asarray(part["categorical"])
    columns = [np.asarray(part["numeric"], np.float64), *(new[codes[:, i]][:, None] for i, new in enumerate(common))]
    return np.concatenate(columns, axis=1)
