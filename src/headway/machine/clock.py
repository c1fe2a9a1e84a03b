"""Times as text, in UTC."""

from __future__ import annotations

import time


def moment(seconds: float | None = None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time as text: `2026-11-26 22:30 UTC`. None is now.

    All names, lines and pages take their times from here or from `stamp`, so that they have one zone, which is named.
    """
    return time.strftime(f"{form} UTC", time.gmtime(seconds))


def stamp() -> str:
    """Now, for the name of a file: `20261126-223015Z`. Names in UTC sort also when a local clock is set back in autumn."""
    return time.strftime("%Y%m%d-%H%M%SZ", time.gmtime())


def duration(seconds: float) -> str:
    """A length of time for people: `0.4 s`, `2 min 37 s`, `1 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
