"""A file that is one object of JSON, and no rows."""

from __future__ import annotations

import json
from collections.abc import Mapping

from headway.errors import DataError


def refuse_object(head: bytes, name: str) -> None:
    """Raises DataError where a file is one JSON object, naming the likely place of the rows in it."""
    first, _, rest = head.strip().partition(b"\n")
    try:
        whole = json.loads(head if rest.strip() and not _is_object(first) else first)
    except (ValueError, RecursionError):
        return  # more than one object, which reading checks
    if not isinstance(whole, dict) or (rest.strip() and _is_object(first)):
        return
    lists = _lists(whole, "")
    if lists:
        raise DataError(
            f"{name} must be an array or lines of rows, but is one object; its rows seem to be the list at {lists[0]}: "
            "write that list to a file of its own, and give it to --data"
        )
    if whole and all(isinstance(value, (list, dict)) and value for value in whole.values()):
        raise DataError(
            f"{name} must be an array or lines of rows, but is an object of columns; write its rows, as pandas does "
            "with to_json(orient='records'), and give them to --data"
        )


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _lists(value: Mapping[str, object], path: str) -> list[str]:
    """The paths of an object's lists of objects."""
    places = []
    for name, inner in value.items():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            places.append(here)
        elif isinstance(inner, dict):
            places += _lists(inner, here)
    return places
