"""At which numbers of sessions a comparison is looked at, and by how much each look must be stricter than a single one."""

from __future__ import annotations

LOOKS = (2, 4, 8, 16, 32, 64, 128)
"""Sessions after which a comparison is looked at. An early look settles large effects, so that they cost no more time."""

COMMON_LOOKS = 5
SHARES = (5.3125, 34.0)
"""Each of the first five looks spends 1/5.3125 of the error that is allowed, each of the last two, which few come to, 1/34."""

SESSION = 4
"""Blocks of a session at least. Two processes of one program differ by a per cent or two for all of their lives; only more sessions, each
way round, average that out, not more blocks."""


def share_at(pairs: int) -> float:
    """By how much a look at so many pairs must be stricter than a single one."""
    return SHARES[pairs > LOOKS[COMMON_LOOKS - 1]]
