"""Metrics by the values of a column: a model can be good on average and bad for some."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from headway.data.config import Task
from headway.evaluate.metrics import measure

MOST_VALUES = 12
MIN_ROWS = 30
RESAMPLES = 200


def groups(values: np.ndarray) -> dict[str, np.ndarray]:
    """(N,) bool for each group: quartiles of numbers, the most frequent of other values, the rest as `other`."""
    if values.dtype.kind == "f":
        known = values[~np.isnan(values)]
        if len(np.unique(known)) > MOST_VALUES:
            return _quartiles(values, known)
        values = np.where(np.isnan(values), "missing", np.char.mod("%g", values))
    names, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept = [str(names[i]) for i in order[:MOST_VALUES] if counts[i] >= MIN_ROWS]
    found = {name: values == name for name in kept}
    rest = ~np.any(list(found.values()), axis=0) if found else np.ones(len(values), bool)
    return {**found, "other": rest} if rest.any() else found


def _quartiles(values: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
    found = {}
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        rows = (values >= low) & ((values <= high) if last else (values < high))
        found[f"{low:.4g} to {high:.4g}"] = rows
    if len(known) < len(values):
        found["missing"] = np.isnan(values)
    return found


def measure_slices(
    task: Task, target: np.ndarray, prediction: np.ndarray, slice_values: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, dict[str, dict[str, Any]]]:
    """Column, then group, to its rows and metrics."""
    return {
        column: {
            name: {
                "rows": int(rows.sum()),
                "metrics": measure(task, target[rows], prediction[rows], RESAMPLES, seed),
            }
            for name, rows in groups(values).items()
        }
        for column, values in slice_values.items()
    }
