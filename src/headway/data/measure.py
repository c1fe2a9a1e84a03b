"""Metrics about columns, all of them in one streaming pass: what rules on the data are judged by.

A metric has Great Expectations' name (`column.max`, `column_values.between.unexpected_count`) and meaning, on Arrow arrays. Those that
need every value (medians, quantiles, uniqueness) are exact: a column's distinct values and their counts are kept, not its rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.values import family
from headway.data.conditions import members_of, plain_number
from headway.data.distinct import Values
from headway.data.meters import AtStake, Columns, Condition, Ends, Meter, Moments
from headway.data.passes import run
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.data.chunks import Chunk, Streamed
    from headway.data.continuation import Continuation


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


class Metrics:
    """A pass over a table that measures what metrics are computed from. Requests that need the same are measured once."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self._meters: dict[tuple[Any, ...], Meter] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        for request in requests:
            meter = _meter(request)
            if meter is not None:
                self._meters.setdefault(_key(request), meter)
                self._names.setdefault(_key(request), request.metric)
            if request.metric.startswith("column_values.unique"):
                values = self._meters[_key(request)]
                assert isinstance(values, Values)
                values.with_rows = True
        self._first = dict.fromkeys(self._meters, 0)

    def go_on(self, continuation: Continuation) -> None:
        """Let each meter go on behind the first files, where what they came to is kept."""
        count, values = continuation.values("metrics")
        for key, meter in self._meters.items() if count else ():
            if (state := values.get(_name(key, meter))) is not None:
                meter.take(state)
                self._first[key] = count

    def keep(self, continuation: Continuation) -> None:
        """Keep what all files came to, which are read."""
        states: dict[str, object] = {}
        for key, meter in self._meters.items():
            with contextlib.suppress(
                pa.ArrowException, TypeError, OverflowError
            ):  # of values that are no single Arrow type
                if (state := meter.to_json()) is not None:
                    states[_name(key, meter)] = state
        continuation.keep(states, "metrics")

    def columns_of(self, file: int) -> Sequence[str]:
        """All that the requests name, of files that are not added yet."""
        names = (name for key, meter in self._meters.items() if file >= self._first[key] for name in meter.columns)
        return list(dict.fromkeys(names))

    def block(self, chunk: Chunk) -> dict[tuple[Any, ...], Any]:
        """What some rows come to, for each meter. Raises ConfigError where a column's type has no such metric."""
        columns = Columns(chunk)
        return {
            key: self._measured(key, meter, columns)
            for key, meter in self._meters.items()
            if chunk.file >= self._first[key]
        }

    def _measured(self, key: tuple[Any, ...], meter: Meter, columns: Columns) -> Any:
        """Raises ConfigError where the column's type has no such metric, as text of a CSV file has no range."""
        try:
            return meter.measure(columns)
        except pa.ArrowNotImplementedError:
            names, families = (
                ", ".join(meter.columns),
                " and ".join(family(columns[n].array.type) for n in meter.columns),
            )
            raise ConfigError(
                f"an expectation on {names} must suit its type, but it holds {families}, which has no {self._names[key]}; "
                "remove the expectation, or give the column its kind under data.features"
            ) from None

    def add(self, partial: dict[tuple[Any, ...], Any]) -> None:
        """Add rows."""
        for key, one in partial.items():
            self._meters[key].add(one)

    def lacking(self, requests: Sequence[Request]) -> list[Request]:
        """The requests that another pass must measure."""
        return [one for one in requests if _meter(one) is not None and not self._answers(one)]

    def has(self, request: Request) -> bool:
        """Whether a meter measures it."""
        return _key(request) in self._meters if _meter(request) is not None else False

    def _answers(self, request: Request) -> bool:
        meter = self._meters.get(_key(request))
        rows = request.metric.startswith("column_values.unique")
        return meter is not None and (not rows or (isinstance(meter, Values) and meter.with_rows))

    def value(self, request: Request, rows: int, present: Sequence[str]) -> MetricValue:
        """The value over all rows, of which there are ``rows``; ``present``: the columns of the files."""
        if request.metric == "table.row_count":
            return MetricValue(rows)
        if request.metric == "table.columns":
            return MetricValue(list(present))
        meter = self._meters[_key(request)]
        if isinstance(meter, Values):
            return _of_values(meter, request)
        if isinstance(meter, Condition):
            values = [value for _, value in meter.examples]
            return MetricValue(values if request.metric.endswith("_values") else meter.count, tuple(meter.examples))
        if isinstance(meter, AtStake):
            return MetricValue(meter.count)
        if isinstance(meter, Ends):
            return MetricValue(meter.low if request.metric == "column.min" else meter.high)
        assert isinstance(meter, Moments)
        name = request.metric.removeprefix("column.")
        return MetricValue({"standard_deviation": meter.deviation, "sum": meter.sum, "mean": meter.mean}[name])


def measure(table: Streamed, requests: Sequence[Request]) -> dict[str, MetricValue]:
    """Every request's value by its key, in one pass over the columns that they name."""
    metrics = Metrics(requests)
    rows = run(table, [metrics]) if metrics.columns_of(0) else table.count()
    present = present_in(table)
    return {request.key: metrics.value(request, rows, present) for request in requests}


def present_in(table: Streamed) -> list[str]:
    """The columns of the files, of which the table may give some."""
    return list(getattr(table, "present", table.columns))


_OF_VALUES = (
    "column_values.unique",
    "column.distinct_values",
    "column.unique_proportion",
    "column.median",
    "column.quantile_values",
    "column.most_common_value",
)

_OF_MOMENTS = ("column.mean", "column.sum", "column.standard_deviation")


def _name(key: tuple[Any, ...], meter: Meter) -> str:
    return repr((*key, isinstance(meter, Values) and meter.with_rows))


def _key(request: Request) -> tuple[Any, ...]:
    """Equal for requests that one meter answers."""
    metric = request.metric
    if metric.startswith(_OF_VALUES):
        return "values", *request.columns
    if metric in ("column.min", "column.max"):
        return "ends", *request.columns
    if metric in _OF_MOMENTS:
        return "moments", *request.columns
    condition, aspect = metric.rsplit(".", 1)
    stake = "at stake" if aspect == "filtered_row_count" else "condition"
    parameters = {k: v for k, v in request.parameters.items() if k != "result_format" and not (v is None or v is False)}
    return stake, condition, *request.columns, repr(sorted(parameters.items()))


def _meter(request: Request) -> Meter | None:
    """What measures it; nothing where a table's number of rows or its columns are enough."""
    metric = request.metric
    if metric.startswith("table."):
        return None
    if metric.startswith(_OF_VALUES):
        return Values(request.columns[0])
    if metric in ("column.min", "column.max"):
        return Ends(*request.columns)
    if metric in _OF_MOMENTS:
        return Moments(*request.columns)
    condition, aspect = metric.rsplit(".", 1)
    if aspect == "filtered_row_count":
        return AtStake(request.columns, request.parameters)
    return Condition(condition, request.columns, request.parameters)


def _of_values(values: Values, request: Request) -> MetricValue:
    metric, parameters = request.metric, request.parameters
    if metric.startswith("column_values.unique"):
        count, examples = values.duplicates()
        return MetricValue([v for _, v in examples] if metric.endswith("values") else count, examples)
    if metric == "column.most_common_value":
        return MetricValue(values.most_common())
    if metric == "column.median":
        return MetricValue(values.quantiles([0.5], "linear")[0])
    if metric == "column.quantile_values":
        method = parameters.get("allow_relative_error") or "nearest"
        return MetricValue(values.quantiles(parameters["quantiles"], method))
    return _distinct(metric, values.table(), parameters)


def _distinct(metric: str, table: pa.Table, parameters: Mapping[str, Any]) -> MetricValue:
    if metric == "column.unique_proportion":
        rows = pc.sum(table["count"]).as_py() or 0
        return MetricValue(table.num_rows / rows if rows else 0)
    if metric == "column.distinct_values.count":
        return MetricValue(table.num_rows)
    values = table["value"].combine_chunks()
    members, others = members_of(parameters.get("value_set") or (), values.type)
    if ".not_in_set" in metric:
        outside = values.filter(pc.invert(pc.is_in(values, value_set=members))).to_pylist()
    else:
        assert ".missing_from_column" in metric
        outside = [*members.filter(pc.invert(pc.is_in(members, value_set=values))).to_pylist(), *others]
    if metric.endswith(".count"):
        return MetricValue(len(outside))
    return MetricValue(sorted(map(plain_number, outside[:20])))
