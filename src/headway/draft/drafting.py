"""A first project file for a user's own table: every decision is written with its reason, so that people can change it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
import yaml

from headway.columns import column_type
from headway.columns.number import LARGEST
from headway.columns.recognition import Guess, is_number, numbers
from headway.columns.written import Written
from headway.data.alone import power_alone, sum_of_columns
from headway.data.config import DataConfig, ValidationConfig
from headway.data.identity import row_hashes
from headway.data.profile import profile_table
from headway.data.source import open_table
from headway.draft.first_rows import check_one_table, no_column, read_first
from headway.draft.guess import guess
from headway.draft.layout import Choices, as_options, choose_files, layout_of
from headway.draft.notes import about_few, about_time, classes_of
from headway.draft.plan import Plan
from headway.draft.series import series_of
from headway.draft.settings import over, stated_csv, stated_writings
from headway.draft.writing import Writing, as_written
from headway.draft.yaml import expectations, render
from headway.errors import ConfigError, DataError
from headway.files.atomic import write_atomically
from headway.project import Project, setting_pairs
from headway.tasks import TaskName, target_names, target_task

SMALL = 2_000
"""Tables with fewer rows get smaller batches."""

POSITIVE = ("yes", "true", "1", "y", "t", "bad", "default", "fraud", "churn", "positive", "event")


@dataclass(frozen=True)
class Draft:
    """The file that `headway init` wrote. ``decisions``: one line each, with the reason."""

    path: Path
    text: str
    decisions: tuple[str, ...]


def draft(data: str, target: str, name: str | None, root: Path, choices: Choices | None = None) -> Draft:
    """Write `conf/NAME.yaml` of ``root`` from the rows; an existing file is never overwritten.

    Raises ConfigError or DataError, one line, when there is nothing to learn or no place to write.
    """
    try:
        return _draft(data, target, name, root, choices or Choices())
    except (ConfigError, DataError) as error:
        raise type(error)(as_options(str(error))) from None


def _draft(data: str, target: str, name: str | None, root: Path, choices: Choices) -> Draft:
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
    frame, writings = as_written(frame, stated_writings(pairs), pairs.get("data.date_format"))
    plan = Plan(name, source, target, _task(frame[target], target))
    plan.format, plan.csv = layout.format, layout.csv
    _decide(plan, frame, writings)
    plan.notes = [*notes, *plan.notes]
    text = over(_text(plan, root), pairs)
    Project.parse(yaml.safe_load(text), f"conf/{name}.yaml")
    write_atomically(path, text)
    return Draft(path, text, tuple(_decisions(plan)))


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


def _task(column: pd.Series, name: str) -> TaskName:
    """The first task that suits the values. Raises DataError for a target that cannot be learnt."""
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
        return next(task for task in target_names() if target_task(task).suits(distinct, values))
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        raise DataError(f"the target must be classes or numbers, but {name} holds dates; choose another --target")
    if distinct > 20 and (distinct > 1000 or distinct > 0.5 * len(present)):
        fact = f"{name} has {distinct:,} different texts in {len(present):,} rows"
        raise DataError(f"the target must be classes or numbers, but {fact}; choose another --target")
    return next(task for task in target_names() if target_task(task).suits(distinct, None))


def _decide(plan: Plan, frame: pd.DataFrame, writings: Mapping[str, Writing]) -> None:
    values = frame[plan.target]
    distinct = f"{classes_of(values).nunique():,} different values"
    task = target_task(plan.task)
    plan.why["task"] = task.why(distinct)
    if task.has_classes:
        plan.positive, reason = _positive(values)
        if plan.positive is not None:
            plan.why["positive"] = reason
    else:
        frame = frame.assign(**{plan.target: numbers(values)})
    doubts = {name: writing.doubt for name, writing in writings.items()}
    guesses = {str(c): guess(str(c), frame[c], doubts.get(str(c), "")) for c in frame.columns if c != plan.target}
    leaks = _date_leaks(plan, frame, guesses)
    formats = {g.date_format for c, g in guesses.items() if g.textual and c not in leaks}
    for column, answer in guesses.items():
        if column in leaks:
            plan.ignore[column] = plan.why[column] = leaks[column]
        else:
            _place(plan, column, answer, len(formats) > 1)
    _leave_leaks(plan, frame)
    _write_down(plan, writings)
    plan.series = series_of(plan, frame)
    plan.notes += [*about_few(plan, classes_of(values) if task.has_classes else values), *about_time(plan)]
    if frame[plan.target].isna().any():
        plan.unlabelled = True
        plan.notes.append(f"{plan.target} is missing in some rows: they are left out (data.unlabelled: drop)")
    if not plan.features:
        out = [f"{c} ({plan.why.get(c, 'a key')})" for c in [*plan.keys, *plan.ignore]]
        causes = "; ".join(out[:5]) + (" ..." if len(out) > 5 else "")
        raise DataError(
            f"there must be a column to learn {plan.target} from, but every other one is left out: {causes}"
        )


def _write_down(plan: Plan, writings: Mapping[str, Writing]) -> None:
    """Record the forms of the target and of the features."""
    for name in (plan.target, *plan.features):
        if name in writings:
            plan.written[name] = writings[name].written
            reason = "task" if name == plan.target else name
            plan.why[reason] = f"{plan.why[reason]}; {writings[name].example}"


def _date_leaks(plan: Plan, frame: pd.DataFrame, guesses: Mapping[str, Guess]) -> dict[str, str]:
    """Dates that determine the target, for example one that is only set after the event, each with the reason."""
    leaks = {}
    for column, answer in guesses.items():
        if answer.kind is None or not column_type(answer.kind).is_time:
            continue
        times = column_type(answer.kind).drafted(frame[column], answer.date_format)
        leak = _leak(plan, times, answer.kind, frame[plan.target])
        leaks |= {} if leak is None else {column: leak}
    return leaks


def _leak(plan: Plan, values: pd.Series, kind: str, target: pd.Series) -> str | None:
    """The reason to leave a column out that alone predicts the target; None for any other."""
    power, measure = power_alone(values, kind, target, plan.task)
    if power <= ValidationConfig().max_single_feature_auc:
        return None
    return f"leak: it predicts {plan.target} alone, {measure} {power:.4f}"


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


def _positive(values: pd.Series) -> tuple[str | None, str]:
    """The event among two classes: by its name, else the rarer."""
    counts = classes_of(values).value_counts()
    if len(counts) != 2:
        return None, ""
    matches = [str(v) for v in counts.index if str(v).strip().lower() in POSITIVE]
    if len(matches) == 1:
        return matches[0], "it is the event by its name"
    return str(counts.index[-1]), f"it is the rarer class ({counts.iloc[-1] / counts.sum():.1%} of the rows)"


def _leave_leaks(plan: Plan, frame: pd.DataFrame) -> None:
    """Columns that determine the target are ignored."""
    columns = {c: column_type(kind).drafted(frame[c], plan.date_format) for c, kind in plan.features.items()}
    target = frame[plan.target]
    if not target_task(plan.task).has_classes:
        summands = sum_of_columns(
            {c: columns[c] for c, kind in plan.features.items() if column_type(kind).adds_up}, target
        )
        for column in summands:
            plan.ignore[column] = f"leak: {' + '.join(summands)} = {plan.target}, up to rounding or a fixed part"
    for column, kind in plan.features.items():
        if column in plan.ignore or not column_type(kind).can_leak or column_type(kind).is_time:
            continue  # moments are checked in _date_leaks
        leak = _leak(plan, columns[column], kind, target)
        plan.ignore |= {} if leak is None else {column: leak}
    plan.features = {c: kind for c, kind in plan.features.items() if c not in plan.ignore}


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
    _note_duplicates(plan, row_hashes(table, [*table.kinds, table.target]))
    return render(plan, expectations(plan, profile))


def _note_duplicates(plan: Plan, hashes: np.ndarray) -> None:
    """Equal rows stay on one side of the split, unless keys tell them apart: then the present overlap must be allowed."""
    _, counts = np.unique(hashes, return_counts=True)
    share = counts[counts > 1].sum() / len(hashes)
    if share <= 0.8 * ValidationConfig().max_overlap:
        return
    plan.why["duplicates"] = f"{share:.1%} of the rows occur more than once; better remove the copies"
    if plan.keys:
        plan.max_overlap = min(1.0, math.ceil(20 * share + 0.5) / 20)
        plan.notes.append(f"duplicates: {plan.why['duplicates']}, so test rows may be training rows too")
    else:
        plan.notes.append(f"duplicates: {plan.why['duplicates']}; the split keeps equal rows on one side")


def _decisions(plan: Plan) -> list[str]:
    lines = [f"task: {plan.task}, since {plan.target} {plan.why['task']}"]
    if plan.positive is not None:
        lines.append(f"positive class: {plan.positive}, since {plan.why['positive']}")
    lines += [f"{column}: {kind}, {plan.why[column]}" for column, kind in plan.features.items()]
    lines += [f"{column}: key, {plan.why[column]}" for column in plan.keys]
    lines += [f"{column}: ignored, {reason}" for column, reason in plan.ignore.items()]
    return [" ".join(line.split()) for line in [*lines, *plan.notes]]
