"""The result of a study, from its notebook, technique by technique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from headway.effect import statistics
from headway.effect.confirmation import Confirmation, confirmations, names_of, winner
from headway.effect.contention import over
from headway.effect.cost import cost_ratio, money, ready_seconds
from headway.effect.findings import Findings
from headway.effect.lab import Session
from headway.effect.quality import Curve, Passes, final_quality
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
"""Fields that change what is computed, or in which format: a recipe that was measured with one value is another with the next."""


def conclusions(findings: Findings) -> StudyResult:
    """The whole result, technique by technique."""
    verdicts = findings.verdicts()
    curves, names = findings.curves("baseline"), {technique.name for technique in findings.techniques}
    margin, target = findings.margin, findings.target
    rows = tuple(_technique(findings, technique, verdicts[technique.name]) for technique in findings.techniques)
    return StudyResult(
        baseline=findings.setting.recipe.model_dump(mode="json"),
        breakdown=findings.book.answer("breakdown") or {},
        noise=_noise(findings),
        contention=_contention(findings),
        seeds=max((len(findings.curves(name)) for name in _variants(findings) if name in names), default=len(curves)),
        baseline_seeds=len(curves),
        epochs=len(curves[0]["quality"]) if curves else 0,
        baseline_quality=tuple(final_quality(curve) for curve in curves),
        margin=None if margin is None else margin.value,
        margin_limits=None if margin is None else margin.limits(statistics.ALPHA),
        target=target,
        techniques=rows,
        stack=_stack(findings),
        without=_among(findings, "without", stack(findings)),
        with_=_among(findings, "with", to_add(findings)),
        recommended=_recommended(findings),
        spent=findings.book.seconds,
        open=_open(findings, rows),
        curves={name: tuple(_curve(c) for c in findings.curves(name)) for name in _variants(findings)},
    )


def _technique(findings: Findings, technique: Technique, verdict: str) -> Row:
    key = f"technique/{technique.name}"
    sessions, blocks = findings.book.sessions(key), findings.book.blocks(key)
    unsupported = findings.unsupported(technique)
    row = Row(
        name=technique.name,
        sentence=technique.sentence,
        reference=technique.reference,
        changes=technique.changes,
        measure=technique.measure,
        verdict=verdict,
        reason=unsupported or findings.differs(technique),
        bound=findings.bound(technique) if technique.measure == "step" and technique.changes != "maths" else None,
        edit={} if unsupported else dict(technique.edit(findings.setting)),
        pairs=len(sessions),
        blocks=len(blocks),
        time=Effect.of(findings.time(key)) if len(blocks) else None,
        samples=tuple(tuple(statistics.log_ratios(session.blocks).round(5).tolist()) for session in sessions),
        losses_apart=findings.apart(technique),
    )
    if sessions:
        peak = _ratio_of([s.peak for s in sessions if s.peak is not None])
        joules = _ratio_of([s.joules for s in sessions if s.joules is not None])
        row = replace(row, startup=ready_seconds(sessions), peak=peak, joules=joules)
    effect = findings.effect(technique) if unsupported is None else None
    if effect is not None:
        row = _with_cost(row, effect, technique, sessions or _of_the_baseline(findings), findings.setting)
        if technique.measure not in ("prediction", "seeds"):
            row = replace(row, to_target=Effect.of(effect))
    if unsupported is None and technique.changes != "nothing":
        counts = _counts(findings.passes(technique)) if findings.runs_again(technique) else None
        row = replace(row, quality=_quality(findings.quality(technique)), reached=counts)
    return row


def _quality(quality: tuple[Mean, str] | None) -> Gap | None:
    """The difference of quality with its 95 % interval, and its verdict when corrected for the number of techniques."""
    if quality is None:
        return None
    effect = Effect.of(quality[0].interval())
    return Gap(effect.value, effect.low, effect.high, effect.p, quality[1])


def _counts(passes: Passes | None) -> Reached | None:
    return None if passes is None else Reached(passes.first, passes.second, passes.seeds)


def _with_cost(row: Row, effect: Interval, technique: Technique, sessions: Sequence[Session], setting: Setting) -> Row:
    """For a technique of training, the cost of a run with its start-up; for others, the ratio of the times alone."""
    if technique.measure != "step" or not sessions:
        return replace(row, cost=Effect.of(effect))
    ratio = cost_ratio(effect, sessions, setting)
    return replace(row, cost=Effect.of(ratio), money=money(ratio, sessions, setting))


def _of_the_baseline(findings: Findings) -> list[Session]:
    """The baseline's sessions, as those of a technique that starts as fast as the baseline."""
    keys = [f"technique/{technique.name}" for technique in findings.available() if technique.measure == "step"]
    return [replace(s, startup=(s.startup[0], s.startup[0])) for key in keys for s in findings.book.sessions(key)]


def _ratio_of(pairs: Sequence[tuple[float, float]]) -> Effect | None:
    """The ratio over sessions, with Student's interval of its logarithm where there are several; None without values."""
    usable = [(a, b) for a, b in pairs if a > 0 and b > 0]
    if not usable:
        return None
    interval = statistics.mean_difference(np.array([np.log(b / a) for a, b in usable]))
    low, high = (float(np.exp(interval.low)), float(np.exp(interval.high))) if interval.bounded else (-np.inf, np.inf)
    return Effect.of(Interval(float(np.exp(interval.value)), low, high))


def _noise(findings: Findings) -> Noise | None:
    """The spread of one block's log-ratio, over the comparisons: a robust deviation, within sessions."""
    spreads = []
    for technique in findings.techniques:
        for session in findings.book.sessions(f"technique/{technique.name}"):
            logs = statistics.log_ratios(session.blocks)
            spreads.append(1.4826 * float(np.median(np.abs(logs - np.median(logs)))))
    return Noise(float(np.median(spreads))) if spreads else None


def _among(findings: Findings, way: str, techniques: Sequence[Technique]) -> tuple[Beside, ...]:
    """The stack's step time with or without each technique, over the stack's."""
    keys = {technique.name: f"{way}/{technique.name}" for technique in techniques}
    present = {name: key for name, key in keys.items() if findings.book.sessions(key)}
    return tuple(Beside(name, Effect.of(findings.time(key)), findings.by_time(key)) for name, key in present.items())


def _stack(findings: Findings) -> Whole:
    techniques = stack(findings)
    key = f"technique/{techniques[0].name}" if len(techniques) == 1 else "stack"
    has_sessions = bool(techniques) and bool(findings.book.sessions(key))
    return Whole(tuple(names_of(techniques)), Effect.of(findings.time(key)) if has_sessions else None)


def _recommended(findings: Findings) -> Recommended:
    """The recipe that was confirmed: its fields, its step time, its time to the target quality; and every candidate's confirmation.

    Without a confirmed one, plain PyTorch is recommended: no fields.
    """
    one = winner(findings)
    techniques = [] if one is None else list(one.techniques)
    whole = Confirmed() if one is None else _confirmation(one)
    attempts = tuple(_confirmation(each) for each in confirmations(findings))
    return Recommended(**vars(whole), fields=_fields(findings, techniques), confirmations=attempts)


def _confirmation(one: Confirmation) -> Confirmed:
    """The result of a candidate's fresh samples: times and quality."""
    return Confirmed(
        names=tuple(names_of(one.techniques)),
        outcome=one.outcome,
        why=one.why,
        sessions=one.sessions,
        seeds=one.seeds,
        time=None if one.time is None else Effect.of(one.time),
        to_target=None if one.effect is None else Effect.of(one.effect),
        quality=_quality(one.quality),
        reached=_counts(one.passes),
    )


def _contention(findings: Findings) -> Surroundings | None:
    """The contention during the study; None where no session measured it."""
    sessions = [session for key in findings.book.comparisons() for session in findings.book.sessions(key)]
    whole = over([session.contention for session in sessions if session.contention is not None])
    return None if whole is None else Surroundings.of(whole)


def _fields(findings: Findings, techniques: Sequence[Technique]) -> Mapping[str, object]:
    """The recipe's fields as they were measured: those of the techniques, the number format, and the fields of techniques that hurt.

    The other fields stay the project's own: a DataLoader, for example, is only in the baseline to compare with.
    """
    if not techniques:
        return {}
    recipe = findings.combination(techniques)["recipe"]
    verdicts = findings.verdicts()
    names = [name for technique in techniques for name in technique.edit(findings.setting)]
    hurts = [t for t in findings.techniques if verdicts[t.name] == "hurts" and t.measure == "step"]
    names += [name for technique in hurts for name in technique.edit(findings.setting)]
    return {name: recipe[name] for name in dict.fromkeys([*names, *NUMERIC])}


def _open(findings: Findings, rows: Sequence[Row]) -> tuple[Unsettled, ...]:
    """Techniques that could not be settled: why, and how long it would take."""
    missing = []
    for row in rows:
        if row.verdict != "not settled":
            continue
        key, quality = f"technique/{row.name}", row.quality
        sessions = findings.book.sessions(key)
        text, seconds = findings.book.failure(key) or "there was no time to begin", None
        failures = [reason for reason in (findings.book.failure(f"curve/{row.name}/{k}") for k in range(100)) if reason]
        if row.measure == "run":
            text = "the trainings were too short for it"
        elif failures:
            text = f"a training of it failed: {failures[0]}"
        elif findings.book.failure(key) is None and row.changes != "nothing" and quality is None:
            text = "its quality was not compared: no time for trainings"
        elif quality is not None and quality.says == "open":
            seeds = len(findings.curves(row.name)) or len(findings.curves("baseline"))
            text = f"{seeds} seeds are too few to rule out a loss of quality; try --seeds {2 * seeds}"
        elif not sessions and row.to_target is not None:
            seeds = len(findings.curves(row.name))
            text = f"{seeds} seeds are too few to say when it reaches the target; try --seeds {2 * seeds}"
        elif sessions:
            text, seconds = "the interval of its time is still too wide", _seconds_more(findings, row)
        missing.append(Unsettled(row.name, text, seconds))
    return tuple(missing)


def _seconds_more(findings: Findings, row: Row) -> float | None:
    """The seconds that would settle a time; None without an interval, or where the machine was too busy."""
    surroundings, key = _contention(findings), f"technique/{row.name}"
    busy = surroundings is not None and surroundings.state == "unusable"
    pairs = findings.pairs_needed(key)
    if busy or pairs is None or not is_known(row.time):
        return None
    sessions = findings.book.sessions(key)
    return float(np.mean([session.seconds for session in sessions])) * (pairs - len(sessions))


def _variants(findings: Findings) -> list[str]:
    return list(dict.fromkeys(key.rsplit("/", 1)[0] for key in findings.book.answers("curve/")))


def _curve(curve: Curve) -> CurveSummary:
    return CurveSummary(tuple(curve["passes"]), tuple(curve["quality"]), curve["seconds"])
