"""The figures of a study in words. A ratio is never shown without its interval; an unknown figure is replaced by words."""

from __future__ import annotations

from collections.abc import Sequence

from headway.effect.results import Confirmed, Effect, Reached, Row, StudyResult, Surroundings

UNCERTAIN = 10.0
"""A ratio whose interval's ends differ by more than this factor is too uncertain to show."""

UNKNOWN = "too uncertain to say"


def is_known(effect: Effect | None) -> bool:
    """Whether a ratio has an informative interval, bounded on both sides."""
    return limits(effect) is not None


def limits(effect: Effect | None) -> tuple[float, float] | None:
    """The ends of a ratio's interval; None where it is not informative."""
    if effect is None or not effect.low or effect.high is None or effect.high > UNCERTAIN * effect.low:
        return None
    return effect.low, effect.high


def ratio(effect: Effect | None) -> str:
    """A ratio with its interval in brackets; the bound where only one is known; empty where nothing was measured."""
    if effect is None:
        return ""
    if ends := limits(effect):
        return f"{_plain(effect.value)} [{_plain(ends[0])}, {_plain(ends[1])}]"
    if effect.high is None and effect.low:
        return f"at least {effect.low:.2f}"
    if effect.low == 0 and effect.high is not None:
        return f"at most {effect.high:.2f}"
    return UNKNOWN


def _plain(value: float) -> str:
    """Two decimals; two digits of what would be 0.00."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def difference(effect: Effect | None, digits: int = 4) -> str:
    """A difference with its interval in brackets."""
    if effect is None:
        return ""
    if effect.low is None or effect.high is None:
        return UNKNOWN
    return f"{effect.value:+.{digits}f} [{effect.low:+.{digits}f}, {effect.high:+.{digits}f}]"


def faster(effect: Effect) -> str:
    """A ratio of times as a speed."""
    if ends := limits(effect):
        return f"{1 / effect.value:.2f} times as fast ({1 / ends[1]:.2f} to {1 / ends[0]:.2f})"
    if effect.high:
        return f"at least {1 / effect.high:.2f} times as fast"
    return f"a speed that is {UNKNOWN}"


VERDICTS = ("helps", "changes quality", "no measurable effect", "hurts", "not settled", "unsupported here")
"""From the most useful to the least."""


def headline(result: StudyResult) -> str:
    """What the study came to, in one line: the gain of the recommended recipe, or that there is none."""
    gain = result.recommended.to_target
    if gain is None:
        return "Nothing to change: plain PyTorch is recommended"
    if is_known(gain):
        times = 1 / gain.value
        return f"{times:.{1 if times >= 1.5 else 2}f} times as fast at the same quality"
    return f"{faster(gain)} at the same quality"


def wins(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Each technique that helps: its name, the gain as a speed, and the interval with what it costs in quality."""
    return [
        (row.name, *_win(row, effect))
        for row in rows
        if row.verdict == "helps" and (effect := shown_effect(row)) is not None
    ]


def shown_effect(row: Row) -> Effect | None:
    """The ratio that a technique's verdict is based on: of the time to the target where it is known, else of the step's."""
    return row.to_target or row.time


def _win(row: Row, effect: Effect) -> tuple[str, str]:
    text, _, ends = faster(effect).removesuffix(")").partition(" (")
    what = {"step": "", "prediction": "a prediction", "seeds": "many networks at once", "run": "a whole run"}.get(
        row.measure, ""
    )
    quality = "the same weights" if row.changes == "nothing" else "the same quality"
    return text, ", ".join(filter(None, (ends, what, quality)))


def target_counts(counts: Reached | None) -> str:
    """How many trainings reached the target, where not all did."""
    if counts is None or counts.baseline == counts.with_ == counts.of:
        return ""
    return (
        f"the target was reached in {counts.with_} of {counts.of} trainings with it "
        f"and in {counts.baseline} of the baseline's"
    )


def further(seconds: float | None) -> str:
    """A clause that follows a reason: how much longer the study would have to be; empty where that is not known."""
    if seconds is None:
        return ""
    minutes = seconds / 60
    if minutes >= 24 * 60:
        return "; that would not settle within a day"
    if minutes >= 90:
        return f"; about {minutes / 60:.0f} more hours would settle the time"
    return f"; about {max(1, round(minutes))} more minute{'s' if round(minutes) > 1 else ''} would settle the time"


def machine(contention: Surroundings | None) -> str:
    """The warning that the machine was busy, to be read before the figures; empty where it was quiet or was not measured."""
    if contention is None or contention.state == "quiet":
        return ""
    text = contention.text[:1].upper() + contention.text[1:]
    if contention.state == "unusable":
        return f"{text}: these figures cannot be used. Repeat the study while nothing else runs. "
    return f"The machine was busy ({contention.text}), so intervals are wider than necessary. "


def recommendation(result: StudyResult) -> str:
    """The recommendation and its confirmation, or why there is none."""
    recommended = result.recommended
    if recommended.to_target is not None:
        names = ", ".join(recommended.names)
        fresh = _fresh(recommended)
        return f"Recommended: {names}; {faster(recommended.to_target)} as plain PyTorch to the same quality{fresh}. "
    text = "".join(
        f"{', '.join(one.names)} was chosen, but not confirmed: {one.why}{_time_of(one)}. "
        for one in recommended.confirmations
    )
    return f"{text}Nothing is recommended beyond plain PyTorch. "


def _fresh(confirmation: Confirmed) -> str:
    """The samples of a confirmation; a study of an earlier version had none."""
    if confirmation.sessions is None:
        return ", not confirmed on fresh samples (a study of an earlier version)"
    seeds = f" and {confirmation.seeds} fresh seeds" if confirmation.seeds else ""
    return f", confirmed on {confirmation.sessions} fresh sessions{seeds}"


def _time_of(one: Confirmed) -> str:
    return f" ({ratio(one.to_target)} of plain PyTorch's time)" if one.to_target is not None else ""
