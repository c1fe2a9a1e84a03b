"""Cheap models beside which every model stands, each fitted by scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headway.data.config import Task
from headway.evaluate.config import Baseline
from headway.machine.cores import allowed_cores, free_cores, spin_briefly
from headway.models.linear import Linear

MOST_CODES = 254
"""Category codes that scikit-learn's boosting takes; rarer ones share one."""

ASIDE = 0.1
"""The share of rows that scikit-learn's early stopping sets aside."""

ROWS_A_THREAD = 20_000
"""Fewer rows gain nothing from another thread."""

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Fitted:
    """A baseline's predictions for the test rows, and the seconds it took to fit and predict."""

    prediction: np.ndarray
    seconds: float


def fit_baselines(
    names: Sequence[Baseline],
    task: Task,
    train: Arrays,
    test: Arrays,
    *,
    classes: int,
    cardinalities: Sequence[int],
    seed: int,
) -> dict[str, Fitted]:
    """Fit each on the training arrays (``numeric``, ``categorical``, ``target``) and predict the test rows.

    Predictions are (N, classes) probabilities, or (N,) values in the target's own unit.
    """
    makers = {"trivial": _trivial, "linear": _linear, "boosting": _boosting}
    fitted = {}
    for name in names:
        begun = time.perf_counter()
        prediction = makers[name](task, train, test, classes, cardinalities, seed)
        fitted[str(name)] = Fitted(prediction, time.perf_counter() - begun)
    return fitted


def _trivial(
    task: Task, train: Arrays, test: Arrays, classes: int, cardinalities: Sequence[int], seed: int
) -> np.ndarray:
    """Always the training rows' class shares, or their mean."""
    del cardinalities, seed
    rows = len(test["target"])
    if task == "regression":
        return np.full(rows, float(np.mean(train["target"])))
    shares = np.bincount(train["target"], minlength=classes) / len(train["target"])
    return np.tile(shares.astype(np.float32), (rows, 1))


def _linear(
    task: Task, train: Arrays, test: Arrays, classes: int, cardinalities: Sequence[int], seed: int
) -> np.ndarray:
    """The model linear as it comes."""
    from scipy.special import softmax

    regression = task == "regression"
    fit = Linear().fit(train, cardinalities, 1 if regression else classes, regression=regression, seed=seed)
    outputs = fit.outputs(test)
    return outputs[:, 0] if regression else softmax(outputs, 1).astype(np.float32)


def _boosting(
    task: Task, train: Arrays, test: Arrays, classes: int, cardinalities: Sequence[int], seed: int
) -> np.ndarray:
    """scikit-learn's histogram gradient boosting with early stopping, otherwise as it comes."""
    spin_briefly()
    import sklearn.ensemble  # noqa: F401  # threads are limited in the libraries that are loaded
    from threadpoolctl import threadpool_limits

    common = [_common_codes(np.asarray(train["categorical"])[:, i], n) for i, n in enumerate(cardinalities)]
    x, z = (_with_codes(part, common) for part in (train, test))
    numbers = x.shape[1] - len(cardinalities)
    options: dict[str, Any] = {
        "categorical_features": [False] * numbers + [True] * len(cardinalities),
        "early_stopping": True,
        "validation_fraction": ASIDE,
        "random_state": seed,
        "max_iter": 400,
    }
    target = np.asarray(train["target"])
    # With every core in use and another process busy, a fit of one second took 26: others' cores are left to them.
    useful = min(len(allowed_cores()), len(x) // ROWS_A_THREAD)
    threads = max(1, min(useful, round(free_cores()))) if useful > 1 else 1
    with threadpool_limits(threads, user_api="openmp"):
        return _boosted(task, x, target, z, classes, options)


def _boosted(
    task: Task, x: np.ndarray, target: np.ndarray, z: np.ndarray, classes: int, options: Mapping[str, Any]
) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if task == "regression":
        return np.asarray(HistGradientBoostingRegressor(**options).fit(x, target).predict(z), np.float64)
    # Early stopping sets rows of every class aside, so a class with a single row has to be left out.
    kept = np.bincount(target, minlength=classes)[target] > 1
    present = len(np.unique(target[kept]))
    if present < 2:
        return np.tile((np.bincount(target, minlength=classes) / len(target)).astype(np.float32), (len(z), 1))
    if kept.sum() * ASIDE <= present - 1:  # too few rows to set one of every class aside
        options = {**options, "early_stopping": False, "max_iter": 100}
    model = HistGradientBoostingClassifier(**options).fit(x[kept], target[kept])
    out = np.zeros((len(z), classes), np.float32)
    out[:, model.classes_] = model.predict_proba(z)
    return out


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
