"""Rows to predict of time series: their past, from the newest rows of the training and from the rows beside them that hold the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns import Kind
from headway.columns.values import BadValues, plain
from headway.data.canonical import canonical
from headway.data.history import History
from headway.data.past import Earlier
from headway.data.prepare import Preparation
from headway.serve.reading import WHERE, arrow_column, read_column


@dataclass(frozen=True)
class Following:
    """A bundle's history, and how rows are read beside it."""

    preparation: Preparation
    earlier: Earlier

    @classmethod
    def of(cls, folder: Path, preparation: Preparation) -> Following | None:
        """That of a bundle; None where its rows are no series."""
        past = preparation.past
        return None if past is None else cls(preparation, Earlier.read(past, folder))

    def beside(self, batches: Iterable[pa.RecordBatch | pd.DataFrame]) -> Following:
        """With the rows of these, which may lack the target."""
        parts = [self._rows(batch) for batch in batches]
        if not parts:
            return self
        return replace(self, earlier=self.earlier.followed_by(History.joined(parts)))

    def extended(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows as they came with the columns of their past."""
        for name, column in self.earlier.columns(self._rows(batch)).items():
            batch = batch.append_column(name, column)
        return batch

    def beyond(self, rows: pa.RecordBatch | pd.DataFrame) -> np.ndarray:
        """(N,) bool: rows as they came that are further ahead than the horizon: see `Earlier.beyond`."""
        return self.earlier.beyond(self._rows(rows))

    def past_of(self, rows: pa.RecordBatch | pd.DataFrame) -> Mapping[str, pa.Array]:
        """The columns of the past of rows that are all there are beside the history; Arrow rows that have such columns keep them."""
        names = self.earlier.names
        if isinstance(rows, pa.RecordBatch) and set(names) <= set(rows.schema.names):
            return {name: rows.column(name) for name in names}
        observed = self._rows(rows)
        return self.earlier.followed_by(observed).columns(observed)

    def _rows(self, rows: pa.RecordBatch | pd.DataFrame) -> History:
        """The rows' moments, groups and what they know; a value that cannot be read counts as missing, and others refuse the row."""
        past, preparation = self.earlier.past, self.preparation
        have = set(rows.columns if isinstance(rows, pd.DataFrame) else rows.schema.names)
        kinds: dict[str, Kind] = {**past.kinds, **{n: k for n, k in preparation.observed.items() if n in have}}
        arrays = {}
        for name in (*kinds, *past.carried):
            column = arrow_column(rows[name], name) if isinstance(rows, pd.DataFrame) else rows.column(name)
            column = read_column(preparation, kinds.get(name, "categorical"), plain(column))
            arrays[name] = self._canonical(column, name, kinds[name]) if name in kinds else column
        return past.rows(pa.RecordBatch.from_pydict(arrays))

    def _canonical(self, column: pa.Array, name: str, kind: Kind) -> pa.Array:
        form, written = self.preparation.date_format, self.preparation.written
        one = pa.RecordBatch.from_pydict({name: column})
        try:
            return canonical(one, {name: kind}, WHERE, date_format=form, written=written).column(name)
        except BadValues as error:
            fine = pa.array(np.arange(len(column)), mask=error.bad)
            return self._canonical(column.take(fine), name, kind)
