"""Earlier values of a series' target: a forecast ``horizon`` steps ahead may use those up to its own time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headway.data.identity import row_hashes
from headway.data.series import SeriesConfig
from headway.data.split import Division
from headway.errors import ConfigError


def dates_of(division: Division) -> np.ndarray:
    """(N,) datetime64[us]: the moments of a table split by time. Raises ConfigError where they are no dates."""
    moments = division.moments.values
    if moments.dtype.kind != "M":
        raise ConfigError(f"split.column must hold dates for data.series, but {division.split.column} holds numbers")
    return moments


@dataclass(frozen=True)
class History:
    """The target of each row, NaN where it is not known: ``groups`` (N,) codes, ``moments`` (N,) datetime64[us], ``target`` (N,)."""

    groups: np.ndarray
    moments: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, division: Division, series: SeriesConfig) -> History:
        """That of a table split by time. Raises as `dates_of`."""
        table, moments = division.table, dates_of(division)
        batches = [chunk.batch.column(table.target) for chunk in table.chunks(columns=[table.target])]
        target = np.concatenate([column.to_numpy(zero_copy_only=False) for column in batches]).astype(np.float64)
        groups = np.zeros(len(target), np.int64)
        if series.groups:
            groups = np.unique(row_hashes(table, series.groups), return_inverse=True)[1].astype(np.int64)
        return cls(groups, moments, target)

    def at(self, moments: np.ndarray) -> np.ndarray:
        """(N,) the newest target that each row's group had at these moments; NaN before its first."""
        with_value = np.flatnonzero(np.isfinite(self.target))
        if not len(with_value):
            return np.full(len(moments), np.nan)
        instants = np.unique(self.moments[with_value])
        places = self.groups[with_value] * len(instants) + np.searchsorted(instants, self.moments[with_value])
        order = np.argsort(places, kind="stable")
        instant = np.searchsorted(instants, moments, side="right") - 1
        position = np.searchsorted(places[order], self.groups * len(instants) + instant, side="right") - 1
        rows = with_value[order][position.clip(0)]
        there = (instant >= 0) & (position >= 0) & (self.groups[rows] == self.groups)
        return np.where(there, self.target[rows], np.nan)
