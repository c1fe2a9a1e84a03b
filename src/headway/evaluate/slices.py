"""Metrics by the values of a column: a model can be good on average and bad for some."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from headway.evaluate.metrics import measure
from headway.evaluate.resample import Units
from headway.evaluate.result import SliceResult
from headway.evaluate.undefined import reasons
from headway.tasks import TaskName

MOST_VALUES = 12
MIN_ROWS = 30
OTHER = "other"

SliceValues: TypeAlias = "np.ndarray | pd.Categorical[Any]"
"""(N,) the values of a column; texts as categories, since ten million texts take gigabytes."""


def groups(values: SliceValues) -> dict[str, np.ndarray]:
    """(N,) bool for each group: quartiles of numbers, the most frequent of other values, the rest as `other`.

    Each row is in exactly one group; what is not a finite number is `missing`.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        numbers = values.astype(np.float64)
        finite = np.isfinite(numbers)
        different = np.unique(numbers[finite])
        if len(different) > MOST_VALUES:
            return _quartiles(numbers, finite)
        codes = np.full(len(numbers), len(different), np.int8)
        codes[finite] = np.searchsorted(different, numbers[finite])
        return _texts(pd.Categorical.from_codes(codes, pd.Index([*_distinct(different), "missing"])))
    return _texts(values)


def _texts(values: SliceValues) -> dict[str, np.ndarray]:
    """The most frequent ones, and the rest."""
    names, codes = _coded(values)
    counts = np.bincount(codes, minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    frequent_codes = [i for i in order[:MOST_VALUES] if counts[i] >= MIN_ROWS]
    masks = {str(names[i]): codes == i for i in frequent_codes}
    rest = ~np.isin(codes, frequent_codes)
    if rest.any():  # a column may have a value of that name
        masks[OTHER] = masks.pop(OTHER, False) | rest
    return masks


def _coded(values: SliceValues) -> tuple[np.ndarray, np.ndarray]:
    """The different texts, sorted, and each row's (N,) by its number among them."""
    if isinstance(values, np.ndarray):
        return np.unique(values.astype(str), return_inverse=True)
    names, new = np.unique(np.asarray(values.categories, str), return_inverse=True)
    return names, new[values.codes]


def _quartiles(numbers: np.ndarray, finite: np.ndarray) -> dict[str, np.ndarray]:
    edges = np.unique(np.quantile(numbers[finite], [0, 0.25, 0.5, 0.75, 1]))
    codes = np.searchsorted(edges[1:-1], numbers, side="right")
    names = [f"{low} to {high}" for low, high in itertools.pairwise(_distinct(edges))]
    masks = {name: finite & (codes == i) for i, name in enumerate(names)}
    return masks if finite.all() else {**masks, "missing": ~finite}


def _distinct(numbers: np.ndarray) -> list[str]:
    """Different numbers as different texts, as short as that allows."""
    texts: list[str] = []
    for digits in range(4, 18):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(texts):
            break
    return texts


def measure_slices(
    task: TaskName,
    target: np.ndarray,
    prediction: np.ndarray,
    slice_values: Mapping[str, SliceValues],
    resamples: int,
    units: Units,
    classes: Sequence[str] = (),
    seed: int = 0,
    further: Sequence[str] = (),
) -> dict[str, dict[str, SliceResult]]:
    """The model on each group of each column's values."""

    def measured(rows: np.ndarray) -> SliceResult:
        own, predicted, inside = target[rows], prediction[rows], units.take(rows)
        metrics = measure(task, own, predicted, resamples, seed, inside, further)
        why = reasons(classes, own, predicted, metrics)
        return SliceResult(int(rows.sum()), inside.count, metrics, why)

    return {
        column: {name: measured(rows) for name, rows in groups(values).items()}
        for column, values in slice_values.items()
    }
