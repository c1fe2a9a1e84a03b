"""The deployments of all projects, for `headway up` and for a work pool."""

from __future__ import annotations

from pathlib import Path

from prefect.deployments.runner import RunnerDeployment

from flows.deployment import deployment_of
from flows.effect import effect
from flows.retrain import retrain
from flows.rollback import rollback
from flows.score import score
from flows.watch import watch
from headway.errors import HeadwayError
from headway.project import Project, load_project, project_files


def deployments_of(project: Project) -> list[RunnerDeployment]:
    """All deployments of a project: retrain, roll back, study (for a network), score and watch."""
    flows = [retrain, rollback, *([effect] if project.model.is_network else []), score, watch]
    return [deployment_of(flow, project) for flow in flows]


def deployments(root: Path) -> tuple[dict[str, list[RunnerDeployment]], list[str]]:
    """The deployments of every YAML by its project, and one line for each YAML that does not load."""
    results: dict[str, list[RunnerDeployment]] = {}
    problems: list[str] = []
    for path in project_files(root):
        try:
            project = load_project(path.stem, root)
            results[project.name] = deployments_of(project)
        except HeadwayError as error:
            problems.extend(str(error).splitlines())
    return results, problems
