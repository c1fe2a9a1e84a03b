"""An expectation as a project states it: a known name, known arguments, columns of the data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headway.config import suggest
from headway.data.config import Expectation
from headway.data.rules import RULES, Rule
from headway.errors import ConfigError


def columns_of(expectation: Expectation) -> list[str]:
    extra = expectation.model_extra or {}
    names = [expectation.column, extra.get("column_A"), extra.get("column_B")]
    return [name for name in names if name is not None]


def columns_judged(expectations: Sequence[Expectation]) -> list[str]:
    """The columns of whose values some of them are."""
    of_values = {name for name, rule in RULES.items() if rule.about}
    return list(
        dict.fromkeys(c for e in expectations if e.expect.removeprefix("expect_") in of_values for c in columns_of(e))
    )


def rule_of(expectation: Expectation, number: int, present: Sequence[str]) -> Rule:
    where = f"validation.expectations[{number}]"
    name = expectation.expect.removeprefix("expect_")
    if name not in RULES:
        raise ConfigError(f"{where}.expect must be an expectation that headway knows, but is {name}{_near(name)}")
    rule = RULES[name]
    extra = expectation.model_extra or {}
    for argument in extra:
        if argument not in rule.arguments:
            raise ConfigError(f"{where}.{argument}: {name} has no such argument{_argument(argument, rule)}")
    required_names = [*(["column"] if rule.has_column else []), *rule.needs]
    names = {*extra, *(["column"] if expectation.column is not None else [])}
    for argument in required_names:
        if argument not in names:
            raise ConfigError(f"{where}.{argument} must be given for {name}, but is missing")
    _check_regex(extra.get("regex"), where)
    if "column" in names and not rule.has_column:
        raise ConfigError(f"{where}.column: {name} is about {'pairs of columns' if rule.about else 'the whole table'}")
    if rule.about:
        for column in columns_of(expectation):
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
    near = [argument for argument in rule.arguments if name in argument.split("_")]
    return f"; did you mean {near[0]}?" if near else suggest(name, [*rule.arguments])


def _near(name: str) -> str:
    return suggest(name, list(RULES)) or f"; there is {', '.join(sorted(RULES))}"
