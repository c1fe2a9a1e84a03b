"""The test rows of a table: slices, a reference column, champions that read other columns, or read the files differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.columns.cycles import named_part, part_of
from headway.data.learnt_rows import LearntRows
from headway.data.prepare import Preparation
from headway.data.reading import FileReading
from headway.data.sparse import sparse
from headway.data.store import Store
from headway.errors import ConfigError, DataError, TrainingError
from headway.evaluate.baselines import Budget, Fitted, Note, fit_baselines
from headway.evaluate.config import NAIVE
from headway.evaluate.coverage import coverage
from headway.evaluate.evaluation import Reference
from headway.evaluate.importance import ImportanceRequest
from headway.evaluate.metrics import primary
from headway.evaluate.resample import Units
from headway.evaluate.result import IntervalCoverage, ThresholdResult
from headway.evaluate.slices import SliceValues
from headway.evaluate.threshold import measure_threshold
from headway.files.atomic import write_array
from headway.models.boosting import features
from headway.models.description import Description, preparation_of
from headway.pipeline.exam import REHEARSAL, Exam
from headway.pipeline.other_columns import Reading, file_reading, unlearnt_rows, write_test_rows
from headway.pipeline.rival import UNREADABLE, Attempt, attempted, damaged
from headway.pipeline.runs import rows_of
from headway.run.result import Result
from headway.serve.interval import Interval
from headway.serve.outcome import Outcome
from headway.tasks import target_task
from headway.train.target import target_of, weights_of

TOLERANCE = {"fp32": 1e-4, "fp64": 1e-4}
"""How far predictions of the bundle, in fp32 on the CPU, may be from training's; looser for half formats."""

EXAMPLE_ROWS = 5

BOUNDS_AT_ONCE = 50_000
"""Test rows whose intervals are computed at once: the inputs and 60 trees of a million rows take 1.6 GB."""

COVERED_ROWS = 500_000
"""Test rows at most whose intervals are looked at, drawn at random: they tell a coverage to a tenth of a per cent."""


class ExamOfRows(Exam):
    """A table's."""

    @property
    def row(self) -> str:
        return "test row"

    @property
    def store(self) -> Store:
        """The prepared rows."""
        return Store(self.run.store)

    @cached_property
    def _preparation(self) -> Preparation:
        return self.store.preparation

    @cached_property
    def _reading(self) -> FileReading:
        """How the candidate's files are read. A store of an early version does not hold it."""
        return self.store.learnt.rule.reading or rows_of(self.run, self.project, self.root).reading

    @cached_property
    def target(self) -> np.ndarray:
        return np.asarray(self.store.arrays("test")["target"])

    @cached_property
    def units(self) -> Units:
        return Units.of(*self.store.units("test"))

    @property
    def learnt(self) -> LearntRows:
        return self.store.learnt.read_as(self._reading)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._preparation.target.classes

    @property
    def importance(self) -> ImportanceRequest | None:
        rows = self.project.evaluate.importance
        metric = primary(
            self.project.task, len(self.classes), self.project.gate_of(len(self.classes)).metric, self.target
        )
        return ImportanceRequest(metric, rows) if rows else None

    @property
    def slices(self) -> Mapping[str, SliceValues]:
        """Numbers and parts of dates as float64, everything else as text with `missing` for null."""
        values: dict[str, SliceValues] = {}
        for name in self.project.evaluate.slices:
            part = named_part(name, self.project.data.dates)
            if part is not None:
                values[name] = self._part(*part)
                continue
            column = self.store.raw_test([name]).column(name)
            if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
                values[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            else:
                texts = column.cast(pa.string()).fill_null("missing").dictionary_encode().combine_chunks()
                values[name] = pd.Categorical.from_codes(texts.indices, texts.dictionary)
        return values

    def _part(self, column: str, part: str) -> np.ndarray:
        moments = self.store.raw_test([column]).column(column).combine_chunks()
        return part_of(moments, part, self.project.prepare.dates.of(column).zone)

    @property
    def reference(self) -> Reference | None:
        """None where the column is absent or incomplete, or where a prediction is more than one number."""
        name = self.project.evaluate.reference
        task, outputs = target_task(self.project.task), self._preparation.target.outputs
        if name is None or not task.is_one_score(outputs):
            return None
        scores = self.store.raw_test([name]).column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return Reference(name, task.of_scores(scores)) if np.isfinite(scores).all() else None

    def coverage(self, predictions: np.ndarray) -> IntervalCoverage | None:
        interval = Interval.of(Description.of(self.run.bundle).interval)
        if interval is None:
            return None
        arrays, parts, count = self.store.arrays("test"), [], len(predictions)
        sample = np.sort(np.random.default_rng(0).permutation(count)[:COVERED_ROWS])
        for start in range(0, len(sample), BOUNDS_AT_ONCE):
            rows = sample[start : start + BOUNDS_AT_ONCE]
            some = {name: values[rows] for name, values in arrays.items()}
            parts.append(interval.bounds(predictions[rows], lambda some=some: features(some)))
        low, high = (np.concatenate([part[end] for part in parts]) for end in range(2))
        return coverage(interval.level, self.target[sample], predictions[sample], low, high, of_rows=count)

    def at_threshold(self, predictions: np.ndarray) -> ThresholdResult | None:
        threshold, project = preparation_of(self.run.bundle).target.threshold, self.project
        if threshold is None:
            return None
        return measure_threshold(
            project.task,
            threshold,
            project.threshold,
            self.classes,
            self.target,
            predictions,
            project.evaluate.resamples,
            self.units,
        )

    def baselines(self, names: Sequence[str], note: Note = lambda _name, _text: None) -> dict[str, Fitted]:
        learning = [name for name in names if name not in NAIVE]
        store = self.store
        inputs, weights = store.preparation.inputs(), weights_of(store, self.project.train, "train")
        fitted = fit_baselines(
            learning,
            self.project.task,
            store.arrays("train") if weights is None else {**store.arrays("train"), "weight": weights},
            store.arrays("test"),
            outputs=inputs.outputs,
            cardinalities=inputs.categorical,
            seed=self.project.train.seed,
            objective=self.project.train.objective,
            texts=(sparse(store.ragged("train"), inputs.tokens), sparse(store.ragged("test"), inputs.tokens)),
            budget=Budget(self.project.evaluate.boosting_seconds, note),
        )
        if len(learning) < len(names):
            fitted |= self._naive([name for name in names if name in NAIVE])
        return {name: fitted[name] for name in names if name in fitted}

    def _naive(self, names: Sequence[str]) -> dict[str, Fitted]:
        from headway.data.past import Past
        from headway.data.split import Division
        from headway.evaluate.naive import naive_forecasts

        past = Past.of(self.project.data, self.project.split)
        assert past is not None, "the project was validated"
        division = Division(rows_of(self.run, self.project, self.root), self.project.split)
        return naive_forecasts(names, division, past)

    def check(self, bundle: np.ndarray) -> None:
        outputs = np.load(self.run.predictions("test"))
        target = target_of(self.store, self.project.train.objective)
        tolerance = TOLERANCE.get((self.run.result or Result()).precision, 0.1)
        calibration = preparation_of(self.run.bundle).target.calibration
        if calibration is not None:  # it may enlarge rounding: outputs within the tolerance of training's become these
            outputs = np.clip(bundle, *calibration.ends(np.load(self.run.predictions("test-raw")), tolerance))
        apart = target.learner.apart(target, bundle, outputs)
        if not apart <= tolerance:
            raise TrainingError(
                f"the bundle's predictions must be within {tolerance} of training's, but are {apart:.2g} apart; see {self.run.path}"
            )

    def keep(self, predictions: Mapping[str, np.ndarray]) -> None:
        for name, values in predictions.items():
            write_array(self.run.predictions(name), values)

    def candidate(self) -> np.ndarray:
        return np.load(self.run.predictions("test"))

    def pictured_predictions(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        files = {"model": "test", **{name: name for name in names}}
        return {name: np.load(self.run.predictions(file), mmap_mode="r") for name, file in files.items()}

    def takes(self, bundle: Path) -> bool:
        try:
            return Reading.of(bundle, self.store, self._reading).same
        except UNREADABLE:  # reported at the comparison
            return False

    def let_predict(self, version: str, bundle: Path) -> Attempt:
        """Where it reads other columns, or reads the files differently, the rows are read from the data again."""
        rows = self.run.store
        try:
            reading = Reading.of(bundle, self.store, self._reading)
        except UNREADABLE as error:
            return damaged(bundle, error)
        if not reading.same:
            table = rows_of(self.run, self.project, self.root)
            problem = reading.problem(self.project, table, bool(self.run.plan.get("replace_champion")))
            if problem:
                return Attempt(problem=problem)
            try:
                folder = self.run.path / f"{REHEARSAL}-{version}"
                rows = write_test_rows(folder, self.project, table, reading).path
            except (ConfigError, DataError) as error:
                return Attempt(problem=f"the rows cannot be read with its columns: {error}")
        return replace(self._predicted(rows, version, bundle), remark=reading.remark(version, self.project.name))

    def attempted(self, bundle: Path, predictions: Path, outcome: Outcome) -> Attempt:
        """A version with other classes cannot be compared."""
        if outcome.problem is None and outcome.classes != self.classes:
            classes = ", ".join(outcome.classes)
            outcome = Outcome(problem=f"its classes are {classes}, but the candidate's are {', '.join(self.classes)}")
        attempt = attempted(bundle, predictions, outcome)
        if attempt.learnt is None:
            return attempt
        return replace(attempt, learnt=attempt.learnt.read_as(file_reading(bundle, self._reading)))

    def unlearnt(self, learnt: LearntRows) -> np.ndarray:
        return unlearnt_rows(self.store, self.project, lambda: rows_of(self.run, self.project, self.root), learnt)

    def example(self) -> pd.DataFrame:
        return self.store.raw_test(list(self._preparation.kinds)).slice(0, EXAMPLE_ROWS).to_pandas()

    def keep_reference(self) -> None:
        from headway.pipeline.watching import keep_reference
        from headway.watch.reference import as_column
        from headway.watch.units import TestRows

        unit, codes, _ = self.store.units("test")
        predictions = as_column(self.task.name, np.load(self.run.predictions("test")), self.classes)
        keep_reference(self.run, self.project, self.root, self.classes, TestRows(predictions, unit, codes))
