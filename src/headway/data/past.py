"""What a model of time series reads of the past of a row: earlier targets, statistics of windows of them, and what else is known late.

Each becomes a numeric column of its own, such as `sales 7 days before`, in training and when rows are scored alike. Nothing of it is
newer than ``horizon`` steps before the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.columns import Kind
from headway.data.config import DataConfig, SplitConfig
from headway.data.history import STATISTICS, History, Line
from headway.data.identity import hash_batch
from headway.data.series import SeriesConfig

if TYPE_CHECKING:
    from headway.data.source import Table

FILE = "history.parquet"
"""The newest rows of a training, in its store and its bundle: rows that follow have their past in them."""


@dataclass(frozen=True)
class Past:
    """``late``: features that are known with the ``target``, not before. ``kinds``: of the moment, and of groups that are features."""

    series: SeriesConfig
    moment: str
    target: str
    kinds: Mapping[str, Kind]
    late: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: DataConfig, split: SplitConfig) -> Past | None:
        """None where the rows are no series."""
        series = data.series
        if series is None:
            return None
        sources = (str(split.column), *series.groups)
        kinds = {name: data.features[name] for name in sources if name in data.features}
        return cls(series, str(split.column), str(data.target), kinds, data.late)

    @cached_property
    def lags(self) -> dict[str, tuple[str, int]]:
        """The names of single earlier values, each with its column and the steps before."""
        steps, horizon = self.series.usual_lags, self.series.horizon
        pairs = [*((self.target, lag) for lag in steps), *((name, horizon) for name in self.late)]
        return {f"{column} {self.series.span(lag)} before": (column, lag) for column, lag in pairs}

    @cached_property
    def windows(self) -> dict[str, tuple[int, str]]:
        """The names of statistics of the newest known targets, each with how many these are and the statistic."""
        return {
            f"{self.target} {statistic} of {size} until {self.series.span(self.series.horizon)} before": (
                size,
                statistic,
            )
            for size in self.series.usual_windows
            for statistic in STATISTICS
        }

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns that are made of the past."""
        return (*self.lags, *self.windows)

    @property
    def observed(self) -> tuple[str, ...]:
        """The columns of which earlier values are read; rows to predict need not have them."""
        return (self.target, *self.late)

    @property
    def carried(self) -> tuple[str, ...]:
        """The groups that are no features."""
        return tuple(name for name in self.series.groups if name not in self.kinds)

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns that say which past a row has."""
        return (self.moment, *self.series.groups)

    def over(self, table: Table) -> Earlier:
        """All rows of ``table`` as the past of one another."""
        columns = list(dict.fromkeys((*self.sources, *self.observed)))
        return Earlier.of(self, (chunk.batch for chunk in table.chunks(columns=columns)))

    def rows(self, batch: pa.RecordBatch) -> History:
        """Canonical rows as a history; a column that they lack is not known."""
        count, have = batch.num_rows, set(batch.schema.names)
        groups = hash_batch(batch, self.series.groups) if self.series.groups else np.zeros(count, np.uint64)
        moments = batch.column(self.moment).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
        values = {
            name: batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
            if name in have
            else np.full(count, np.nan)
            for name in self.observed
        }
        return History(groups, moments.astype("datetime64[us]"), values)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        names = {"moment": self.moment, "target": self.target, "kinds": dict(self.kinds), "late": list(self.late)}
        return {"series": self.series.model_dump(mode="json"), **names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Past:
        """What to_json gave."""
        series = SeriesConfig.model_validate(values["series"])
        return cls(series, values["moment"], values["target"], values["kinds"], tuple(values["late"]))


@dataclass(frozen=True)
class Earlier:
    """A past and the history that it is read from: what extends rows by it."""

    past: Past
    history: History

    @classmethod
    def of(cls, past: Past, batches: Iterable[pa.RecordBatch]) -> Earlier:
        """From canonical rows, all that there are."""
        return cls(past, History.joined([past.rows(batch) for batch in batches]))

    @classmethod
    def read(cls, past: Past, folder: Path) -> Earlier:
        """From the newest rows that a training kept."""
        table = pq.read_table(folder / FILE)
        group, moment, *values = (column.to_numpy() for column in table.columns)
        return cls(past, History(group, moment.astype("datetime64[us]"), dict(zip(past.observed, values, strict=True))))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it makes."""
        return self.past.names

    @property
    def late(self) -> tuple[str, ...]:
        """The features of which earlier values alone are given."""
        return self.past.late

    def needs(self, names: Sequence[str]) -> list[str]:
        """The columns of the files that these columns are made from, the first of them in their order."""
        own = [name for name in names if name not in self.names]
        return own if len(own) == len(names) else list(dict.fromkeys([*own, *self.past.sources]))

    def followed_by(self, later: History) -> Earlier:
        """With further rows, for those of their series."""
        return Earlier(self.past, self.history.followed_by(later))

    def extended(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Canonical rows with the columns of their past; unknown values are null."""
        for name, column in self.columns(self.past.rows(batch)).items():
            batch = batch.append_column(name, column)
        return batch

    def columns(self, rows: History) -> dict[str, pa.Array]:
        """The columns of the past of some rows, of which only groups and moments count; unknown values are null."""
        columns = self._values(rows.groups, rows.moments)
        return {name: pa.array(values, from_pandas=True) for name, values in columns.items()}

    def _values(self, groups: np.ndarray, moments: np.ndarray) -> dict[str, np.ndarray]:
        """(N,) each, NaN where it is not known."""
        series, lines = self.past.series, self.history.lines
        columns = {}
        for name, (column, lag) in self.past.lags.items():
            since = series.earlier(moments, lag + series.patience)
            columns[name] = lines[column].at(groups, series.earlier(moments, lag), since)
        line, horizon = lines[self.past.target], series.horizon
        since = series.earlier(moments, horizon + series.patience)
        ends = line.newest(groups, series.earlier(moments, horizon), since)
        for size in series.usual_windows:
            statistics = line.windows(ends, size)
            columns |= {name: statistics[one] for name, (of, one) in self.past.windows.items() if of == size}
        return columns

    def beyond(self, rows: History) -> np.ndarray:
        """(N,) bool: rows further ahead of their series' newest known target than the horizon, for which it is carried on.

        Where the series have gaps, such as weekends, steps are counted in rows, if the time is not longer by more than the patience.
        """
        series, line = self.past.series, self.history.lines[self.past.target]
        index = line.newest(rows.groups, series.earlier(rows.moments, 1))
        if not len(line.values):
            return np.zeros(len(index), bool)
        newest = line.moments[index.clip(0)]
        beyond = (index >= 0) & (newest < series.earlier(rows.moments, series.horizon))
        if beyond.any() and self._has_gaps:
            passed = self._rows_of.newest(rows.groups, rows.moments) - self._rows_of.newest(rows.groups, newest)
            long = newest < series.earlier(rows.moments, series.horizon + series.patience)
            beyond &= (passed > series.horizon) | long
        return beyond

    @cached_property
    def _rows_of(self) -> Line:
        """Every row of each series once, whatever is known of it."""
        rows = self.history.once
        return Line.of(rows.groups, rows.moments, np.zeros(len(rows.moments)))

    @cached_property
    def _has_gaps(self) -> bool:
        """Whether some row follows another of its series after more than a step."""
        rows = self._rows_of
        same = np.diff(rows.places // max(1, len(rows.instants))) == 0
        return bool((rows.moments[:-1] < self.past.series.earlier(rows.moments[1:], 1))[same].any())

    def newest(self) -> History:
        """The rows that later ones of their series can have in their past."""
        series, history = self.past.series, self.history
        groups, codes = np.unique(history.groups, return_inverse=True)
        ends = np.full(len(groups), np.datetime64(-(2**62), "us"))
        np.maximum.at(ends, codes, history.moments)
        reach = max([lag for _, lag in self.past.lags.values()], default=series.horizon)
        is_near = history.moments >= series.earlier(ends, reach + series.patience)[codes]
        line = history.lines[self.past.target]
        last = line.newest(groups, series.earlier(ends, series.horizon))
        if len(line.values):
            first = np.maximum(last - max(series.usual_windows, default=0), line.first(last))
            is_near |= history.moments >= np.where(last < 0, ends.min(), line.moments[first])[codes]
        return history.take(is_near)

    def write(self, folder: Path) -> None:
        """Keep the newest rows, for `read`."""
        history = self.newest()
        arrays = [history.groups, history.moments, *history.values.values()]
        names = ["group", "moment", *(f"value_{i}" for i in range(len(history.values)))]
        pq.write_table(pa.table([pa.array(array) for array in arrays], names=names), folder / FILE, compression="zstd")
