"""How well one column alone predicts the target, without training anything: the sign of a leak."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from headway.columns import Kind, column_type
from headway.tasks import TaskName, task_of

SAMPLE = 100_000
FOLDS = 5
BINS = 200
FEWEST = 10
"""A class with fewer rows is not judged: of half as many rows, an honest column often orders all correctly."""


def power_alone(feature: pd.Series, kind: Kind, target: pd.Series, task: TaskName) -> tuple[float, str]:
    """Between 0 and 1, and the measure's name: AUC for classes (of many, the two largest, each against the rest), R² for numbers.

    Values are scored out of fold, so that a column with a value of its own in every row does not look good.
    """
    rows = target.notna().to_numpy()
    feature, target = feature[rows], target[rows]
    line = column_type(kind).line(feature)
    groups = pd.factorize(feature, use_na_sentinel=False)[0] if line is None else _binned(line)
    if not task_of(task).has_classes:
        return _r2(groups, target.to_numpy(np.float64)), "R²"
    counts = target.value_counts()
    best = 0.5
    for value in counts.index[: 2 if len(counts) > 2 else 1]:
        event = (target == value).to_numpy()
        if min(event.sum(), (~event).sum()) < FEWEST:
            continue
        score = _out_of_fold(groups, event.astype(np.float64))
        best = max(best, auc(score, event))
        if line is not None and np.isfinite(line).all():
            plain = auc(line, event)
            best = max(best, plain, 1 - plain)
    return best, "AUC"


def _binned(numbers: np.ndarray) -> np.ndarray:
    """Codes of bins of neighbouring values, by rank. Missing values are a bin of their own."""
    present = ~np.isnan(numbers)
    codes = np.zeros(len(numbers), np.int64)
    if present.any():
        cuts = np.unique(np.quantile(numbers[present], np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
        codes[present] = 1 + np.searchsorted(cuts, numbers[present], side="right")
    return codes


def _out_of_fold(groups: np.ndarray, target: np.ndarray, prior: float = 1.0) -> np.ndarray:
    """Each row's group mean of the target over the other folds, drawn towards the overall mean as by ``prior`` rows."""
    fold = np.random.default_rng(0).integers(0, FOLDS, len(groups))
    n, overall = groups.max() + 1, target.mean()
    counts = np.bincount(groups, minlength=n)
    sums = np.bincount(groups, target, minlength=n)
    score = np.empty(len(groups))
    for number in range(FOLDS):
        inside = fold == number
        rest = counts - np.bincount(groups[inside], minlength=n)
        total = sums - np.bincount(groups[inside], target[inside], minlength=n)
        score[inside] = ((total + prior * overall) / (rest + prior))[groups[inside]]
    return score


def auc(score: np.ndarray, event: np.ndarray) -> float:
    """Area under the ROC curve by mid-ranks (Mann and Whitney 1947)."""
    ranks = pd.Series(score).rank().to_numpy()
    positives = int(event.sum())
    negatives = len(event) - positives
    return float((ranks[event].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _r2(groups: np.ndarray, target: np.ndarray) -> float:
    spread = float(((target - target.mean()) ** 2).sum())
    if spread == 0 or len(target) < FOLDS:
        return 0.0
    residual = float(((target - _out_of_fold(groups, target, 1e-9)) ** 2).sum())
    return max(0.0, 1 - residual / spread)


def exact_sum(numbers: Mapping[str, pd.Series], target: pd.Series) -> tuple[str, ...]:
    """Two or three columns that add up to the target in every row; empty where there are none.

    A few rows rule out nearly every combination, so the work is the columns' pairs or triples on those rows only.
    """
    frame = pd.DataFrame({**numbers, "\0target": target}).dropna()
    if len(frame) < 10:
        return ()
    values, sums = frame.drop(columns="\0target").to_numpy(np.float64), frame["\0target"].to_numpy(np.float64)
    varied = [i for i in range(values.shape[1]) if np.ptp(values[:, i]) > 0]
    rows = np.linspace(0, len(frame) - 1, min(50, len(frame))).astype(int)
    few, aim = values[rows], sums[rows]
    scale = max(1.0, float(np.abs(sums).max())) * 1e-9
    names = list(numbers)
    for size in (2, 3) if len(varied) <= 60 else (2,):
        for indices in itertools.combinations(varied, size):
            columns = list(indices)
            if (
                np.abs(few[:, columns].sum(axis=1) - aim).max() <= scale
                and np.abs(values[:, columns].sum(axis=1) - sums).max() <= scale
            ):
                return tuple(names[i] for i in indices)
    return ()
