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
from headway.data.conditions import rows_at_stake, violations
from headway.data.distinct import EXAMPLES, Values
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.data.chunks import Chunk


@dataclass(frozen=True)
class Request:
    """A metric to compute. ``key``: the caller's own name for it."""

    key: str
    metric: str
    columns: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricValue:
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


def measure(table: Streamed, requests: Sequence[Request]) -> dict[str, MetricValue]:
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
        arrays = {name: _with_nulls(chunk.batch.column(name)) for name in columns}
        total += chunk.batch.num_rows
        for meter in meters:
            _update(meter, [arrays[name] for name in meter.request.columns], chunk.start)
        for name, distinct in values.items():
            distinct.update(arrays[name], chunk.start)
    present = list(getattr(table, "present", table.columns))
    return {m.request.key: m.result(Context(total, present, values)) for m in meters}


def _update(meter: Meter, arrays: Sequence[pa.Array], start: int) -> None:
    """Raises ConfigError where the column's type has no such metric, as text of a CSV file has no range."""
    try:
        meter.update(arrays, start)
    except pa.ArrowNotImplementedError:
        columns, families = ", ".join(meter.request.columns), " and ".join(family(a.type) for a in arrays)
        raise ConfigError(
            f"an expectation on {columns} must suit its type, but it holds {families}, which has no {meter.request.metric}; "
            "remove the expectation, or give the column its kind under data.features"
        ) from None


@dataclass(frozen=True)
class Context:
    """What a meter may use at the end: the number of rows, the files' columns, the distinct values of some columns."""

    rows: int
    present: list[str]
    values: Mapping[str, Values]


def _with_nulls(array: pa.Array) -> pa.Array:
    """NaN is a missing value."""
    if pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
        return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


_NEED_VALUES = (
    "column_values.unique",
    "column.distinct_values",
    "column.unique_proportion",
    "column.median",
    "column.quantile_values",
    "column.most_common_value",
)


class Meter:
    """Measures one request. This class needs no rows, only the Context at the end."""

    def __init__(self, request: Request) -> None:
        self.request = request

    def update(self, arrays: Sequence[pa.Array], start: int) -> None:
        """Add rows."""

    def result(self, context: Context) -> MetricValue:
        """The value over all rows."""
        metric, parameters = self.request.metric, self.request.parameters
        if metric == "table.row_count":
            return MetricValue(context.rows)
        if metric == "table.columns":
            return MetricValue(context.present)
        values = context.values[self.request.columns[0]]
        if metric.startswith("column_values.unique"):
            count, examples = values.duplicates()
            return MetricValue([v for _, v in examples] if metric.endswith("values") else count, examples)
        if metric == "column.most_common_value":
            return MetricValue(values.most_common())
        if metric == "column.median":
            return MetricValue(values.quantiles([0.5], "linear")[0])
        if metric == "column.quantile_values":
            return MetricValue(
                values.quantiles(parameters["quantiles"], parameters.get("allow_relative_error") or "nearest")
            )
        return _distinct(metric, values.table(), parameters)


def _distinct(metric: str, table: pa.Table, parameters: Mapping[str, Any]) -> MetricValue:
    if metric == "column.unique_proportion":
        rows = pc.sum(table["count"]).as_py() or 0
        return MetricValue(table.num_rows / rows if rows else 0)
    if metric == "column.distinct_values.count":
        return MetricValue(table.num_rows)
    values = table["value"].combine_chunks()
    allowed_values = pa.array(list(parameters.get("value_set") or ()), values.type)
    if ".not_in_set" in metric:
        outside = values.filter(pc.invert(pc.is_in(values, value_set=allowed_values)))
    else:
        assert ".missing_from_column" in metric
        outside = allowed_values.filter(pc.invert(pc.is_in(allowed_values, value_set=values)))
    if metric.endswith(".count"):
        return MetricValue(len(outside))
    return MetricValue(sorted(outside.slice(0, 20).to_pylist()))


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

    def result(self, context: Context) -> MetricValue:  # noqa: ARG002
        """The value over all rows; nothing where there is none."""
        name = self.request.metric.removeprefix("column.")
        spread = math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else None
        values = {"min": self.low, "max": self.high, "standard_deviation": spread}
        return MetricValue({**values, "sum": self.sum, "mean": self.mean if self.n else None}[name])


class Rows(Meter):
    """Counts the rows that break a condition and keeps the first of them."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.condition, self.aspect = request.metric.rsplit(".", 1)
        self.count = 0
        self.considered = 0
        self.examples: list[tuple[int, Any]] = []

    def update(self, arrays: Sequence[pa.Array], start: int) -> None:
        """Add rows."""
        if self.aspect == "filtered_row_count":
            self.considered += rows_at_stake(arrays, self.request.parameters)
            return
        mask = violations(self.condition, arrays, self.request.parameters)
        self.count += pc.sum(mask).as_py() or 0
        if len(self.examples) < EXAMPLES:
            rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[: EXAMPLES - len(self.examples)]
            for row in rows.tolist():
                value = tuple(array[row].as_py() for array in arrays)
                self.examples.append((start + row + 1, value[0] if len(value) == 1 else value))

    def result(self, context: Context) -> MetricValue:  # noqa: ARG002
        """The count, the rows considered, or some values, as the request says."""
        values = [value for _, value in self.examples]
        results = {"unexpected_count": self.count, "filtered_row_count": self.considered, "unexpected_values": values}
        return MetricValue(results[self.aspect], tuple(self.examples))


def _meter(request: Request) -> Meter:
    metric = request.metric
    if metric in ("column.min", "column.max", "column.mean", "column.sum", "column.standard_deviation"):
        return Moments(request)
    if metric.startswith(("column_values.", "column_pair_values.")) and not metric.startswith("column_values.unique"):
        return Rows(request)
    return Meter(request)
