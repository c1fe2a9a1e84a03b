"""Measure what each efficiency technique gains on a project, at equal quality. The same study as `headway effect`.

headway effect adult
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from pydantic import Field

from flows.artifacts import show_effects
from flows.naming import named_after_project
from flows.reporting import Both, end_with_runner, failed_state, note_flow
from headway.config import find_root
from headway.errors import HeadwayError
from headway.pipeline import effects
from headway.run.directory import RunDirectory


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="measure")
def measure(run: Path, root: Path) -> Any:
    """Validate, prepare, study; the verdicts become an artifact."""
    directory = RunDirectory(run)
    report = Both(directory.plan["project"]["name"])
    try:
        with report.stage("effect"):
            show_effects(report.project, effects.measure(directory, root, report), directory)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return Completed()


@flow(name="effect", flow_run_name=named_after_project, persist_result=False, validate_parameters=True)
def effect(
    project: str,
    budget: str = "30m",
    techniques: Optional[list[str]] = None,  # noqa: UP045 - the run form wants Optional
    seeds: Annotated[int, Field(ge=2, le=100)] = effects.SEEDS,
    target: Optional[float] = None,  # noqa: UP045
    settings: Optional[list[str]] = None,  # noqa: UP045
    new: bool = False,
) -> Any:
    """Measure what each efficiency technique gains on this model, data and machine, at equal quality.

    Args:
        project: Which project to study: the name of a file in conf/, without .yaml.
        budget: How long to measure, such as 90s, 30m or 2h.
        techniques: Which techniques, by name. None measures all.
        seeds: Trainings for each quality, from 2 to 100.
        target: Quality to train to, in the metric's own unit. None takes the baseline's own, less the margin.
        settings: Any other setting of the project as section.field=value, for example model=mlp.
        new: Start a new study, even if an unfinished one with the same options could be resumed.
    """
    end_with_runner()
    root = find_root()
    try:
        options = effects.StudyOptions(tuple(techniques or ()), effects.seconds_of(budget), seeds, target, new)
        run, goes_on = effects.open_study(project, root, settings or (), options)
        note_flow(run)
        if goes_on:
            Both(project).line(f"resuming the study in {run.path}; a new one: --new, or new in the form")
        measure(run.path, root, return_state=True).result(raise_on_failure=True)
    except (HeadwayError, OSError) as error:
        return failed_state(error)
    return Completed(message=f"report: {run.path / 'effect.html'}", data=str(run.path))
