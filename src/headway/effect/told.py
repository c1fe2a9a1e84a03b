"""A study as its result: what the notebook says, technique by technique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from headway.effect import statistics
from headway.effect.confirmation import Confirmation, confirmations, confirmed, names_of
from headway.effect.contention import over
from headway.effect.cost import cost_ratio, money, ready_seconds
from headway.effect.findings import Findings
from headway.effect.lab import Session
from headway.effect.quality import Curve, Passes, kept
from headway.effect.results import (
    Beside,
    Confirmed,
    CurveSummary,
    Effect,
    Gap,
    Noise,
    Reached,
    Recommended,
    Row,
    StudyResult,
    Surroundings,
    Unsettled,
    Whole,
)
from headway.effect.stack import stack, to_add
from headway.effect.statistics import Interval, Mean
from headway.effect.technique import Setting, Technique
from headway.effect.words import is_known

NUMERIC = ("precision", "compile", "cuda_graphs", "checkpoint_activations")
"""Fields that change what is computed, or with what: a recipe that was measured in one is not the same in another."""


def told(found: Findings) -> StudyResult:
    """Everything that the notebook says, technique by technique."""
    verdicts = found.verdicts()
    curves, named = found.curves("baseline"), {technique.name for technique in found.techniques}
    margin, target = found.margin, found.target
    rows = tuple(_technique(found, technique, verdicts[technique.name]) for technique in found.techniques)
    return StudyResult(
        baseline=found.setting.recipe.model_dump(mode="json"),
        breakdown=found.book.answer("breakdown") or {},
        noise=_noise(found),
        contention=_contention(found),
        seeds=max((len(found.curves(name)) for name in _trained(found) if name in named), default=len(curves)),
        baseline_seeds=len(curves),
        epochs=len(curves[0]["quality"]) if curves else 0,
        baseline_quality=tuple(kept(curve) for curve in curves),
        margin=None if margin is None else margin.value,
        margin_limits=None if margin is None else margin.limits(statistics.ALPHA),
        target=target,
        techniques=rows,
        stack=_stack(found),
        without=_among(found, "without", stack(found)),
        with_=_among(found, "with", to_add(found)),
        recommended=_recommended(found),
        spent=found.book.spent,
        open=_open(found, rows),
        curves={name: tuple(_curve(c) for c in found.curves(name)) for name in _trained(found)},
    )


def _technique(found: Findings, technique: Technique, verdict: str) -> Row:
    key = f"technique/{technique.name}"
    sessions, blocks = found.book.sessions(key), found.book.blocks(key)
    unsupported = found.unsupported(technique)
    row = Row(
        name=technique.name,
        sentence=technique.sentence,
        reference=technique.reference,
        changes=technique.changes,
        measure=technique.measure,
        verdict=verdict,
        reason=unsupported or found.differs(technique),
        bound=found.bound(technique) if technique.measure == "step" and technique.changes != "maths" else None,
        edit={} if unsupported else dict(technique.edit(found.setting)),
        pairs=len(sessions),
        blocks=len(blocks),
        time=Effect.of(found.time(key)) if len(blocks) else None,
        samples=tuple(tuple(statistics.log_ratios(session.blocks).round(5).tolist()) for session in sessions),
        losses_apart=found.apart(technique),
    )
    if sessions:
        peak = _ratio_of([s.peak for s in sessions if s.peak is not None])
        joules = _ratio_of([s.joules for s in sessions if s.joules is not None])
        row = replace(row, startup=ready_seconds(sessions), peak=peak, joules=joules)
    effect = found.effect(technique) if unsupported is None else None
    if effect is not None:
        row = _with_cost(row, effect, technique, sessions or _of_the_baseline(found), found.setting)
        if technique.measure not in ("prediction", "seeds"):
            row = replace(row, to_target=Effect.of(effect))
    if unsupported is None and technique.changes != "nothing":
        reached = _reached(found.passes(technique)) if found.runs_again(technique) else None
        row = replace(row, quality=_quality(found.quality(technique)), reached=reached)
    return row


def _quality(judged: tuple[Mean, str] | None) -> Gap | None:
    """The difference of quality with its 95 % interval, and what it says when corrected for the number of techniques."""
    if judged is None:
        return None
    effect = Effect.of(judged[0].interval())
    return Gap(effect.value, effect.low, effect.high, effect.p, judged[1])


def _reached(passes: Passes | None) -> Reached | None:
    return None if passes is None else Reached(passes.first, passes.second, passes.seeds)


def _with_cost(row: Row, effect: Interval, technique: Technique, sessions: Sequence[Session], setting: Setting) -> Row:
    """Of a run that trains, with the time until it is ready; of whatever else is timed, that time alone."""
    if technique.measure != "step" or not sessions:
        return replace(row, cost=Effect.of(effect))
    ratio = cost_ratio(effect, sessions, setting)
    return replace(row, cost=Effect.of(ratio), money=money(ratio, sessions, setting))


def _of_the_baseline(found: Findings) -> list[Session]:
    """Sessions beside the baseline as those of a technique that starts as it does."""
    keys = [f"technique/{technique.name}" for technique in found.measured() if technique.measure == "step"]
    return [replace(s, startup=(s.startup[0], s.startup[0])) for key in keys for s in found.book.sessions(key)]


def _ratio_of(pairs: Sequence[tuple[float, float]]) -> Effect | None:
    """The ratio over sessions, with Student's interval of its logarithm where there are several; None without values."""
    usable = [(a, b) for a, b in pairs if a > 0 and b > 0]
    if not usable:
        return None
    found = statistics.mean_difference(np.array([np.log(b / a) for a, b in usable]))
    low, high = (float(np.exp(found.low)), float(np.exp(found.high))) if found.bounded else (-np.inf, np.inf)
    return Effect.of(Interval(float(np.exp(found.value)), low, high))


def _noise(found: Findings) -> Noise | None:
    """The spread of one block's log-ratio, over the comparisons: a robust deviation, within sessions."""
    spreads = []
    for technique in found.techniques:
        for session in found.book.sessions(f"technique/{technique.name}"):
            logs = statistics.log_ratios(session.blocks)
            spreads.append(1.4826 * float(np.median(np.abs(logs - np.median(logs)))))
    return Noise(float(np.median(spreads))) if spreads else None


def _among(found: Findings, way: str, techniques: Sequence[Technique]) -> tuple[Beside, ...]:
    """The stack's step time with or without each technique, over the stack's."""
    keys = {technique.name: f"{way}/{technique.name}" for technique in techniques}
    measured = {name: key for name, key in keys.items() if found.book.sessions(key)}
    return tuple(Beside(name, Effect.of(found.time(key)), found.by_time(key)) for name, key in measured.items())


def _stack(found: Findings) -> Whole:
    techniques = stack(found)
    key = f"technique/{techniques[0].name}" if len(techniques) == 1 else "stack"
    measured = bool(techniques) and bool(found.book.sessions(key))
    return Whole(tuple(names_of(techniques)), Effect.of(found.time(key)) if measured else None)


def _recommended(found: Findings) -> Recommended:
    """The recipe that was confirmed: its fields, its step time, its time to the target quality; and every candidate's confirmation.

    Without a confirmed one, plain PyTorch is recommended: no fields.
    """
    one = confirmed(found)
    chosen = [] if one is None else list(one.techniques)
    whole = Confirmed() if one is None else _confirmation(one)
    tried = tuple(_confirmation(each) for each in confirmations(found))
    return Recommended(**vars(whole), fields=_fields(found, chosen), confirmations=tried)


def _confirmation(one: Confirmation) -> Confirmed:
    """A candidate's fresh samples: what they say of its times and its quality."""
    return Confirmed(
        names=tuple(names_of(one.techniques)),
        outcome=one.outcome,
        why=one.why,
        sessions=one.sessions,
        seeds=one.seeds,
        time=None if one.time is None else Effect.of(one.time),
        to_target=None if one.effect is None else Effect.of(one.effect),
        quality=_quality(one.quality),
        reached=_reached(one.passes),
    )


def _contention(found: Findings) -> Surroundings | None:
    """What else the machine did while the study measured; None where no session says."""
    sessions = [session for key in found.book.compared() for session in found.book.sessions(key)]
    whole = over([session.contention for session in sessions if session.contention is not None])
    return None if whole is None else Surroundings.of(whole)


def _fields(found: Findings, chosen: Sequence[Technique]) -> Mapping[str, object]:
    """The recipe's fields as they were measured: what these set, and the number format and whatever hurts as the baseline has them.

    The rest leaves the weights alone and is the project's: a DataLoader, say, is there to compare with, and nobody's wish.
    """
    if not chosen:
        return {}
    measured = found.combined(chosen)["recipe"]
    verdicts = found.verdicts()
    wanted = [name for technique in chosen for name in technique.edit(found.setting)]
    hurts = [t for t in found.techniques if verdicts[t.name] == "hurts" and t.measure == "step"]
    wanted += [name for technique in hurts for name in technique.edit(found.setting)]
    return {name: measured[name] for name in dict.fromkeys([*wanted, *NUMERIC])}


def _open(found: Findings, rows: Sequence[Row]) -> tuple[Unsettled, ...]:
    """What could not be settled: why, and what it would take."""
    missing = []
    for row in rows:
        if row.verdict != "not settled":
            continue
        key, quality = f"technique/{row.name}", row.quality
        sessions = found.book.sessions(key)
        text, seconds = found.book.failure(key) or "there was no time to begin", None
        failed = [reason for reason in (found.book.failure(f"curve/{row.name}/{k}") for k in range(100)) if reason]
        if row.measure == "run":
            text = "the trainings were too short for it"
        elif failed:
            text = f"a training of it failed: {failed[0]}"
        elif found.book.failure(key) is None and row.changes != "nothing" and quality is None:
            text = "its quality was not compared: no time for trainings"
        elif quality is not None and quality.says == "open":
            seeds = len(found.curves(row.name)) or len(found.curves("baseline"))
            text = f"{seeds} seeds could not tell its quality from a loss; --seeds {2 * seeds} tells more"
        elif not sessions and row.to_target is not None:
            seeds = len(found.curves(row.name))
            text = f"{seeds} seeds could not tell when it reaches the target; --seeds {2 * seeds} tells more"
        elif sessions:
            text, seconds = "the interval of its time is still too wide", _seconds_more(found, row)
        missing.append(Unsettled(row.name, text, seconds))
    return tuple(missing)


def _seconds_more(found: Findings, row: Row) -> float | None:
    """The seconds that would settle a time; None where nothing says so: without an interval, and from figures of a busy machine."""
    surroundings, key = _contention(found), f"technique/{row.name}"
    busy = surroundings is not None and surroundings.state == "unusable"
    needed = statistics.pairs_needed(found.pairs(key), found.share(key), found.spread())
    if busy or needed is None or not is_known(row.time):
        return None
    sessions = found.book.sessions(key)
    return float(np.mean([session.seconds for session in sessions])) * (needed - len(sessions))


def _trained(found: Findings) -> list[str]:
    return list(dict.fromkeys(key.rsplit("/", 1)[0] for key in found.book.answers("curve/")))


def _curve(curve: Curve) -> CurveSummary:
    return CurveSummary(tuple(curve["passes"]), tuple(curve["quality"]), curve["seconds"])
