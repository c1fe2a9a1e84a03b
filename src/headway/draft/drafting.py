"""A first project file for a user's own table: every decision is written with its reason, so that people can change it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from headway.columns.recognition import Guess, numbers
from headway.columns.written import Written
from headway.config import setting_pairs, yaml_value
from headway.data.config import DataConfig, ValidationConfig
from headway.data.identity import row_hashes
from headway.data.opening import open_table
from headway.data.profile import profile_table
from headway.data.source import Table
from headway.data.uneven import check_lines
from headway.draft.decisions import decisions_of, questions_of
from headway.draft.first_rows import check_one_table, no_column, read_first
from headway.draft.guess import guess, is_readable
from headway.draft.layout import Choices, as_options, choose_files, layout_of
from headway.draft.leaks import look_for_leaks
from headway.draft.model import propose_model
from headway.draft.moments import moments_in, texts_of, with_moments
from headway.draft.notes import (
    about_few,
    about_numbers_as_classes,
    about_parts,
    about_spelling,
    about_time,
    about_weights,
    classes_of,
)
from headway.draft.parts import part_column, test_files
from headway.draft.plan import Plan
from headway.draft.series import series_of
from headway.draft.settings import over, stated_csv, stated_writings
from headway.draft.stated import WHY, Stated
from headway.draft.target import event_of, task_for, without_marks
from headway.draft.writing import Writing, as_written
from headway.draft.yaml import expectations, render
from headway.errors import ConfigError, DataError
from headway.files.atomic import write_atomically
from headway.project import Project
from headway.tasks import target_task

SMALL = 2_000
"""Tables with fewer rows get smaller batches."""


@dataclass(frozen=True)
class Draft:
    """The file that `headway init` wrote. ``decisions``: one line each, with the reason."""

    path: Path
    text: str
    decisions: tuple[str, ...]


def draft(
    data: str,
    target: str,
    name: str | None,
    root: Path,
    choices: Choices | None = None,
    refuse: Callable[[Project], None] = lambda _: None,
) -> Draft:
    """Write `conf/NAME.yaml` of ``root`` from the rows; an existing file is never overwritten.

    ``refuse`` raises where settings in ``choices`` make a project that no run can train. Raises ConfigError or DataError, one line, when
    there is nothing to learn or no place to write.
    """
    try:
        return _draft(data, target, name, root, choices or Choices(), refuse)
    except (ConfigError, DataError) as error:
        raise (ConfigError if isinstance(error, ConfigError) else DataError)(as_options(str(error))) from None


def _draft(
    data: str, target: str, name: str | None, root: Path, choices: Choices, refuse: Callable[[Project], None]
) -> Draft:
    source, files, notes = choose_files(_source(data, root), root, choices)
    name = name or _name(data)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise ConfigError(f"--name must be of a-z, 0-9, - and _, but is {name!r}")
    path = root / "conf" / f"{name}.yaml"
    if path.exists():
        raise ConfigError(f"conf/{name}.yaml must not exist yet, but it does; give another --name or remove it")
    pairs = dict(setting_pairs(choices.settings))
    layout = layout_of(files, choices, target)
    layout.csv |= stated_csv(pairs)
    notes += layout.notes
    check_one_table(files, layout)
    frame = read_first(files, layout)
    if target not in frame.columns:
        raise ConfigError(no_column(target, [str(c) for c in frame.columns], layout, frame))
    raw = _composed(frame, stated_writings(pairs))
    stated = Stated.of(pairs, [str(c) for c in raw.columns], target)
    frame, writings = as_written(raw, stated_writings(pairs), pairs.get("data.date_format"), stated.kinds)
    moments = [] if stated.others else moments_in(raw, target, _reserved(stated, pairs), pairs.get("data.date_format"))
    frame, writings = with_moments(frame, writings, moments, raw)
    frame, writings = without_marks(frame, writings, target)
    plan = Plan(name, source, target, task_for(frame[target], target, stated.task))
    plan.format, plan.csv, plan.weight = layout.format, layout.csv, stated.weight
    plan.parts = {part: one.name for one in moments for part in one.parts}
    if "by" not in stated.split:
        plan.part, plan.test_files = part_column(frame.drop(columns=target)), test_files(files)
    _decide(plan, frame, writings, stated)
    plan.notes = [*notes, *plan.notes]
    text = over(_text(plan, root), pairs)
    project = Project.parse(yaml_value(text), f"conf/{name}.yaml")
    if pairs:
        refuse(project)
    write_atomically(path, text)
    return Draft(path, text, (*decisions_of(plan, stated.model is not None), *questions_of(plan, text)))


def _composed(frame: pd.DataFrame, writings: Mapping[str, Written]) -> pd.DataFrame:
    """With the columns that the user makes of others."""
    further = {
        name: pd.Series(texts_of(frame, one.columns).to_pandas()) for name, one in writings.items() if one.columns
    }
    return frame.assign(**further)


def _reserved(stated: Stated, pairs: Mapping[str, Any]) -> set[str]:
    """The columns of which the user has said something."""
    writings = stated_writings(pairs)
    column = stated.split.get("column")
    of_writings = {*writings, *(part for one in writings.values() for part in one.columns)}
    return {*stated.kinds, *stated.keys, *stated.ignore, *of_writings, *(one for one in (stated.weight, column) if one)}


def _source(data: str, root: Path) -> str:
    """The source as written in the project file: relative to the root where it lies inside."""
    if "://" in data:
        return data
    place = Path(data).expanduser()
    if not place.is_absolute() and not (root / place).exists():
        place = place.absolute()
    return str(place.relative_to(root)) if place.is_relative_to(root) else str(place)


def _name(data: str) -> str:
    stem = PurePath(data.rstrip("/")).name.split(".")[0]
    return re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-_")[:63] or "project"


def _decide(plan: Plan, frame: pd.DataFrame, writings: Mapping[str, Writing], stated: Stated) -> None:
    values = frame[plan.target]
    distinct = f"{classes_of(values).nunique():,} different values"
    task = target_task(plan.task)
    plan.why["task"] = task.why(distinct) if stated.task is None else f"has {distinct}, and the task is {WHY}"
    if task.has_classes:
        plan.positive, reason = event_of(values, stated.positive)
        if plan.positive is not None:
            plan.why["positive"] = reason
            is_event = (classes_of(values).astype(str) == plan.positive).to_numpy().astype(int)
            plan.metric = task.leading_metric(2, is_event)
    else:
        frame = frame.assign(**{plan.target: numbers(values)})
    plan.metric = stated.metric_of(plan)
    if not task.has_classes and stated.metric is None:
        plan.metric_of_loss = plan.metric
    _place_all(plan, frame, writings, stated)
    stated.divide(plan)
    if stated.may_be_series:
        _find_series(plan, frame)
    look_for_leaks(plan, frame)
    _write_down(plan, writings)
    roles = {*plan.features, plan.target, plan.weight}
    plan.others = [str(c) for c in frame.columns if str(c) not in roles and is_readable(frame[c])]
    propose_model(plan, classes_of(values).nunique() if task.has_classes else 0)
    if stated.model is not None:
        plan.model, plan.why["model"] = stated.model, WHY
    few = about_few(plan, classes_of(values) if task.has_classes else values)
    if task.has_classes:
        few += about_spelling(plan.target, classes_of(values))
        few += about_numbers_as_classes(plan, classes_of(values)) if stated.task is None else []
    few += about_weights(plan, frame)
    plan.notes += [*few, *about_parts(plan), *(about_time(plan) if plan.part is None else [])]
    if frame[plan.target].isna().any():
        plan.unlabelled = True
        plan.notes.append(f"{plan.target} is missing in some rows: they are left out (data.unlabelled: drop)")
    if not plan.features:
        reasons = {c: plan.ignore.get(c) or plan.why[c] for c in [*plan.keys, *plan.ignore]}
        alike = {why: ", ".join(c for c in reasons if reasons[c] == why) for why in reasons.values()}
        out = [f"{columns} ({why})" for why, columns in alike.items()]
        causes = "; ".join(out[:5]) + (" ..." if len(out) > 5 else "")
        raise DataError(
            f"there must be a column to learn {plan.target} from, but every other one is left out: {causes}"
        )


def _place_all(plan: Plan, frame: pd.DataFrame, writings: Mapping[str, Writing], stated: Stated) -> None:
    """Give each column its role."""
    guesses: dict[str, Guess] = {}
    for name in map(str, frame.columns):
        reason, doubt = stated.role(name), writings[name].doubt if name in writings else ""
        reason = f"part of {plan.parts[name]}" if name in plan.parts else reason
        if name in (plan.target, plan.part, plan.weight):
            continue
        if name in stated.keys or reason is not None:
            guesses[name] = Guess("ignore" if reason is not None else "key", None, reason or WHY)
            continue
        guesses[name] = guess(name, frame[name], doubt)
        if name in stated.kinds and guesses[name].kind != stated.kinds[name]:
            guesses[name] = Guess("feature", stated.kinds[name], WHY)
        elif stated.keys and guesses[name].role == "key":
            guesses[name] = Guess("ignore", None, guesses[name].why)
    formats = {g.date_format for g in guesses.values() if g.textual}
    for column, answer in guesses.items():
        _place(plan, column, answer, len(formats) > 1)


def _find_series(plan: Plan, frame: pd.DataFrame) -> None:
    """Rows of a time series are split by time."""
    plan.series = series_of(plan, frame, plan.split.get("column"))
    if plan.series is None:
        return
    if plan.part is not None:
        plan.ignore[plan.part] = "says train and test, but the rows are split by time"
    plan.part = plan.test_files = None


def _write_down(plan: Plan, writings: Mapping[str, Writing]) -> None:
    """Record the forms of the target and of the features."""
    for name in (plan.target, *plan.features):
        if name in writings:
            plan.written[name] = writings[name].written
            reason = "task" if name == plan.target else name
            plan.why[reason] = f"{plan.why[reason]}; {writings[name].example}"


def _place(plan: Plan, column: str, answer: Guess, mixed: bool) -> None:
    if answer.role == "key":
        plan.keys.append(column)
    elif answer.role == "ignore" or answer.kind is None:
        plan.ignore[column] = answer.why
    else:
        plan.features[column] = answer.kind
        plan.zones |= {} if answer.zone is None else {column: answer.zone}
        if answer.date_format is not None and mixed:
            plan.written[column] = Written(dates=(answer.date_format,))
        else:
            plan.date_format = answer.date_format or plan.date_format
    plan.why[column] = answer.why


def _text(plan: Plan, root: Path) -> str:
    """The file's text, with expectations from a profile of all rows."""
    settings: dict[str, object] = {"source": plan.source, "target": plan.target, "features": plan.features}
    settings |= {"csv": plan.csv, "format": plan.format or "auto", "date_format": plan.date_format}
    settings |= {"unlabelled": "drop" if plan.unlabelled else "stop", "written": plan.written}
    data = DataConfig.parse(settings, "data")
    table = open_table(data, plan.task, root)
    profile = profile_table(table)
    if profile.rows < SMALL:  # a split leaves about seven tenths of the rows to train on
        plan.batch_size = 2 ** max(0, int(math.log2(max(1, profile.rows // 8))))
    plan.notes += [finding.text for finding in check_lines(table)]
    _note_duplicates(plan, table, open_table(data, plan.task, root, plan.others))
    return render(plan, expectations(plan, profile))


def _note_duplicates(plan: Plan, table: Table, whole: Table) -> None:
    """Rows that are equal to a model stay on one side of the split, unless it is not by their content: then the present overlap must be
    allowed. ``whole`` has the columns that are no features, too: rows that differ there are no copies.
    """
    share = _share_of_copies(table)
    if share <= 0.8 * ValidationConfig().max_overlap:
        return
    copies = _share_of_copies(whole)
    if copies > share / 2:
        plan.why["duplicates"] = f"{copies:.1%} of the rows occur more than once; better remove the copies"
    else:
        others = ", ".join(plan.others[:3]) + (" ..." if len(plan.others) > 3 else "")
        plan.why["duplicates"] = f"{share:.1%} of the rows differ from another only in {others}"
    by_content = plan.split.get("by", "random") in ("stratified", "random") and plan.series is None
    if plan.keys or plan.part or plan.test_files or not by_content:
        plan.max_overlap = min(1.0, math.ceil(20 * share + 0.5) / 20)
        plan.notes.append(f"duplicates: {plan.why['duplicates']}, so test rows may be training rows too")
    else:
        plan.notes.append(f"duplicates: {plan.why['duplicates']}; the split keeps equal rows on one side")


def _share_of_copies(table: Table) -> float:
    """The share of rows of which there is another, in all of the table's columns."""
    hashes = row_hashes(table, table.columns)
    _, counts = np.unique(hashes, return_counts=True)
    return float(counts[counts > 1].sum() / len(hashes))
