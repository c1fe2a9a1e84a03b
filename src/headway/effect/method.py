"""How a study measures and judges, for its report: written from the constants that it goes by."""

from __future__ import annotations

from collections.abc import Sequence

from headway.effect.confirmation import ATTEMPTS, CONFIRM_LOOKS
from headway.effect.equality import MARGIN_DEVIATIONS
from headway.effect.findings import LOOKS, SESSION, share_at
from headway.effect.lab import WINDOW_SECONDS
from headway.effect.statistics import ALPHA, CALLED, FEWEST_COMPARISONS, LEAST, SAME


def method() -> str:
    """The paragraphs, as HTML."""
    return "".join(f"<p>{text}</p>" for text in (_times(), _looks(), _quality(), _confirmation(), _cost()))


def _times() -> str:
    return f"""Variants run in turns, there and back, the baseline A after every few of them, for windows of about
{1000 * WINDOW_SECONDS:.0f} ms after a warm-up. A session has at least {SESSION} blocks A B B A of each, in which a steady drift of the
machine's speed cancels. The time until a variant is ready
(building, compiling) is reported separately. Processes of one program differ by a per cent or two for all of their lives, so that a
session counts as one sample: the Hodges–Lehmann median of its blocks' log-ratios. The samples have Student's interval; it assumes that
they are independent and about normal. Where {FEWEST_COMPARISONS} comparisons or more are made, each variance is drawn toward what is
usual in this study, as far as the variances agree (moderated variances, Smyth 2004); this assumes that the noise of all has one
source. A shared baseline gives two of k techniques a correlation of 1 / (1 + √k), and degrees of freedom are counted for that."""


def _looks() -> str:
    shown = ", ".join(f"{look} ({ALPHA / share_at(look):.2%})" for look in LOOKS)
    return f"""A technique is looked at after growing numbers of samples, each time with a part of the {ALPHA:.0%} error that is allowed in
all: {shown}. So its interval holds whenever the study stopped looking. Verdicts hold for all techniques together: Holm's corrected
p-value must be below {CALLED:g}. A difference below {LEAST:.0%} is never called an effect; an interval within {SAME:.0%} of 1 is <i>no
measurable effect</i>."""


def _quality() -> str:
    return f"""A technique that changes the maths is trained with the same seeds as the baseline. The margin is
{MARGIN_DEVIATIONS:g} standard deviations of the baseline over its seeds, fixed before. Quality is <i>equal</i> when difference + margin
is above 0, beyond the error of both: the differences' (Student, with moderated variances) and the margin's own, which few seeds leave
uncertain (Zou and Donner 2008). These verdicts, too, hold for all techniques together (Holm, {ALPHA:.0%}). The time to the target
quality is the ratio of step times times the ratio of passes over the data until the target was first reached. A training that never
reached it needs more passes than it had: the ratio then has only a bound."""


def _confirmation() -> str:
    each = ALPHA / (ATTEMPTS * len(CONFIRM_LOOKS))
    return f"""What is recommended was chosen from these samples, and the best of many was lucky, too. So it is measured again as a
whole, on fresh sessions and fresh seeds, and only these are reported for it. It is recommended where their interval lies below 1 at an
equal or better quality. At most {ATTEMPTS} candidates are looked at, after {_series(CONFIRM_LOOKS)} fresh sessions; each look has
{each:.2%} of the error."""


def _cost() -> str:
    return """Cost is that of all the time of a run on this machine: until it is ready, and then to the target; in money where
train.price_per_hour says what an hour costs. Whether the machine was busy meanwhile is measured in each session: CPU seconds against
wall seconds, what other programs used, what the hypervisor took, and the load."""


def _series(values: Sequence[int]) -> str:
    return f"{', '.join(map(str, values[:-1]))} and {values[-1]}"
