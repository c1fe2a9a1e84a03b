"""What every task answers: all that is peculiar to what a project predicts. Only functions that train import torch.

`Task` is any kind of prediction, that of the next token too; `TargetTask` predicts a target column, to which it is fitted.

Shapes: N rows, B batch, K members of an ensemble, O outputs.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa

from headway.columns.summary import Summary
from headway.config import suggest
from headway.errors import ConfigError
from headway.files.records import Record
from headway.tasks.calibration import Calibration
from headway.tasks.measurement import Measurement
from headway.tasks.metric import Metric
from headway.tasks.objective import PLAIN, Objective
from headway.tasks.proposal import Proposal
from headway.tasks.reference import Reference
from headway.tasks.shallow import Shallow
from headway.tasks.threshold import Threshold

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from headway.tasks.completion import Parameter

Answered = Literal["string", "double"]
"""What a column of the answer holds, in MLflow's words."""


@dataclass(frozen=True)
class Target(Record):
    """The column to predict, fitted: its ``classes`` in code order, or the mean and spread that a network trains on."""

    column: str
    task: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    objective: Objective = PLAIN
    """What is minimised, fitted to the training rows. A store's target does not know it: one store serves all objectives."""
    calibration: Calibration | None = None
    """How the probabilities of the classes are recalibrated."""
    threshold: Threshold | None = None
    """From which probability on the second of two classes is predicted; None: the likelier class is."""
    reference: Reference | None = None
    """Of time series the earlier value since which a model gives the change: ``mean`` and ``std`` are of the change then."""

    @property
    def learner(self) -> TargetTask:
        """The task with this objective."""
        return target_task(self.task).minimising(self.objective)

    def to_json(self) -> dict[str, object]:
        """As plain values; without an objective that is the task's own, as earlier versions wrote it."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        if self.objective.is_plain:
            del values["objective"]
        return values

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a row."""
        return task_of(self.task).outputs(self)

    def apply(self, column: pa.Array) -> np.ndarray:
        """(B,) the canonical column as it is stored; -1 for a class unknown in training."""
        return target_task(self.task).encode(self, column)

    def calibrated(self, predictions: np.ndarray) -> np.ndarray:
        """A model's predictions as they are answered."""
        return predictions if self.calibration is None else self.calibration.apply(predictions)

    def levels(self, outputs: np.ndarray, numeric: np.ndarray) -> np.ndarray:
        """A model's outputs for prepared rows as predictions of the target, where they are changes."""
        return outputs if self.reference is None else self.reference.levels(outputs, numeric)

    def decode(self, predictions: np.ndarray) -> pd.DataFrame:
        """Predictions as people read them: `prediction`, and what the task adds to it."""
        return task_of(self.task).answer(self, predictions)


@cache
def names() -> tuple[str, ...]:
    """The names that a project's `task` can have: those of the files that define a ``TASK``."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(path.stem for path in files if "\nTASK = " in path.read_text("utf-8")))


def task_of(name: str) -> Task:
    """The task of that name. Raises ConfigError where there is none, as for a bundle of another version. Imports no torch."""
    if name not in names():
        raise ConfigError(f"task must be one of {', '.join(names())}, but is {name!r}{suggest(name, list(names()))}")
    return importlib.import_module(f"headway.tasks.{name}").TASK


def target_names() -> tuple[str, ...]:
    """The names of the tasks that predict a target column."""
    return tuple(name for name in names() if isinstance(task_of(name), TargetTask))


def target_task(name: str) -> TargetTask:
    """The task of that name, which predicts a target column. Raises ConfigError where there is none."""
    task = task_of(name)
    if not isinstance(task, TargetTask):
        raise ConfigError(f"task must be one that predicts a target column, but is {name}: {', '.join(target_names())}")
    return task


class Task(Measurement):
    """One kind of prediction. An instance holds nothing but what is minimised: what is fitted is in the ``Target``, which it is handed."""

    @property
    def name(self) -> str:
        """What a project's `task` says: the name of the file that defines the task."""
        return type(self).__module__.rpartition(".")[2]

    has_classes: ClassVar[bool] = False
    """Whether what is predicted is one of some classes: a label, or the next of the tokens. Otherwise it is a number."""

    has_interval: ClassVar[bool] = False
    """Whether a prediction comes with the interval that the target lies in, read off the validation rows."""

    stratified: ClassVar[bool] = False
    """Whether the parts of a split get their shares of the target's values."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Settings that a project of the task has where its YAML is silent, by section; those of other sections are the sections' own."""

    losses: ClassVar[tuple[str, ...]] = ("auto",)
    """What `train.loss` may say."""

    def minimising(self, objective: Objective) -> Self:
        """The task with what its training minimises, where it has a choice."""
        del objective
        return self

    completes: ClassVar[bool] = False
    """Whether a model goes on with a text that it is given."""

    parameters: ClassVar[tuple[Parameter, ...]] = ()
    """What a request for completions may say beside the prompts."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean loss of a network's outputs. A scalar.

        ``smoothing``: the share of a label that is spread over all classes (Szegedy et al. 2016, arXiv:1512.00567); a number has
        none, and the recipe of its project is refused with it.
        """

    @abstractmethod
    def outputs(self, target: Target) -> int:
        """How many numbers a model gives for a row."""

    @abstractmethod
    def answer(self, target: Target, predictions: np.ndarray) -> pd.DataFrame:
        """Predictions as people read them, a row a row: of a target `prediction`, and further columns of the task's own."""

    @abstractmethod
    def answered(self, classes: Sequence[str]) -> dict[str, Answered]:
        """The columns of ``answer``, without the interval's."""

    @abstractmethod
    def no_predictions(self, outputs: int) -> np.ndarray:
        """Predictions of no rows."""

    @abstractmethod
    def watched(self, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """(N,) of predictions what is compared with those of newer rows: a number, or the name of a class; NaN where there is none."""

    def count(self, predictions: np.ndarray) -> int:
        """How many single predictions the rows (N, ...) hold: of a block of text, one for each token."""
        return len(predictions)

    def event(self, predictions: np.ndarray) -> np.ndarray | None:
        """(N,) the probability of the event, where predictions are of two classes; otherwise None."""
        del predictions
        return None


class TargetTask(Task, Proposal, Shallow):
    """A task that predicts a target column of a table.

    A network's outputs are (B, O), or (B, K, O) for an ensemble; each member's loss counts by itself.
    """

    kind: ClassVar[str]
    """The type of the target column, of headway.columns."""

    dtype: ClassVar[np.dtype[Any]]
    """The stored target's."""

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"model": {"name": "mlp"}})
    baselines = ("trivial", "linear", "boosting")

    def watched(self, predictions: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """The event's probability, the value, or of more than two classes the likeliest."""
        if len(classes) > 2:
            return np.asarray(classes, object)[predictions.argmax(1)]
        return np.asarray(predictions[:, 1] if predictions.ndim == 2 else predictions, np.float64)

    # The target

    @abstractmethod
    def fit(self, summary: Summary, positive: str | None) -> Target:
        """Fit to a column of the training rows. Raises ConfigError or DataError where it cannot be learnt."""

    @abstractmethod
    def encode(self, target: Target, column: pa.Array) -> np.ndarray:
        """(B,) of ``dtype``: the canonical column as it is stored."""

    def unlearnt(self, target: Target, values: np.ndarray) -> np.ndarray:
        """(B,) bool: the encoded values that training lacks."""
        del target
        return np.zeros(len(values), bool)

    def remark(self, target: Target, values: np.ndarray) -> str:
        """What a reader of the preparation must know of the training rows' stored target; empty where there is nothing."""
        del target, values
        return ""

    # Training

    def standard(self, target: Target) -> tuple[float, float]:
        """The center and the spread of the target on the scale on which a linear model is fitted."""
        return target.mean, target.std

    def trees_target(self, target: Target, values: np.ndarray) -> np.ndarray:
        """The stored target as LightGBM takes it."""
        del target
        return np.asarray(values)

    def of_trees(self, target: Target, values: np.ndarray) -> np.ndarray:
        """LightGBM's predictions in the target's own unit."""
        del target
        return values

    @abstractmethod
    def training_target(self, target: Target, values: np.ndarray) -> np.ndarray:
        """The stored target as the loss takes it."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor, smoothing: float = 0.0, weight: Tensor | None = None) -> Tensor:
        """The mean of the rows' losses times their ``weight`` (B,), whose mean over all training rows is 1; as `Task.loss` without."""

    @abstractmethod
    def decode(self, outputs: Tensor) -> Tensor:
        """Predictions of a network, members averaged: (B, classes) probabilities, or (B,) values that ``finish`` takes."""

    @abstractmethod
    def score(self, decoded: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
        """The validation loss of decoded predictions, a weighted mean: what early stopping watches."""

    @abstractmethod
    def finish(self, target: Target, decoded: np.ndarray) -> np.ndarray:
        """Decoded predictions in the target's own unit."""

    def criterion(self, outputs: int) -> Metric:
        """The metric by which a model's fit chooses between settings, on rows held aside."""
        return self.metric(self.default_metric(outputs))

    def apart(self, target: Target, one: np.ndarray, other: np.ndarray) -> float:
        """The largest distance of two models' predictions for the same rows, in the unit in which training computes them."""
        return float(np.abs(one.astype(float) - other).max()) / target.std

    # Reasons

    @abstractmethod
    def margins(self, target: Target, outputs: Tensor) -> Tensor:
        """(B, M) of a network's outputs: the scale on which what single columns contribute adds up, before a link bends it."""

    @abstractmethod
    def margin_names(self, target: Target) -> tuple[str, ...]:
        """What each margin is, for people: log-odds of a class, or the target."""

    def trees_standard(self, target: Target) -> tuple[float, float]:
        """The center and the spread of what LightGBM's scores are standardised by, on the margin's scale."""
        del target
        return 0.0, 1.0

    def explained(self, predictions: np.ndarray) -> np.ndarray:
        """(N,) the margin by which each prediction is explained."""
        return np.zeros(len(predictions), np.int64)
