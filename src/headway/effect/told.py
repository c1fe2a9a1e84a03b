"""A study as plain values: what effect.json holds, the report draws and MLflow keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headway.effect import statistics
from headway.effect.confirmation import Confirmation, confirmations, confirmed, names_of
from headway.effect.contention import over
from headway.effect.cost import cost_ratio, money, ready_seconds
from headway.effect.findings import Findings
from headway.effect.lab import Session
from headway.effect.quality import Passes, kept
from headway.effect.stack import stack, to_add
from headway.effect.statistics import Interval, Mean
from headway.effect.technique import Setting, Technique

NUMERIC = ("precision", "compile", "cuda_graphs", "checkpoint_activations")
"""Fields that change what is computed, or with what: a recipe that was measured in one is not the same in another."""


def told(found: Findings) -> dict[str, Any]:
    """Everything that the notebook says, technique by technique."""
    verdicts = found.verdicts()
    curves, named = found.curves("baseline"), {technique.name for technique in found.techniques}
    margin, target = found.margin, found.target
    rows = [_technique(found, technique, verdicts[technique.name]) for technique in found.techniques]
    return {
        "baseline": found.setting.recipe.model_dump(mode="json"),
        "breakdown": found.book.answer("breakdown") or {},
        "noise": _noise(found),
        "contention": _contention(found),
        "seeds": max((len(found.curves(name)) for name in _trained(found) if name in named), default=len(curves)),
        "baseline_seeds": len(curves),
        "epochs": len(curves[0]["quality"]) if curves else 0,
        "baseline_quality": [kept(curve) for curve in curves],
        "margin": None if margin is None else margin.value,
        "margin_limits": None if margin is None else margin.limits(statistics.ALPHA),
        "target": target,
        "techniques": rows,
        "stack": _stack(found),
        "without": _among(found, "without", stack(found)),
        "with": _among(found, "with", to_add(found)),
        "recommended": _recommended(found),
        "spent": found.book.spent,
        "open": _open(found, rows),
        "curves": {name: [_curve(c) for c in found.curves(name)] for name in _trained(found)},
    }


def _technique(found: Findings, technique: Technique, verdict: str) -> dict[str, Any]:
    key = f"technique/{technique.name}"
    sessions, blocks = found.book.sessions(key), found.book.blocks(key)
    unsupported = found.unsupported(technique)
    row: dict[str, Any] = {
        "name": technique.name,
        "sentence": technique.sentence,
        "reference": technique.reference,
        "changes": technique.changes,
        "measure": technique.measure,
        "verdict": verdict,
        "reason": unsupported or found.differs(technique),
        "bound": found.bound(technique) if technique.measure == "step" and technique.changes != "maths" else None,
        "edit": {} if unsupported else dict(technique.edit(found.setting)),
        "pairs": len(sessions),
        "blocks": len(blocks),
        "time": found.time(key).to_json() if len(blocks) else None,
        "to_target": None,
        "quality": None,
        "reached": None,
        "startup": None,
        "peak": None,
        "joules": None,
        "cost": None,
        "money": None,
        "samples": [statistics.log_ratios(session.blocks).round(5).tolist() for session in sessions],
        "losses_apart": found.apart(technique),
    }
    if sessions:
        row["startup"] = list(ready_seconds(sessions))
        row["peak"] = _ratio_of([s.peak for s in sessions if s.peak is not None])
        row["joules"] = _ratio_of([s.joules for s in sessions if s.joules is not None])
    effect = found.effect(technique) if unsupported is None else None
    if effect is not None:
        row |= _cost(effect, technique, sessions or _of_the_baseline(found), found.setting)
    row["to_target"] = None if effect is None or technique.measure in ("prediction", "seeds") else effect.to_json()
    if unsupported is None and technique.changes != "nothing":
        row["quality"] = _quality(found.quality(technique))
        row["reached"] = _reached(found.passes(technique)) if found.runs_again(technique) else None
    return row


def _quality(judged: tuple[Mean, str] | None) -> dict[str, Any] | None:
    """The difference of quality with its 95 % interval, and what it says when corrected for the number of techniques."""
    return None if judged is None else {**judged[0].interval().to_json(), "says": judged[1]}


def _reached(passes: Passes | None) -> dict[str, int] | None:
    """How many trainings reached the target quality."""
    return None if passes is None else {"baseline": passes.first, "with": passes.second, "of": passes.seeds}


def _cost(effect: Interval, technique: Technique, sessions: Sequence[Session], setting: Setting) -> dict[str, Any]:
    """Of a run that trains, with the time until it is ready; of whatever else is timed, that time alone."""
    if technique.measure != "step" or not sessions:
        return {"cost": effect.to_json()}
    ratio = cost_ratio(effect, sessions, setting)
    return {"cost": ratio.to_json(), "money": money(ratio, sessions, setting)}


def _of_the_baseline(found: Findings) -> list[Session]:
    """Sessions beside the baseline as those of a technique that starts as it does."""
    keys = [f"technique/{technique.name}" for technique in found.measured() if technique.measure == "step"]
    return [replace(s, startup=(s.startup[0], s.startup[0])) for key in keys for s in found.book.sessions(key)]


def _ratio_of(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None] | None:
    """The ratio over sessions, with Student's interval of its logarithm where there are several; None without values."""
    usable = [(a, b) for a, b in pairs if a > 0 and b > 0]
    if not usable:
        return None
    found = statistics.mean_difference(np.array([np.log(b / a) for a, b in usable]))
    low, high = (float(np.exp(found.low)), float(np.exp(found.high))) if found.bounded else (-np.inf, np.inf)
    return Interval(float(np.exp(found.value)), low, high).to_json()


def _noise(found: Findings) -> dict[str, float] | None:
    """The spread of one block's log-ratio, over the comparisons: a robust deviation, within sessions."""
    spreads = []
    for technique in found.techniques:
        for session in found.book.sessions(f"technique/{technique.name}"):
            logs = statistics.log_ratios(session.blocks)
            spreads.append(1.4826 * float(np.median(np.abs(logs - np.median(logs)))))
    return {"block": float(np.median(spreads))} if spreads else None


def _among(found: Findings, way: str, techniques: Sequence[Technique]) -> list[dict[str, Any]]:
    """The stack's step time with or without each technique, over the stack's."""
    keys = {technique.name: f"{way}/{technique.name}" for technique in techniques}
    return [
        {"name": name, "time": found.time(key).to_json(), "verdict": found.by_time(key)}
        for name, key in keys.items()
        if found.book.sessions(key)
    ]


def _stack(found: Findings) -> dict[str, Any]:
    techniques = stack(found)
    key = f"technique/{techniques[0].name}" if len(techniques) == 1 else "stack"
    measured = bool(techniques) and bool(found.book.sessions(key))
    return {"names": names_of(techniques), "time": found.time(key).to_json() if measured else None}


def _recommended(found: Findings) -> dict[str, Any]:
    """The recipe that was confirmed: its fields, its step time, its time to the target quality; and every candidate's confirmation.

    Without a confirmed one, plain PyTorch is recommended: no fields.
    """
    one = confirmed(found)
    chosen = [] if one is None else list(one.techniques)
    shown = _confirmation(one) if one is not None else {"names": [], "time": None, "to_target": None, "quality": None}
    return {
        **shown,
        "fields": _fields(found, chosen),
        "confirmations": [_confirmation(each) for each in confirmations(found)],
    }


def _confirmation(one: Confirmation) -> dict[str, Any]:
    """A candidate's fresh samples: what they say of its times and its quality."""
    return {
        "names": names_of(one.techniques),
        "outcome": one.outcome,
        "why": one.why,
        "sessions": one.sessions,
        "seeds": one.seeds,
        "time": None if one.time is None else one.time.to_json(),
        "to_target": None if one.effect is None else one.effect.to_json(),
        "quality": _quality(one.quality),
        "reached": _reached(one.passes),
    }


def _contention(found: Findings) -> dict[str, Any] | None:
    """What else the machine did while the study measured; None where no session says."""
    sessions = [session for key in found.book.compared() for session in found.book.sessions(key)]
    whole = over([session.contention for session in sessions if session.contention is not None])
    return None if whole is None else {**whole.to_json(), "state": whole.state, "text": str(whole)}


def _fields(found: Findings, chosen: Sequence[Technique]) -> dict[str, Any]:
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


def _open(found: Findings, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What could not be settled: why, and what it would take."""
    missing = []
    for row in rows:
        if row["verdict"] != "not settled":
            continue
        key, quality = f"technique/{row['name']}", row["quality"]
        sessions = found.book.sessions(key)
        text, seconds = found.book.failure(key) or "there was no time to begin", None
        failed = [reason for reason in (found.book.failure(f"curve/{row['name']}/{k}") for k in range(100)) if reason]
        if row["measure"] == "run":
            text = "the trainings were too short for it"
        elif failed:
            text = f"a training of it failed: {failed[0]}"
        elif found.book.failure(key) is None and row["changes"] != "nothing" and quality is None:
            text = "its quality was not compared: no time for trainings"
        elif quality is not None and quality["says"] == "open":
            seeds = len(found.curves(row["name"])) or len(found.curves("baseline"))
            text = f"{seeds} seeds could not tell its quality from a loss; --seeds {2 * seeds} tells more"
        elif not sessions and row["to_target"] is not None:
            seeds = len(found.curves(row["name"]))
            text = f"{seeds} seeds could not tell when it reaches the target; --seeds {2 * seeds} tells more"
        elif sessions:
            each = float(np.mean([s.seconds for s in sessions]))
            needed = statistics.pairs_needed(found.pairs(key), found.share(key), found.spread())
            text, seconds = "the interval of its time is still too wide", each * (needed - len(sessions))
        missing.append({"name": row["name"], "why": text, "seconds": seconds})
    return missing


def _trained(found: Findings) -> list[str]:
    return list(dict.fromkeys(key.rsplit("/", 1)[0] for key in found.book.answers("curve/")))


def _curve(curve: Any) -> dict[str, Any]:
    return {"passes": curve["passes"], "quality": curve["quality"], "seconds": curve["seconds"]}
