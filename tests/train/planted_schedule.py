"""A schedule that counts its calls: what is planted in test_planted_recordings.py imports it."""

from __future__ import annotations

calls = 0


def advance() -> int:
    """Count one more call."""
    global calls
    calls += 1
    return calls


class Schedule:
    """Counts in its class, through a static method, a property or a function."""

    calls = 0

    @staticmethod
    def advance() -> int:
        """Count in the module."""
        return advance()

    @property
    def next(self) -> int:
        """Count in the module."""
        return advance()
