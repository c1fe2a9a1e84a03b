"""Times of day and durations in text, as seconds."""

from __future__ import annotations

import re

import pyarrow as pa

_TIME = re.compile(
    r"(?P<sign>-?)(?:(?P<days>\d+) days?,? )?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d(?:\.\d+)?))?"
    r"(?: ?(?P<half>[ap])\.?m\.?)?",
    re.IGNORECASE,
)


def seconds_of(text: str) -> float | None:
    """The seconds of a time such as 7:30, 19:30:15.5, 7:30 pm or 2 days 03:00:00; None for another text.

    Two numbers are hours and minutes, three have seconds, too.
    """
    time = _TIME.fullmatch(text.strip())
    if time is None:
        return None
    hours = int(time["hours"])
    if time["half"]:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + 12 * (time["half"].lower() == "p")
    total = 86_400 * int(time["days"] or 0) + 3600 * hours + 60 * int(time["minutes"]) + float(time["seconds"] or 0)
    return -total if time["sign"] else total


def read_clock(texts: pa.Array) -> pa.Array:
    """(N,) float64: the seconds of each text; null for other texts."""
    return pa.array([None if text is None else seconds_of(text) for text in texts.to_pylist()], pa.float64())
