"""Whether the recommended recipe gains, on samples that had no part in choosing it.

What looks best of many was lucky, too: its own samples overstate it (the winner's curse). So a study first chooses, from all that it
has measured: the whole that promises the most, and one that takes its place should that fail. The choice is written down. Then each is
measured as a whole, on fresh sessions and fresh seeds of its own, and those samples alone are reported. It is recommended only where their
interval lies below 1, at a quality that is equal or better; else plain PyTorch is.

As the confirmation protects, the choice may be bold: what seems to help, and is not settled alone, may still be part of the whole.

Each of `ATTEMPTS` candidates is looked at up to `CONFIRM_LOOKS` times; each look spends an equal part of the error (Bonferroni). That over
fifty studies of the baseline against itself at most two recommend anything is what `make bench NAME=effect` and
`tests/effect/test_confirmation.py` show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from headway.effect import statistics
from headway.effect.equality import Comparison, Equality
from headway.effect.findings import Findings
from headway.effect.quality import Curve, Passes, differences_of, passes_until
from headway.effect.stack import gain, recommended, stack
from headway.effect.statistics import LEAST, Interval, Mean, Spread
from headway.effect.technique import Technique

ATTEMPTS = 2

CONFIRM_LOOKS = (4, 8, 16)
"""Fresh sessions after which a candidate is looked at."""

ROUNDS = (1, 2, 2)
"""At each look, as many times the study's seeds are trained afresh: the second time where the first has not settled it."""

FRESH = 1000
"""The first of the fresh seeds; those that choose are below."""

FRESH_BASELINE = "baseline, fresh seeds"

Outcome = Literal["confirmed", "not confirmed", "open"]
"""Open: there was no time to look as often as is allowed."""


def key_of(attempt: int) -> str:
    """The comparison and the trainings of a candidate in the notebook."""
    return f"confirmation/{attempt}"


def candidates(found: Findings, trainable: bool = True) -> list[list[Technique]]:
    """What is confirmed, one after the other: as written down, or else as it would be chosen now.

    ``trainable``: whether there is time for fresh trainings; without, nothing that touches the quality can be confirmed.
    """
    answer = found.book.answer("candidates")
    if answer is not None:
        return [[t for name in names for t in found.techniques if t.name == name] for names in answer["names"]]
    whole = recommended(found)
    if not trainable:
        whole = [t for t in whole if t.changes == "nothing"]
    verdicts = found.verdicts()
    alone = [[t] for t in found.measured() if t.measure == "step" and verdicts[t.name] == "helps"]
    lesser = [[t for t in whole if t.changes == "nothing"], stack(found), *alone]
    lesser = [few for few in lesser if set(names_of(few)) != set(names_of(whole)) and (trainable or not touched(few))]
    lesser.sort(key=lambda few: gain(found, few))
    return [few for few in [whole, *lesser] if few][:ATTEMPTS]


def names_of(techniques: Sequence[Technique]) -> list[str]:
    """Their names, in their order."""
    return [technique.name for technique in techniques]


def touched(techniques: Sequence[Technique]) -> bool:
    """Whether any of them touches the quality, so that trainings must show that it is kept."""
    return any(technique.changes != "nothing" for technique in techniques)


@dataclass(frozen=True)
class Confirmation:
    """What the fresh samples of a candidate say. ``effect``: the ratio of times to the same quality; ``quality`` and ``passes``: None
    where none of its techniques touches the quality, or no training has ended."""

    techniques: tuple[Technique, ...]
    outcome: Outcome
    why: str
    sessions: int
    seeds: int
    time: Interval | None = None
    effect: Interval | None = None
    quality: tuple[Mean, Equality] | None = None
    passes: Passes | None = None


def confirmations(found: Findings) -> list[Confirmation]:
    """Of the candidates in their order, until one is confirmed or there was no time for it; empty before any was chosen."""
    tried: list[Confirmation] = []
    if found.book.answer("candidates") is None:
        return tried
    for attempt, chosen in enumerate(candidates(found)):
        tried.append(_confirmation(found, attempt, chosen))
        if tried[-1].outcome != "not confirmed":
            break
    return tried


def confirmed(found: Findings) -> Confirmation | None:
    """The recommended recipe; None where nothing was confirmed, and plain PyTorch is recommended."""
    return next((one for one in confirmations(found) if one.outcome == "confirmed"), None)


def _confirmation(found: Findings, attempt: int, chosen: Sequence[Technique]) -> Confirmation:
    key, looks = key_of(attempt), len(CONFIRM_LOOKS) * ATTEMPTS
    sessions, pairs = len(found.book.sessions(key)), found.trained_pairs(FRESH_BASELINE, key)
    failure = found.book.failure(key)
    if sessions < 2 or failure is not None:
        why = failure or "there was no time for it"
        return Confirmation(tuple(chosen), "not confirmed" if failure else "open", why, sessions, len(pairs))
    noise = _noise(found, key)
    time = statistics.mean_of(found.pairs(key), noise.times)
    step = statistics.ratio(found.pairs(key), looks, noise.times)
    quality = _quality(found, pairs, noise.qualities) if touched(chosen) else None
    passes = None
    if any(technique.changes == "maths" for technique in chosen) and found.target is not None:
        passes = passes_until(pairs, found.target)
        effect = found.to_target(time, passes, looks)
    else:
        effect = step
    outcome, why = _outcome(effect, quality, touched(chosen), sessions)
    if found.diverged(key):
        outcome, why = "not confirmed", "a loss did not stay finite"
    return Confirmation(tuple(chosen), outcome, why, sessions, len(pairs), step, effect, quality, passes)


@dataclass(frozen=True)
class _Noise:
    """What the study's other comparisons say of the noise of times and of qualities."""

    times: Spread | None
    qualities: Spread | None


def look_at(found: Findings, attempt: int) -> Confirmation:
    """A look at a candidate. It goes by what is known of the noise now, which is written down: measuring that goes on for other
    techniques must not change what this look says."""
    key = key_of(attempt)
    sessions, seeds = len(found.book.sessions(key)), len(found.curves(key))
    kept = found.book.answer(f"{key}/noise")
    if kept is None or (kept["sessions"], kept["seeds"]) != (sessions, seeds):
        spreads = {"times": found.spread(), "qualities": found.quality_spread()}
        noise = {name: None if spread is None else asdict(spread) for name, spread in spreads.items()}
        found.book.add_answer(f"{key}/noise", {"sessions": sessions, "seeds": seeds, **noise}, 0.0)
    return _confirmation(found, attempt, candidates(found)[attempt])


def _noise(found: Findings, key: str) -> _Noise:
    """As it was written down at the last look; as it is now before the first."""
    kept = found.book.answer(f"{key}/noise")
    if kept is None:
        return _Noise(found.spread(), found.quality_spread())
    times, qualities = (None if kept[name] is None else Spread(**kept[name]) for name in ("times", "qualities"))
    return _Noise(times, qualities)


def _quality(
    found: Findings, pairs: Sequence[tuple[Curve, Curve]], spread: Spread | None
) -> tuple[Mean, Equality] | None:
    if len(pairs) < 2 or found.margin is None:
        return None
    mean = statistics.mean_of(differences_of(pairs), spread)
    return mean, Comparison.of(mean, found.margin).judged(len(set(ROUNDS)) * ATTEMPTS)


def _outcome(
    effect: Interval | None, quality: tuple[Mean, Equality] | None, trained: bool, sessions: int
) -> tuple[Outcome, str]:
    """What the samples so far say, and why it is not confirmed."""
    ended = sessions >= CONFIRM_LOOKS[-1]
    if quality is not None and quality[1] == "worse":
        return "not confirmed", "its quality is worse"
    if effect is not None and effect.low > 1:
        return "not confirmed", "it is slower"
    sooner = effect is not None and effect.high < 1 and effect.value <= 1 / (1 + LEAST)
    if sooner and (not trained or (quality is not None and quality[1] in ("equal", "better"))):
        return "confirmed", ""
    futile = effect is not None and effect.value >= 1 and sessions >= CONFIRM_LOOKS[1]
    if sooner:
        why = "the fresh seeds do not show that its quality is kept" if quality else "no fresh seeds were trained"
    else:
        why = "the fresh sessions do not show that it is sooner"
    return ("not confirmed" if ended or futile else "open"), why
