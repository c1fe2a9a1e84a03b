"""Rules on the data, judged by Great Expectations from metrics that headway measures in one streaming pass.

Great Expectations names the metrics that an expectation depends on, and decides from their values; its own engines, which would load
the table, never run. It is not imported when a project states no expectations.
"""

from __future__ import annotations

import datetime
import functools
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from headway.columns.spelling import spell_value
from headway.data.chunks import Streamed
from headway.data.config import Expectation
from headway.data.measure import Metrics, MetricValue, Request, present_in
from headway.data.passes import run
from headway.data.rules import Rule, sentence
from headway.errors import ConfigError
from headway.files.records import Record
from headway.quality.statement import columns_of, rule_of


@dataclass(frozen=True)
class Result(Record):
    """One expectation's verdict. ``examples``: (row number from 1, value) of the first rows that break it."""

    name: str
    column: str | None
    passed: bool
    severity: str
    observed: Any
    unexpected_count: int | None
    unexpected_percent: float | None
    examples: tuple[tuple[int, Any], ...]
    sentence: str

    def to_json(self) -> dict[str, object]:
        """With text for what JSON does not know."""
        return _plain(super().to_json())


@dataclass(frozen=True)
class Verdict(Record):
    """All verdicts on one table."""

    results: tuple[Result, ...]

    @property
    def passed(self) -> bool:
        """Whether no expectation failed that is to stop the run."""
        return not any(r.severity == "stop" for r in self.failures)

    @property
    def failures(self) -> tuple[Result, ...]:
        """Failed expectations, whatever their severity."""
        return tuple(r for r in self.results if not r.passed)

    def to_json(self) -> dict[str, object]:
        """Whether all passed, too."""
        return {"passed": self.passed, **super().to_json()}


def check(expectations: Sequence[Expectation], columns: Sequence[str]) -> None:
    """Raises ConfigError for an unknown expectation, argument or column, before any row is read."""
    for number, expectation in enumerate(expectations):
        rule_of(expectation, number, columns)


def judge(expectations: Sequence[Expectation], table: Streamed, name: str = "the data") -> Verdict:
    """Great Expectations' verdict on each expectation; ``name``: the name of the rows in sentences.

    Raises ConfigError for an expectation that is unknown, wrongly stated, or does not suit its column.
    """
    if not expectations:
        return Verdict(())
    judgement = Judgement(expectations, table)
    rows = run(table, [judgement.metrics]) if judgement.metrics.columns_of(0) else table.count()
    return judgement.verdict(rows, name)


class Judgement:
    """Expectations of a table that are judged after a pass over it, for which Great Expectations need not be there yet.

    ``metrics``: the pass that measures what it will ask for. Raises ConfigError as judge does.
    """

    def __init__(self, expectations: Sequence[Expectation], table: Streamed) -> None:
        self._table, self._present = table, present_in(table)
        rules = [rule_of(expectation, number, self._present) for number, expectation in enumerate(expectations)]
        types = _types(table, [c for r, e in zip(rules, expectations, strict=True) if r.about for c in columns_of(e)])
        self._judges = [_Judge(r, e, n, types) for n, (r, e) in enumerate(zip(rules, expectations, strict=True))]
        self.metrics = Metrics([request for judge in self._judges for request in judge.forecast()])
        self._importing: threading.Thread | None = None

    def prepare(self) -> None:
        """Begin to import Great Expectations, which takes 4 s, beside other work."""
        if self._judges:
            self._importing = threading.Thread(target=_engine, name="headway-import", daemon=True)
            self._importing.start()

    def verdict(self, rows: int, name: str) -> Verdict:
        """The verdicts, where ``metrics`` has passed over all ``rows``. What it did not foresee is measured in a second pass."""
        if self._importing is not None:
            self._importing.join()
        requests = {request.key: request for judge in self._judges for request in judge.requests()}
        further = Metrics(self.metrics.lacking(list(requests.values())))
        if further.columns_of(0):
            run(self._table, [further])
        values = {
            key: (further if further.has(one) else self.metrics).value(one, rows, self._present)
            for key, one in requests.items()
        }
        return Verdict(tuple(judge.verdict(values, name) for judge in self._judges))


def _types(table: Streamed, columns: Sequence[str]) -> dict[str, pa.DataType]:
    """The columns' canonical types, from the first rows."""
    if not columns:
        return {}
    names = list(dict.fromkeys(columns))
    schema = next(iter(table.chunks(columns=names, rows=1024))).batch.schema
    return {name: schema.field(name).type for name in names}


AGGREGATES = {
    "column_min_to_be_between": "column.min",
    "column_max_to_be_between": "column.max",
    "column_mean_to_be_between": "column.mean",
    "column_median_to_be_between": "column.median",
    "column_stdev_to_be_between": "column.standard_deviation",
    "column_sum_to_be_between": "column.sum",
    "column_unique_value_count_to_be_between": "column.distinct_values.count",
    "column_proportion_of_unique_values_to_be_between": "column.unique_proportion",
    "column_distinct_values_to_be_in_set": "column.distinct_values.not_in_set",
    "column_distinct_values_to_contain_set": "column.distinct_values.missing_from_column",
    "column_distinct_values_to_equal_set": "column.distinct_values.not_in_set",
    "column_most_common_value_to_be_in_set": "column.most_common_value",
    "column_quantile_values_to_be_between": "column.quantile_values",
}
"""What Great Expectations asks for of a column as a whole."""


@functools.cache
def _engine() -> Any:
    """Great Expectations' pandas engine: it only names the metrics that it would use, and never gets a row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations among its own dependencies
        import great_expectations.expectations  # noqa: F401
        from great_expectations.execution_engine import PandasExecutionEngine

        return PandasExecutionEngine()


class _Judge:
    """One expectation: its metrics from Great Expectations, their values from headway, its verdict from Great Expectations."""

    def __init__(self, rule: Rule, expectation: Expectation, number: int, types: Mapping[str, pa.DataType]) -> None:
        self.rule, self.stated = rule, expectation
        self.where = f"validation.expectations[{number}]"
        self.arguments = self._arguments(types)

    def forecast(self) -> list[Request]:
        """The metrics that Great Expectations will need of the columns: an error here costs a second pass, and changes no verdict."""
        columns = tuple(columns_of(self.stated))
        if not self.rule.about:
            return []
        if self._name in AGGREGATES:
            return [Request("", AGGREGATES[self._name], columns)]
        parameters = {
            name: value for name, value in self.arguments.items() if name not in ("mostly", "column_A", "column_B")
        }
        if len(columns) == 2:
            parameters.setdefault("ignore_row_if", "both_values_are_missing")
        bounds = [value for name, value in parameters.items() if name.endswith("_value") and value is not None]
        if "value_length" in self.rule.counts and not all(isinstance(value, (int, float)) for value in bounds):
            return []
        count = Request("", f"{self.rule.counts}unexpected_count", columns, parameters)
        if len(columns) == 1:
            return [count, Request("", "column_values.nonnull.unexpected_count", columns)]
        return [count, Request("", f"{self.rule.counts}filtered_row_count", columns, parameters)]

    @functools.cached_property
    def expectation(self) -> Any:
        """Great Expectations' own. Raises ConfigError for arguments that it refuses."""
        return self._build()

    @functools.cached_property
    def dependencies(self) -> Any:
        """The metrics that it depends on."""
        return self._quietly(
            lambda: self.expectation.get_validation_dependencies(
                execution_engine=_engine(), runtime_configuration={"result_format": "BASIC"}
            )
        )

    def _arguments(self, types: Mapping[str, pa.DataType]) -> dict[str, object]:
        """The arguments with values in their column's type: 1 is "1" for a categorical column."""
        arguments = dict(self.stated.model_extra or {})
        if not self.rule.about:
            return arguments
        names = columns_of(self.stated)
        families = [_family(types[name]) for name in names]
        for name, kind in zip(names, families, strict=True):
            if kind not in self.rule.about:
                suitable = " or ".join(self.rule.about)
                raise ConfigError(f"{self.where}: {name} must be {suitable} for {self._name}, but is {kind}")
        if len(set(families)) > 1:
            raise ConfigError(f"{self.where}: both columns must be of one kind, but they are {' and '.join(families)}")
        for argument in self.rule.in_column_type:
            if argument in arguments:
                arguments[argument] = self._convert(argument, arguments[argument], types[names[0]])
        return arguments

    def _convert(self, argument: str, value: Any, kind: pa.DataType) -> Any:
        if argument == "value_set":
            if not isinstance(value, (list, tuple)):
                raise ConfigError(f"{self.where}.value_set must be a list, but is {value!r}")
            return [self._convert("value_set[...]", v, kind) for v in value]
        if value is None:
            return None
        try:
            return _as(value, kind)
        except (ValueError, TypeError, pa.ArrowException):
            family = _family(kind)
            raise ConfigError(f"{self.where}.{argument} must be {family}, but is {value!r}") from None

    @property
    def _name(self) -> str:
        return self.stated.expect.removeprefix("expect_")

    def _quietly(self, act: Callable[[], Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return act()

    def _build(self) -> Any:
        _engine()
        import great_expectations.expectations as known

        cls = getattr(known, "Expect" + "".join(w.capitalize() for w in self._name.split("_")))
        column = {"column": self.stated.column} if self.stated.column is not None else {}
        try:
            return self._quietly(lambda: cls(**column, **self.arguments))
        except (ValueError, TypeError) as error:  # its pydantic's errors are ValueErrors
            raise ConfigError(f"{self.where}: {self._name}: {_first(error)}") from None

    def requests(self) -> list[Request]:
        """The metrics that Great Expectations needs."""
        result = []
        for name, configuration in self.dependencies.metric_configurations.items():
            domain = configuration.metric_domain_kwargs
            columns = tuple(domain[k] for k in ("column", "column_A", "column_B") if k in domain)
            parameters = {"ignore_row_if": domain["ignore_row_if"]} if "ignore_row_if" in domain else {}
            result.append(
                Request(str(configuration.id), name, columns, {**parameters, **configuration.metric_value_kwargs})
            )
        return result

    def verdict(self, metrics: Mapping[str, MetricValue], name: str) -> Result:
        """Great Expectations decides; the numbers and the sentence are ours."""
        mine = {request.metric: metrics[request.key] for request in self.requests()}
        values = {c.id: metrics[str(c.id)].value for c in self.dependencies.metric_configurations.values()}
        answer = self._quietly(
            lambda: self.expectation.metrics_validate(
                values, runtime_configuration={"result_format": "BASIC"}, execution_engine=_engine()
            )
        )
        passed = bool(answer.success)
        bad = next(
            (m for n, m in mine.items() if n.startswith(self.rule.counts) and n.endswith(".unexpected_count")), None
        )
        rows = int(answer.result.get("element_count") or 0)
        count = int(bad.value) if bad else None
        percent = 100.0 * count / rows if count is not None and rows else (0.0 if count is not None else None)
        observed = count if bad else _value_of(mine)
        examples = bad.examples if bad and count else ()
        text = sentence(self._name, self.stated.column, self.arguments, passed, observed, count, rows, examples)
        return Result(
            self._name, self.stated.column, passed, self.stated.severity, observed, count, percent, examples,
            f"{name}: {text}",
        )  # fmt: skip


def _value_of(mine: Mapping[str, MetricValue]) -> Any:
    """The value that an aggregate expectation judges: the one value, or the values that break it."""
    lists = [m.value for n, m in mine.items() if n.startswith("column.distinct_values.") and not n.endswith("count")]
    if lists:
        return [value for part in lists for value in part]
    return next(iter(mine.values())).value


def _family(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_temporal(kind):
        return "a date"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "a number"
    return str(kind)


def _as(value: Any, kind: pa.DataType) -> Any:
    if _family(kind) == "text":
        return spell_value(value)
    if _family(kind) == "a date":
        moment = datetime.datetime.fromisoformat(str(value))
        return moment.replace(tzinfo=None)
    if isinstance(value, (bool, str)):
        raise ValueError(value)
    return pa.scalar(value).cast(kind).as_py()


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:3])[:200] if len(lines) > 1 else str(error)[:200]


def _plain(value: Any) -> Any:
    """JSON values: numbers that JSON does not know, and dates, as text."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
