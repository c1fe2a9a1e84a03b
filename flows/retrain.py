"""Retrain one project: validate, prepare, train, evaluate, register what is at least as good.

headway run adult
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import Field

from flows.artifacts import show_decision, show_metrics, show_mlflow, show_validation
from flows.naming import own_name, run_name
from flows.remaining import Remaining
from flows.reporting import Both, end_with_runner, failed_state, note_flow
from flows.started import named_project, run_here
from flows.zombies import close_now
from headway.config import find_root
from headway.data.opening import newest_month
from headway.errors import HeadwayError
from headway.evaluate.decision import Decision
from headway.evaluate.result import Evaluation
from headway.machine.interruption import undisturbed
from headway.models import model_configs
from headway.pipeline import page, runs, stages
from headway.pipeline.incremental import up_to_date
from headway.pipeline.resuming import STAGES, has_begun, prepare_again, remaining_stages, unfinished
from headway.project import Project, load_project
from headway.run import lifetime
from headway.run.directory import RunDirectory
from headway.train.recommended import recipe_settings, recipe_warning

if TYPE_CHECKING:
    Model = str
else:
    Model = Literal[tuple(sorted(model_configs()))]  # the form offers every file of models/
Precision = Literal["auto", "fp32", "tf32", "bf16", "fp16", "fp8"]


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="validate")
def validate(run: Path, root: Path) -> Any:
    """Profile the rows and judge them. Nothing is trained on data that fails an expectation."""

    def work(directory: RunDirectory, report: Both) -> None:
        try:
            validation = stages.validate(directory, root, report)
        except HeadwayError as error:
            show_validation(report.project, directory, None, str(error))
            raise
        show_validation(report.project, directory, validation)

    return _stage("validate", run, work)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="prepare")
def prepare(run: Path, root: Path) -> Any:
    """Split, fit on the training rows, store."""

    def work(directory: RunDirectory, report: Both) -> None:
        (prepare_again if has_begun(directory) else stages.prepare)(directory, root, report)

    return _stage("prepare", run, work)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="train")
def train(run: Path, root: Path) -> Any:
    """Train in a process of its own."""
    return _stage("train", run, lambda directory, report: stages.train(directory, root, report))


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="evaluate")
def evaluate(run: Path, root: Path) -> Any:
    """Measure model, baselines and champion on the untouched test rows."""

    def work(directory: RunDirectory, report: Both) -> None:
        show_metrics(report.project, stages.evaluate(directory, root, report))

    return _stage("evaluate", run, work)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="register")
def register(run: Path, root: Path) -> Any:
    """Register the model; make it champion if the gate allows it."""

    def work(directory: RunDirectory, report: Both) -> None:
        decision = stages.register(directory, root, report)
        show_decision(report.project, decision, Evaluation.read(directory.path / "evaluation.json"), directory)

    return _stage("register", run, work)


def _stage(name: str, run: Path, work: Callable[[RunDirectory, Both], Any]) -> State[None]:
    """Run one stage. A user's error ends the task Failed with exactly its text, and is raised in the flow."""
    directory = RunDirectory(run)
    report = Both(directory.plan["project"]["name"])
    try:
        with report.stage(name):
            work(directory, report)
    except Exception as error:
        return failed_state(error)
    return Completed()


def _name() -> str:
    """The form's name, else the project and its data; errors in either are reported by the run itself."""
    own = own_name()
    if own is not None:
        return own
    name, month = flow_run.parameters["project"], None
    with contextlib.suppress(HeadwayError, OSError):
        root = find_root()
        project = load_project(name, root)
        month = newest_month(project.data, root)
    return run_name(name, month)


@flow(name="retrain", flow_run_name=_name, persist_result=False, validate_parameters=True)
def retrain(
    project: str,
    model: Optional[Model] = None,  # noqa: UP045 - the run form wants Optional
    epochs: Optional[Annotated[int, Field(ge=1, le=100_000)]] = None,  # noqa: UP045
    batch_size: Optional[Annotated[int, Field(ge=1, le=10_000_000)]] = None,  # noqa: UP045
    learning_rate: Optional[Annotated[float, Field(gt=0, le=1000)]] = None,  # noqa: UP045
    precision: Optional[Precision] = None,  # noqa: UP045
    seed: Optional[Annotated[int, Field(ge=0, lt=2**31)]] = None,  # noqa: UP045
    recipe: bool = False,
    settings: Optional[list[str]] = None,  # noqa: UP045
    force: bool = False,
    replace_champion: bool = False,
) -> Any:
    """Retrain a project end to end: validate, prepare, train, evaluate, register what is at least as good.

    Args:
        project: Which project to retrain: the name of a file in conf/, without .yaml.
        model: Kind of model. None keeps the project's own. Another kind starts from its own defaults.
        epochs: The most passes over the training rows, from 1 to 100,000. None keeps the project's own.
        batch_size: Rows in one optimizer step, from 1 to 10,000,000. None keeps the project's own.
        learning_rate: Step size of the optimizer, above 0 and at most 1,000. None keeps the project's own.
        precision: Number format of the arithmetic; auto takes what the hardware supports. None keeps the project's own.
        seed: Seed of the weights, the batches and dropout, from 0 to 2,147,483,647. None keeps the project's own.
        recipe: Use the recommended recipe of the project's effect study instead of its own; the gate still applies.
        settings: Any other setting of the project as section.field=value, for example model.width=512.
        force: Retrain even if data, project and code are those of the champion or of the last version.
        replace_champion: If the champion cannot be compared, judge the new model as a first one. Otherwise the champion stays.
    """
    end_with_runner()
    knobs = {"model.name": model, "train.epochs": epochs, "train.batch_size": batch_size}
    knobs |= {"train.learning_rate": learning_rate, "train.precision": precision, "train.seed": seed}
    root = find_root()
    try:
        config = _resolved(project, root, knobs, settings or (), recipe)
        state = None if force or replace_champion else up_to_date(config, root)
        if state is not None:
            return Completed(name="Up to date", message=state.text, data=str(state.run.path))
        run = runs.start(config, root, {"replace_champion": True} if replace_champion else None)
        note_flow(run)
        _stages(run, root)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return _completed(run)


def _completed(run: RunDirectory) -> State[str]:
    """The end of a run that was decided about: Promoted or Not promoted, in Prefect's lists."""
    decision = Decision.read(run.path / "decision.json")
    return Completed(name=decision.word, message=decision.reason, data=str(run.path))


def _resolved(name: str, root: Path, knobs: Mapping[str, Any], settings: Sequence[str], recipe: bool) -> Project:
    """The project with the form's values and the settings; with ``recipe``, these change its recommended recipe."""
    recommended = recipe_settings(root, name) if recipe else []
    if recipe and (warning := recipe_warning(root, name)):
        get_run_logger().warning(warning)
    overrides = _overrides(knobs, load_project(name, root) if recipe else None)
    return load_project(name, root, [*recommended, *overrides, *settings])


def _overrides(knobs: Mapping[str, Any], form_defaults: Project | None) -> list[str]:
    """The form's values as settings. ``form_defaults``: what filled the form: an unchanged value must not replace the recipe's."""
    own = {} if form_defaults is None else form_defaults.model_dump(mode="json")
    return [
        f"{name}={value}"
        for name, value in knobs.items()
        if value is not None and (not own or own[name.split(".")[0]][name.split(".")[1]] != value)
    ]


def _stages(run: RunDirectory, root: Path, names: Sequence[str] = STAGES) -> None:
    """The stages in the order of the data. The end is always sent to MLflow. From the gate on, nothing interrupts."""
    tasks = {"validate": validate, "prepare": prepare, "train": train, "evaluate": evaluate, "register": register}
    problem: BaseException | None = None
    late: list[str] = []
    report = Both(run.plan["project"]["name"])
    with contextlib.ExitStack() as gate:
        try:
            remaining = Remaining(run, root, names) if names else None
            _warn(report, runs.track(run, root))
            show_mlflow(report.project, run)
            for name in names:
                if remaining is not None:
                    remaining.enter(name)
                if name == "register":
                    late = gate.enter_context(undisturbed())
                tasks[name](run.path, root, return_state=True).result(raise_on_failure=True)
            if remaining is not None:
                remaining.finish()
        except BaseException as error:
            problem = error
            raise
        finally:
            _warn(report, page.conclude(run, root, problem))
    if late:
        report.warn(f"{late[0]} after the decision, so the run was finished first")


def _warn(report: Both, warning: str | None) -> None:
    if warning is not None:
        report.warn(warning)


def outcome(project: str, settings: Sequence[str], replace_champion: bool = False) -> Path:
    """Retrain, changed or not. Returns the run directory. Raises a user's error itself, not a failed flow."""
    root = find_root()
    close_now(root)
    how = {"settings": list(settings), "force": True, "replace_champion": replace_champion}
    state = run_here(retrain, named_project(project, root, settings), {"project": project, **how})
    return Path(state.result(raise_on_failure=True))


def _name_of_resumption() -> str:
    """A resumed run has the name of its folder."""
    return f"{Path(flow_run.parameters['run']).name} · resumed"


@flow(name="resume", flow_run_name=_name_of_resumption, persist_result=False, validate_parameters=True)
def resume(run: str) -> Any:
    """Resume a run that was interrupted, killed or failed, from its last checkpoint through evaluation and registration.

    Args:
        run: The run's name in data/runs/, or its folder.
    """
    end_with_runner()
    root = find_root()
    try:
        directory = unfinished(run, root).run
        lifetime.own(directory, wait=False)
        names = remaining_stages(directory)
        note_flow(directory)
        _stages(directory, root, names)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return _completed(directory)


def outcome_of_resumption(run: Path) -> Path:
    """Resume a run. Returns its directory. Raises a user's error itself, not a failed flow."""
    root = find_root()
    close_now(root)  # also this run's earlier flow run in Prefect, which a new one replaces
    project = runs.project_of(RunDirectory(run))
    return Path(run_here(resume, project, {"run": str(run)}).result(raise_on_failure=True))
