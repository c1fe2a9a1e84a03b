"""Great Expectations' own decisions: which metrics an expectation needs, and its verdict on their values.

One of its objects costs a millisecond, and so does each verdict: on 20,000 columns, minutes. So one object stands for all expectations
that are alike, and is asked once for each different set of values. Alike are those that differ by their column alone, or by bounds and
sets on which no verdict depends: they decide which rows are counted, and the verdict is on the counts.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headway.data.measure import Request
from headway.data.rules import Rule
from headway.errors import ConfigError


@functools.cache
def engine() -> Any:
    """Great Expectations' pandas engine: it only names the metrics that it would use, and never gets a row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations among its own dependencies
        import great_expectations.expectations  # noqa: F401
        from great_expectations.execution_engine import PandasExecutionEngine

        return PandasExecutionEngine()


@dataclass(frozen=True)
class Answer:
    """Whether an expectation holds, of how many rows; and for how many of 100 rows with a value it does not, where it is on single rows."""

    passed: bool
    rows: int
    percent: float | None


@dataclass(frozen=True)
class _Need:
    """A metric that a verdict depends on, as Great Expectations asks for it."""

    id: Any
    metric: str
    columns: tuple[str, ...]
    parameters: Mapping[str, Any]


class Ruling:
    """One of Great Expectations' objects, for all expectations that are alike."""

    def __init__(self, expectation: Any) -> None:
        self._expectation = expectation
        dependencies = _quietly(
            lambda: expectation.get_validation_dependencies(
                execution_engine=engine(), runtime_configuration={"result_format": "BASIC"}
            )
        )
        self._needs = [_need(name, one) for name, one in dependencies.metric_configurations.items()]
        self._answers: dict[str, Answer] = {}

    def requests(self, column: str | None, varying: Mapping[str, Any]) -> list[Request]:
        """The metrics that the verdict on a ``column`` needs. ``varying``: arguments in place of the object's own."""
        result = []
        for need in self._needs:
            columns = (column,) if column is not None and len(need.columns) == 1 else need.columns
            parameters = {name: varying.get(name, value) for name, value in need.parameters.items()}
            result.append(Request(f"{need.metric} {columns} {parameters}", need.metric, columns, parameters))
        return result

    def answer(self, values: Sequence[Any]) -> Answer:
        """The verdict where the metrics that ``requests`` names have these values, in that order."""
        key = repr(values)
        if key not in self._answers:
            metrics = {need.id: value for need, value in zip(self._needs, values, strict=True)}
            result = _quietly(
                lambda: self._expectation.metrics_validate(
                    metrics, runtime_configuration={"result_format": "BASIC"}, execution_engine=engine()
                )
            )
            rows, percent = (result.result.get(name) for name in ("element_count", "unexpected_percent"))
            self._answers[key] = Answer(
                bool(result.success), int(rows or 0), None if percent is None else float(percent)
            )
        return self._answers[key]


class Rulings:
    """The objects that are there already."""

    def __init__(self) -> None:
        self._rulings: dict[tuple[object, ...], Ruling] = {}

    def of(self, name: str, rule: Rule, column: str | None, arguments: Mapping[str, Any], where: str) -> Ruling:
        """The object for an expectation; a new one where none is alike. Raises ConfigError where Great Expectations refuses it."""
        any_column = bool(rule.about) and bool(column)
        varying = varying_arguments(name, arguments)
        exact = sorted((key, "" if key in varying else repr(value)) for key, value in arguments.items())
        alike = (name, any_column or column, *sorted(varying), *exact)
        if alike not in self._rulings:
            own = {"column": column} if column is not None else {}
            self._rulings[alike] = Ruling(_build(name, {**own, **arguments}, where))
        return self._rulings[alike]


_BETWEEN = "column_values_to_be_between"
_SETS = ("column_values_to_be_in_set", "column_values_to_not_be_in_set")


def varying_arguments(name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments on which no verdict depends, as Great Expectations has them: numbers are floats.

    Only where every such value is as good as another to it: a date would lose its hour, and an empty text or set is refused.
    """
    if name == _BETWEEN:
        bounds = {key: arguments[key] for key in ("min_value", "max_value") if _is_number(arguments.get(key))}
        return {key: float(value) for key, value in bounds.items()}
    values = arguments.get("value_set")
    if name in _SETS and isinstance(values, list) and values and all(_is_plain(value) for value in values):
        return {"value_set": values}
    return {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or _is_number(value)


def _need(name: str, configuration: Any) -> _Need:
    domain = configuration.metric_domain_kwargs
    columns = tuple(domain[k] for k in ("column", "column_A", "column_B") if k in domain)
    ignored = {"ignore_row_if": domain["ignore_row_if"]} if "ignore_row_if" in domain else {}
    return _Need(configuration.id, name, columns, {**ignored, **configuration.metric_value_kwargs})


def _build(name: str, arguments: Mapping[str, Any], where: str) -> Any:
    engine()
    import great_expectations.expectations as expectations

    cls = getattr(expectations, "Expect" + "".join(w.capitalize() for w in name.split("_")))
    try:
        return _quietly(lambda: cls(**arguments))
    except (ValueError, TypeError) as error:  # its pydantic's errors are ValueErrors
        raise ConfigError(f"{where}: {name}: {_first(error)}") from None


def _quietly(act: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return act()


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:3])[:200] if len(lines) > 1 else str(error)[:200]
