"""Rules on the data, judged by Great Expectations from metrics that headway measures in one streaming pass.

Great Expectations names the metrics that an expectation depends on and decides from their values; its own engines, which would load
the table, never run. Nothing of it is imported when a project states no expectations.
"""

from __future__ import annotations

import datetime
import functools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from headway.columns.spelling import spell_value
from headway.config import suggest
from headway.data.config import Expectation
from headway.data.measure import Measured, Request, Streamed, measure
from headway.data.rules import RULES, Rule, sentence
from headway.errors import ConfigError
from headway.files.records import Record

Measure = Callable[[Streamed, Sequence[Request]], dict[str, Measured]]


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
        _rule(expectation, number, columns)


def judge(
    expectations: Sequence[Expectation], table: Streamed, name: str = "the data", measure: Measure = measure
) -> Verdict:
    """Great Expectations' verdict on each expectation; ``name`` says in sentences whose rows they are.

    Raises ConfigError for an expectation that is unknown, wrongly stated, or does not suit its column.
    """
    if not expectations:
        return Verdict(())
    present = list(getattr(table, "present", table.columns))
    rules = [_rule(expectation, number, present) for number, expectation in enumerate(expectations)]
    types = _types(table, [c for r, e in zip(rules, expectations, strict=True) if r.about for c in _columns(e)])
    judges = [_Judge(r, e, n, types) for n, (r, e) in enumerate(zip(rules, expectations, strict=True))]
    requests = {request.key: request for judge in judges for request in judge.requests()}
    measured = measure(table, list(requests.values()))
    return Verdict(tuple(judge.verdict(measured, name) for judge in judges))


def _columns(expectation: Expectation) -> list[str]:
    extra = expectation.model_extra or {}
    named = [expectation.column, extra.get("column_A"), extra.get("column_B")]
    return [name for name in named if name is not None]


def _rule(expectation: Expectation, number: int, present: Sequence[str]) -> Rule:
    where = f"validation.expectations[{number}]"
    name = expectation.expect.removeprefix("expect_")
    if name not in RULES:
        raise ConfigError(f"{where}.expect must be an expectation that headway knows, but is {name}{_near(name)}")
    rule = RULES[name]
    extra = expectation.model_extra or {}
    for argument in extra:
        if argument not in rule.arguments:
            raise ConfigError(f"{where}.{argument}: {name} has no such argument{_argument(argument, rule)}")
    needed = [*(["column"] if rule.has_column else []), *rule.needs]
    given = {*extra, *(["column"] if expectation.column is not None else [])}
    for argument in needed:
        if argument not in given:
            raise ConfigError(f"{where}.{argument} must be given for {name}, but is missing")
    _check_regex(extra.get("regex"), where)
    if "column" in given and not rule.has_column:
        raise ConfigError(f"{where}.column: {name} is about {'pairs of columns' if rule.about else 'the whole table'}")
    if rule.about:
        for column in _columns(expectation):
            if column not in present:
                raise ConfigError(f"{where}: {column} must be a column of the data{suggest(str(column), [*present])}")
    return rule


def _check_regex(regex: Any, where: str) -> None:
    if regex is None:
        return
    try:
        re.compile(str(regex))
    except re.error as error:
        raise ConfigError(f"{where}.regex must be a regular expression, but {regex!r}: {error}") from None


def _argument(name: str, rule: Rule) -> str:
    near = [known for known in rule.arguments if name in known.split("_")]
    return f"; did you mean {near[0]}?" if near else suggest(name, [*rule.arguments])


def _near(name: str) -> str:
    return suggest(name, list(RULES)) or f"; there is {', '.join(sorted(RULES))}"


def _types(table: Streamed, columns: Sequence[str]) -> dict[str, pa.DataType]:
    """The columns' canonical types, from the first rows."""
    if not columns:
        return {}
    wanted = list(dict.fromkeys(columns))
    schema = next(iter(table.chunks(columns=wanted, rows=1024))).batch.schema
    return {name: schema.field(name).type for name in wanted}


@functools.cache
def _engine() -> Any:
    """Great Expectations' pandas engine: asked which metrics it would use, never given a row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations among its own dependencies
        import great_expectations.expectations  # noqa: F401
        from great_expectations.execution_engine import PandasExecutionEngine

        return PandasExecutionEngine()


class _Judge:
    """One expectation between Great Expectations and the measuring."""

    def __init__(self, rule: Rule, stated: Expectation, number: int, types: Mapping[str, pa.DataType]) -> None:
        self.rule, self.stated = rule, stated
        self.where = f"validation.expectations[{number}]"
        self.arguments = self._suited(types)
        self.expectation = self._build()
        self.dependencies = self._quietly(
            lambda: self.expectation.get_validation_dependencies(
                execution_engine=_engine(), runtime_configuration={"result_format": "BASIC"}
            )
        )

    def _suited(self, types: Mapping[str, pa.DataType]) -> dict[str, Any]:
        """The arguments with values in their column's type: 1 is "1" for a categorical column."""
        arguments = dict(self.stated.model_extra or {})
        if not self.rule.about:
            return arguments
        names = _columns(self.stated)
        found = [_family(types[name]) for name in names]
        for name, kind in zip(names, found, strict=True):
            if kind not in self.rule.about:
                wanted = " or ".join(self.rule.about)
                raise ConfigError(f"{self.where}: {name} must be {wanted} for {self._name}, but is {kind}")
        if len(set(found)) > 1:
            raise ConfigError(f"{self.where}: both columns must be of one kind, but they are {' and '.join(found)}")
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
            wanted = _family(kind)
            raise ConfigError(f"{self.where}.{argument} must be {wanted}, but is {value!r}") from None

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
        wanted = []
        for name, configuration in self.dependencies.metric_configurations.items():
            domain = configuration.metric_domain_kwargs
            columns = tuple(domain[k] for k in ("column", "column_A", "column_B") if k in domain)
            parameters = {"ignore_row_if": domain["ignore_row_if"]} if "ignore_row_if" in domain else {}
            wanted.append(
                Request(str(configuration.id), name, columns, {**parameters, **configuration.metric_value_kwargs})
            )
        return wanted

    def verdict(self, measured: Mapping[str, Measured], name: str) -> Result:
        """Great Expectations decides; the numbers and the sentence are ours."""
        mine = {request.metric: measured[request.key] for request in self.requests()}
        values = {c.id: measured[str(c.id)].value for c in self.dependencies.metric_configurations.values()}
        judged = self._quietly(
            lambda: self.expectation.metrics_validate(
                values, runtime_configuration={"result_format": "BASIC"}, execution_engine=_engine()
            )
        )
        passed = bool(judged.success)
        bad = next(
            (m for n, m in mine.items() if n.startswith(self.rule.counts) and n.endswith(".unexpected_count")), None
        )
        rows = int(judged.result.get("element_count") or 0)
        count = int(bad.value) if bad else None
        percent = 100.0 * count / rows if count is not None and rows else (0.0 if count is not None else None)
        observed = count if bad else _observed(mine)
        examples = bad.examples if bad and count else ()
        said = sentence(self._name, self.stated.column, self.arguments, passed, observed, count, rows, examples)
        return Result(
            self._name, self.stated.column, passed, self.stated.severity, observed, count, percent, examples,
            f"{name}: {said}",
        )  # fmt: skip


def _observed(mine: Mapping[str, Measured]) -> Any:
    """What an aggregate expectation looked at: the one value, or the values that are wrong."""
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
