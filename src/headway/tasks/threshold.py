"""From which probability on the event is predicted, kept with the target in a bundle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """``low`` and ``high``: the 95 % interval that validation rows leave; ``rows``: how many there were; ``aim``: in words."""

    value: float
    low: float
    high: float
    rows: int
    aim: str
