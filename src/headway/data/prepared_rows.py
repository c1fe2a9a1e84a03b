"""Rows as the preparation gives them to a model, and which of their columns come from which column of the table.

Shapes: N rows, F numeric columns, C categorical columns, P all prepared columns: the numeric ones, the
categorical ones, then those of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headway.columns.ragged import Ragged
from headway.data.prepare import Preparation

DENSE = ("numeric", "categorical")


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """``arrays``: numeric (N, F) and categorical (N, C); ``ragged``: the tokens of each column that becomes them."""

    arrays: Mapping[str, np.ndarray]
    ragged: Mapping[str, Ragged]

    @classmethod
    def of(cls, preparation: Preparation, batch: pa.RecordBatch, strict: bool = False) -> PreparedRows:
        """Canonical columns, prepared. Raises BadValues as `Preparation.apply` does."""
        return cls(preparation.apply(batch, strict), preparation.ragged(batch))

    def take(self, rows: np.ndarray) -> PreparedRows:
        """The rows of these numbers, in their order and in memory."""
        arrays = {name: np.asarray(self.arrays[name][rows]) for name in DENSE}
        return PreparedRows(arrays, {name: one.take(rows) for name, one in self.ragged.items()})

    def with_others_values(self, places: Places, rows: np.ndarray) -> PreparedRows:
        """The same with all that one column of the table became taken from the rows of these numbers, (N,)."""
        arrays = {}
        for name, columns in (("numeric", places.numeric), ("categorical", places.categorical)):
            arrays[name] = self.arrays[name].copy()
            arrays[name][:, columns] = self.arrays[name][rows[:, None], columns]
        ragged = {name: one.take(rows) if name in places.ragged else one for name, one in self.ragged.items()}
        return PreparedRows(arrays, ragged)


@dataclass(frozen=True)
class Places:
    """What one column of the table became: numbers of columns of the two arrays, and names of ragged ones."""

    numeric: tuple[int, ...]
    categorical: tuple[int, ...]
    ragged: tuple[str, ...]


def places_of(preparation: Preparation) -> dict[str, Places]:
    """Of each column that the model sees, in the preparation's order."""

    numeric, categorical = (_by_column(one.column for one, _ in preparation.by_array[name]) for name in DENSE)
    ragged: dict[str, list[str]] = {}
    for name, one in preparation.by_ragged.items():
        ragged.setdefault(one.column, []).append(name)
    return {
        column: Places(
            tuple(numeric.get(column, ())), tuple(categorical.get(column, ())), tuple(ragged.get(column, ()))
        )
        for column in preparation.seen
    }


def _by_column(columns: Iterable[str]) -> dict[str, list[int]]:
    """The places at which each stands."""
    places: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column, []).append(place)
    return places
