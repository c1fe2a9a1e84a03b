"""Faults of the data for which no expectation is written: constant columns, ids, leaks, test rows among training rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from headway.columns import column_type
from headway.data.alone import Alone, sum_of_columns
from headway.data.config import SPLITS, DataConfig, ValidationConfig
from headway.data.identity import row_hashes
from headway.data.passes import run
from headway.data.sample import Sample, sample_rows
from headway.data.split import TEST, TRAIN, VALIDATION, Division
from headway.tasks import TaskName, target_task

if TYPE_CHECKING:
    from headway.columns.summary import Summary
    from headway.data.profile import Profile
    from headway.data.source import Table

ID_VALUES = 1000
ID_SHARE = 0.5
FEWEST = {TEST: 5, VALIDATION: 1}
"""Rows of each class that a part should have: fewer test rows tell nothing of it."""

ROWS = 1_000_000
"""Rows whose hashes are looked at a time."""


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
    table: Table,
    parts: np.ndarray,
    validation: ValidationConfig,
    harmless: Collection[str | None] = (),
    sample: Sample | None = None,
) -> list[Finding]:
    """Features that alone nearly determine the target, and numbers that add up to it, on a sample of the training rows.

    ``harmless``: the column of a split by time, which is known before the target is, so that a trend is no leak; and what a model is given
    earlier values of. ``sample``: rows of all parts that a pass has kept.
    """
    kinds = {name: kind for name, kind in table.kinds.items() if name not in harmless}
    frame = _training_rows(table, parts, [*kinds, table.target], sample)
    target = frame[table.target]
    alone = Alone(target, table.task)
    findings = []
    for name, kind in kinds.items():
        if not column_type(kind).can_leak:
            continue
        power, measure = alone.power(frame[name], kind)
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


def _training_rows(table: Table, parts: np.ndarray, columns: Sequence[str], sample: Sample | None) -> pd.DataFrame:
    """A sample of the training rows, out of rows that a pass has kept, or by one."""
    size, training = sample_rows(len(columns)), parts == TRAIN
    frame = None if sample is None else sample.frame(size, training)
    if frame is None:
        own = Sample(columns, size, training)
        run(table, [own])
        frame = own.frame(size)
        assert frame is not None
    return frame[list(columns)]


def content_columns(table: Table) -> list[str]:
    """The columns by which two rows are the same."""
    return [*table.kinds, table.target]


def check_overlap(
    table: Table, parts: np.ndarray, validation: ValidationConfig, hashes: np.ndarray | None = None
) -> list[Finding]:
    """Test rows that are, value for value, also training rows: a model can memorise them.

    ``hashes`` (N,): of each row's content, where a pass has them already.
    """
    hashes = row_hashes(table, content_columns(table)) if hashes is None else hashes
    test = np.flatnonzero(parts == TEST)
    twice = test[_occur(hashes[test], hashes, parts)]
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


def _occur(values: np.ndarray, hashes: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(n,) bool: which of the ``values`` are also hashes of training rows, which are looked at some at a time."""
    distinct, codes = np.unique(values, return_inverse=True)
    hit = np.zeros(len(distinct), bool)
    for start in range(0, len(hashes) if len(distinct) else 0, ROWS):
        block = hashes[start : start + ROWS][parts[start : start + ROWS] == TRAIN]
        places = np.minimum(np.searchsorted(distinct, block), len(distinct) - 1)
        hit[places[distinct[places] == block]] = True
    return hit[codes]


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


def check_classes(division: Division, classes: Sequence[str], codes: np.ndarray) -> list[Finding]:
    """Classes of which a split by row, whose shares are those of chance, leaves a part few rows. ``codes`` (N,): each row's class."""
    split = division.split
    if not classes or split.by not in ("stratified", "random"):
        return []
    shares = {TEST: split.test, VALIDATION: (1 - split.test) * split.validation}
    totals = np.bincount(codes, minlength=len(classes))
    findings = []
    for part, least in FEWEST.items():
        rows = np.bincount(codes[division.parts == part], minlength=len(classes))
        few = [c for c in np.argsort(rows, kind="stable").tolist() if rows[c] < least]
        if not few:
            continue
        facts = [
            f"{classes[c]} has {rows[c]} ({shares[part] * totals[c]:.1f} expected of {totals[c]:,})" for c in few[:3]
        ]
        more = f" and {len(few) - 3} more classes have too few" if len(few) > 3 else ""
        what = f"{least} {SPLITS[part]} row{'s' if least > 1 else ''} at least"
        fix = f"add rows or raise split.{SPLITS[part]}"
        text = f"each class should have {what}, but {', '.join(facts)}{more}; {fix}"
        findings.append(Finding("warn", division.table.target, text, tuple(classes[c] for c in few[:3])))
    return findings
