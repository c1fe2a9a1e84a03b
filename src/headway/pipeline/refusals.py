"""What preparing the rows would refuse, said when they are validated: by `headway check` too, and by `headway init` of its settings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from headway.columns import column_type
from headway.data.config import SPLITS
from headway.data.past import Past
from headway.data.sink import encoded_target, weights_of
from headway.data.source import Table
from headway.data.split import TRAIN, Division
from headway.errors import ConfigError
from headway.evaluate.recalibration import methods_of
from headway.project import Project
from headway.tasks import Target, target_task
from headway.train.target import refuse_strangers, refuse_weightless


def refuse_unfit(project: Project, table: Table, division: Division) -> tuple[Target, np.ndarray]:
    """Raise ConfigError for a setting that does not fit the rows, DataError for rows that cannot be learnt so.

    Returns the target as the training rows have it, and its value in each row, (N,).
    """
    past = Past.of(project.data, project.split)
    if past is not None:
        table.refuse_made(past.names)
    parts = division.parts
    target = _fitted(project, table, parts)
    refuse_strangers(project.train, target)
    refuse_unless_two(project, target)
    values, weights = _columns(table, target, project.data.weight)
    if not project.train.objective.is_plain:
        project.train.objective.refuse_unfit(values)
        project.train.objective.fitted(values[parts == TRAIN])
    for part, split in enumerate(SPLITS[:2]):
        if weights is not None:
            refuse_weightless(split, weights[parts == part])
    return target, values


def refuse_unless_two(project: Project, target: Target) -> None:
    """Raise ConfigError for a setting of two classes, where there are more."""
    classes = f"{len(target.classes)} classes of {target.column}"
    if len(target.classes) == 2:
        return
    if project.threshold.by is not None:
        raise ConfigError(f"threshold must be left out for {classes}: it needs two; remove it")
    if project.recalibrate != "none" and not methods_of(project.recalibrate, len(target.classes)):
        fact = f"is {project.recalibrate}, which is for two"
        raise ConfigError(f"recalibrate must be temperature, auto or none for {classes}, but {fact}")


def _fitted(project: Project, table: Table, parts: np.ndarray) -> Target:
    """The target as the training rows have it."""
    task = target_task(project.task)
    summary = column_type(task.kind).summary(table.target)
    for chunk in table.chunks(columns=[table.target]):
        here = parts[chunk.start : chunk.start + chunk.batch.num_rows] == TRAIN
        summary.update(chunk.batch.column(table.target).filter(pa.array(here)))
    return task.fit(summary, project.data.positive)


def _columns(table: Table, target: Target, weight: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """(N,) each: the target as it is stored, and how much each row counts."""
    names = [table.target, *([weight] if weight is not None else [])]
    values, weights = [], []
    for chunk in table.chunks(columns=names):
        values.append(encoded_target(target, chunk.batch.column(table.target)))
        if weight is not None:
            weights.append(weights_of(chunk.batch, weight))
    return np.concatenate(values), np.concatenate(weights) if weight is not None else None
