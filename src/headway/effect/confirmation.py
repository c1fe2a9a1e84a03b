"""Whether the recommended recipe gains, measured on samples that were not used to choose it.

The best of many estimates is partly luck: the samples that chose it overstate it (the winner's curse). So a study first chooses, from all
its measurements, the most promising combination and a second one in case the first fails. The choice is kept in the notebook. Then each is
measured as a whole, on fresh sessions and fresh seeds, and only those samples are reported. It is recommended only where their interval
lies below 1, at a quality that is equal or better; otherwise plain PyTorch is recommended.

As the confirmation protects from false choices, a combination may also hold techniques that seem to help but are not settled alone.

Each of `ATTEMPTS` candidates is looked at up to `CONFIRM_LOOKS` times; each look spends an equal part of the error (Bonferroni). In fifty
studies of the baseline against itself at most two recommend anything: see `make bench NAME=effect` and
`tests/effect/test_confirmation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from headway.effect import statistics
from headway.effect.equality import Comparison, Equality
from headway.effect.findings import Findings
from headway.effect.quality import Curve, Passes, differences_of, passes_until
from headway.effect.stack import gain, proposal, stack
from headway.effect.statistics import LEAST, Interval, Mean, Spread
from headway.effect.technique import Technique

ATTEMPTS = 2

CONFIRM_LOOKS = (4, 8, 16)
"""Fresh sessions after which a candidate is looked at."""

ROUNDS = (1, 2, 2)
"""At each look, so many times the study's number of fresh seeds is trained in all: twice where one round did not settle it."""

FRESH = 1000
"""The first of the fresh seeds; smaller ones are used to choose."""

FRESH_BASELINE = "baseline, fresh seeds"

Outcome = Literal["confirmed", "not confirmed", "open"]
"""Open: there was no time for all the looks that are allowed."""


def key_of(attempt: int) -> str:
    """The comparison and the trainings of a candidate in the notebook."""
    return f"confirmation/{attempt}"


def candidates(findings: Findings, trainable: bool = True) -> list[list[Technique]]:
    """The combinations to confirm, in order: those in the notebook, otherwise those that would be chosen now.

    ``trainable``: whether there is time for fresh trainings. Without them, no technique that affects the quality can be confirmed.
    """
    answer = findings.book.answer("candidates")
    if answer is not None:
        return [[t for name in names for t in findings.techniques if t.name == name] for names in answer["names"]]
    whole = proposal(findings)
    if not trainable:
        whole = [t for t in whole if t.changes == "nothing"]
    verdicts = findings.verdicts()
    alone = [[t] for t in findings.available() if t.measure == "step" and verdicts[t.name] == "helps"]
    lesser = [[t for t in whole if t.changes == "nothing"], stack(findings), *alone]
    lesser = [few for few in lesser if set(names_of(few)) != set(names_of(whole)) and (trainable or not touched(few))]
    lesser.sort(key=lambda few: gain(findings, few))
    return [few for few in [whole, *lesser] if few][:ATTEMPTS]


def names_of(techniques: Sequence[Technique]) -> list[str]:
    """Their names, in their order."""
    return [technique.name for technique in techniques]


def touched(techniques: Sequence[Technique]) -> bool:
    """Whether any of them affects the quality, so that trainings must show that it is kept."""
    return any(technique.changes != "nothing" for technique in techniques)


@dataclass(frozen=True)
class Confirmation:
    """The result of a candidate's fresh samples. ``effect``: the ratio of times to the same quality; ``quality`` and ``passes``: None
    where none of its techniques affects the quality, or no training has ended."""

    techniques: tuple[Technique, ...]
    outcome: Outcome
    why: str
    sessions: int
    seeds: int
    time: Interval | None = None
    effect: Interval | None = None
    quality: tuple[Mean, Equality] | None = None
    passes: Passes | None = None


def confirmations(findings: Findings) -> list[Confirmation]:
    """The candidates' results in their order, up to the one that is confirmed or open; empty before any was chosen."""
    attempts: list[Confirmation] = []
    if findings.book.answer("candidates") is None:
        return attempts
    for attempt, candidate in enumerate(candidates(findings)):
        attempts.append(_confirmation(findings, attempt, candidate))
        if attempts[-1].outcome != "not confirmed":
            break
    return attempts


def winner(findings: Findings) -> Confirmation | None:
    """The confirmed candidate; None where there is none, so that plain PyTorch is recommended."""
    return next((one for one in confirmations(findings) if one.outcome == "confirmed"), None)


def _confirmation(findings: Findings, attempt: int, candidate: Sequence[Technique]) -> Confirmation:
    key, looks = key_of(attempt), len(CONFIRM_LOOKS) * ATTEMPTS
    sessions, pairs = len(findings.book.sessions(key)), findings.trained_pairs(FRESH_BASELINE, key)
    failure = findings.book.failure(key)
    if sessions < 2 or failure is not None:
        why = failure or "there was no time for it"
        return Confirmation(tuple(candidate), "not confirmed" if failure else "open", why, sessions, len(pairs))
    noise = _noise(findings, key)
    time = statistics.mean_of(findings.pairs(key), noise.times)
    step = statistics.ratio(findings.pairs(key), looks, noise.times)
    quality = _quality(findings, pairs, noise.qualities) if touched(candidate) else None
    passes = None
    if any(technique.changes == "maths" for technique in candidate) and findings.target is not None:
        passes = passes_until(pairs, findings.target)
        effect = findings.to_target(time, passes, looks)
    else:
        effect = step
    outcome, why = _outcome(effect, quality, touched(candidate), sessions)
    if findings.diverged(key):
        outcome, why = "not confirmed", "a loss did not stay finite"
    return Confirmation(tuple(candidate), outcome, why, sessions, len(pairs), step, effect, quality, passes)


@dataclass(frozen=True)
class _Noise:
    """The noise of times and of qualities, from the study's other comparisons."""

    times: Spread | None
    qualities: Spread | None


def look_at(findings: Findings, attempt: int) -> Confirmation:
    """A look at a candidate. The noise as it is known now is kept in the notebook: later measurements of other techniques must not
    change the result of this look."""
    key = key_of(attempt)
    sessions, seeds = len(findings.book.sessions(key)), len(findings.curves(key))
    record = findings.book.answer(f"{key}/noise")
    if record is None or (record["sessions"], record["seeds"]) != (sessions, seeds):
        spreads = {"times": findings.spread(), "qualities": findings.quality_spread()}
        noise = {name: None if spread is None else asdict(spread) for name, spread in spreads.items()}
        findings.book.add_answer(f"{key}/noise", {"sessions": sessions, "seeds": seeds, **noise}, 0.0)
    return _confirmation(findings, attempt, candidates(findings)[attempt])


def _noise(findings: Findings, key: str) -> _Noise:
    """As kept at the last look; before the first look, as it is now."""
    record = findings.book.answer(f"{key}/noise")
    if record is None:
        return _Noise(findings.spread(), findings.quality_spread())
    times, qualities = (None if record[name] is None else Spread(**record[name]) for name in ("times", "qualities"))
    return _Noise(times, qualities)


def _quality(
    findings: Findings, pairs: Sequence[tuple[Curve, Curve]], spread: Spread | None
) -> tuple[Mean, Equality] | None:
    if len(pairs) < 2 or findings.margin is None:
        return None
    mean = statistics.mean_of(differences_of(pairs), spread)
    return mean, Comparison.of(mean, findings.margin).verdict_among(len(set(ROUNDS)) * ATTEMPTS)


def _outcome(
    effect: Interval | None, quality: tuple[Mean, Equality] | None, trainable: bool, sessions: int
) -> tuple[Outcome, str]:
    """The outcome of the samples so far, and why it is not confirmed."""
    last_look = sessions >= CONFIRM_LOOKS[-1]
    if quality is not None and quality[1] == "worse":
        return "not confirmed", "its quality is worse"
    if effect is not None and effect.low > 1:
        return "not confirmed", "it is slower"
    sooner = effect is not None and effect.high < 1 and effect.value <= 1 / (1 + LEAST)
    if sooner and (not trainable or (quality is not None and quality[1] in ("equal", "better"))):
        return "confirmed", ""
    futile = effect is not None and effect.value >= 1 and sessions >= CONFIRM_LOOKS[1]
    if sooner:
        why = "the fresh seeds do not show that its quality is kept" if quality else "no fresh seeds were trained"
    else:
        why = "the fresh sessions do not show that it is faster"
    return ("not confirmed" if last_look or futile else "open"), why
