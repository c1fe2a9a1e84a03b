"""Faults of the data that nobody writes an expectation for: constant columns, ids, leaks, test rows among training rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from headway.columns import column_type
from headway.data.alone import SAMPLE, power_alone, sum_of_columns
from headway.data.config import DataConfig, ValidationConfig
from headway.data.identity import row_hashes
from headway.data.split import TEST, TRAIN, Division
from headway.tasks import TaskName, target_task

if TYPE_CHECKING:
    from headway.columns.summary import Summary
    from headway.data.chunks import Streamed
    from headway.data.profile import Profile
    from headway.data.source import Table

ID_VALUES = 1000
ID_SHARE = 0.5


@dataclass(frozen=True)
class Finding:
    """One fault of the data. ``severity`` stop: no model is trained on it."""

    severity: Literal["stop", "warn"]
    column: str | None
    text: str
    examples: tuple[Any, ...] = ()


def check_columns(profile: Profile, table: Table | None, data: DataConfig, task: TaskName) -> list[Finding]:
    """Columns that no model can learn from, and columns without a role. ``table`` may be absent where files do not matter."""
    findings = [] if data.target is None else _target(profile.columns[data.target], data, task)
    for name in data.features:
        findings += _feature(profile.columns[name])
    for name in getattr(table, "unlisted", ()):
        text = f"every column should have a role, but {name} is not named; add it to data.features or data.ignore"
        findings.append(Finding("warn", name, text))
    return findings


def _target(column: Summary, data: DataConfig, task: TaskName) -> list[Finding]:
    name = column.name
    if column.nulls == column.rows:
        return [Finding("stop", name, f"the target {name} must be given, but is missing in every row")]
    if column.nulls:
        fact = f"{column.nulls:,} of {column.rows:,} lack it"
        text = f"the target {name} must be given in every row, but {fact}; data.unlabelled: drop leaves them out"
        return [Finding("stop", name, text)]
    if column.infinite:
        return [_infinite(column, "the target ", "; leave those rows out")]
    if column.spreads_too_far:
        return [_too_large(column, "the target ", "; leave those rows out")]
    if column.distinct < 2:
        what = "two classes" if target_task(task).has_classes else "different values"
        only = str(column.frequent[0][0]) if column.frequent else f"{column.min:g}"
        return [Finding("stop", name, f"the target {name} must have {what}, but every row has {only}", (only,))]
    problems = target_task(task).problems(column, data.positive)
    return [Finding(problem.severity, name, problem.text, problem.examples) for problem in problems]


def _feature(column: Summary) -> list[Finding]:
    name = column.name
    if column.nulls == column.rows:
        text = f"{name} must hold values, but is missing in every row; move it to data.ignore"
        return [Finding("stop", name, text)]
    if column.infinite:
        return [_infinite(column, "", "; correct them or move it to data.ignore")]
    if column.spreads_too_far:
        return [_too_large(column, "", "; correct it or move it to data.ignore")]
    if column.distinct < 2 and column.rows > 1 and not column.nulls:
        text = f"{name} should vary, but is the same in every row; move it to data.ignore"
        return [Finding("warn", name, text)]
    doubt = column_type(column.kind).doubt(column)
    if doubt is not None:
        return [Finding("warn", name, f"{name} should be {doubt} change data.features.{name}")]
    present = column.rows - column.nulls
    if column_type(column.kind).recurs and column.distinct > ID_VALUES and column.distinct > ID_SHARE * present:
        text = (
            f"{name} should be a category, but {column.distinct:,} of its {present:,} values differ, so it is likely "
            "an id; move it to data.keys or data.ignore"
        )
        return [Finding("stop", name, text, tuple(value for value, _ in column.frequent[:3]))]
    return []


def _infinite(column: Summary, role: str, fix: str) -> Finding:
    verb = "value is" if column.infinite == 1 else "values are"
    text = f"{role}{column.name} must be finite, but {column.infinite:,} {verb} infinite{fix}"
    return Finding("stop", column.name, text)


def _too_large(column: Summary, role: str, fix: str) -> Finding:
    largest = max((column.min or 0.0, column.max or 0.0), key=abs)
    text = (
        f"{role}{column.name} must have a variance that fits a 64-bit float, but one of its values is {largest:g}{fix}"
    )
    return Finding("stop", column.name, text)


def check_leaks(
    table: Table, parts: np.ndarray, validation: ValidationConfig, harmless: Collection[str | None] = ()
) -> list[Finding]:
    """Features that alone nearly determine the target, and numbers that add up to it, on a sample of the training rows.

    ``harmless``: the column of a split by time, which is known before the target is, so that a trend is no leak; and what a model is given
    earlier values of.
    """
    kinds = {name: kind for name, kind in table.kinds.items() if name not in harmless}
    frame = sample(table, np.flatnonzero(parts == TRAIN), [*kinds, table.target])
    target = frame[table.target]
    findings = []
    for name, kind in kinds.items():
        if not column_type(kind).can_leak:
            continue
        power, measure = power_alone(frame[name], kind, target, table.task)
        if power > validation.max_single_feature_auc:
            text = (
                f"no feature alone may determine the target, but {name} does with {measure} {power:.4f}, above "
                f"{validation.max_single_feature_auc:g}; if it is only known afterwards, move it to data.ignore"
            )
            findings.append(Finding(validation.leaks, name, text))
    leaks = {finding.column for finding in findings}
    numbers = {n: frame[n] for n, kind in kinds.items() if column_type(kind).adds_up and n not in leaks}
    parts_of = () if target_task(table.task).has_classes else sum_of_columns(numbers, target)
    if parts_of:
        text = (
            f"features must not add up to the target, but {' + '.join(parts_of)} = {table.target}, up to rounding or a fixed part; "
            "move them to data.ignore"
        )
        findings.append(Finding(validation.leaks, parts_of[0], text, parts_of))
    return findings


def sample(table: Streamed, rows: np.ndarray, columns: Sequence[str], size: int = SAMPLE) -> pd.DataFrame:
    """At most ``size`` of the ``rows`` (increasing numbers), always the same ones, of the whole table; one pass."""
    if len(rows) > size:
        rows = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
    pieces = []
    for chunk in table.chunks(columns=list(columns)):
        first, last = np.searchsorted(rows, [chunk.start, chunk.start + chunk.batch.num_rows])
        pieces.append(chunk.batch.take(rows[first:last] - chunk.start).to_pandas())
    return pd.concat(pieces, ignore_index=True)


def check_overlap(table: Table, parts: np.ndarray, validation: ValidationConfig) -> list[Finding]:
    """Test rows that are, value for value, also training rows: a model can memorise them."""
    hashes = row_hashes(table, [*table.kinds, table.target])
    test = np.flatnonzero(parts == TEST)
    twice = test[np.isin(hashes[test], hashes[parts == TRAIN])]
    share = len(twice) / max(1, len(test))
    if not len(twice):
        return []
    rows = tuple((twice[:5] + 1).tolist())
    fact = f"{share:.2%} of them ({len(twice):,} of {len(test):,}) are, for example row {rows[0]:,}"
    if share > validation.max_overlap:
        text = (
            f"at most {validation.max_overlap:.0%} of the test rows may also be training rows, but {fact}; "
            "remove duplicates, split by group, or raise validation.max_overlap"
        )
        return [Finding("stop", None, text, rows)]
    return [Finding("warn", None, f"test rows should not also be training rows, but {fact}", rows)]


def check_shares(division: Division) -> list[Finding]:
    """Parts far from the shares in `split`, because many rows stay together: equal ones, or those of one key or group."""
    split = division.split
    if split.by not in ("stratified", "random", "group"):
        return []
    share, rows = division.shares[TEST], len(division.parts)
    deviation = (split.test * (1 - split.test) / rows) ** 0.5
    if abs(share - split.test) <= max(0.02, 5 * deviation):
        return []
    what = {"content": "equal rows", "key": "rows of one key", "group": "rows of one group"}[division.identity.by]
    fix = {
        "content": "; name the columns that identify a row in data.keys",
        "key": "; rows without a key count as rows of one key",
        "group": "; rows without a group count as one group",
    }[division.identity.by]
    most = np.unique(division.rows, return_counts=True)[1].max()
    text = (
        f"the test should hold {split.test:.0%} of the rows, but holds {share:.1%}: {what} stay together, "
        f"{most:,} in the largest case{fix}"
    )
    return [Finding("warn", None, text)]
