"""The stages of a retraining. Each is a plain function of the run directory and leaves its findings there as files.

data.json  profile.json  validation.json  validation.html     validate
store.json                                                    prepare
journal.jsonl  result.json  predictions/  bundle/             train
evaluation.json  plots/  predictions/                         evaluate
decision.json                                                 register
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headway.data.config import SPLITS
from headway.files import checksums
from headway.files.atomic import write_array, write_atomically, write_json
from headway.machine.pool import using
from headway.pipeline.runs import Prepared, contents_of, documents_of, project_of, rows_of, store_of, table_of, timed
from headway.project import Project, load_project
from headway.run.directory import Event, RunDirectory
from headway.run.report import Reporter, tell
from headway.run.result import Result
from headway.tasks import has_target

if TYPE_CHECKING:
    from headway.data.store import Store
    from headway.evaluate.decision import Decision
    from headway.evaluate.result import Evaluation
    from headway.pipeline.validation import Validation
    from headway.serve.interval import Interval
    from headway.tasks.calibration import Calibration
    from headway.tasks.threshold import Threshold


def validate(run: RunDirectory, root: Path, report: Reporter) -> Validation:
    """Profile the rows, judge the expectations, look for leaks and overlap. Raises DataError when an expectation fails."""
    from headway.pipeline.validation import examine

    project = project_of(run)
    with timed(run, "validate"), using(project.engine):
        table = table_of(project, root)
        examined = examine(project, table, report, root)
        write_json(
            run.path / "data.json", {**examined.validation.source.to_json(), "contents": contents_of(run, table)}
        )
        profile = examined.profile
        write_json(run.path / "profile.json", profile.outline() if profile.is_wide else profile.to_json())
        examined.validation.write(run.path / "validation.json")
        write_atomically(run.path / "validation.html", examined.page())
    tell(report, examined.warnings, examined.failures, examined.summary)
    return examined.validation


def prepare(run: RunDirectory, root: Path, report: Reporter) -> Prepared:
    """Split, fit on the training rows, store. A store with the same digest is used again."""
    project = project_of(run)
    with timed(run, "prepare"), using(project.engine):
        how = _prepare_rows if has_target(project.task) else _prepare_documents
        prepared, line = how(run, project, root, report)
        prepared.write(run.path / "store.json")
    report.line(f"{line}{', prepared before' if prepared.reused else ''}")
    return prepared


def _prepare_rows(run: RunDirectory, project: Project, root: Path, report: Reporter) -> tuple[Prepared, str]:
    import numpy as np

    from headway.pipeline.refusals import refuse_unless_two
    from headway.train.target import target_of, weights_of

    table, takes = rows_of(run, project, root), project.model.takes
    store, reused = store_of(table, project, root, takes, report.warn)
    for name in store.preparation.lacking(table.kinds, takes):
        report.warn(f"{name} has no text in any training row, so the model does not use it")
    target = target_of(store, project.train.objective)  # what cannot be learnt is refused here, before any training
    for split in SPLITS:
        weights_of(store, project.train, split)
    refuse_unless_two(project, target)
    inputs = store.preparation.inputs()
    total = sum(store.rows.values())
    rows = ", ".join(f"{n:,} {split} ({n / total:.1%})" for split, n in store.rows.items())
    line = f"{rows} rows, {inputs.numeric} numeric and {len(inputs.categorical)} categorical columns"
    line += f", {' and '.join(sorted(takes))} of {len(inputs.tokens)}" if inputs.tokens else ""
    remarks = [target.learner.remark(target, np.asarray(store.arrays("train")["target"]))]
    remarks += [one.remark() for one in store.preparation.columns]
    line = "; ".join([line, *(remark for remark in remarks if remark)])
    return Prepared(run.from_root(store.path), store.path.name, reused, store.rows), line


def _prepare_documents(run: RunDirectory, project: Project, root: Path, report: Reporter) -> tuple[Prepared, str]:
    from headway.data.storing import make_document_store

    documents = documents_of(project, rows_of(run, project, root))
    folder = root / "data" / "prepared"
    store, reused = make_document_store(folder, documents, project.prepare, project.model.window, report.warn)
    tokens: dict[str, int] = {split: len(store.tokens(split)) for split in SPLITS}
    (different,) = store.preparation.inputs().tokens
    line = f"{', '.join(f'{n:,} {split}' for split, n in tokens.items())} tokens, {different:,} different"
    return Prepared(run.from_root(store.path), store.path.name, reused, tokens), line


def train(run: RunDirectory, _root: Path, report: Reporter) -> Result:
    """Train in a process of its own, forwarding what it tells to MLflow as it goes."""
    from headway import tracking
    from headway.train.launch import launch

    project = project_of(run)
    forwarder = tracking.Forwarder(run)
    polled = 0.0

    def on_events(events: Sequence[Event]) -> None:
        nonlocal polled
        for event in events:
            if event.kind == "progress":
                report.progress(min(1.0, event.step / event.fields["steps"]), event.fields["text"])
            elif event.kind == "warning":
                report.warn(event.fields["text"])
        if time.monotonic() - polled > 1.0:
            forwarder.poll()
            polled = time.monotonic()

    with timed(run, "train"), tracking.system_metrics(run):
        is_sealed = _is_sealed(run)
        result = launch(run, on_events)
        forwarder.poll()
        if forwarder.warning:
            report.warn(forwarder.warning)
        if not is_sealed:
            _complete(run, project, report)
    for line in _lines(project.model.name, result):
        report.line(line)
    return result


def _lines(model: str, result: Result) -> list[str]:
    """A training for people."""
    fit = result.fit or f"best after epoch {result.best_epoch} of {result.epochs}"
    line = f"{model} in {result.precision} on {result.device}, {fit}, {rate_of(result)}"
    return [line, *(text for text in (result.way, result.diagnosis) if text)]


def rate_of(result: Result) -> str:
    """How fast a training was and what memory it took, for people."""
    rate = f"{result.rows_per_second:,.0f} {result.unit}/s{_arithmetic(result.cost)}"
    return f"{rate}, at most {result.peak_memory_bytes / 2**20:,.0f} MB of memory"


def _arithmetic(cost: Mapping[str, float]) -> str:
    """What a network's training computed a second, and which share of the chip's peak that is, where both are known."""
    if "compute/tflops" not in cost:
        return ""
    share = f" ({cost['compute/mfu']:.1%} of the chip's peak)" if "compute/mfu" in cost else ""
    tera = cost["compute/tflops"]
    rate = f"{tera:.3g} TFLOP/s" if tera >= 0.1 else f"{1000 * tera:.3g} GFLOP/s"
    return f", {rate}{share}"


def _is_sealed(run: RunDirectory) -> bool:
    """Whether a training that goes on was done, and its bundle is whole. Raises DamagedError where the bundle was damaged since.

    A bundle that is sealed is not sealed again: the new checksums would call damaged bytes whole.
    """
    if run.result is not None:
        return checksums.check(run.bundle)
    (run.bundle / checksums.NAME).unlink(missing_ok=True)  # of weights that are about to be written anew
    return False


def _complete(run: RunDirectory, project: Project, report: Reporter) -> None:
    """Make a bundle of the trained weights, and seal it."""
    from headway.data.store import Store
    from headway.serve.bundle import complete_bundle
    from headway.serve.explain import keep_background
    from headway.train.change import Change
    from headway.train.target import target_of

    store = Store(run.store)
    interval = _interval(run, store)
    if interval is not None and interval.remark:
        report.line(interval.remark)
    change = Change.of(run)
    if change.text:
        report.line(change.text)
    target = target_of(replace(store, reference=change.reference), project.train.objective)
    target = replace(target, reference=change.reference)
    target = replace(target, calibration=_calibration(run, store, project, report))
    target = replace(target, threshold=_threshold(run, store, project, report))
    preparation = replace(store.preparation, target=target)
    keep_background(run.bundle, store, project.model, project.evaluate.background)
    complete_bundle(run.bundle, preparation, project.model, project.to_yaml(), interval)
    store.learnt.write(run.bundle)
    if store.preparation.past is not None:
        shutil.copyfile(store.history, run.bundle / store.history.name)
    checksums.seal(run.bundle)


def _calibration(run: RunDirectory, store: Store, project: Project, report: Reporter) -> Calibration | None:
    """How probabilities are recalibrated, where that helps. The run's predictions are recalibrated with it.

    The training's own are kept beside them, so that it can be done again after a kill.
    """
    import numpy as np

    from headway.evaluate.recalibration import methods_of, recalibrated
    from headway.evaluate.resample import Units

    if project.recalibrate == "none":
        return None
    raw = {split: run.predictions(f"{split}-raw") for split in ("validation", "test")}
    for split, path in raw.items():
        if not path.exists():
            write_array(path, np.load(run.predictions(split)))
    target = np.asarray(store.arrays("validation")["target"])
    units, predictions = Units.of(*store.units("validation")), np.load(raw["validation"])
    trial = recalibrated(methods_of(project.recalibrate, predictions.shape[1]), target, predictions, units)
    report.line(trial.text)
    if trial.calibration is not None:
        for split, path in raw.items():
            write_array(run.predictions(split), trial.calibration.apply(np.load(path)))
    return trial.calibration


def _threshold(run: RunDirectory, store: Store, project: Project, report: Reporter) -> Threshold | None:
    """From which probability on the event is predicted, by the project's aim."""
    import numpy as np

    from headway.evaluate.resample import Units
    from headway.evaluate.threshold import choose, reaches

    config = project.threshold
    if config.by is None:
        return None
    target = np.asarray(store.arrays("validation")["target"])
    probability = np.load(run.predictions("validation"))[:, 1]
    threshold = choose(config, target, probability, Units.of(*store.units("validation")))
    if threshold is None:
        report.warn("no threshold is chosen: the validation rows have one class alone; the likelier class is predicted")
        return None
    highest = reaches(config, target, probability)
    if highest is not None:
        report.warn(
            f"threshold.precision {config.precision:g} is not reached on the validation rows: the highest precision is {highest:.3g}"
        )
    return threshold


def _interval(run: RunDirectory, store: Store) -> Interval | None:
    """How far predictions are off on the validation rows, where the task has an interval."""
    import numpy as np

    from headway.evaluate.resample import Units
    from headway.models.boosting import features
    from headway.serve.interval import Interval, rows_to_fit
    from headway.tasks import task_of

    if not task_of(store.preparation.target.task).has_interval:
        return None
    predictions = np.load(run.predictions("validation"), mmap_mode="r")
    rows = rows_to_fit(len(predictions))
    some = {name: values[rows] for name, values in store.arrays("validation").items()}
    units = Units.of(*store.units("validation")).take(rows)
    return Interval.fit(predictions[rows], some["target"], inputs=features(some), units=units)


def evaluate(run: RunDirectory, root: Path, report: Reporter) -> Evaluation:
    """Measure the model, the baselines and the champion on the same untouched test rows."""
    from headway.pipeline.assessment import assess

    with timed(run, "evaluate"):
        evaluation = assess(run, project_of(run), root, report)
        evaluation.write(run.path / "evaluation.json")
    if evaluation.earns_its_keep is not None:  # there is no verdict without baselines
        report.line(evaluation.earns_its_keep.text)
    return evaluation


def register(run: RunDirectory, root: Path, report: Reporter) -> Decision:
    """Put the model before the gate and into the registry, with the decision and its reason on it."""
    from headway.pipeline.judgement import put_before_gate

    with timed(run, "register"):
        decision = put_before_gate(run, project_of(run), root, report)
        decision.write(run.path / "decision.json")
    report.line(decision.reason)
    return decision


def check(name: str, root: Path, settings: Sequence[str], report: Reporter) -> Validation:
    """Configuration, data access and validation alone; nothing is written. Raises what a run would raise."""
    from headway.pipeline.validation import examine

    project = load_project(name, root, settings)
    examined = examine(project, table_of(project, root), report)
    tell(report, examined.warnings, examined.failures, examined.summary)
    return examined.validation
