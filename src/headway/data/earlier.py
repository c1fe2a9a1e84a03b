"""Settings of texts in the YAML of earlier versions: still read, each under its new name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RENAMED = {
    "tokenizer": ("prepare", "tokens", "tokenizer"),
    "vocabulary": ("prepare", "tokens", "vocabulary"),
    "split": ("split", "by"),
    "test": ("split", "test"),
    "validation": ("split", "validation"),
    "max_overlap": ("validation", "max_overlap"),
}
"""Settings of `data`, to where they are now."""

WAYS = {"documents": "random"}
"""Ways to split that have another name now."""


def renamed(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """A project's values with each earlier setting in its new place, and one line for each that was moved."""
    data = values.get("data")
    if not isinstance(data, Mapping) or not set(data) & set(RENAMED):
        return values, []
    earlier = {name: value for name, value in data.items() if name in RENAMED}
    result: Mapping[str, Any] = {**values, "data": {name: value for name, value in data.items() if name not in RENAMED}}
    lines = []
    for name, value in earlier.items():
        word = WAYS.get(value, value) if name == "split" else value
        result = _with(result, RENAMED[name], word)
        note = "" if word == value else f", and {value} is {word}"
        lines.append(f"data.{name} is called {'.'.join(RENAMED[name])} now{note}")
    return result, lines


def _with(values: Mapping[str, Any], path: Sequence[str], value: object) -> Mapping[str, Any]:
    """A copy of ``values`` in which one nested setting is replaced."""
    first, *rest = path
    inner = values.get(first)
    section = inner if isinstance(inner, Mapping) else {}
    return {**values, first: _with(section, rest, value) if rest else value}


def renamed_rule(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """How an earlier version divided the rows, by today's names of the settings."""
    rule = dict(settings)
    for name in ("split", "test", "validation"):
        if f"data.{name}" in rule:
            value = rule.pop(f"data.{name}")
            rule[".".join(RENAMED[name])] = WAYS.get(value, value) if name == "split" else value
    return rule
