"""The untouched test data of a run: everything that evaluation and gate need, for rows and for texts.

`exam_of_rows` is for the rows of a table, `exam_of_text` for the documents or blocks of a text. `assessment` and `judgement` use only
this class. Shapes: N rows of the exam.
"""

from __future__ import annotations

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headway.data.learnt_rows import Examinable, LearntRows, examinable
from headway.evaluate.baselines import Fitted, Note
from headway.evaluate.evaluation import Reference
from headway.evaluate.importance import ImportanceRequest
from headway.evaluate.resample import Units
from headway.evaluate.result import IntervalCoverage, ThresholdResult
from headway.evaluate.slices import SliceValues
from headway.files.records import plain
from headway.pipeline.rival import Attempt, attempted
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.serve.outcome import Outcome, await_end, outcome_of
from headway.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

REHEARSAL = "rehearsal"
"""The folder of a run for the predictions of the test rows: by the candidate's bundle (0), then the champion's."""


@dataclass(frozen=True)
class Exam(ABC):
    """The test rows of a run, and the predictions of models for them. ``root``: the project's folder."""

    run: RunDirectory
    project: Project
    root: Path

    @property
    def task(self) -> Task:
        """The project's."""
        return self.project.learner

    @property
    @abstractmethod
    def row(self) -> str:
        """The name of one row in texts."""

    @property
    @abstractmethod
    def target(self) -> np.ndarray:
        """(N,) the true values, with which metrics compare predictions."""

    @property
    @abstractmethod
    def units(self) -> Units:
        """The units of resampling: the rows, or what they belong to."""

    @property
    @abstractmethod
    def learnt(self) -> LearntRows:
        """The identities of the candidate's training rows."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the target, in the order of their codes."""
        return ()

    @property
    def prompts(self) -> tuple[str, ...]:
        """The beginnings of the candidate's samples, where it generates texts."""
        return ()

    @property
    def importance(self) -> ImportanceRequest | None:
        """What is to be measured of each column's importance; None where rows have no columns."""
        return None

    @property
    def slices(self) -> Mapping[str, SliceValues]:
        """(N,) for each slice column: metrics are also computed for each of its values."""
        return {}

    @property
    def reference(self) -> Reference | None:
        """The reference score, from a column of the data."""
        return None

    def coverage(self, predictions: np.ndarray) -> IntervalCoverage | None:
        """How many rows the candidate's intervals hold, where it has any."""
        del predictions
        return None

    def at_threshold(self, predictions: np.ndarray) -> ThresholdResult | None:
        """What the classes are worth that the candidate's threshold predicts, where it has one."""
        del predictions
        return None

    # What predicts

    @abstractmethod
    def baselines(self, names: Sequence[str], note: Note = lambda _name, _text: None) -> dict[str, Fitted]:
        """Some of the task's baselines, fitted to the training rows: their predictions for the test rows.

        ``note``: called with one that is left out or limited, and the reason.
        """

    def trivial(self) -> np.ndarray:
        """The predictions of the baseline that a first model must beat."""
        (baseline,) = self.baselines(self.task.baselines[:1]).values()
        return baseline.prediction

    @abstractmethod
    def check(self, bundle: np.ndarray) -> None:
        """Raise TrainingError where the bundle, in a fresh process, does not predict what training predicted."""

    def keep(self, predictions: Mapping[str, np.ndarray]) -> None:
        """Keep predictions of the candidate, `test`, and of the baselines, where later stages read them."""
        del predictions

    def read(self, path: Path) -> np.ndarray:
        """(N, ...) predictions, as a rehearsal wrote them."""
        return np.load(path)

    def of_training(self, predictions: np.ndarray) -> np.ndarray:
        """(N, ...) as the metrics take them: what the training process predicted for the test rows."""
        return predictions

    def candidate(self) -> np.ndarray:
        """Its predictions, of its bundle."""
        return self.read(self.run.path / REHEARSAL / "0.npy")

    def pictured_predictions(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The predictions of `model` and of the baselines ``names`` that pictures show."""
        del names
        return {}

    # The champion

    def takes(self, bundle: Path) -> bool:
        """Whether a version can predict the test rows as the store holds them."""
        del bundle
        return True

    def let_predict(self, version: str, bundle: Path) -> Attempt:
        """Let a version predict the test rows in a process of its own."""
        return self._predicted(self.run.store, version, bundle)

    def _predicted(self, store: Path, version: str, bundle: Path) -> Attempt:
        folder = self.run.path / f"{REHEARSAL}-{version}"
        await_end(self.rehearse(folder, [bundle], store))
        return self.attempted(bundle, folder / "0.npy", outcome_of(folder))

    def attempted(self, bundle: Path, predictions: Path, outcome: Outcome) -> Attempt:
        """The result of a version's predictions, or its problem."""
        return attempted(bundle, predictions, outcome)

    def rehearse(
        self,
        out: Path,
        bundles: Sequence[Path],
        store: Path | None = None,
        prompts: Sequence[str] = (),
        importance: ImportanceRequest | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a fresh process in which the bundles predict the test rows; ``store``: where these are, if not in the run's."""
        for name in ("rehearsal.json", "importance.json"):
            (out / name).unlink(missing_ok=True)  # of an earlier try
        request = json.dumps(plain(importance))
        words = [str(store or self.run.store), str(out), json.dumps(list(prompts)), request, *map(str, bundles)]
        with open(self.run.path / f"{out.name}.log", "wb") as log:
            command = [sys.executable, "-m", "headway.serve.rehearse", *words]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def examinable(self, version: str, learnt: LearntRows | None) -> Examinable:
        """The rows that a version has not learnt from. ``learnt``: the identities of those that it has."""
        return examinable(self.learnt, learnt, f"version {version}", len(self.target), self.unlearnt)

    @abstractmethod
    def unlearnt(self, learnt: LearntRows) -> np.ndarray:
        """(N,) bool: the rows that a version has not learnt from. Raises ConfigError or DataError where that is unknown."""

    # Registration

    @abstractmethod
    def example(self) -> pd.DataFrame:
        """A few inputs, for the registry."""

    def keep_reference(self) -> None:
        """Put the reference for watching into the bundle, where the project can be watched."""
        return
