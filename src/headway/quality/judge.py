"""Rules on the data, judged by Great Expectations from metrics that headway measures in one streaming pass.

Great Expectations names the metrics that an expectation depends on, and decides from their values; its own engines, which would load
the table, never run. It is not imported when a project states no expectations.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from headway.data.chunks import Streamed
from headway.data.conditions import measurable
from headway.data.config import Expectation
from headway.data.measure import Metrics, MetricValue, Request, present_in
from headway.data.passes import run
from headway.data.rules import Rule, sentence
from headway.files.records import Record
from headway.quality.ruling import Ruling, Rulings, engine, varying_arguments
from headway.quality.statement import columns_of, rule_of
from headway.quality.typed import arguments_of


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
        rulings = Rulings()
        self._judges = [
            _Judge(r, e, n, types, rulings) for n, (r, e) in enumerate(zip(rules, expectations, strict=True))
        ]
        self.metrics = Metrics([request for judge in self._judges for request in judge.forecast()])
        self._importing: threading.Thread | None = None

    def prepare(self) -> None:
        """Begin to import Great Expectations, which takes 4 s, beside other work."""
        if self._judges:
            self._importing = threading.Thread(target=engine, name="headway-import", daemon=True)
            self._importing.start()

    def verdict(self, rows: int, name: str) -> Verdict:
        """The verdicts, where ``metrics`` has passed over all ``rows``. What it did not foresee is measured in a second pass."""
        if self._importing is not None:
            self._importing.join()
        requests = {request.key: request for judge in self._judges for request in judge.requests}
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
    return {name: measurable(pa.nulls(0, schema.field(name).type)).type for name in names}


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


class _Judge:
    """One expectation: its metrics from Great Expectations, their values from headway, its verdict from Great Expectations."""

    def __init__(
        self, rule: Rule, expectation: Expectation, number: int, types: Mapping[str, pa.DataType], rulings: Rulings
    ) -> None:
        self.rule, self.stated, self._rulings = rule, expectation, rulings
        self.where = f"validation.expectations[{number}]"
        self.arguments = arguments_of(expectation, rule, self.where, types)

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

    @property
    def _name(self) -> str:
        return self.stated.expect.removeprefix("expect_")

    @cached_property
    def ruling(self) -> Ruling:
        """Great Expectations' own. Raises ConfigError for arguments that it refuses."""
        return self._rulings.of(self._name, self.rule, self.stated.column, self.arguments, self.where)

    @cached_property
    def requests(self) -> list[Request]:
        """The metrics that Great Expectations needs."""
        return self.ruling.requests(self.stated.column, varying_arguments(self._name, self.arguments))

    def verdict(self, metrics: Mapping[str, MetricValue], name: str) -> Result:
        """Great Expectations decides; the numbers and the sentence are ours."""
        mine = {request.metric: metrics[request.key] for request in self.requests}
        answer = self.ruling.answer([metrics[request.key].value for request in self.requests])
        bad = next(
            (m for n, m in mine.items() if n.startswith(self.rule.counts) and n.endswith(".unexpected_count")), None
        )
        count = int(bad.value) if bad else None
        observed = count if bad else _value_of(mine)
        examples = bad.examples if bad and count else ()
        column, passed = self.stated.column, answer.passed
        text = sentence(self._name, column, self.arguments, passed, observed, count, answer.rows, examples)
        return Result(
            self._name,
            column,
            passed,
            self.stated.severity,
            observed,
            count,
            answer.percent,
            examples,
            f"{name}: {text}",
        )


def _value_of(mine: Mapping[str, MetricValue]) -> Any:
    """The value that an aggregate expectation judges: the one value, or the values that break it."""
    lists = [m.value for n, m in mine.items() if n.startswith("column.distinct_values.") and not n.endswith("count")]
    if lists:
        return [value for part in lists for value in part]
    return next(iter(mine.values())).value


def _plain(value: Any) -> Any:
    """JSON values: numbers that JSON does not know, and dates, as text."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
