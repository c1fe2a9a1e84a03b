"""What `headway COMMAND --json` prints: one JSON object on standard output. Everything for people is then on standard error."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from typing import Any

from headway.cli.keys import ERROR, KEYS


def answer(options: argparse.Namespace, values: Mapping[str, Any]) -> None:
    """Print a command's object where --json asks for it. Its keys are those of `KEYS`."""
    if not options.json:
        return
    strange = values.keys() - KEYS[options.command].keys()
    assert not strange, f"{options.command} --json: {strange} must be documented in cli/keys.py"
    _print(options, values)


def answer_error(options: argparse.Namespace, text: str, code: int) -> None:
    """Print the object of a command that ended with an error, where --json asks for it."""
    if options.json:
        _print(options, dict(zip(ERROR, (text, code), strict=True)))


def _print(options: argparse.Namespace, values: Mapping[str, Any]) -> None:
    if getattr(options, "is_answered", False):  # an error after the answer is on standard error alone
        return
    options.is_answered = True
    print(json.dumps(_finite(values), default=str, allow_nan=False), file=options.answers, flush=True)


def _finite(value: Any) -> Any:
    """NaN and infinities are no JSON: null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, (list, tuple)) else value
