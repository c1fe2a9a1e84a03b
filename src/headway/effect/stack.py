"""Techniques together: those that help at once, what each is worth among the others, and the recipe that is recommended.

Techniques stand in one another's way, or clear it: bf16 halves an arithmetic that may be hidden behind page faults until memory is kept. So
the stack is measured without each of its own, and with each of the others that could still gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from headway.effect.cost import run_seconds
from headway.effect.findings import Findings
from headway.effect.statistics import ALPHA, Interval
from headway.effect.technique import Technique
from headway.errors import ConfigError

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
    """The whole that promises the most: the stack, with what it is faster with, and with what reaches the same quality sooner.

    It is confirmed on fresh samples, so that it may hold what only seems to help: steps that are faster by an interval that is not
    corrected for the number of techniques.
    """
    verdicts = found.verdicts()
    sooner = [t for t in found.to_judge() if t.measure == "step" and verdicts[t.name] == "helps"]
    sooner.sort(key=lambda t: (found.effect(t) or Interval(1.0, 1.0, 1.0)).value)
    more = added(found)
    return _compatible(found, [*_base(found), *more, *(t for t in sooner if t not in more), *promising(found)])


def promising(found: Findings) -> list[Technique]:
    """Steps that seem faster with it, the maths left alone, although that is not settled; the fastest first."""
    verdicts = found.verdicts()
    open_ones = [
        t
        for t in found.measured()
        if t.measure == "step"
        and t.changes == "nothing"
        and verdicts[t.name] == "not settled"
        and found.time(f"technique/{t.name}").high < 1
        and not _eaten(found, f"technique/{t.name}")
        and not _fails_on_the_stack(found, t)
    ]
    return sorted(open_ones, key=lambda t: found.time(f"technique/{t.name}").value)


def gain(found: Findings, chosen: Sequence[Technique]) -> float:
    """The ratio of times to the same quality that was measured of just these together; infinite where none was."""
    if len(chosen) == 1:
        effect = found.effect(chosen[0])
        return math.inf if effect is None else effect.value
    measured = set(chosen) == set(stack(found)) and found.book.sessions("stack")
    return found.time("stack").value if measured else math.inf


def _fails_on_the_stack(found: Findings, technique: Technique) -> bool:
    """Whether the stack was measured with it, and was not faster."""
    key = f"with/{technique.name}"
    return bool(found.book.sessions(key)) and found.time(key).value >= 1


def _base(found: Findings) -> list[Technique]:
    """The stack, or what of it is fastest: one that it is faster without leaves it, the one that costs most; others may only have stood
    in that one's way. A stack that does not run leaves its fastest."""
    whole = stack(found)
    if found.book.failure("stack") is not None:
        return whole[:1]
    worst: tuple[float, Technique] | None = None
    for technique in whole:
        time = found.time(f"without/{technique.name}")
        called = found.book.sessions(f"without/{technique.name}") and time.high < 1 and time.p < ALPHA
        if called and (worst is None or time.value < worst[0]):
            worst = time.value, technique
    return [t for t in whole if worst is None or t is not worst[1]]


def _kept(found: Findings, key: str) -> list[Technique] | None:
    """What was chosen when it was measured; None before."""
    kept = found.book.answer(key)
    return None if kept is None else [t for name in kept["names"] for t in found.techniques if t.name == name]


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
    fields: dict[str, object] = {}
    for technique in ranked:
        if technique in taken:
            continue
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
