"""Settings of `headway init --set`: some decide how the table is read, the others replace those of the draft."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import yaml

from headway.columns.written import Written
from headway.config import put_setting, yaml_value
from headway.draft.yaml import inline, scalar
from headway.errors import ConfigError

Pairs = Mapping[str, Any]
"""Dotted names to values."""

_WRITTEN, _CSV = "data.written.", "data.csv."


def stated_writings(pairs: Pairs) -> dict[str, Written]:
    """The settings `data.written` of columns."""
    stated: dict[str, dict[str, object]] = {}
    for dotted, value in pairs.items():
        if dotted.startswith(_WRITTEN):
            column, _, setting = dotted.removeprefix(_WRITTEN).rpartition(".")
            stated.setdefault(column, {})[setting] = value
    return {column: Written.parse(one, f"--set {_WRITTEN}{column}") for column, one in stated.items()}


def stated_csv(pairs: Pairs) -> dict[str, object]:
    """Settings of CSV files."""
    return {dotted.removeprefix(_CSV): value for dotted, value in pairs.items() if dotted.startswith(_CSV)}


def over(text: str, pairs: Pairs) -> str:
    """A drafted YAML with settings in it, its comments kept. Raises ConfigError for one that has no place there."""
    values = yaml_value(text)
    for dotted, value in pairs.items():
        if dotted.startswith((_WRITTEN, _CSV)):
            continue
        before = deepcopy(values)
        put_setting(values, dotted, value)
        if values == before:  # the draft follows the setting already
            continue
        parts = ["model", "name"] if dotted == "model" else dotted.split(".")
        text = "\n".join(_with(text.splitlines(), parts, value)) + "\n"
        if _values_of(text) != values:
            raise ConfigError(
                f"--set {dotted} cannot be written by init; leave it out, and set it in the YAML afterwards"
            )
    return text


def _values_of(text: str) -> object:
    """What a YAML says; None where a setting did not fit into it, as into a mapping within braces."""
    try:
        return yaml_value(text)
    except yaml.YAMLError:
        return None


def _with(lines: list[str], parts: list[str], value: Any) -> list[str]:
    """The lines with one setting in its place."""
    start, end = 0, len(lines)
    for depth, part in enumerate(parts):
        at = next((i for i in range(start, end) if _is_key(lines[i], part, depth)), None)
        if at is None:
            rest = parts[depth:]
            new = [f"{'  ' * (depth + i)}{scalar(key)}:" for i, key in enumerate(rest)]
            new[-1] += f" {inline(value)}"
            where = start if depth else end
            return [*lines[:where], *([""] if not depth else []), *new, *lines[where:]]
        below = at + 1
        while below < end and (lines[below].startswith("  " * (depth + 1)) or not lines[below].strip()):
            below += 1
        start, end = at + 1, below
    while not lines[end - 1].strip():
        end -= 1
    return [*lines[: start - 1], f"{'  ' * (len(parts) - 1)}{scalar(parts[-1])}: {inline(value)}", *lines[end:]]


def _is_key(line: str, key: str, depth: int) -> bool:
    return re.match(rf"{'  ' * depth}{re.escape(scalar(key))}:(\s|$)", line) is not None
