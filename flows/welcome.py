"""The page "Start here": the artifact with which a first visit to Prefect's page begins."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import ArtifactCollection
from prefect.settings import PREFECT_UI_URL

from headway.errors import HeadwayError
from headway.project import load_project
from headway.run.report import markdown_table
from headway.tracking.addresses import is_local, tracking_uri
from headway.tracking.experiments import experiments_for, list_page

KEY = "start-here"


def start_here(client: SyncPrefectClient, retrainings: Mapping[str, UUID], views: Mapping[str, str]) -> str | None:
    """Write the page, where it is not there already. ``retrainings``: the deployment that retrains each project; ``views``: its list of
    runs in MLflow.

    Returns its address; None where Prefect has no page.
    """
    pages = PREFECT_UI_URL.value()
    if not pages:
        return None
    text = page(pages, retrainings, views)
    present = _present(client)
    if present is not None and present.data == text:
        return f"{pages}/artifacts/artifact/{present.latest_id}"
    content = ArtifactCreate(key=KEY, type="markdown", description="Start here", data=text)  # pyrefly: ignore
    return f"{pages}/artifacts/artifact/{client.create_artifact(content).id}"


def page(pages: str, retrainings: Mapping[str, UUID], views: Mapping[str, str]) -> str:
    """The text. ``pages``: the address of Prefect's page; ``views``: the list of runs of each project in MLflow."""
    rows = [
        {
            "project": project,
            "retrain it": f"[open the form]({pages}/deployments/deployment/{deployment}/run)",
            "its runs": f"[in Prefect]({pages}/deployments/deployment/{deployment}?tab=Runs)",
            "compare models": f"[in MLflow]({views[project]})" if project in views else "after its first run",
        }
        for project, deployment in retrainings.items()
    ]
    parts = [
        "# Start here",
        "Prefect starts, schedules and follows retrainings. MLflow compares runs and keeps the models.",
        "1. Open the form of a project, change what you like, and press *Submit*.\n"
        "2. The run's page shows its stages and the time left. Its artifacts are the validation, the metrics and the decision.\n"
        "3. The run ends as *Promoted*, *Not promoted*, *Up to date* or *Refused* (the data break an expectation).",
        markdown_table(rows) if rows else "There is no project yet: `headway init --data FILE --target COLUMN`",
        "Under *Deployments*, `retrain`, `study`, `score`, `watch` and `roll back` stand before the project's name.",
    ]
    return "\n\n".join(parts)


def views_of(root: Path, projects: Collection[str], mlflow: str) -> Mapping[str, str]:
    """The list of runs of each project in MLflow, whose server has the address ``mlflow``.

    None where its store does not answer: the page is better without these links.
    """
    if not mlflow:
        return {}
    try:
        experiments = experiments_for(root, {name: load_project(name, root).description for name in projects})
    except HeadwayError:
        return {}
    server = mlflow if is_local(tracking_uri(root)) else tracking_uri(root)
    return {name: list_page(server, experiment) for name, experiment in experiments.items()}


def _present(client: SyncPrefectClient) -> ArtifactCollection | None:
    """The newest page; None where there is none."""
    with_key = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=[KEY]))
    pages = client.read_latest_artifacts(artifact_filter=with_key)
    return pages[0] if pages else None
