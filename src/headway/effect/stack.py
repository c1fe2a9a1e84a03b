"""Techniques together: those that help at once, what each is worth among the others, and the recipe that is recommended.

Techniques stand in one another's way, or clear it: bf16 halves an arithmetic that may be hidden behind page faults until memory is kept. So
the stack is measured without each of its own, and with each of the others that could still gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway.base import ConfigError
from headway.effect import statistics
from headway.effect.cost import run_seconds
from headway.effect.findings import Findings
from headway.effect.statistics import ALPHA, Interval
from headway.effect.technique import Technique

WORTH_TRYING = 0.97
"""The bound of a technique that is tried on the stack: it could gain three per cent at least."""


def helpful(found: Findings) -> list[Technique]:
    """Steps that are faster with it, the maths left alone."""
    verdicts = found.verdicts()
    return [
        t for t in found.measured() if t.measure == "step" and t.changes == "nothing" and verdicts[t.name] == "helps"
    ]


def stack(found: Findings) -> list[Technique]:
    """The helpful ones that go together; of two that set the same field otherwise, the faster.

    Once it was measured it stays what it was: what is said of it, and of others on it, was measured on that one.
    """
    kept = _kept(found, "stack")
    if kept is not None:
        return kept
    ranked = sorted(helpful(found), key=lambda t: found.time(f"technique/{t.name}").value)
    return _compatible(found, [t for t in ranked if not _eaten(found, f"technique/{t.name}")])


def to_add(found: Findings) -> list[Technique]:
    """The others that may gain on the stack, as they may alone: those that could gain the most first."""
    base = stack(found)
    others = [
        t
        for t in found.in_order()
        if t.measure == "step"
        and t.changes != "maths"
        and t not in base
        and found.bound(t) < WORTH_TRYING
        and found.time(f"technique/{t.name}").low < 1
    ]
    return [t for t in others if base and _compatible(found, [*base, t]) == [*base, t]]


def added(found: Findings) -> list[Technique]:
    """Those that made the stack faster and keep the quality, the one that gained the most first."""
    gains = []
    for technique in to_add(found):
        key = f"with/{technique.name}"
        if not found.book.sessions(key) or found.by_time(key) != "helps" or _eaten(found, key):
            continue
        judged = found.quality(technique) if technique.changes == "rounding" else None
        if technique.changes == "nothing" or (judged is not None and judged[1] in ("equal", "better")):
            gains.append((found.time(key).value, technique))
    return [technique for _, technique in sorted(gains, key=lambda gain: gain[0])]


def recommended(found: Findings) -> list[Technique]:
    """The stack without what it is faster without, with what it is faster with, and with what reaches the same quality sooner.

    As the stack, it stays what it was measured as, unless that disappointed.
    """
    base = []
    for technique in stack(found):
        key = f"without/{technique.name}"
        time = found.time(key)
        if not (found.book.sessions(key) and time.high < 1 and time.p < ALPHA):
            base.append(technique)
    if _disappoints(found):
        return base
    kept = _kept(found, "recommended")
    if kept is not None:
        return kept
    verdicts = found.verdicts()
    sooner = [t for t in found.to_judge() if t.measure == "step" and verdicts[t.name] == "helps"]
    sooner.sort(key=lambda t: (found.effect(t) or Interval(1.0, 1.0, 1.0)).value)
    more = added(found)
    return _compatible(found, [*base, *more, *(t for t in sooner if t not in more)])


def _kept(found: Findings, key: str) -> list[Technique] | None:
    """What was chosen when it was measured; None before."""
    kept = found.book.answer(key)
    return None if kept is None else [t for name in kept["names"] for t in found.techniques if t.name == name]


def _disappoints(found: Findings) -> bool:
    """Whether what is recommended beyond the stack turned out, measured as a whole, not to be sooner than the baseline."""
    if not found.book.sessions("recommended"):
        return False
    passes = found.passes("recommended")
    time = found.time("recommended")
    return (statistics.product(time, passes) if len(passes) > 1 else time).value >= 1


def _eaten(found: Findings, key: str) -> bool:
    """Whether the second's time to be ready is more than it gains within one run of the project."""
    sessions = found.book.sessions(key)
    if not sessions:
        return False
    more = max(s.startup[1] - s.startup[0] for s in sessions)
    return more > run_seconds(sessions, found.setting) * (1 - found.time(key).value)


def _compatible(found: Findings, ranked: Sequence[Technique]) -> list[Technique]:
    """In this order, without those that set a field otherwise than an earlier one or make no recipe with them."""
    taken: list[Technique] = []
    fields: dict[str, Any] = {}
    for technique in ranked:
        edit = technique.edit(found.setting)
        if any(name in fields and fields[name] != value for name, value in edit.items()):
            continue
        try:
            found.combined([*taken, technique])
        except ConfigError:
            continue
        taken.append(technique)
        fields |= edit
    return taken
