"""A pass that keeps a sample of a table's rows, always the same ones, for the search for leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns.mixing import spread
from headway.data.alone import SAMPLE
from headway.data.identity import GOLDEN

if TYPE_CHECKING:
    from headway.data.chunks import Chunk
    from headway.data.continuation import Continuation

PLACE, NUMBER = "\0place", "\0number"

KEPT_BYTES = 1 << 25
"""Larger samples, of many columns, are taken anew: to keep one for each file would fill the disk."""


class Sample:
    """A pass that keeps some rows of a table, always the same ones: those whose numbers, mixed, are the least.

    ``eligible`` (N,) bool: only these rows are chosen among, all where it is None. Tables of many columns have fewer rows kept.
    """

    def __init__(self, columns: Sequence[str], rows: int = SAMPLE, eligible: np.ndarray | None = None) -> None:
        self.columns, self.rows, self.eligible = list(columns), rows, eligible
        self._limit = np.uint64(2**64 - 1)
        self._parts: list[pa.Table] = []
        self._count, self.is_whole = 0, True
        self._first = 0

    def go_on(self, continuation: Continuation) -> None:
        """Go on behind the first files, where what they came to is kept."""
        name = "sample", self.columns, self.rows
        count, _ = continuation.values(*name)
        table = continuation.table(count, *name) if count else None
        if table is not None:
            self._parts, self._count, self._first = [table], len(table), count
            # the limit is kept with the rows, so that of two processes that keep them neither takes the other's
            metadata = table.schema.metadata
            self._limit, self.is_whole = np.uint64(int(metadata[b"limit"])), metadata[b"is_whole"] == b"1"

    def keep(self, continuation: Continuation) -> None:
        """Keep what all files came to, which are read."""
        table = pa.concat_tables(self._parts)
        if table.nbytes <= KEPT_BYTES:
            limit = {"limit": str(int(self._limit)), "is_whole": str(int(self.is_whole))}
            continuation.keep({}, "sample", self.columns, self.rows, table=table.replace_schema_metadata(limit))

    def columns_of(self, file: int) -> Sequence[str]:
        """Those of the sample, of files that are not added yet."""
        return self.columns if file >= self._first else ()

    def block(self, chunk: Chunk) -> pa.Table:
        """The rows that may be in the sample."""
        numbers = np.arange(chunk.start, chunk.start + chunk.rows, dtype=np.uint64)
        places = spread((numbers + np.uint64(1)) * GOLDEN)
        is_candidate = places <= self._limit
        if self.eligible is not None:
            is_candidate &= self.eligible[chunk.start : chunk.start + len(numbers)]
        rows = np.flatnonzero(is_candidate)
        table = pa.Table.from_batches([chunk.some(self.columns, rows)])
        return table.append_column(PLACE, pa.array(places[rows])).append_column(NUMBER, pa.array(numbers[rows]))

    def add(self, partial: pa.Table) -> None:
        """Add rows; where there are twice too many, the surplus goes."""
        self._parts.append(partial)
        self._count += len(partial)
        if self._count > 2 * self.rows:
            self._parts = [self._least(pa.concat_tables(self._parts), self.rows)]
            self._count = self.rows
            self._limit = self._parts[0][PLACE].to_numpy().max()
            self.is_whole = False

    @staticmethod
    def _least(table: pa.Table, rows: int) -> pa.Table:
        """Some rows, in their order."""
        if len(table) <= rows:
            return table
        return table.take(np.sort(np.argpartition(table[PLACE].to_numpy(), rows - 1)[:rows]))

    def frame(self, rows: int, among: np.ndarray | None = None) -> pd.DataFrame | None:
        """At most ``rows`` of the rows ``among`` (N,) bool; None where too few of them are kept."""
        table = pa.concat_tables(self._parts)
        if not self.is_whole:  # blocks that were begun before the limit was lowered have more, others do not
            table = table.filter(pa.array(table[PLACE].to_numpy() <= self._limit))
        if among is not None:
            table = table.filter(pa.array(among[table[NUMBER].to_numpy()]))
            if len(table) < rows and not self.is_whole and len(table) < np.count_nonzero(among):
                return None
        return self._least(table, rows).select(self.columns).to_pandas()


def sample_rows(columns: int) -> int:
    """How many rows a sample has: fewer of more than 200 columns, so that it fits into memory."""
    return max(10_000, min(SAMPLE, 20_000_000 // columns))
