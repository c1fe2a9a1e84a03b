"""Techniques together: the stack of those that help, the value of each within it, and the recipe that is proposed.

Techniques interact: bf16 halves the arithmetic, but while page faults dominate the step this hardly shows until memory is kept. So
the stack is measured without each of its techniques, and with each of the others that could still gain.
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


def helpful(findings: Findings) -> list[Technique]:
    """Techniques that make steps faster and leave the maths alone."""
    verdicts = findings.verdicts()
    return [
        t
        for t in findings.available()
        if t.measure == "step" and t.changes == "nothing" and verdicts[t.name] == "helps"
    ]


def stack(findings: Findings) -> list[Technique]:
    """The helpful techniques that go together; of two that set one field differently, the faster.

    Once it was measured it stays the same, because all later figures refer to it.
    """
    earlier = _earlier_choice(findings, "stack")
    if earlier is not None:
        return earlier
    techniques = sorted(helpful(findings), key=lambda t: findings.time(f"technique/{t.name}").value)
    return _compatible(findings, [t for t in techniques if not _start_up_outweighs(findings, f"technique/{t.name}")])


def to_add(findings: Findings) -> list[Technique]:
    """The other techniques that may gain alone and so may on the stack: those first that could gain the most."""
    base = stack(findings)
    others = [
        t
        for t in findings.in_order()
        if t.measure == "step"
        and t.changes != "maths"
        and t not in base
        and findings.bound(t) < WORTH_TRYING
        and findings.time(f"technique/{t.name}").low < 1
    ]
    return [t for t in others if base and _compatible(findings, [*base, t]) == [*base, t]]


def additions(findings: Findings) -> list[Technique]:
    """Techniques that made the stack faster and keep the quality, the one that gained the most first."""
    gains = []
    for technique in to_add(findings):
        key = f"with/{technique.name}"
        if not findings.book.sessions(key) or findings.by_time(key) != "helps" or _start_up_outweighs(findings, key):
            continue
        quality = findings.quality(technique) if technique.changes == "rounding" else None
        if technique.changes == "nothing" or (quality is not None and quality[1] in ("equal", "better")):
            gains.append((findings.time(key).value, technique))
    return [technique for _, technique in sorted(gains, key=lambda gain: gain[0])]


def proposal(findings: Findings) -> list[Technique]:
    """The most promising combination: the stack, what makes it faster still, and what reaches the same quality sooner.

    It is confirmed on fresh samples, so it may hold techniques that only seem to help: faster by an interval that is not corrected for the
    number of techniques.
    """
    verdicts = findings.verdicts()
    sooner = [t for t in findings.to_judge() if t.measure == "step" and verdicts[t.name] == "helps"]
    sooner.sort(key=lambda t: (findings.effect(t) or Interval(1.0, 1.0, 1.0)).value)
    more = additions(findings)
    return _compatible(findings, [*_base(findings), *more, *(t for t in sooner if t not in more), *promising(findings)])


def promising(findings: Findings) -> list[Technique]:
    """Techniques that leave the maths alone and seem to make steps faster, which is not settled; the fastest first."""
    verdicts = findings.verdicts()
    open_ones = [
        t
        for t in findings.available()
        if t.measure == "step"
        and t.changes == "nothing"
        and verdicts[t.name] == "not settled"
        and findings.time(f"technique/{t.name}").high < 1
        and not _start_up_outweighs(findings, f"technique/{t.name}")
        and not _fails_on_the_stack(findings, t)
    ]
    return sorted(open_ones, key=lambda t: findings.time(f"technique/{t.name}").value)


def gain(findings: Findings, techniques: Sequence[Technique]) -> float:
    """The ratio of times to the same quality of exactly these techniques together; infinite where it was not measured."""
    if len(techniques) == 1:
        effect = findings.effect(techniques[0])
        return math.inf if effect is None else effect.value
    stacked = set(techniques) == set(stack(findings)) and findings.book.sessions("stack")
    return findings.time("stack").value if stacked else math.inf


def _fails_on_the_stack(findings: Findings, technique: Technique) -> bool:
    """Whether the stack was measured with it, and was not faster."""
    key = f"with/{technique.name}"
    return bool(findings.book.sessions(key)) and findings.time(key).value >= 1


def _base(findings: Findings) -> list[Technique]:
    """The stack without the technique whose removal speeds it up most, if any. Only one is dropped, because the others may only have been
    slower with it. Of a stack that does not run, its fastest technique."""
    whole = stack(findings)
    if findings.book.failure("stack") is not None:
        return whole[:1]
    worst: tuple[float, Technique] | None = None
    for technique in whole:
        time = findings.time(f"without/{technique.name}")
        is_winner = findings.book.sessions(f"without/{technique.name}") and time.high < 1 and time.p < ALPHA
        if is_winner and (worst is None or time.value < worst[0]):
            worst = time.value, technique
    return [t for t in whole if worst is None or t is not worst[1]]


def _earlier_choice(findings: Findings, key: str) -> list[Technique] | None:
    """The techniques that were chosen when it was measured; None before."""
    choice = findings.book.answer(key)
    return None if choice is None else [t for name in choice["names"] for t in findings.techniques if t.name == name]


def _start_up_outweighs(findings: Findings, key: str) -> bool:
    """Whether the second variant's start-up costs more time than it gains within one run of the project."""
    sessions = findings.book.sessions(key)
    if not sessions:
        return False
    more = max(s.startup[1] - s.startup[0] for s in sessions)
    return more > run_seconds(sessions, findings.setting) * (1 - findings.time(key).value)


def _compatible(findings: Findings, techniques: Sequence[Technique]) -> list[Technique]:
    """In this order, without techniques that contradict an earlier one in a field or do not make a valid recipe with them."""
    whole: list[Technique] = []
    fields: dict[str, object] = {}
    for technique in techniques:
        if technique in whole:
            continue
        edit = technique.edit(findings.setting)
        if any(name in fields and fields[name] != value for name, value in edit.items()):
            continue
        try:
            findings.combination([*whole, technique])
        except ConfigError:
            continue
        whole.append(technique)
        fields |= edit
    return whole
