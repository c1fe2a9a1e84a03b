"""What evaluation asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from headway.tasks.metric import Metric


class Measurement(ABC):
    """How predictions are measured: by which metrics, against which baselines, in which pictures."""

    metrics: ClassVar[tuple[Metric, ...]]
    """What is always measured."""

    further: ClassVar[tuple[Metric, ...]] = ()
    """What is measured where the objective asks for it."""

    @property
    def measured(self) -> tuple[Metric, ...]:
        """What is measured with this objective."""
        return self.metrics

    baselines: ClassVar[tuple[str, ...]]
    """Cheap models that a project of the task is held against; the first knows next to nothing: a first model must beat it."""

    @abstractmethod
    def default_metric(self, classes: int) -> str:
        """The metric that decides where none is stated."""

    def leading_metric(self, classes: int, target: np.ndarray) -> str:
        """The same for these true values, where they matter for it."""
        del target
        return self.default_metric(classes)

    def metric(self, name: str) -> Metric:
        """The task's metric of that name."""
        return next(metric for metric in self.measured if metric.name == name)

    @abstractmethod
    def pictures(self, classes: Sequence[str], target: np.ndarray) -> tuple[str, ...]:
        """The names of the pictures that show test rows, of those that headway.evaluate.plots can draw."""
