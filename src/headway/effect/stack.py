"""Techniques together: those that help at once, what each is worth among the others, and the recipe that is recommended.

Techniques stand in one another's way, or clear it: bf16 halves an arithmetic that may be hidden behind page faults until memory is kept. So
the stack is measured without each of its own, and with each of the others that could still gain.
"""

from __future__ import annotations

import math
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
    """What is to be measured as a whole: the stack, with what it is faster with, and with what reaches the same quality sooner.

    As the stack, it stays what it was measured as.
    """
    kept = _kept(found, "recommended")
    if kept is not None:
        return kept
    verdicts = found.verdicts()
    sooner = [t for t in found.to_judge() if t.measure == "step" and verdicts[t.name] == "helps"]
    sooner.sort(key=lambda t: (found.effect(t) or Interval(1.0, 1.0, 1.0)).value)
    more = added(found)
    return _compatible(found, [*_base(found), *more, *(t for t in sooner if t not in more)])


def proven(found: Findings) -> list[Technique]:
    """What is recommended when the study is over: what as a whole is sooner than the baseline, to the same quality.

    A whole that is not gives way to the best of what was measured: without what touches the quality, the stack, each helpful one alone.
    """
    whole = recommended(found)
    if _gain(found, whole) < 1:
        return whole
    verdicts = found.verdicts()
    alone = [[t] for t in found.measured() if t.measure == "step" and verdicts[t.name] == "helps"]
    lesser = [[t for t in whole if t.changes == "nothing"], stack(found), *alone]
    best = min(lesser, key=lambda chosen: _gain(found, chosen))
    return best if _gain(found, best) < 1 else []


def measured_as(found: Findings, chosen: Sequence[Technique]) -> str | None:
    """The comparison with the baseline in which just these were measured together; None where none was."""
    names = [technique.name for technique in chosen]
    alone = {f"technique/{names[0]}": names} if len(names) == 1 else {}
    known = {"stack": [t.name for t in stack(found)], **alone}
    kept = _kept(found, "recommended")
    if kept is not None:
        known["recommended"] = [t.name for t in kept]
    return next((key for key, those in known.items() if set(those) == set(names) and found.book.sessions(key)), None)


def quality_name(chosen: Sequence[Technique]) -> str | None:
    """Whose trainings tell the quality of these together; None where they leave it alone."""
    changed = [technique for technique in chosen if technique.changes != "nothing"]
    if not changed:
        return None
    return changed[0].name if len(changed) == 1 else "recommended"


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


def _gain(found: Findings, chosen: Sequence[Technique]) -> float:
    """The ratio of times to the same quality, measured of just these together; infinite where it was not, or the quality is less."""
    key = measured_as(found, chosen) if chosen else None
    if key is None:
        return math.inf
    time, name = found.time(key), quality_name(chosen)
    if name is None:
        return time.value
    judged, passes = found.quality(name), found.passes(name)
    if judged is None or judged[1] not in ("equal", "better") or len(passes) < 2:
        return math.inf
    return statistics.product(time, passes).value


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
