"""What a project can predict, one file a task: a new file that defines ``TASK`` is a new task.

base             what every task answers, and the target that it is fitted to
numbers          what tasks whose target is a number have in common
metric           what a metric is, and the weighted sums behind its intervals
class_metrics    the metrics of classes
language         the next token: what the language task computes, which is no task of tables
"""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Literal

from headway.config import suggest
from headway.errors import ConfigError
from headway.tasks.base import Problem, Target, Task, module_of

__all__ = ["Problem", "Target", "Task", "TaskName", "has_classes", "names", "task_of"]

PARTS = frozenset({"base", "class_metrics", "language", "metric", "numbers"})
"""Modules of this folder that are no task of tables."""


@cache
def names() -> tuple[str, ...]:
    """The names that a table project's `task` can have: those of the files."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in PARTS))


def task_of(name: str) -> Task:
    """The task of that name. Raises ConfigError where there is none. Imports no torch."""
    if name not in names():
        known = ", ".join(names())
        raise ConfigError(f"task must be one of {known}, but is {name!r}{suggest(name, list(names()))}")
    return module_of(name).TASK


def has_classes(name: str) -> bool:
    """Whether what is predicted is one of some classes: a label, or the next of the tokens."""
    return name == "language" or task_of(name).has_classes


if TYPE_CHECKING:
    TaskName = str
else:
    TaskName = Literal[names()]
    """What `task` may say in a project's YAML."""
