"""The target of a draft: its task, and its event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from headway.columns.guessed_numbers import LARGEST
from headway.columns.recognition import is_number, numbers
from headway.columns.spelling import spell_value
from headway.columns.written import Written
from headway.config import suggest
from headway.draft.notes import classes_of
from headway.draft.stated import WHY
from headway.draft.writing import Writing
from headway.errors import ConfigError, DataError
from headway.tasks import TaskName, target_names, target_task

POSITIVE = ("yes", "true", "1", "y", "t", "bad", "default", "fraud", "churn", "positive", "event")


def task_for(column: pd.Series, name: str, stated: TaskName | None = None) -> TaskName:
    """The ``stated`` task, or the first that suits the values. Raises DataError for a target that cannot be learnt."""
    present = column.dropna()
    distinct = present.nunique()
    if not len(present):
        raise DataError(f"the target must be given, but {name} is missing in every row; choose another --target")
    if distinct < 2:
        raise DataError(f"the target must vary, but {name} is {present.iloc[0]} in every row; choose another --target")
    if is_number(present):
        values = numbers(present).to_numpy()
        if np.abs(values[np.isfinite(values)]).max(initial=0) > LARGEST:
            fact = f"{name} has numbers as large as {np.abs(values[np.isfinite(values)]).max():g}"
            raise DataError(
                f"the target must have a variance that fits a 64-bit float, but {fact}; correct them or choose another --target"
            )
        return stated or next(task for task in target_names() if target_task(task).suits(distinct, values))
    if stated is not None and not target_task(stated).has_classes:
        raise DataError(f"the target of {stated} must be numbers, but {name} holds texts such as {present.iloc[0]}")
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        raise DataError(f"the target must be classes or numbers, but {name} holds dates; choose another --target")
    if distinct > 20 and (distinct > 1000 or distinct > 0.5 * len(present)):
        fact = f"{name} has {distinct:,} different texts in {len(present):,} rows"
        raise DataError(f"the target must be classes or numbers, but {fact}; choose another --target")
    return stated or next(task for task in target_names() if target_task(task).suits(distinct, None))


_MARKS = frozenset("?|??|-|--|---|.|..|*|n/a|n.a.|na|nan|null|(null)|<na>|<null>|#n/a|\\n".split("|"))  # noqa: SIM905
MARKS = _MARKS | {mark.upper() for mark in _MARKS}
"""What stands for a missing class; words such as none and unknown may be classes, and Na is an element."""


def _marks_of(values: pd.Series) -> tuple[str, ...]:
    """The texts among classes that mean a missing one. A minus beside a plus is a class."""
    present = values.dropna()
    if not all(isinstance(value, str) for value in present.head(1000)):
        return ()
    texts = pd.Series(present.unique()).astype(str)
    marks = texts[texts.str.strip().isin(MARKS)]
    rest = texts.drop(marks.index)
    if rest.str.contains("+", regex=False).any() or len(rest) < 2 or not rest.str.contains(r"\w").all():
        return ()
    return tuple(sorted(marks.str.strip().unique()))


def without_marks(
    frame: pd.DataFrame, writings: Mapping[str, Writing], target: str
) -> tuple[pd.DataFrame, Mapping[str, Writing]]:
    """The target without marks for missing classes, such as ?, and its form that says so."""
    marks = _marks_of(frame[target])
    if not marks:
        return frame, writings
    own = writings.get(target, Writing(Written(), ""))
    written = own.written.model_copy(update={"missing": (*own.written.missing, *marks)})
    example = f"{', '.join(marks)} {'are' if len(marks) > 1 else 'is'} read as missing"
    present = frame[target].where(~frame[target].astype(str).str.strip().isin(marks), None)
    stated = replace(own, written=written, example="; ".join(filter(None, (own.example, example))))
    return frame.assign(**{target: present}), {**writings, target: stated}


def event_of(values: pd.Series, stated: str | None) -> tuple[str | None, str]:
    """The event among two classes: as stated, by its name, or the rarer. Raises ConfigError where the stated one is no class."""
    counts = classes_of(values).value_counts()
    if stated is not None:
        name, names = spell_value(stated), [str(one) for one in counts.index]
        if name not in names or len(names) != 2:
            fact = f"{name} is one of {len(names)}" if name in names else f"{name} is none{suggest(name, names)}"
            raise ConfigError(f"--set data.positive must be one of two classes, but {fact}")
        return name, f"it is {WHY} ({100 * counts.iloc[names.index(name)] / counts.sum():.3g}% of the rows)"
    if len(counts) != 2:
        return None, ""
    matches = [str(v) for v in counts.index if str(v).strip().lower() in POSITIVE]
    if len(matches) == 1 and (matches != ["1"] or {"0", "-1"} & set(map(str, counts.index))):
        return matches[0], f"it is the event by its name ({100 * counts[matches[0]] / counts.sum():.3g}% of the rows)"
    return str(counts.index[-1]), f"it is the rarer class ({100 * counts.iloc[-1] / counts.sum():.3g}% of the rows)"
