"""The last stage: the gate decides whether a model replaces the version that it was compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headway.evaluate.decision import Decision
from headway.evaluate.gate import decide, stays
from headway.evaluate.result import Evaluation
from headway.pipeline.assessment import compare, draw_pictures, exam_of
from headway.pipeline.exam import Exam
from headway.pipeline.rival import compared, is_barred, note_of, overtaken
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.run.report import Reporter

if TYPE_CHECKING:
    from headway.tracking import Holder


def put_before_gate(run: RunDirectory, project: Project, root: Path, report: Reporter) -> Decision:
    """Decide, register, and set the aliases. Returns the decision with the model's name and version.

    Where another version took charge since the evaluation, the candidate is compared with that one, and evaluation.json is updated.
    """
    from headway import tracking

    exam = exam_of(run, project, root)
    evaluation = compared(Evaluation.read(run.path / "evaluation.json"))
    decision = _decide(exam, evaluation)
    exam.keep_reference()
    version = tracking.register(run, root, project.name, exam.example())

    def again(holder: Holder | None) -> Decision:
        nonlocal evaluation
        report.warn(overtaken(evaluation.in_charge, holder))
        evaluation = compare(exam, evaluation, holder)
        evaluation.write(run.path / "evaluation.json")
        return _decide(exam, evaluation)

    before = evaluation.in_charge
    decision = tracking.settle(root, project.name, version, before, decision, again)
    if evaluation.in_charge != before:
        draw_pictures(exam, evaluation)
    return replace(decision, name=project.name, version=version)


def _decide(exam: Exam, evaluation: Evaluation) -> Decision:
    """The gate's decision about the candidate and the rival of the evaluation."""
    run, project = exam.run, exam.project
    champion = evaluation.champion
    if is_barred(run, evaluation):
        return stays(evaluation.primary, evaluation.in_charge, evaluation.champion_problem)
    return decide(
        project.gate.model_copy(update={"metric": evaluation.primary}),
        project.task,
        exam.target,
        exam.candidate(),
        exam.read(run.path / champion.predictions) if champion else None,
        None if champion else exam.trivial(),
        model=project.model.name,
        standing=evaluation.earns_its_keep,
        units=exam.units,
        usable=np.load(run.path / champion.usable) if champion else None,
        note=note_of(evaluation),
        slice_values=exam.slices,
        latency_ms=evaluation.latency_ms,
        size_mb=evaluation.size_mb,
        champion_label=champion.version if champion else None,
        resamples=project.evaluate.resamples,
        seed=0,
    )
