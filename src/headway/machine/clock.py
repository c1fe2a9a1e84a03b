"""Moments as people read them: one zone, named."""

from __future__ import annotations

import time


def moment(seconds: float | None = None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time as people read it: `2026-11-26 22:30 UTC`. None is now.

    Every name, line and page has its times from here or from `stamp`: in one zone, and with the zone beside them.
    """
    return time.strftime(f"{form} UTC", time.gmtime(seconds))


def stamp() -> str:
    """Now, for the name of a file: `20261126-223015Z`. Z is UTC; in a local zone, names of an October night do not sort."""
    return time.strftime("%Y%m%d-%H%M%SZ", time.gmtime())
