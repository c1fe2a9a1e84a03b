"""How often each text of a stream occurs: exact for millions of different ones, which are kept in Arrow's memory, not as Python's."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.codes import written_out

MOST = 8_000_000
"""Different texts kept; of more, the rarer half goes, and the counts of those that come again are too low by what went."""

MOST_BYTES = 1 << 29

WAITING = 1 << 18
"""Counts of blocks that are added up at once, or as many as are kept already."""


def counts_of(column: pa.Array) -> pa.Table:
    """Of the texts of a block, or codes of them, without its nulls: ``value`` and ``count``."""
    pairs = column.drop_null().value_counts()
    return pa.table({"value": written_out(pairs.field(0)), "count": pairs.field(1)})


class Counts:
    """Sums the counts of blocks."""

    def __init__(self) -> None:
        self._whole = counts_of(pa.array([], pa.string()))
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, counts: pa.Table) -> None:
        """Add the counts of a block, or of other rows."""
        self._waiting.append(counts)
        self._rows += counts.num_rows
        if self._rows > max(WAITING, self._whole.num_rows // 2):
            self._sum()

    def whole(self) -> pa.Table:
        """``value`` and ``count``, each value once, in no order."""
        self._sum()
        return self._whole

    def most_common(self, least: int, most: int) -> list[str]:
        """At most ``most`` texts that occur at least ``least`` times: the most frequent first, then by their characters."""
        counts = self.whole()
        counts = counts.filter(pc.greater_equal(counts["count"], least))
        return list(_ordered(counts).slice(0, most)["value"].to_pylist())

    def _sum(self) -> None:
        if not self._waiting:
            return
        groups = pa.concat_tables([self._whole, *self._waiting]).group_by("value", use_threads=False)
        self._waiting, self._rows = [], 0
        self._whole = groups.aggregate([("count", "sum")]).rename_columns({"count_sum": "count"})
        while self._whole.num_rows > MOST or (self._whole.nbytes > MOST_BYTES and self._whole.num_rows > 1):
            self._whole = _ordered(self._whole).slice(0, self._whole.num_rows // 2)


def _ordered(counts: pa.Table) -> pa.Table:
    order = pc.sort_indices(counts, sort_keys=[("count", "descending"), ("value", "ascending")])
    return counts.take(order)
