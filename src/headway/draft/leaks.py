"""Columns that may be known only after the target: a model that learns from them looks good, and is of no use.

A copy of the target, or its summands, are set aside. Any other column that alone tells the target is kept, and people are asked: it may as
well be an honest, strong feature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from headway.columns import column_type
from headway.data.alone import Alone, sum_of_columns
from headway.data.config import ValidationConfig
from headway.draft.plan import Plan
from headway.tasks import target_task

CLOSE = 0.0025
"""How far below the limit a column is asked about: the training rows, on which the limit is checked, differ a little."""

AFTERWARDS = re.compile(
    r"\b(?:actual|cancell?ed|cancellation|chargeback|clos(?:ed|ing)|complet(?:ed|ion)|decision|discharged?|duration|elapsed|ended|final|"
    r"finished|outcome|recover(?:ed|ies|y)|refund(?:ed)?|rejected|resol(?:ved|ution)|result|returned|settle(?:d|ment)|terminat(?:ed|ion)|verdict)\b",
    re.IGNORECASE,
)
"""Words in the names of columns that are often filled in when the target is known."""

STRONG = {"AUC": 0.75, "R²": 0.25}
"""From here on a column with such a name is asked about."""


def look_for_leaks(plan: Plan, frame: pd.DataFrame) -> None:
    """Set copies and summands of the target aside, and ask about columns that alone tell it.

    The moment of a time series is known before it comes, so that a trend is no leak; of what is known late a model is given earlier values.
    """
    target, series = frame[plan.target], plan.series
    has_classes = target_task(plan.task).has_classes
    harmless = () if series is None else (series.moment, *series.late)
    columns = {
        c: column_type(kind).drafted(frame[c], _date_format(plan, c))
        for c, kind in plan.features.items()
        if c not in harmless
    }
    if not has_classes:
        _leave_summands(plan, columns, target)
    alone = Alone(target, plan.task)
    limit = ValidationConfig().max_single_feature_auc - CLOSE
    for column, kind in plan.features.items():
        if column in plan.ignore or column not in columns or not column_type(kind).can_leak:
            continue
        if has_classes and alone.is_copy(columns[column]):
            plan.ignore[column] = f"leak: each of its values stands for one class of {plan.target}"
            continue
        power, measure = alone.power(columns[column], kind)
        if power > limit:
            plan.leaks.append(column)
            plan.questions[column] = f"alone it predicts {plan.target} ({measure} {power:.4f})"
        elif power >= STRONG[measure] and (word := _afterwards(column)):
            plan.questions[column] = (
                f"its name contains {word}, and alone it predicts {plan.target} well ({measure} {power:.2f})"
            )
    plan.features = {c: kind for c, kind in plan.features.items() if c not in plan.ignore}
    plan.written = {c: written for c, written in plan.written.items() if c in plan.features}
    if series is not None:
        plan.series = replace(series, known=tuple(c for c in series.known if c in plan.features))


def _leave_summands(plan: Plan, columns: Mapping[str, pd.Series], target: pd.Series) -> None:
    numbers = {c: values for c, values in columns.items() if column_type(plan.features[c]).adds_up}
    while summands := sum_of_columns(numbers, target):
        for column in summands:
            plan.ignore[column] = f"leak: {' + '.join(summands)} = {plan.target}, up to rounding or a fixed part"
        numbers = {c: values for c, values in numbers.items() if c not in summands}


def _date_format(plan: Plan, column: str) -> str | None:
    written = plan.written.get(column)
    return written.dates[0] if written is not None and written.dates else plan.date_format


def _afterwards(name: str) -> str:
    """The word by which a column's name says that it is known only afterwards; empty where there is none."""
    words = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))
    match = AFTERWARDS.search(words)
    return match[0] if match else ""
