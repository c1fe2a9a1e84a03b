"""An expectation's arguments, with values in their column's type: 1 is "1" for a categorical column."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from headway.columns.spelling import spell_value
from headway.data.config import Expectation
from headway.data.rules import Rule
from headway.errors import ConfigError
from headway.quality.statement import columns_of


def arguments_of(
    expectation: Expectation, rule: Rule, where: str, types: Mapping[str, pa.DataType]
) -> Mapping[str, Any]:
    """Its arguments but for the column. ``types``: of the columns.

    Raises ConfigError where the rule does not suit a column, or a value is not of its type.
    """
    arguments = dict(expectation.model_extra or {})
    if not rule.about:
        return arguments
    names = columns_of(expectation)
    families = [family_of(types[name]) for name in names]
    what = expectation.expect.removeprefix("expect_")
    for name, kind in zip(names, families, strict=True):
        if kind not in rule.about:
            raise ConfigError(f"{where}: {name} must be {' or '.join(rule.about)} for {what}, but is {kind}")
    if len(set(families)) > 1:
        raise ConfigError(f"{where}: both columns must be of one kind, but they are {' and '.join(families)}")
    for argument in rule.in_column_type:
        if argument in arguments:
            arguments[argument] = _convert(f"{where}.{argument}", arguments[argument], types[names[0]])
    return arguments


def _convert(place: str, value: Any, kind: pa.DataType) -> Any:
    if place.endswith(".value_set"):
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{place} must be a list, but is {value!r}")
        return [_convert(f"{place}[...]", one, kind) for one in value]
    if value is None:
        return None
    try:
        return _as(value, kind, is_bound=not place.endswith("]"))
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(f"{place} must be {family_of(kind)}, but is {value!r}") from None


def family_of(kind: pa.DataType) -> str:
    """The family of a column's canonical type, in the words of `headway.data.rules`."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_timestamp(kind):
        return "a date"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "a number"
    return str(kind)


def _as(value: Any, kind: pa.DataType, is_bound: bool) -> Any:
    if family_of(kind) == "text":
        return spell_value(value)
    if family_of(kind) == "a date":
        moment = datetime.datetime.fromisoformat(str(value))
        return moment if moment.tzinfo is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise ValueError(value)
    return value if pa.types.is_integer(kind) and not is_bound else float(value)  # as Great Expectations has bounds
