"""One file per kind of prediction: what a network's outputs mean, its loss, its decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headway.data.prepare import Target
    from headway.tasks.base import TaskLoss


def task_of(target: Target) -> TaskLoss:
    """What outputs mean for this target. Imports torch."""
    from headway.tasks.classification import Classification
    from headway.tasks.regression import Regression

    return Classification(target) if target.task == "classification" else Regression(target)
