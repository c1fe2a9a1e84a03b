"""What a model is worth on the untouched test rows, beside the baselines and the champion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headway.evaluate.baselines import Fitted
from headway.evaluate.evaluation import beside, evaluate
from headway.evaluate.importance import write_table
from headway.evaluate.plots import draw
from headway.evaluate.result import ChampionResult, Evaluation, Importance
from headway.files.atomic import write_array
from headway.pipeline.exam import REHEARSAL, Exam
from headway.pipeline.exam_of_rows import ExamOfRows
from headway.pipeline.exam_of_text import ExamOfText
from headway.pipeline.rival import Attempt, attempting, look, meet, without_champion
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.run.report import Reporter
from headway.serve.outcome import Outcome, await_end, outcomes
from headway.tasks import has_target

if TYPE_CHECKING:
    from headway.tracking import Holder


def exam_of(run: RunDirectory, project: Project, root: Path) -> Exam:
    """The test data of a run that is prepared."""
    return (ExamOfRows if has_target(project.task) else ExamOfText)(run, project, root)


@dataclass(frozen=True)
class _Predictions:
    """Of the test rows: by the candidate's bundle and by the baselines; ``notes``: on baselines that are limited or left out.

    ``candidate`` and ``champion``: what came of their bundles in a fresh process; no champion where none predicts these rows.
    """

    of_candidate: np.ndarray
    baselines: Mapping[str, Fitted]
    notes: Mapping[str, str]
    candidate: Outcome
    champion: Outcome | None

    @property
    def all(self) -> dict[str, np.ndarray]:
        """By name, the candidate's as `model`."""
        return {"model": self.of_candidate, **{name: fitted.prediction for name, fitted in self.baselines.items()}}


def assess(run: RunDirectory, project: Project, root: Path, report: Reporter) -> Evaluation:
    """Measure model, baselines, champion and reference; draw the pictures. Returns the evaluation."""
    from headway import tracking

    exam, holder = exam_of(run, project, root), tracking.holder(root, project.name)
    predictions = _predict(exam, holder, report)
    report.progress(0.6, "measuring")
    evaluation = compare(exam, _measure(exam, predictions), holder, predictions.champion)
    if evaluation.rival:
        report.warn(evaluation.rival)
    report.progress(0.8, "drawing")
    draw_pictures(exam, evaluation)
    return evaluation


def _predict(exam: Exam, holder: Holder | None, report: Reporter) -> _Predictions:
    """Let bundles predict in a fresh process while the baselines are fitted here. The predictions are checked and kept."""
    run = exam.run
    bundles = [run.bundle, *_champion_of_these_rows(exam, holder)]
    child = exam.rehearse(run.path / REHEARSAL, bundles, prompts=exam.prompts, importance=exam.importance)
    try:
        report.progress(0.1, "fitting the baselines")
        notes: dict[str, list[str]] = defaultdict(list)
        baselines = exam.baselines(exam.project.evaluate.baselines, lambda name, text: notes[name].append(text))
        report.progress(0.5, f"predicting the {exam.row}s as a fresh process will")
    finally:
        code = await_end(child)
    candidate, *others = outcomes(run, code)
    of_candidate = exam.read(run.path / REHEARSAL / "0.npy")
    exam.check(of_candidate)
    exam.keep({"test": of_candidate, **{name: fitted.prediction for name, fitted in baselines.items()}})
    texts = {name: "; ".join(some) for name, some in notes.items()}
    return _Predictions(of_candidate, baselines, texts, candidate, others[0] if others else None)


def _measure(exam: Exam, predictions: _Predictions) -> Evaluation:
    """Everything but the comparison with the champion."""
    run, project = exam.run, exam.project
    evaluation = evaluate(
        project.task,
        project.gate_of(len(exam.classes)),
        exam.classes,
        exam.target,
        predictions.all,
        units=exam.units,
        seconds={name: fitted.seconds for name, fitted in predictions.baselines.items()},
        slice_values=exam.slices,
        reference=exam.reference,
        model_name=project.model.name,
        resamples=project.evaluate.resamples,
        further=project.further,
    )
    importance = Importance.read_if_whole(run.path / REHEARSAL / "importance.json")
    if importance is not None:
        write_table(run.path / "importance.csv", importance)
    return replace(
        evaluation,
        coverage=exam.coverage(predictions.of_candidate),
        threshold=exam.at_threshold(predictions.of_candidate),
        importance=importance,
        baseline_notes=predictions.notes,
        latency_ms=predictions.candidate.latency_ms,
        size_mb=predictions.candidate.size_bytes / 1e6,
    )


def _champion_of_these_rows(exam: Exam, holder: Holder | None) -> list[Path]:
    """The bundle of the champion, where it can predict the test rows as the store holds them."""
    if holder is None or holder.bundle is None or look(holder, exam.run.plan["project"]) is not None:
        return []
    return [holder.bundle] if exam.takes(holder.bundle) else []


def compare(exam: Exam, evaluation: Evaluation, holder: Holder | None, outcome: Outcome | None = None) -> Evaluation:
    """With the rival. ``holder``: the champion; ``outcome``: how it fared where it has predicted already."""
    run = exam.run

    def before(bundle: Path) -> Attempt:
        return exam.attempted(bundle, run.path / REHEARSAL / "1.npy", outcome or Outcome())

    attempt = attempting(run.plan["project"], holder, None if outcome is None else before, exam.let_predict)
    rival = meet(exam.root, exam.project.name, holder, attempt)
    evaluation = without_champion(evaluation, rival)
    if rival.version is None or rival.predictions is None:
        return evaluation
    examined = exam.examinable(rival.version, rival.learnt)
    usable = rival.predictions.with_suffix(".usable.npy")
    write_array(usable, examined.mask)
    champion = ChampionResult(
        version=rival.version,
        rows=int(examined.mask.sum()),
        left_out=examined.left_out,
        why=examined.sentence(f"{exam.row}s"),
        predictions=str(rival.predictions.relative_to(run.path)),
        usable=str(usable.relative_to(run.path)),
    )
    predictions, resamples = exam.read(rival.predictions), exam.project.evaluate.resamples
    return beside(
        evaluation, champion, exam.target, predictions, units=exam.units, rows=examined.mask, resamples=resamples
    )


def draw_pictures(exam: Exam, evaluation: Evaluation) -> None:
    """The pictures. They show all test rows, hence no champion that is examined on some of them."""
    predictions = exam.pictured_predictions(list(evaluation.baselines))
    champion = evaluation.champion
    if predictions and champion is not None and not champion.left_out:
        predictions["champion"] = exam.read(exam.run.path / champion.predictions)
    curve = [(event.step, event.metrics) for event in exam.run.events() if event.kind == "metric"]
    draw(exam.run.path / "plots", exam.classes, exam.target, predictions, evaluation, curve)
