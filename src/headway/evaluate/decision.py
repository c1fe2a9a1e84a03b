"""decision.json: what the gate decided about a candidate."""

from __future__ import annotations

from dataclasses import dataclass

from headway.files.records import Record


@dataclass(frozen=True)
class Decision(Record):
    """Whether the candidate takes charge, and why; difference, low and high are None where no comparison was possible.

    ``value``: the candidate's metric on these rows; ``other``: what it was compared with, as version 3 or the trivial baseline.
    ``sample`` says on how many rows or groups it was decided, ``left_out`` how many test rows were not used. ``name`` and ``version``:
    the registered model, None before it is registered.
    """

    promoted: bool
    reason: str
    metric: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    sample: str = ""
    left_out: int = 0
    name: str | None = None
    version: str | None = None
    value: float | None = None
    other: str | None = None

    @property
    def word(self) -> str:
        """How the retraining ended, in lists."""
        return "Promoted" if self.promoted else "Not promoted"
