"""The last stage: whether a model takes charge, from the version that it was compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headway.data.store import Store
from headway.evaluate.baselines import fit_baselines
from headway.evaluate.decision import Decision
from headway.evaluate.gate import decide, stays
from headway.evaluate.standing import Standing
from headway.files.atomic import read_json, write_json
from headway.pipeline.assessment import columns_of, compare, draw_pictures, units_of
from headway.pipeline.rival import compared, is_barred, note_of, overtaken
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.run.report import Reporter

if TYPE_CHECKING:
    from headway.tracking import Holder

EXAMPLE_ROWS = 5


def put_before_gate(run: RunDirectory, project: Project, root: Path, report: Reporter) -> Decision:
    """Decide, register, and set the aliases. Returns the decision with the model's name and version.

    Where another version took charge since the evaluation, the comparison is made again with that one, and evaluation.json says so.
    """
    from headway import tracking
    from headway.pipeline.watching import keep_reference

    store = Store(run.store)
    evaluation = compared(read_json(run.path / "evaluation.json"))
    decision = _decide(run, project, store, evaluation)
    keep_reference(run, project, root, store)
    example = store.raw_test(list(store.preparation.kinds)).slice(0, EXAMPLE_ROWS).to_pandas()
    version = tracking.register(run, root, project.name, example)

    def again(holder: Holder | None) -> Decision:
        report.warn(overtaken(evaluation["in_charge"], holder))
        compare(run, project, root, evaluation, holder)
        write_json(run.path / "evaluation.json", evaluation)
        return _decide(run, project, store, evaluation)

    before = evaluation["in_charge"]
    decision = tracking.settle(root, project.name, version, before, decision, again)
    if evaluation["in_charge"] != before:
        draw_pictures(run, project, store, evaluation)
    return replace(decision, name=project.name, version=version)


def _decide(run: RunDirectory, project: Project, store: Store, evaluation: Mapping[str, Any]) -> Decision:
    """What the gate says of the candidate beside the rival that the evaluation names."""
    champion, standing = evaluation["champion"], evaluation["earns_its_keep"]
    if is_barred(run, evaluation):
        return stays(evaluation["primary"], evaluation["in_charge"], evaluation["champion_problem"])
    return decide(
        project.gate,
        project.task,
        np.asarray(store.arrays("test")["target"]),
        np.load(run.predictions("test")),
        np.load(run.path / champion["predictions"]) if champion else None,
        _trivial(store, project),
        model=project.model.name,
        standing=Standing.from_json(standing) if standing else None,
        units=units_of(store),
        usable=np.load(run.path / champion["usable"]) if champion else None,
        note=note_of(evaluation),
        slice_values=columns_of(store, project.evaluate.slices),
        latency_ms=evaluation["latency_ms"],
        size_mb=evaluation["size_mb"],
        champion_label=str(champion["version"]) if champion else None,
        resamples=project.evaluate.resamples,
        seed=0,
    )


def _trivial(store: Store, project: Project) -> np.ndarray:
    """What always predicting the training rows' class shares, or mean, would give."""
    arrays, test = store.arrays("train"), store.arrays("test")
    made = fit_baselines(
        ("trivial",),
        project.task,
        arrays,
        test,
        outputs=store.preparation.target.outputs,
        cardinalities=store.preparation.inputs().categorical,
        seed=0,
    )
    return made["trivial"].prediction
