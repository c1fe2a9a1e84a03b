"""The stages of a retraining. Each is a plain function of the run directory and leaves its findings there as files.

data.json  profile.json  validation.json  validation.html     validate
store.json                                                    prepare
journal.jsonl  result.json  predictions/  bundle/             train
evaluation.json  plots/  predictions/                         evaluate
decision.json                                                 register
stages.json                                                   seconds of each
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway import checksums, zombies
from headway.base import ConfigError, DataError, moment, naming, read_or_empty, write_atomically, write_json
from headway.data.source import Table, open_table
from headway.environment import code_version, environment
from headway.project import Project, load_project, project_class
from headway.report import Reporter
from headway.run import Event, RunDirectory
from headway.text_project import TextProject

if TYPE_CHECKING:
    from headway.data.store import Store
    from headway.serve.bundle import Interval


def start(
    name: str, root: Path, settings: Sequence[str] | Mapping[str, Any] = (), more: Mapping[str, Any] | None = None
) -> RunDirectory:
    """Resolve a project and open its run directory; ``more`` joins run.json. Raises ConfigError before anything is written."""
    project = load_project(name, root, settings)
    plan = {
        "project": project.model_dump(mode="json"),
        "seed": project.train.seed,
        "code": code_version(root),
        "environment": environment(),
        **(more or {}),
    }
    return RunDirectory.create(root, project.name, plan)


def project_of(run: RunDirectory) -> Project | TextProject:
    """The resolved project of a run."""
    values = run.plan["project"]
    return project_class(values["task"]).model_validate(values)


def table_of(project: Project, root: Path) -> Table:
    """The project's rows, with every column that any stage needs."""
    extra = [*project.data.keys, *project.split.row_key, *project.evaluate.slices]
    extra += [c for c in (project.split.column, project.evaluate.reference) if c is not None]
    known = {*project.data.features, project.data.target}
    return open_table(project.data, project.task, root, tuple(dict.fromkeys(c for c in extra if c not in known)))


@contextlib.contextmanager
def timed(run: RunDirectory, stage: str) -> Iterator[None]:
    """Keep a stage's seconds in stages.json, also when it fails."""
    begun = time.perf_counter()
    try:
        with naming(run.path):  # for those that write without naming their file
            yield
    finally:
        path = run.path / "stages.json"
        write_json(path, {**read_or_empty(path), stage: round(time.perf_counter() - begun, 3)})


def validate(run: RunDirectory, root: Path, report: Reporter) -> dict[str, Any]:
    """Profile the rows, judge the expectations, look for leaks and overlap. Raises DataError when a rule is broken."""
    from headway import text_stages
    from headway.validation import examine

    project = project_of(run)
    if isinstance(project, TextProject):
        with timed(run, "validate"):
            return text_stages.validate(run, project, root, report)
    with timed(run, "validate"):
        examined = examine(project, table_of(project, root), report, root)
        write_json(run.path / "data.json", examined.data)
        write_json(run.path / "profile.json", examined.profile.to_json())
        write_json(run.path / "validation.json", examined.to_json())
        write_atomically(run.path / "validation.html", examined.verdict.html(f"Validation of {examined.project}"))
    for text in examined.warnings:
        report.warn(text)
    if examined.failures:
        raise DataError("\n".join(examined.failures))
    report.line(examined.summary)
    return examined.to_json()


def prepare(run: RunDirectory, root: Path, report: Reporter) -> dict[str, Any]:
    """Split, fit on the training rows, store. A store with the same digest is used again."""
    from headway import text_stages
    from headway.data.split import Division
    from headway.data.store import make_store

    project = project_of(run)
    if isinstance(project, TextProject):
        with timed(run, "prepare"):
            return text_stages.prepare(run, project, root, report)
    with timed(run, "prepare"):
        table = table_of(project, root)
        config = project.prepare if project.model.uses_bins else project.prepare.model_copy(update={"bins": 0})
        division = Division(table, project.split)
        store, reused = make_store(root / "data" / "prepared", division, project.data, config, report.warn)
        inputs = store.preparation.inputs()
        told = {"path": run.from_root(store.path), "digest": store.path.name, "reused": reused, "rows": store.rows}
        write_json(run.path / "store.json", told)
    total = sum(store.rows.values())
    rows = ", ".join(f"{n:,} {split} ({n / total:.1%})" for split, n in store.rows.items())
    columns = f"{inputs.numeric} numeric and {len(inputs.categorical)} categorical columns"
    report.line(f"{rows} rows, {columns}{', prepared before' if reused else ''}")
    return told


def train(run: RunDirectory, _root: Path, report: Reporter) -> dict[str, Any]:
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
            _complete(run, project)
    rate = f"{result['rows_per_second']:,.0f} {result.get('unit', 'rows')}/s, peak memory {result['peak_memory_bytes'] / 2**20:,.0f} MB"
    unit = "trees" if project.model.name == "boosting" else "epochs"
    best = f"best of {result['epochs']} {unit}: {result['best_epoch']}"
    best = "fitted at once" if project.model.name == "linear" else best
    report.line(f"{project.model.name} in {result['precision']} on {result['device']}, {best}, {rate}")
    if result.get("diagnosis"):
        report.line(result["diagnosis"])
    return result


def _is_sealed(run: RunDirectory) -> bool:
    """Whether a training that goes on was done, and its bundle is whole. Raises DamagedError where the bundle was damaged since.

    A bundle that is sealed is not sealed again: the new checksums would call damaged bytes whole.
    """
    if run.result is not None:
        return checksums.check(run.bundle)
    (run.bundle / checksums.NAME).unlink(missing_ok=True)  # of weights that are about to be written anew
    return False


def _complete(run: RunDirectory, project: Project | TextProject) -> None:
    """Make a bundle of the trained weights, and seal it."""
    from headway import text_stages
    from headway.data.store import Store
    from headway.serve.bundle import complete_bundle

    if isinstance(project, TextProject):
        text_stages.complete_bundle(run, project)
    else:
        store = Store(run.store)
        complete_bundle(run.bundle, store.preparation, project.model, project.to_yaml(), _interval(run, store))
        store.learnt.write(run.bundle)
    checksums.seal(run.bundle)


def _interval(run: RunDirectory, store: Store) -> Interval | None:
    """How far a regression's predictions are off on the validation rows."""
    import numpy as np

    from headway.serve.bundle import Interval

    if store.preparation.target.task != "regression":
        return None
    return Interval.fit(np.load(run.predictions("validation")), store.arrays("validation")["target"])


def evaluate(run: RunDirectory, root: Path, report: Reporter) -> dict[str, Any]:
    """Measure the model, the baselines and the champion on the same untouched test rows."""
    from headway import text_stages
    from headway.assessment import assess

    with timed(run, "evaluate"):
        project = project_of(run)
        how = text_stages.assess if isinstance(project, TextProject) else assess
        evaluation = how(run, project, root, report)  # pyrefly: ignore
        write_json(run.path / "evaluation.json", evaluation)
    if evaluation["earns_its_keep"] is not None:  # there is no verdict without baselines
        report.line(evaluation["earns_its_keep"]["text"])
    return evaluation


def register(run: RunDirectory, root: Path, report: Reporter) -> dict[str, Any]:
    """Put the model before the gate and into the registry, with the decision and its reason on it."""
    from headway import text_stages
    from headway.judgement import put_before_gate

    with timed(run, "register"):
        project = project_of(run)
        how = text_stages.put_before_gate if isinstance(project, TextProject) else put_before_gate
        decision = how(run, project, root, report)  # pyrefly: ignore
        write_json(run.path / "decision.json", decision)
    report.line(decision["reason"])
    return decision


def recall(run: RunDirectory, root: Path) -> None:
    """Write decision.json where the registry has a decision about a run whose process was killed before it could write it.

    Nothing is known where MLflow does not answer: registering asks again.
    """
    from headway import tracking

    made = read_or_empty(run.path / "tracking.json").get("run_id")
    if made is None or (run.path / "decision.json").exists() or not (run.path / "evaluation.json").exists():
        return
    with contextlib.suppress(ConfigError):
        decision = tracking.decided(root, run.plan["project"]["name"], made)
        if decision is not None:
            write_json(run.path / "decision.json", decision)


def track(run: RunDirectory, root: Path, kind: str = "") -> str | None:
    """Open the run in MLflow; ``kind`` is what it is called if it is no retraining.

    Returns a warning where a server is away: the run goes on without it.
    """
    from headway import tracking

    zombies.own(run)
    project = project_of(run)
    if not kind:  # hours of training must not end at a name that is taken
        tracking.check_purpose(root, run.plan["project"], bool(run.plan.get("replace_champion")))
    model = project.model.name
    # The list of runs cuts names at about twenty-five characters.
    name = f"{kind} {model}" if kind else f"{model} s{project.train.seed}"
    name = f"{name} · {moment(form='%m-%d %H:%M')}"
    return tracking.begin(run, root, project.flat(), name, project.to_yaml())


def conclude(run: RunDirectory, root: Path, error: BaseException | None = None) -> str | None:
    """Deliver everything that the run directory holds to MLflow and close the run there. Returns a warning where it is away."""
    from headway import tracking

    status = "FINISHED"
    if error is not None:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
    warning = tracking.conclude(run, root, status, summary(run), None if error is None else str(error) or "interrupted")
    zombies.release(run)  # not where we are killed before: then the run is still to be closed
    return warning


def summary(run: RunDirectory) -> dict[str, Any]:
    """What `headway run --json` prints: everything that the finished stages left; without what is damaged."""

    def read(name: str) -> dict[str, Any]:
        return read_or_empty(run.path / name)

    evaluation, decision, result = read("evaluation.json"), read("decision.json"), run.result or {}
    return {
        "project": read("run.json").get("project", {}).get("name"),
        "run_id": read("tracking.json").get("run_id"),
        "run_directory": str(run.path),
        "stages": read("stages.json"),
        "metrics": evaluation.get("metrics", {}),
        "baselines": {name: b["metrics"] for name, b in evaluation.get("baselines", {}).items()},
        "undefined": evaluation.get("undefined", {}),
        "reference": evaluation.get("reference"),
        "earns_its_keep": evaluation.get("earns_its_keep"),
        "decision": {key: decision[key] for key in ("promoted", "reason") if key in decision},
        "model": {key: decision[key] for key in ("name", "version") if key in decision},
        "train": {
            key: result[key]
            for key in (
                "precision",
                "device",
                "epochs",
                "best_epoch",
                "rows_per_second",
                "peak_memory_bytes",
                "seconds",
                "parameters",
            )
            if key in result
        },
    }


def check(name: str, root: Path, settings: Sequence[str], report: Reporter) -> dict[str, Any]:
    """Configuration, data access and validation alone; nothing is written. Raises what a run would raise."""
    from headway import text_stages
    from headway.validation import examine

    project = load_project(name, root, settings)
    if isinstance(project, TextProject):
        return text_stages.check(project, root, report)
    examined = examine(project, table_of(project, root), report)
    for text in examined.warnings:
        report.warn(text)
    if examined.failures:
        raise DataError("\n".join(examined.failures))
    report.line(examined.summary)
    return examined.to_json()


__all__ = [
    "check",
    "conclude",
    "evaluate",
    "prepare",
    "project_of",
    "register",
    "start",
    "summary",
    "table_of",
    "track",
    "train",
    "validate",
]
