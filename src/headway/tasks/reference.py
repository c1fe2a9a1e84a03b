"""A forecast as a change since a value that is known: what trees and networks cannot do where a series leaves its training range.

Hyndman and Athanasopoulos 2021, "Forecasting: Principles and Practice", section 9.1 (differences).

Shapes: N rows, F numeric columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headway.files.records import Record


@dataclass(frozen=True)
class Reference(Record):
    """The earlier value since which the change is learnt: a prepared numeric column, number ``place``, (value - center) / spread.

    ``marker``: the number of the column that is 1 where the value is not known; None where it is known in all training rows.
    ``share``: how much of the model's change is forecast; 0 is the earlier value itself.
    """

    column: str
    place: int
    center: float
    spread: float
    marker: int | None = None
    share: float = 1.0

    def values(self, numeric: np.ndarray) -> np.ndarray:
        """(N,) float64 of prepared rows (N, F), in the target's unit."""
        return np.asarray(numeric[:, self.place], np.float64) * self.spread + self.center

    def changes(self, target: np.ndarray, numeric: np.ndarray) -> np.ndarray:
        """(N,) of targets; 0 where the earlier value is not known: since what fills it nothing has changed."""
        changes = np.asarray(target, np.float64) - self.values(numeric)
        return changes if self.marker is None else np.where(np.asarray(numeric[:, self.marker]) > 0, 0.0, changes)

    def levels(self, changes: np.ndarray, numeric: np.ndarray) -> np.ndarray:
        """(N,) forecasts from a model's changes."""
        return self.values(numeric) + self.share * np.asarray(changes, np.float64)

    def shrunk(self, changes: np.ndarray, target: np.ndarray, numeric: np.ndarray) -> Reference:
        """With the share from 0 to 1 that has the least squared error for rows that the model has not learnt from, in closed form."""
        squares = float(np.sum(np.square(changes)))
        share = float(np.sum(changes * (target - self.values(numeric)))) / squares if squares else 0.0
        return replace(self, share=min(1.0, max(0.0, share)))
