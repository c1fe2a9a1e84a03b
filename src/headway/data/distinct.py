"""A column's distinct values and how often each occurs, from which medians, quantiles and uniqueness follow exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.data.cache import as_text, of_text
from headway.data.conditions import hashable, plain_number
from headway.data.meters import EXAMPLES, Columns, Meter

MERGE_ROWS = 1_000_000
KEPT_VALUES = 200_000
"""Of more distinct values, none is kept for later: all rows are read again."""


class Values(Meter):
    """A column's distinct values, how often each occurs, and optionally the last row where it does."""

    def __init__(self, column: str, with_rows: bool = False) -> None:
        super().__init__(column)
        self.with_rows = with_rows
        self._parts: list[pa.Table] = []
        self._pending = 0
        self._merged_rows = 0

    def measure(self, columns: Columns) -> pa.Table:
        """The distinct values of some rows, as in `table`."""
        array = columns[self.columns[0]].coded
        if pa.types.is_dictionary(array.type):
            return self._of_codes(array, columns.start + 1)
        array = hashable(array)
        names = {"value": array, "count": pa.array(np.ones(len(array), np.int64))}
        if self.with_rows:
            names["row"] = pa.array(np.arange(columns.start + 1, columns.start + len(array) + 1))
        return self._merge(pa.table(names).filter(pc.is_valid(array)))

    def _of_codes(self, array: pa.DictionaryArray, first: int) -> pa.Table:
        """As `_merge` of the texts, every one of which occurs; ``first``: the number of the first row."""
        rows = np.flatnonzero(array.is_valid())
        codes = array.indices.drop_null().to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(array.dictionary))
        names = {"value": array.dictionary, "count": pa.array(counts, pa.int64())}
        if self.with_rows:
            last = np.zeros(len(counts), np.int64)
            last[codes] = rows + first  # of equal codes, NumPy keeps the last
            names["row"] = pa.array(last)
        return pa.table(names)

    def add(self, partial: pa.Table) -> None:
        """Add rows."""
        self._parts.append(partial)
        self._pending += partial.num_rows
        if self._pending > max(MERGE_ROWS, self._merged_rows):
            self.table()

    def to_json(self) -> dict[str, object] | None:
        table = self.table()
        return {"values": as_text(table)} if table.num_rows <= KEPT_VALUES else None

    def take(self, values: Mapping[str, Any]) -> None:
        self.add(of_text(values["values"]))

    def _merge(self, table: pa.Table) -> pa.Table:
        sums = [("count", "sum"), ("row", "max")] if self.with_rows else [("count", "sum")]
        groups = table.group_by("value", use_threads=False).aggregate(sums)
        order = ["value", "count_sum", "row_max"][: len(sums) + 1]
        return groups.select(order).rename_columns(["value", "count", "row"][: len(order)])

    def table(self) -> pa.Table:
        """Columns value, count and perhaps row, in no order."""
        if len(self._parts) > 1:
            self._parts = [self._merge(pa.concat_tables(self._parts))]
        self._merged_rows, self._pending = self._parts[0].num_rows, 0
        return self._parts[0]

    def duplicates(self) -> tuple[int, tuple[tuple[int, Any], ...]]:
        """Rows whose value occurs more than once, and some of them."""
        copies = self.table().filter(pc.greater(self.table()["count"], 1))
        first = copies.sort_by("row").slice(0, EXAMPLES)
        pairs = zip(first["row"].to_pylist(), first["value"].to_pylist(), strict=True)
        return int(pc.sum(copies["count"]).as_py() or 0), tuple(pairs)

    def quantiles(self, shares: Sequence[float], method: str) -> list[Any]:
        """Exact quantiles, by the method's name as in numpy (nearest, linear, lower, higher, midpoint); NaN without rows."""
        table = self.table().sort_by("value")
        n = int(pc.sum(table["count"]).as_py() or 0)
        if n == 0:
            return [math.nan for _ in shares]
        ends = np.cumsum(table["count"].to_numpy())

        def at(position: int) -> Any:
            return plain_number(table["value"][int(np.searchsorted(ends, position, side="right"))].as_py())

        return [_between(at, share * (n - 1), method) for share in shares]

    def most_common(self) -> list[Any]:
        """Every value that occurs most often, sorted."""
        table = self.table()
        if not table.num_rows:
            return []
        most = table.filter(pc.equal(table["count"], pc.max(table["count"])))["value"]
        return sorted(map(plain_number, most.to_pylist()))


def _between(at: Any, position: float, method: str) -> Any:
    """The value at a position that may lie between two rows."""
    low, high = math.floor(position), math.ceil(position)
    if low == high or method == "lower":
        return at(low)
    if method == "higher":
        return at(high)
    if method == "nearest":
        return at(round(position))
    share = 0.5 if method == "midpoint" else position - low
    return at(low) + (at(high) - at(low)) * share
