"""Metrics about columns, all of them in one streaming pass: what rules on the data are judged by.

A metric has Great Expectations' name (`column.max`, `column_values.between.unexpected_count`) and meaning, on Arrow arrays. Those that
need every value (medians, quantiles, uniqueness) are exact: a column's distinct values and their counts are kept, not its rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.values import family
from headway.data.conditions import broken, judged
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.data.source import Chunk

EXAMPLES = 5
MERGE_ROWS = 1_000_000


@dataclass(frozen=True)
class Request:
    """One metric wanted. ``key`` is the asker's own name for it."""

    key: str
    metric: str
    columns: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """A metric's value; for counts of rows that break a rule, the first of them: (row number from 1, value)."""

    value: Any
    examples: tuple[tuple[int, Any], ...] = ()


class Streamed(Protocol):
    """Rows that can be passed over in order, such as source.Table. ``present``, where it has it: the files' own columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that chunks gives."""
        ...

    def count(self) -> int:
        """Number of rows."""
        ...

    def chunks(self, columns: Sequence[str] | None = None, rows: int = ...) -> Iterator[Chunk]:
        """The rows in order."""
        ...


def measure(table: Streamed, requests: Sequence[Request]) -> dict[str, Measured]:
    """Every request's value by its key, in one pass over the columns that they name."""
    meters = [_meter(request) for request in requests]
    columns = list(dict.fromkeys(c for request in requests for c in request.columns))
    values: dict[str, Values] = {}
    for request in requests:
        if request.metric.startswith(_NEED_VALUES):
            rows = request.metric.startswith("column_values.unique")
            before = values.get(request.columns[0])
            values[request.columns[0]] = Values(rows or (before is not None and before.with_rows))
    total = table.count() if not columns else 0
    for chunk in table.chunks(columns=columns) if columns else ():
        arrays = {name: _known(chunk.batch.column(name)) for name in columns}
        total += chunk.batch.num_rows
        for meter in meters:
            _update(meter, [arrays[name] for name in meter.request.columns], chunk.start)
        for name, kept in values.items():
            kept.update(arrays[name], chunk.start)
    present = list(getattr(table, "present", table.columns))
    return {m.request.key: m.result(Context(total, present, values)) for m in meters}


def _update(meter: Meter, arrays: Sequence[pa.Array], start: int) -> None:
    """Raises ConfigError where the column's type has no such metric, as text of a CSV file has no range."""
    try:
        meter.update(arrays, start)
    except pa.ArrowNotImplementedError:
        columns, held = ", ".join(meter.request.columns), " and ".join(family(a.type) for a in arrays)
        raise ConfigError(
            f"an expectation on {columns} must suit its type, but it holds {held} and is asked for {meter.request.metric}; "
            "remove the expectation, or give the column its kind under data.features"
        ) from None


@dataclass(frozen=True)
class Context:
    """What a meter may use at the end: the rows' number, the files' columns, the distinct values of some columns."""

    rows: int
    present: list[str]
    values: Mapping[str, Values]


def _known(array: pa.Array) -> pa.Array:
    """NaN is a missing value."""
    if pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
        return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


class Values:
    """A column's distinct values, how often each occurs, and optionally the last row where it does."""

    def __init__(self, with_rows: bool) -> None:
        self.with_rows = with_rows
        self._parts: list[pa.Table] = []
        self._pending = 0
        self._merged = 0

    def update(self, array: pa.Array, start: int) -> None:
        """Add rows."""
        names = {"value": array, "count": pa.array(np.ones(len(array), np.int64))}
        if self.with_rows:
            names["row"] = pa.array(np.arange(start + 1, start + len(array) + 1))
        part = self._merge(pa.table(names).filter(pc.is_valid(array)))
        self._parts.append(part)
        self._pending += part.num_rows
        if self._pending > max(MERGE_ROWS, self._merged):
            self.table()

    def _merge(self, table: pa.Table) -> pa.Table:
        wanted = [("count", "sum"), ("row", "max")] if self.with_rows else [("count", "sum")]
        merged = table.group_by("value").aggregate(wanted)
        order = ["value", "count_sum", "row_max"][: len(wanted) + 1]
        return merged.select(order).rename_columns(["value", "count", "row"][: len(order)])

    def table(self) -> pa.Table:
        """Columns value, count and perhaps row, in no order."""
        if len(self._parts) > 1:
            self._parts = [self._merge(pa.concat_tables(self._parts))]
        self._merged, self._pending = self._parts[0].num_rows, 0
        return self._parts[0]

    def duplicates(self) -> tuple[int, tuple[tuple[int, Any], ...]]:
        """Rows whose value occurs more than once, and some of them."""
        repeated = self.table().filter(pc.greater(self.table()["count"], 1))
        shown = repeated.sort_by("row").slice(0, EXAMPLES)
        pairs = zip(shown["row"].to_pylist(), shown["value"].to_pylist(), strict=True)
        return int(pc.sum(repeated["count"]).as_py() or 0), tuple(pairs)

    def quantiles(self, shares: Sequence[float], method: str) -> list[Any]:
        """Exact quantiles, by the method's name as in numpy (nearest, linear, lower, higher, midpoint); NaN without rows."""
        ordered = self.table().sort_by("value")
        n = int(pc.sum(ordered["count"]).as_py() or 0)
        if n == 0:
            return [math.nan for _ in shares]
        ends = np.cumsum(ordered["count"].to_numpy())

        def at(position: int) -> Any:
            return ordered["value"][int(np.searchsorted(ends, position, side="right"))].as_py()

        return [_between(at, share * (n - 1), method) for share in shares]

    def most_common(self) -> list[Any]:
        """Every value that occurs most often, sorted."""
        table = self.table()
        if not table.num_rows:
            return []
        return sorted(table.filter(pc.equal(table["count"], pc.max(table["count"])))["value"].to_pylist())


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


_NEED_VALUES = (
    "column_values.unique",
    "column.distinct_values",
    "column.unique_proportion",
    "column.median",
    "column.quantile_values",
    "column.most_common_value",
)


class Meter:
    """Measures one request. This one needs no rows of its own, only what is known at the end."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def update(self, arrays: Sequence[pa.Array], start: int) -> None:
        """Add rows."""

    def result(self, context: Context) -> Measured:
        """The value over all rows."""
        metric, parameters = self.request.metric, self.request.parameters
        if metric == "table.row_count":
            return Measured(context.rows)
        if metric == "table.columns":
            return Measured(context.present)
        values = context.values[self.request.columns[0]]
        if metric.startswith("column_values.unique"):
            count, examples = values.duplicates()
            return Measured([v for _, v in examples] if metric.endswith("values") else count, examples)
        if metric == "column.most_common_value":
            return Measured(values.most_common())
        if metric == "column.median":
            return Measured(values.quantiles([0.5], "linear")[0])
        if metric == "column.quantile_values":
            return Measured(
                values.quantiles(parameters["quantiles"], parameters.get("allow_relative_error") or "nearest")
            )
        return _distinct(metric, values.table(), parameters)


def _distinct(metric: str, table: pa.Table, parameters: Mapping[str, Any]) -> Measured:
    if metric == "column.unique_proportion":
        rows = pc.sum(table["count"]).as_py() or 0
        return Measured(table.num_rows / rows if rows else 0)
    if metric == "column.distinct_values.count":
        return Measured(table.num_rows)
    found = table["value"].combine_chunks()
    wanted = pa.array(list(parameters.get("value_set") or ()), found.type)
    if ".not_in_set" in metric:
        outside = found.filter(pc.invert(pc.is_in(found, value_set=wanted)))
    else:
        assert ".missing_from_column" in metric
        outside = wanted.filter(pc.invert(pc.is_in(wanted, value_set=found)))
    if metric.endswith(".count"):
        return Measured(len(outside))
    return Measured(sorted(outside.slice(0, 20).to_pylist()))


class Moments(Meter):
    """Least, greatest, sum, mean, standard deviation (sample's, by Chan, Golub, LeVeque 1979)."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.n, self.mean, self.squares, self.sum = 0, 0.0, 0.0, 0.0
        self.low: Any = None
        self.high: Any = None

    def update(self, arrays: Sequence[pa.Array], start: int) -> None:  # noqa: ARG002
        """Add rows."""
        array = arrays[0].drop_null()
        if not len(array):
            return
        ends = pc.min_max(array)
        low, high = ends["min"].as_py(), ends["max"].as_py()
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)
        if self.request.metric in ("column.min", "column.max"):
            return
        values = array.to_numpy(zero_copy_only=False).astype(np.float64)
        n, mean, whole = len(values), float(values.mean()), self.n + len(values)
        self.squares += float(((values - mean) ** 2).sum()) + (mean - self.mean) ** 2 * self.n * n / whole
        self.mean += (mean - self.mean) * n / whole
        self.sum += float(values.sum())
        self.n = whole

    def result(self, context: Context) -> Measured:  # noqa: ARG002
        """The value over all rows; nothing where there is none."""
        name = self.request.metric.removeprefix("column.")
        spread = math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else None
        found = {"min": self.low, "max": self.high, "standard_deviation": spread}
        return Measured({**found, "sum": self.sum, "mean": self.mean if self.n else None}[name])


class Rows(Meter):
    """Counts the rows that break a condition and keeps the first of them."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.condition, self.wanted = request.metric.rsplit(".", 1)
        self.count = 0
        self.judged = 0
        self.examples: list[tuple[int, Any]] = []

    def update(self, arrays: Sequence[pa.Array], start: int) -> None:
        """Add rows."""
        if self.wanted == "filtered_row_count":
            self.judged += judged(arrays, self.request.parameters)
            return
        mask = broken(self.condition, arrays, self.request.parameters)
        self.count += pc.sum(mask).as_py() or 0
        if len(self.examples) < EXAMPLES:
            rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[: EXAMPLES - len(self.examples)]
            for row in rows.tolist():
                shown = tuple(array[row].as_py() for array in arrays)
                self.examples.append((start + row + 1, shown[0] if len(shown) == 1 else shown))

    def result(self, context: Context) -> Measured:  # noqa: ARG002
        """The count, the rows considered, or some values, as the request says."""
        values = [value for _, value in self.examples]
        found = {"unexpected_count": self.count, "filtered_row_count": self.judged, "unexpected_values": values}
        return Measured(found[self.wanted], tuple(self.examples))


def _meter(request: Request) -> Meter:
    metric = request.metric
    if metric in ("column.min", "column.max", "column.mean", "column.sum", "column.standard_deviation"):
        return Moments(request)
    if metric.startswith(("column_values.", "column_pair_values.")) and not metric.startswith("column_values.unique"):
        return Rows(request)
    return Meter(request)
