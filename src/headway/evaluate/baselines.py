"""Cheap models beside which every model stands, each fitted by scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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

TEXT_COLUMNS = 256
"""The n-grams that boosting is given. On sms_spam, 128 have an AUC of .989, 256 of .997; twice as many are no better."""

Arrays = Mapping[str, np.ndarray]

Texts = tuple[Any, Any]
"""Weighted n-grams of the training rows and of the test rows, (N, G) sparse; None of a table without texts."""

NO_TEXTS: Texts = (None, None)


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
) -> dict[str, Fitted]:
    """Fit each on the training arrays (``numeric``, ``categorical``, ``target``) and predict the test rows.

    ``texts``: the weighted n-grams of both. ``outputs``: how many numbers a model gives for a row. Predictions are (N, classes)
    probabilities, or (N,) values in the target's own unit. ``objective``: what is minimised, by them as by the model.
    """
    makers = {"trivial": _trivial, "linear": _linear, "boosting": _boosting}
    if (
        not train["numeric"].shape[1] and not cardinalities and texts[0] is None
    ):  # tokens alone, which none of them reads
        makers = dict.fromkeys(makers, _trivial)
    results, learner = {}, target_task(task).minimising(objective)
    for name in names:
        start = time.perf_counter()
        prediction = makers[name](learner, train, test, outputs, cardinalities, seed, texts)
        results[name] = Fitted(prediction, time.perf_counter() - start)
    return results


def _trivial(
    task: TargetTask, train: Arrays, test: Arrays, outputs: int, cardinalities: Sequence[int], seed: int, texts: Texts
) -> np.ndarray:
    """As of one who knows the training rows' target alone."""
    del cardinalities, seed, texts
    return task.trivial(np.asarray(train["target"]), outputs, len(test["target"]))


def _linear(
    task: TargetTask, train: Arrays, test: Arrays, outputs: int, cardinalities: Sequence[int], seed: int, texts: Texts
) -> np.ndarray:
    """The model linear as it comes."""
    fit = Linear().fit(train, cardinalities, outputs, task=task, seed=seed, texts=texts[0])
    return task.linear_predictions(fit.outputs(test, texts[1]))


def _boosting(
    task: TargetTask, train: Arrays, test: Arrays, outputs: int, cardinalities: Sequence[int], seed: int, texts: Texts
) -> np.ndarray:
    """scikit-learn's histogram gradient boosting with early stopping, otherwise as it comes."""
    spin_briefly()
    import sklearn.ensemble  # noqa: F401  # threads are limited in the libraries that are loaded
    from threadpoolctl import threadpool_limits

    common = [_common_codes(np.asarray(train["categorical"])[:, i], n) for i, n in enumerate(cardinalities)]
    target = np.asarray(train["target"])
    x, z = (_with_codes(part, common) for part in (train, test))
    if texts[0] is not None:
        columns = task.telling(texts[0], target, TEXT_COLUMNS)
        x, z = (np.hstack([some[:, columns].toarray(), rest]) for some, rest in zip(texts, (x, z), strict=True))
    numbers = x.shape[1] - len(cardinalities)
    options = {
        "categorical_features": [False] * numbers + [True] * len(cardinalities),
        "early_stopping": True,
        "validation_fraction": ASIDE,
        "random_state": seed,
        "max_iter": 400,
    }
    # With every core in use and another process busy, a fit of one second took 26: others' cores are left to them.
    useful = min(len(allowed_cores()), len(x) // ROWS_A_THREAD)
    threads = max(1, min(useful, round(free_cores()))) if useful > 1 else 1
    with threadpool_limits(threads, user_api="openmp"):
        return task.boosted(x, target, z, outputs, options)


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
