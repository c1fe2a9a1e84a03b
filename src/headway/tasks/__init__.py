"""What a project can predict, one file a task: a new file that defines ``TASK`` is a new task.

base             what every task answers, and the target that it is fitted to
numbers          what tasks whose target is a number have in common
metric           what a metric is, and the weighted sums behind its intervals
class_metrics    the metrics of classes
language         the next token: what the language task computes, which is no task of tables
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from headway.tasks.base import Problem, Target, Task, names, task_of

__all__ = ["Problem", "Target", "Task", "TaskName", "has_classes", "has_target", "names", "task_of"]


def has_classes(name: str) -> bool:
    """Whether what is predicted is one of some classes: a label, or the next of the tokens."""
    return name == "language" or task_of(name).has_classes


def has_target(name: str) -> bool:
    """Whether a column is predicted; else documents alone are learnt from."""
    return name != "language"


if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[(*names(), "language")]
    """What `task` may say in a project's YAML."""
