"""What a model is worth on the untouched test rows, beside the baselines and the version in charge."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headway.data.learnt import Examinable, Learnt, examinable
from headway.data.prepare import Preparation
from headway.data.reading import FileReading
from headway.data.store import Store
from headway.errors import ConfigError, DataError, TrainingError
from headway.evaluate.baselines import fit_baselines
from headway.evaluate.evaluation import beside, evaluate
from headway.evaluate.plots import draw
from headway.evaluate.resample import Units
from headway.files.atomic import write_array
from headway.pipeline.other_columns import Reading, file_reading, unlearnt_rows, write_test_rows
from headway.pipeline.rival import UNREADABLE, Attempt, attempted, attempting, damaged, look, meet
from headway.pipeline.runs import rows_of
from headway.project import Project
from headway.run.directory import RunDirectory
from headway.run.report import Reporter
from headway.serve.outcome import Outcome, await_end, outcome_of, outcomes
from headway.tasks import task_of

if TYPE_CHECKING:
    from headway.tracking import Holder

TOLERANCE = {"fp32": 1e-4, "fp64": 1e-4}
"""How far the bundle, in fp32 on the CPU, may be from what training predicted; looser for half formats."""


@dataclass(frozen=True)
class Rehearsal:
    """What the bundles predict for the raw test rows in a fresh process. ``champion`` is how the one in charge fared, if there is one."""

    candidate: np.ndarray
    champion: Outcome | None
    latency_ms: float
    size_mb: float


def assess(run: RunDirectory, project: Project, root: Path, report: Reporter) -> dict[str, Any]:
    """Measure model, baselines, champion and reference; draw the pictures. Returns the evaluation."""
    from headway import tracking

    store = Store(run.store)
    preparation = store.preparation
    holder = tracking.holder(root, project.name)
    child = _start_rehearsal(run, store, _champion_of_these_rows(run, project, root, store, holder))
    report.progress(0.1, "fitting the baselines")
    baselines = fit_baselines(
        project.evaluate.baselines,
        project.task,
        store.arrays("train"),
        store.arrays("test"),
        outputs=preparation.target.outputs,
        cardinalities=preparation.inputs().categorical,
        seed=project.train.seed,
    )
    report.progress(0.5, "predicting the test rows as a fresh process will")
    rehearsal = _finish_rehearsal(run, preparation, child)
    for name, values in {"test": rehearsal.candidate, **{n: b.prediction for n, b in baselines.items()}}.items():
        write_array(run.predictions(name), values)
    report.progress(0.6, "measuring")
    evaluation = evaluate(
        project.task,
        project.evaluate,
        project.gate,
        preparation.target.classes,
        np.asarray(store.arrays("test")["target"]),
        {"model": rehearsal.candidate, **{name: b.prediction for name, b in baselines.items()}},
        units=units_of(store),
        seconds={name: b.seconds for name, b in baselines.items()},
        slice_values=columns_of(store, project.evaluate.slices),
        reference=_reference(store, project),
        model_name=project.model.name,
    )
    evaluation |= {"latency_ms": rehearsal.latency_ms, "size_mb": rehearsal.size_mb}
    compare(run, project, root, evaluation, holder, rehearsal.champion)
    if evaluation["rival"]:
        report.warn(evaluation["rival"])
    report.progress(0.8, "drawing")
    draw_pictures(run, project, store, evaluation)
    return evaluation


def _champion_of_these_rows(
    run: RunDirectory, project: Project, root: Path, store: Store, holder: Holder | None
) -> Path | None:
    """The bundle of the version in charge, where it can predict the test rows as the store holds them."""
    if holder is None or holder.bundle is None or look(holder, run.plan["project"]) is not None:
        return None
    try:
        return holder.bundle if Reading.of(holder.bundle, store, _now(run, store, project, root)).same else None
    except UNREADABLE:  # `compare` says so
        return None


def _now(run: RunDirectory, store: Store, project: Project, root: Path) -> FileReading:
    """How the candidate's files are read. A store of earlier code does not say."""
    return store.learnt.rule.reading or rows_of(run, project, root).reading


def compare(
    run: RunDirectory,
    project: Project,
    root: Path,
    evaluation: dict[str, Any],
    holder: Holder | None,
    outcome: Outcome | None = None,
) -> None:
    """Put the rival into the evaluation. ``holder``: the version in charge; ``outcome``: how it fared where it has predicted already."""
    store = Store(run.store)

    def before(bundle: Path) -> Attempt:
        return _attempted(
            bundle, run.path / "rehearsal" / "1.npy", outcome or Outcome(), store, _now(run, store, project, root)
        )

    def now(version: str, bundle: Path) -> Attempt:
        return _let_predict(run, project, root, store, version, bundle)

    attempt = attempting(run.plan["project"], holder, None if outcome is None else before, now)
    rival = meet(root, project.name, holder, attempt)
    evaluation |= {**rival.to_json(), "champion": None}
    if rival.version is None or rival.predictions is None:
        return
    examined = _examinable(run, store, project, root, rival.version, rival.learnt)
    usable = rival.predictions.with_suffix(".usable.npy")
    write_array(usable, examined.mask)
    target = np.asarray(store.arrays("test")["target"])
    prediction = np.load(rival.predictions)
    how: dict[str, Any] = {"units": units_of(store), "rows": examined.mask, "version": rival.version}
    beside(evaluation, project.evaluate, target, prediction, **how)
    files = {"predictions": rival.predictions, "usable": usable}
    evaluation["champion"] |= examined.to_json() | {n: str(f.relative_to(run.path)) for n, f in files.items()}


def _let_predict(run: RunDirectory, project: Project, root: Path, store: Store, version: str, bundle: Path) -> Attempt:
    """Let a version predict the test rows in a process of its own; where it reads other columns, or the files otherwise, they are
    read from the data again.
    """
    now = _now(run, store, project, root)
    folder, rows = run.path / f"rehearsal-{version}", store
    try:
        reading = Reading.of(bundle, store, now)
    except UNREADABLE as error:
        return damaged(bundle, error)
    if not reading.same:
        table = rows_of(run, project, root)
        problem = reading.problem(project, table, bool(run.plan.get("replace_champion")))
        if problem:
            return Attempt(problem=problem)
        try:
            rows = write_test_rows(folder, project, table, reading)
        except (ConfigError, DataError) as error:
            return Attempt(problem=f"the rows cannot be read with its columns: {error}")
    await_end(_rehearsal(run, rows, folder, [bundle]))
    made = _attempted(bundle, folder / "0.npy", outcome_of(folder), store, now)
    return replace(made, remark=reading.remark(version, project.name))


def _attempted(bundle: Path, predictions: Path, outcome: Outcome, store: Store, now: FileReading) -> Attempt:
    """How a version fared; one that knows other classes is no rival. ``now``: how the candidate's files are read."""
    own = tuple(store.preparation.target.classes)
    if outcome.problem is None and outcome.classes != own:
        known = ", ".join(outcome.classes)
        outcome = Outcome(problem=f"it knows the classes {known}, the candidate {', '.join(own)}")
    made = attempted(bundle, predictions, outcome)
    return made if made.learnt is None else replace(made, learnt=made.learnt.read_as(file_reading(bundle, now)))


def draw_pictures(run: RunDirectory, project: Project, store: Store, evaluation: dict[str, Any]) -> None:
    """The pictures. They show all test rows, hence no champion that is examined on some of them."""
    predictions = {"model": np.load(run.predictions("test"))}
    predictions |= {name: np.load(run.predictions(name)) for name in evaluation["baselines"]}
    champion = evaluation["champion"]
    if champion is not None and not champion["left_out"]:
        predictions["champion"] = np.load(run.path / champion["predictions"])
    told = [(event.step, event.metrics) for event in run.events() if event.kind == "metric"]
    target, classes = np.asarray(store.arrays("test")["target"]), store.preparation.target.classes
    draw(run.path / "plots", project.task, classes, target, predictions, evaluation, told)


def columns_of(store: Store, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Raw test columns by name: numbers as float64, all else as text with `missing` for null."""
    found: dict[str, np.ndarray] = {}
    for name in names:
        column = store.raw_test([name]).column(name)
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            found[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        else:
            found[name] = column.cast(pa.string()).fill_null("missing").to_numpy(zero_copy_only=False).astype(str)
    return found


def _reference(store: Store, project: Project) -> np.ndarray | None:
    """The reference column as predictions; None where it is absent or incomplete, or where one column cannot say all."""
    name = project.evaluate.reference
    task, outputs = task_of(project.task), store.preparation.target.outputs
    if name is None or not task.is_one_score(outputs):
        return None
    values = store.raw_test([name]).column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        return None
    return task.of_scores(values)


def units_of(store: Store) -> Units:
    """What is resampled: the test rows, or what they belong to."""
    return Units.of(*store.units("test"))


def _examinable(
    run: RunDirectory, store: Store, project: Project, root: Path, version: str, learnt: Learnt | None
) -> Examinable:
    """The test rows that a version has not learnt from."""
    label, rows = f"version {version}", store.rows["test"]
    own = store.learnt.read_as(_now(run, store, project, root))
    return examinable(
        own, learnt, label, rows, lambda it: unlearnt_rows(store, project, lambda: rows_of(run, project, root), it)
    )


def _start_rehearsal(run: RunDirectory, store: Store, champion: Path | None) -> subprocess.Popen[bytes]:
    """Start the fresh process, which asks the candidate's bundle and the champion's."""
    return _rehearsal(run, store, run.path / "rehearsal", [run.bundle, *([champion] if champion else [])])


def _rehearsal(run: RunDirectory, store: Store, out: Path, bundles: list[Path]) -> subprocess.Popen[bytes]:
    (out / "rehearsal.json").unlink(missing_ok=True)  # of an earlier try
    command = [sys.executable, "-m", "headway.serve.rehearse", str(store.path), str(out), *map(str, bundles)]
    with open(run.path / f"{out.name}.log", "wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _finish_rehearsal(run: RunDirectory, preparation: Preparation, child: subprocess.Popen[bytes]) -> Rehearsal:
    """Wait for the fresh process. Raises TrainingError when the bundle does not predict what training predicted."""
    own, *others = outcomes(run, await_end(child))
    candidate = np.load(run.path / "rehearsal" / "0.npy")
    _check_same(candidate, np.load(run.predictions("test")), run, preparation)
    return Rehearsal(
        candidate=candidate,
        champion=others[0] if others else None,
        latency_ms=own.latency_ms,
        size_mb=own.size_bytes / 1e6,
    )


def _check_same(bundle: np.ndarray, trained: np.ndarray, run: RunDirectory, preparation: Preparation) -> None:
    apart = float(np.abs(bundle.astype(float) - trained).max()) / preparation.target.std
    allowed = TOLERANCE.get(str((run.result or {}).get("precision")), 0.1)
    if not apart <= allowed:
        raise TrainingError(
            f"the bundle must predict what training predicted to {allowed}, but they are {apart:.2g} apart; see {run.path}"
        )
