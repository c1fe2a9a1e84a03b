"""The settings of texts as YAML had them before documents were rows: read as ever, and called by their new names."""

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
    moved = {name: value for name, value in data.items() if name in RENAMED}
    result: Mapping[str, Any] = {**values, "data": {name: value for name, value in data.items() if name not in RENAMED}}
    lines = []
    for name, value in moved.items():
        told = WAYS.get(value, value) if name == "split" else value
        result = _with(result, RENAMED[name], told)
        shown = "" if told == value else f", and {value} is {told}"
        lines.append(f"data.{name} is called {'.'.join(RENAMED[name])} now{shown}")
    return result, lines


def _with(values: Mapping[str, Any], path: Sequence[str], value: object) -> Mapping[str, Any]:
    """The same with one nested setting put over what is there."""
    first, *rest = path
    inner = values.get(first)
    section = inner if isinstance(inner, Mapping) else {}
    return {**values, first: _with(section, rest, value) if rest else value}


def renamed_rule(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """How rows were divided, as a version from before said it, in today's words."""
    told = dict(settings)
    for name in ("split", "test", "validation"):
        if f"data.{name}" in told:
            value = told.pop(f"data.{name}")
            told[".".join(RENAMED[name])] = WAYS.get(value, value) if name == "split" else value
    return told
