"""What `headway doctor` checks in MLflow's store, and how it is repaired."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.config import yaml_text
from headway.errors import HeadwayError
from headway.files.atomic import read_or_empty, sync
from headway.files.checksums import sync_tree
from headway.files.locks import working_folder
from headway.models.description import Description
from headway.run.directory import RunDirectory
from headway.tasks import task_of
from headway.tasks.completion import PROMPT
from headway.tracking import decisions, intent, lock
from headway.tracking.addresses import OWN, kept_uri, tracking_uri, uri_of
from headway.tracking.bundles import model_folder
from headway.tracking.contents import is_final
from headway.tracking.experiments import project_of
from headway.tracking.intent import TAG as INTENT
from headway.tracking.packaging import save
from headway.tracking.record import Ending, Opening, Results, Tracking, unopened, write_tracking
from headway.tracking.registry import earlier_of, store_client
from headway.tracking.run_files import pages
from headway.tracking.runs import FOLDER_TAG, KEY_TAG
from headway.tracking.runs import sync as deliver
from headway.tracking.store import is_there

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class Version:
    """A registered version; ``folder`` is that of its MLflow model, where this project's folder keeps it.

    A database that several folders and machines share also names their folders, which are not checked here.
    """

    number: str
    run_id: str
    model_id: str | None
    folder: Path | None
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """A registered model: its versions, its aliases with the number that each names, its tags."""

    name: str
    versions: tuple[Version, ...]
    aliases: Mapping[str, str]
    tags: Mapping[str, str]


def models(root: Path) -> Iterator[Model]:
    """Every registered model; none where there is no store. Raises ConfigError when MLflow does not answer."""
    if not is_there(root):
        return
    with store_client(root) as client:
        for model in list(pages(client.search_registered_models)):
            versions = pages(client.search_model_versions, filter_string=f"name = '{model.name}'")
            rows = [_version(v, _own_folder(root, model_folder(client, v))) for v in versions]
            aliases = {alias: str(number) for alias, number in client.get_registered_model(model.name).aliases.items()}
            rows.sort(key=lambda version: int(version.number))
            yield Model(model.name, tuple(rows), aliases, dict(model.tags))


def _own_folder(root: Path, folder: Path | None) -> Path | None:
    return folder if folder is not None and folder.is_relative_to(root.resolve()) else None


def _version(version: Any, folder: Path | None) -> Version:
    """MLflow does not keep the model's id with a version whose source is a folder; it is the folder's name."""
    folder_id = None if folder is None or not folder.parent.name.startswith("m-") else folder.parent.name
    return Version(str(version.version), str(version.run_id), version.model_id or folder_id, folder, dict(version.tags))


def settle(root: Path, name: str) -> None:
    """Finish, or undo, a decision whose process was killed; one whose text was spoilt by hand is removed."""
    with lock.hold(root, name) as model_lock, store_client(root) as client:
        assert model_lock is not None
        intent.recover(client, name, model_lock.check)
        if client.get_registered_model(name).tags.get(INTENT):
            client.delete_registered_model_tag(name, INTENT)


def drop_alias(root: Path, name: str, alias: str) -> None:
    """Remove an alias whose version does not exist."""
    with lock.hold(root, name), store_client(root) as client:
        number = intent.aliases_of(client.get_registered_model(name)).get(alias)
        if number is not None and not intent.exists(client, name, number):
            client.delete_registered_model_alias(name, alias)


def give_up(root: Path, name: str, number: str, tag: str, damage_of: Callable[[], object | None]) -> None:
    """Note on a version's page that it is lost, and remove the aliases by which it could take charge again.

    `previous` is moved to the newest whole version that was champion, if there is one.

    Nothing is done where it is whole by now, or has taken charge: damage of the champion is repaired elsewhere.
    """
    with lock.hold(root, name), store_client(root) as client:
        damage, aliases = damage_of(), intent.aliases_of(client.get_registered_model(name))
        if damage is None or aliases.get("champion") == number:
            return
        for alias in (alias for alias, other in aliases.items() if other == number):
            client.delete_registered_model_alias(name, alias)
            if alias == "previous" and "champion" in aliases:
                earlier = earlier_of(client, root, name, aliases["champion"])
                whole = next((one.version for one in earlier if one.bundle is not None and one.version != number), None)
                if whole is not None:
                    client.set_registered_model_alias(name, alias, whole)
        client.set_model_version_tag(name, number, tag, str(damage)[:5000])


def say_whole(root: Path, name: str, number: str, tag: str) -> None:
    """Remove the note of `give_up` from a version's page."""
    with store_client(root) as client:
        client.delete_model_version_tag(name, number, tag)


def repackage(root: Path, version: Version, bundle: Path) -> None:
    """Make a version's MLflow model anew around a whole bundle, and replace the old one with it.

    The bundle may be part of the old one, and be the only whole copy, so the old one stays until the new one is in its place.
    """
    folder = version.folder
    assert folder is not None
    assert version.model_id is not None
    with store_client(root) as client:
        model = client.get_logged_model(version.model_id)
        described = Description.of(bundle)
        with lock.hold(root, model.name), working_folder(folder.parent, "mending") as working:
            partial = working / "made"
            save(partial, bundle, described, _example(folder, described), model, version.run_id)
            sync_tree(partial)
            _replace(folder, partial)


def _replace(folder: Path, new: Path) -> None:
    """Replace a folder with ``new``; where that fails, the folder is back in its place."""
    old = _beside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)  # of a replacement that was killed at its end
        folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: Path) -> Path:
    """The place of a version's folder while another one replaces it."""
    return folder.with_name(folder.name + ".damaged")


def ways_back(root: Path, name: str, number: str) -> list[str]:
    """The versions that were champion before this one, the newest first."""
    with store_client(root) as client:
        return decisions.ways_back(decisions.read(client, name), number)


def was_replaced(version: Version) -> bool:
    """Whether a replacement of the version's folder was killed between its two renames."""
    return version.folder is not None and not version.folder.exists() and _beside(version.folder).exists()


def put_back(root: Path, name: str, version: Version) -> None:
    """Undo a replacement that was killed, unless another process has done so."""
    with lock.hold(root, name):
        if was_replaced(version):
            assert version.folder is not None
            _beside(version.folder).rename(version.folder)


def _example(folder: Path, described: Description) -> pd.DataFrame:
    """The example rows of the model; where they are damaged, too, one row of nulls."""
    import pandas as pd

    example = read_or_empty(folder / "input_example.json")
    if "data" in example and "columns" in example:
        return pd.DataFrame(example["data"], columns=example["columns"])
    names = [PROMPT] if task_of(described.task).completes else list(described.features)
    return pd.DataFrame({name: [None] for name in names})


def answers(root: Path) -> bool:
    """Whether the store answers; also true where there is none yet."""
    try:
        if is_there(root):
            with store_client(root) as client:
                client.search_experiments(max_results=1)
    except HeadwayError:
        return False
    return True


def is_own(root: Path) -> bool:
    """Whether the store is this folder's own database, which holds no other folder's runs."""
    return is_there(root) and kept_uri(root) == OWN


def is_delivered(root: Path, run: RunDirectory) -> bool:
    """Whether a run is in the store, by its tracking.json."""
    tracking = read_or_empty(run.path / "tracking.json")
    return tracking.get("run_id") is not None and uri_of(str(tracking.get("uri")), root) == tracking_uri(root)


def runs(root: Path) -> dict[str, tuple[str, bool]]:
    """Every run of a store, also deleted ones: its project, and whether it is a run of Headway that is shown as running."""
    from mlflow.entities import ViewType

    runs_by_id: dict[str, tuple[str, bool]] = {}
    with store_client(root) as client:
        for experiment in list(pages(client.search_experiments, view_type=ViewType.ALL)):
            query = {"experiment_ids": [experiment.experiment_id], "run_view_type": ViewType.ALL}
            for run in pages(client.search_runs, **query):
                is_running = run.info.status == "RUNNING" and KEY_TAG in run.data.tags
                runs_by_id[run.info.run_id] = (
                    project_of(experiment.name),
                    is_running and run.info.lifecycle_stage == "active",
                )
    return runs_by_id


def find_again(root: Path, run: RunDirectory) -> bool:
    """Write a run's damaged tracking.json anew, from MLflow. False where MLflow has no such run, or more than one."""
    from mlflow.entities import ViewType

    if not is_there(root):
        return False
    with store_client(root) as client:
        experiments = [experiment.experiment_id for experiment in pages(client.search_experiments)]
        key = read_or_empty(run.path / "run.json").get("key")
        name, value = (FOLDER_TAG, run.path.name) if key is None else (KEY_TAG, key)
        matches = client.search_runs(experiments, f"tags.`{name}` = '{value}'", ViewType.ALL, max_results=2)
        if len(matches) != 1:
            return False
        results = _results(client, matches[0])
    info, data = matches[0].info, matches[0].data
    text = yaml_text(read_or_empty(run.path / "run.json").get("project", {}))
    opening = Opening(info.run_name, data.params, text, info.start_time / 1000)
    problem, ending = data.tags.get("problem"), None
    if info.end_time is not None:
        ending = Ending(info.status, info.end_time / 1000, problem)
    write_tracking(run, replace(unopened(data.tags[KEY_TAG], opening), ending=ending, results=results))
    return True


def _results(client: MlflowClient, run: Run) -> Results:
    """The final metrics that MLflow has, and their times: they are not sent again."""
    last = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics if is_final(key)}
    return {key: (values[-1].value, values[-1].timestamp / 1000) for key, values in last.items()}


def deliver_again(root: Path, run: RunDirectory) -> None:
    """Send a run to MLflow again where MLflow has lost it, under a new id."""
    tracking = Tracking.read(run.path / "tracking.json")
    write_tracking(run, replace(tracking, run_id=None, experiment_id=None))
    deliver(run, root)


def end(root: Path, run_id: str) -> None:
    """Close a run as killed."""
    with store_client(root) as client:
        client.set_tag(run_id, "problem", "its process was killed, and its folder is missing")
        client.set_terminated(run_id, "KILLED")
