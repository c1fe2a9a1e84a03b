"""What `headway init` prints of a draft: each decision with its reason, and the questions that only people can answer."""

from __future__ import annotations

from collections.abc import Sequence

from headway.draft.plan import Plan
from headway.draft.yaml import scalar

MANY, SHOWN = 100, 5
"""Of more columns of a kind than this, so many are shown: the rest would only push what matters off the terminal."""


def _first(lines: list[str], what: str) -> list[str]:
    """The lines, or, of many, the first ones and how many more there are."""
    rest = len(lines) - SHOWN
    return (
        lines
        if len(lines) <= MANY
        else [*lines[:SHOWN], f"and {rest:,} more {what}: the file has each with its reason"]
    )


def decisions_of(plan: Plan, has_model: bool) -> list[str]:
    """A line each; the model's only where the user has not stated one."""
    lines = [f"task: {plan.task}, since {plan.target} {plan.why['task']}"]
    if plan.positive is not None:
        lines.append(f"positive class: {plan.positive}, since {plan.why['positive']}")
    for kind in dict.fromkeys(plan.features.values()) if len(plan.features) > MANY else [None]:
        some = [one for one in plan.features.items() if kind in (None, one[1])]
        lines += _first([f"{column}: {own}, {plan.why[column]}" for column, own in some], f"{kind} columns")
    lines += [f"{column}: key, {plan.why[column]}" for column in plan.keys]
    lines += [] if plan.weight is None else [f"{plan.weight}: weight, how much each row counts in training"]
    lines += _first(
        [f"{column or '(no name)'}: ignored, {reason}" for column, reason in plan.ignore.items()], "ignored columns"
    )
    lines += [] if has_model else [f"model: {plan.model}, {plan.why['model']}"]
    return [" ".join(line.split()) for line in [*lines, *plan.notes]]


def questions_of(plan: Plan, text: str) -> list[str]:
    """What only people can know, each with the line to edit."""
    lines = text.splitlines()
    features = lines.index("  features:") + 1
    rest = enumerate(lines[features:], features + 1)
    numbers = {c: next(i for i, line in rest if line.startswith(f"    {scalar(c)}:")) for c in plan.questions}
    return [
        f"question: is {column} known before {plan.target}? {sign[0].upper()}{sign[1:]}. It is kept; if it is known only afterwards, "
        f"move line {numbers[column]} of conf/{plan.name}.yaml from features to ignore, as {column}: known only afterwards"
        for column, sign in plan.questions.items()
    ] + _question_of_series(plan, lines)


def _question_of_series(plan: Plan, lines: Sequence[str]) -> list[str]:
    """Which columns name the series, where there are several."""
    if plan.series is None or not plan.series.groups:
        return []
    number = next(i for i, line in enumerate(lines, 1) if line.startswith("    groups:"))
    groups = " and ".join(plan.series.groups)
    return [
        f"question: does each {groups} have a series of its own? Within it each {plan.series.moment} occurs once; if other columns "
        f"name the series, correct line {number} of conf/{plan.name}.yaml (data.series.groups)"
    ]
