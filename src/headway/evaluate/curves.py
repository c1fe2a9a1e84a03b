"""The ROC and the precision-recall curve of all rows, thinned to what can be seen.

They come from the counts that the AUC and the average precision of many rows come from: a sample may hold no row of a rare event.

Shapes: N rows, T points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headway.tasks.metric import Groups
from headway.tasks.ranking import Ranking

COLUMNS = 1000
"""Of a curve that is thinned: more than a picture has pixels."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Of one model: false and true positive rate, recall and precision; (T, 2) each, the first column rising."""

    roc: np.ndarray
    precision_recall: np.ndarray


def curves_of(target: np.ndarray, score: np.ndarray) -> Curves:
    """``target`` (N,) codes of two classes that both occur, ``score`` (N,) of class 1."""
    counts = Ranking(target == 1, score).whole(Groups(np.zeros(len(target), np.int64), 1))
    above, rows = counts.above[0], counts.everything[0]
    positives, others = above[-1], rows[-1] - above[-1]
    recall = above / positives
    some = rows > 0
    precision = np.append(1.0, above[some] / rows[some])  # of no row 1, as scikit-learn has it
    return Curves(
        _thinned(np.append(0.0, (rows - above) / others), np.append(0.0, recall)),
        _thinned(np.append(0.0, recall[some]), precision),
    )


def _thinned(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(T, 2): the first, last, lowest and highest point of each column of ``x`` (rising, 0 to 1), of which a line looks the same.

    Jugel et al. 2014, "M4: A Visualization-Oriented Time Series Data Aggregation".
    """
    if len(x) > 4 * COLUMNS:
        starts = np.unique(np.searchsorted(x, np.arange(COLUMNS) / COLUMNS))
        starts = starts[starts < len(x)]
        places = [
            (start, end - 1, start + y[start:end].argmin(), start + y[start:end].argmax())
            for start, end in zip(starts, np.append(starts[1:], len(x)), strict=True)
        ]
        rows = np.unique(places)
        x, y = x[rows], y[rows]
    return np.stack([x, y], 1)
