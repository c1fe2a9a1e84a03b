"""The last two stages: what the model is worth on the untouched test rows, and whether it takes charge."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headway.base import TrainingError, read_json
from headway.data.identity import Identity, row_hashes
from headway.data.learnt import Examinable, Learnt, examinable
from headway.data.prepare import Preparation
from headway.data.source import open_table
from headway.data.split import TEST, Division
from headway.data.store import Store
from headway.evaluate.baselines import fit_baselines
from headway.evaluate.evaluation import evaluate
from headway.evaluate.gate import decide, not_compared
from headway.evaluate.plots import draw
from headway.evaluate.resample import Units
from headway.evaluate.standing import Standing
from headway.project import Project
from headway.report import Reporter
from headway.run import RunDirectory
from headway.serve.rehearse import outcomes

if TYPE_CHECKING:
    from headway.tracking import Champion

EXAMPLE_ROWS = 5
TOLERANCE = {"fp32": 1e-4, "fp64": 1e-4}
"""How far the bundle, in fp32 on the CPU, may be from what training predicted; looser for half formats."""


@dataclass(frozen=True)
class Rehearsal:
    """What the bundles predict for the raw test rows in a fresh process. ``champion`` is None where there is none."""

    candidate: np.ndarray
    champion: np.ndarray | None
    champion_version: str | None
    champion_problem: str | None
    latency_ms: float
    size_mb: float


def assess(run: RunDirectory, project: Project, root: Path, report: Reporter) -> dict[str, Any]:
    """Measure model, baselines, champion and reference; draw the pictures. Returns the evaluation."""
    from headway import tracking

    store = Store(run.store)
    preparation, units = store.preparation, _units(store)
    target = np.asarray(store.arrays("test")["target"])
    champion = tracking.champion(root, project.name)
    child = _start_rehearsal(run, store, champion)
    report.progress(0.1, "fitting the baselines")
    baselines = fit_baselines(
        project.evaluate.baselines,
        project.task,
        store.arrays("train"),
        store.arrays("test"),
        classes=preparation.target.outputs,
        cardinalities=preparation.inputs().categorical,
        seed=project.train.seed,
    )
    report.progress(0.5, "predicting the test rows as a fresh process will")
    rehearsal = _finish_rehearsal(run, preparation, child, champion.version if champion else None)
    if rehearsal.champion_problem:
        report.warn(f"the champion cannot be compared: {rehearsal.champion_problem}")
    predictions = {"model": rehearsal.candidate, **{name: b.prediction for name, b in baselines.items()}}
    for name, values in predictions.items():
        np.save(run.predictions("test" if name == "model" else name), values)
    examined: Examinable | None = None
    if rehearsal.champion is not None and champion is not None:
        predictions["champion"] = rehearsal.champion
        np.save(run.predictions("champion"), rehearsal.champion)
        examined = _examinable(store, project, root, champion)
        np.save(run.predictions("champion_rows"), examined.mask)
    report.progress(0.6, "measuring")
    evaluation = evaluate(
        project.task,
        project.evaluate,
        project.gate,
        preparation.target.classes,
        target,
        predictions,
        units=units,
        champion_rows=examined.mask if examined else None,
        seconds={name: b.seconds for name, b in baselines.items()},
        slice_values=_columns(store, project.evaluate.slices),
        reference=_reference(store, project),
        model_name=project.model.name,
        champion_version=rehearsal.champion_version,
    )
    evaluation |= {
        "latency_ms": rehearsal.latency_ms,
        "size_mb": rehearsal.size_mb,
        "champion_problem": rehearsal.champion_problem,
    }
    if examined is not None:
        evaluation["champion"] |= examined.to_json()
        if examined.left_out:  # the pictures show all test rows
            del predictions["champion"]
    report.progress(0.8, "drawing")
    told = [(event.step, event.metrics) for event in run.events() if event.kind == "metric"]
    draw(run.path / "plots", project.task, preparation.target.classes, target, predictions, evaluation, told)
    return evaluation


def put_before_gate(run: RunDirectory, project: Project, root: Path) -> dict[str, Any]:
    """Decide, register, and set the aliases. Returns the decision with the model's name and version."""
    from headway import tracking
    from headway.watching import keep_reference

    store = Store(run.store)
    evaluation = read_json(run.path / "evaluation.json")
    champion = evaluation.get("champion")
    standing = evaluation["earns_its_keep"]
    decision = decide(
        project.gate,
        project.task,
        np.asarray(store.arrays("test")["target"]),
        np.load(run.predictions("test")),
        np.load(run.predictions("champion")) if champion else None,
        _trivial(store, project),
        model=project.model.name,
        standing=Standing.from_json(standing) if standing else None,
        units=_units(store),
        usable=np.load(run.predictions("champion_rows")) if champion else None,
        note=champion["why"] if champion else not_compared(evaluation["champion_problem"]),
        slice_values=_columns(store, project.evaluate.slices),
        latency_ms=evaluation["latency_ms"],
        size_mb=evaluation["size_mb"],
        champion_label=str(champion["version"]) if champion else None,
        resamples=project.evaluate.resamples,
        seed=0,
    ).to_json()
    keep_reference(run, project, root, store)
    example = store.raw_test(list(store.preparation.kinds)).slice(0, EXAMPLE_ROWS).to_pandas()
    version = tracking.register(run, root, project.name, example)
    told = {**decision, "name": project.name, "version": version}
    (tracking.promote if decision["promoted"] else tracking.keep_challenger)(root, project.name, version, told)
    return told


def _trivial(store: Store, project: Project) -> np.ndarray:
    """What always predicting the training rows' class shares, or mean, would give."""
    arrays, test = store.arrays("train"), store.arrays("test")
    made = fit_baselines(
        ("trivial",),
        project.task,
        arrays,
        test,
        classes=store.preparation.target.outputs,
        cardinalities=store.preparation.inputs().categorical,
        seed=0,
    )
    return made["trivial"].prediction


def _columns(store: Store, names: tuple[str, ...]) -> dict[str, np.ndarray]:
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
    """The reference column as predictions: (N, 2) for two classes, (N,) for numbers; None where it is absent or incomplete."""
    name = project.evaluate.reference
    if name is None or (project.task == "classification" and store.preparation.target.outputs != 2):
        return None
    values = store.raw_test([name]).column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        return None
    return np.stack([1 - values, values], 1) if project.task == "classification" else values


def _units(store: Store) -> Units:
    """What is resampled: the test rows, or what they belong to."""
    return Units.of(*store.units("test"))


def _examinable(store: Store, project: Project, root: Path, champion: Champion) -> Examinable:
    """The test rows that the champion has not learnt from."""
    label, learnt = f"version {champion.version}", Learnt.read(champion.bundle)
    return examinable(
        store.learnt, learnt, label, store.rows["test"], lambda learnt: unlearnt_rows(store, project, root, learnt)
    )


def unlearnt_rows(store: Store, project: Project, root: Path, learnt: Learnt) -> np.ndarray:
    """(N,) bool: the test rows that are not among what a version has learnt.

    Raises ConfigError where the data does not have the columns any more by which that version told rows apart.
    """
    assert learnt.identity is not None, "only texts have none"
    hashes = store.test_hashes(learnt.identity) if _same_kinds(learnt.identity, store.learnt.identity) else None
    return learnt.unlearnt(_read_again(project, root, learnt.identity) if hashes is None else hashes)


def _same_kinds(champion: Identity, own: Identity | None) -> bool:
    """Whether the store holds the champion's columns as the champion read them."""
    return own is not None and set(champion.kinds) <= set(own.kinds)


def _read_again(project: Project, root: Path, identity: Identity) -> np.ndarray:
    """(N,) the identities of the test rows from the files, with columns or kinds that only the champion knows.

    Raises ConfigError where the files do not have them any more.
    """
    from headway.stages import table_of

    target = project.data.target
    kinds = {name: kind for name, kind in identity.kinds if kind is not None and name != target}
    others = tuple(name for name, kind in identity.kinds if kind is None)
    data = project.data.model_copy(update={"features": kinds})
    table = open_table(data, project.task, root, others)
    return row_hashes(table, identity.columns)[Division(table_of(project, root), project.split).parts == TEST]


def _start_rehearsal(run: RunDirectory, store: Store, champion: Champion | None) -> subprocess.Popen[bytes]:
    """Start the fresh process, which asks the candidate's bundle and the champion's."""
    bundles = [str(run.bundle), *([str(champion.bundle)] if champion else [])]
    (run.path / "rehearsal" / "rehearsal.json").unlink(missing_ok=True)  # of an earlier try
    command = [sys.executable, "-m", "headway.serve.rehearse", str(store.path), str(run.path / "rehearsal"), *bundles]
    with open(run.path / "rehearsal.log", "wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _finish_rehearsal(
    run: RunDirectory, preparation: Preparation, child: subprocess.Popen[bytes], version: str | None
) -> Rehearsal:
    """Wait for the fresh process. Raises TrainingError when the bundle does not predict what training predicted."""
    try:
        code = child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    folder = run.path / "rehearsal"
    own, *others = outcomes(run, code)
    candidate = np.load(folder / "0.npy")
    _check_same(candidate, np.load(run.predictions("test")), run, preparation)
    other: Mapping[str, Any] = others[0] if others else {}
    problem = other.get("problem")
    if other and not problem and other["classes"] != list(preparation.target.classes):
        problem = (
            f"it knows the classes {', '.join(other['classes'])}, the candidate {', '.join(preparation.target.classes)}"
        )
    usable = bool(other) and not problem
    return Rehearsal(
        candidate=candidate,
        champion=np.load(folder / "1.npy") if usable else None,
        champion_version=version if usable else None,
        champion_problem=problem,
        latency_ms=own["latency_ms"],
        size_mb=own["size_bytes"] / 1e6,
    )


def _check_same(bundle: np.ndarray, trained: np.ndarray, run: RunDirectory, preparation: Preparation) -> None:
    scale = preparation.target.std if preparation.target.task == "regression" else 1.0
    apart = float(np.abs(bundle.astype(float) - trained).max()) / scale
    allowed = TOLERANCE.get(str((run.result or {}).get("precision")), 0.1)
    if not apart <= allowed:
        raise TrainingError(
            f"the bundle must predict what training predicted to {allowed}, however they are {apart:.2g} apart; see {run.path}"
        )
