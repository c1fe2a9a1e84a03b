"""The files of MLflow's runs on this machine's disk, and which of them registered versions need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.tracking.bundles import model_folder
from headway.tracking.contents import number_of
from headway.tracking.experiments import project_of
from headway.tracking.registry import store_client
from headway.tracking.store import is_there
from headway.tracking.variants import PARENT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 1000


@dataclass(frozen=True)
class TrackedRun:
    """A run in MLflow. ``started`` and ``ended`` are seconds since the epoch; ``ended`` is None while it goes on.

    ``number``: its number in its folder; 0 where it is unknown.
    ``folders`` lie in this project's mlruns/: the run's artifacts, and its logged models.
    """

    run_id: str
    project: str
    is_registered: bool
    is_variant: bool
    number: int
    start: float
    end: float | None
    folders: tuple[Path, ...]


def tracked_runs(root: Path) -> dict[str, TrackedRun]:
    """Every run in MLflow, also deleted ones, by its id; none where there is no store. Creates no store.

    Raises ConfigError when MLflow does not answer: without it, it is unknown what is registered.
    """
    if not is_there(root):
        return {}
    with store_client(root) as client:
        versions = list(pages(client.search_model_versions))
        # A version made by hand may name no run or no logged model; each of the two is enough to keep it.
        runs, models = {v.run_id for v in versions}, {v.model_id for v in versions}
        sources = {_local(str(v.source)) for v in versions}
        runs_by_id: dict[str, TrackedRun] = {}
        for experiment in _experiments(client):
            for run in _tracked(client, experiment, root.resolve() / "mlruns", runs, models, sources):
                runs_by_id[run.run_id] = run
    return runs_by_id


def _experiments(client: MlflowClient) -> list[Any]:
    from mlflow.entities import ViewType

    return list(pages(client.search_experiments, view_type=ViewType.ALL))


def _tracked(
    client: MlflowClient, experiment: Any, base: Path, runs: set[Any], models: set[Any], sources: set[Path | None]
) -> Iterator[TrackedRun]:
    """The runs of one experiment. A run counts as registered if its model is, in whichever way the version refers to it."""
    from mlflow.entities import ViewType

    ids = [experiment.experiment_id]
    folders: dict[str, list[Path]] = {}
    run_ids = set(runs)
    for model in pages(client.search_logged_models, experiment_ids=ids):
        path = _local(model.artifact_location)
        if model.model_id in models or (path is not None and path in sources):
            run_ids.add(model.source_run_id)
        folders.setdefault(model.source_run_id, []).extend(_inside(path, model.model_id, base))
    for run in pages(client.search_runs, experiment_ids=ids, run_view_type=ViewType.ALL):
        info = run.info
        artifacts = _local(info.artifact_uri)
        inner = artifacts is not None and any(s is not None and s.is_relative_to(artifacts) for s in sources)
        yield TrackedRun(
            run_id=info.run_id,
            project=project_of(experiment.name),
            is_registered=info.run_id in run_ids or inner,
            is_variant=PARENT_TAG in run.data.tags,
            number=number_of(run.data.tags),
            start=info.start_time / 1000,
            end=None if info.end_time is None or info.status == "RUNNING" else info.end_time / 1000,
            folders=(*_inside(artifacts, info.run_id, base), *folders.get(info.run_id, [])),
        )


def pages(search: Callable[..., Any], **query: Any) -> Iterator[Any]:
    """All results of a search, page after page."""
    token = None
    while True:
        page = search(**query, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _local(uri: str) -> Path | None:
    """The path that an address names on this machine; None for one that is elsewhere."""
    path = Path(uri.removeprefix("file://"))
    return path if path.is_absolute() else None


def _inside(path: Path | None, name: str, base: Path) -> list[Path]:
    """The whole folder of one run or model: `<base>/.../<name>/artifacts` without its last part."""
    if path is None or path.parent.name != name or not path.is_relative_to(base) or not path.is_dir():
        return []
    return [path.parent]


def run_folder(root: Path, run_id: str) -> Path | None:
    """The folder of a run's artifacts on this machine; None where MLflow has no such run, or has them elsewhere."""
    from mlflow.exceptions import MlflowException

    if not is_there(root):
        return None
    with store_client(root) as client:
        try:
            folder = _local(client.get_run(run_id).info.artifact_uri)
        except MlflowException:
            return None
        return folder if folder is not None and folder.is_dir() else None


def model_folders(root: Path, run_id: str) -> list[Path]:
    """The folders of the versions that a run made, on this machine."""
    if not is_there(root):
        return []
    with store_client(root) as client:
        versions = client.search_model_versions(f"run_id = '{run_id}'")
        return [folder for v in versions if (folder := model_folder(client, v)) is not None]
