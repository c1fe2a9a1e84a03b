"""What a project can predict, one file a task: a new file that defines ``TASK`` is a new task.

base             what every task answers, and the target that a table's is fitted to
numbers          what tasks whose target is a number have in common
metric           what a metric is, and the weighted sums behind its intervals
class_metrics    the metrics of classes; labels: those of predicted labels; ranking: those of a ranking by score
number_metrics   the metrics of numbers
number_losses    the losses of numbers
focal            focal loss, for networks and for trees
calibration      how probabilities of classes are recalibrated
threshold        from which probability on the event is predicted
objective        what a training minimises, and on which scale
completion       going on with a text
measurement      what evaluation asks of a task; proposal: what `headway init` asks; shallow: what models without a network ask
projection       the loss of logits that are too many to be computed at once
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from headway.tasks.base import Target, TargetTask, Task, names, target_names, target_task, task_of
from headway.tasks.objective import PLAIN, Objective
from headway.tasks.proposal import Problem

__all__ = [
    "PLAIN",
    "Objective",
    "Problem",
    "Target",
    "TargetTask",
    "Task",
    "TaskName",
    "defaults_of",
    "has_target",
    "names",
    "target_names",
    "target_task",
    "task_of",
]


def has_target(name: str) -> bool:
    """Whether a column is predicted; otherwise documents alone are learnt from. A name that is no task's is refused elsewhere."""
    return name not in names() or isinstance(task_of(name), TargetTask)


def defaults_of(name: str) -> Mapping[str, Mapping[str, Any]]:
    """The settings, by section, of a project whose YAML is silent; a target's for a name that is no task's, which is refused elsewhere."""
    return task_of(name).defaults if name in names() else TargetTask.defaults


if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[names()]
    """What `task` may say in a project's YAML."""
