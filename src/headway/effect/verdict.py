"""One verdict on a technique, from what its times say and what its quality says."""

from __future__ import annotations

from headway.effect.equality import Equality
from headway.effect.statistics import Verdict
from headway.effect.technique import Change


def verdict_of(changes: Change, by_time: Verdict | None, quality: Equality | None) -> Verdict:
    """``changes``: what the technique changes of the arithmetic. None where times or quality were not measured yet."""
    if by_time is None:  # a loss of quality settles it, whatever its step time
        return "changes quality" if quality == "worse" else "not settled"
    if changes == "nothing" or (changes == "rounding" and by_time == "hurts"):
        return by_time
    if quality is None or quality == "open":  # later at the baseline's quality is later, whatever its own is in the end
        return "hurts" if quality is not None and by_time == "hurts" else "not settled"
    if quality == "worse" or (quality == "better" and by_time not in ("helps", "hurts")):
        return "changes quality"
    return by_time
