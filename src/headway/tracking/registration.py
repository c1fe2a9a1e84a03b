"""Registers a run's bundle as a version of the project's model, exactly once, also after kills."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError, HeadwayError
from headway.files import checksums
from headway.files.locks import working_folder
from headway.models.description import Description
from headway.run.directory import RunDirectory
from headway.tracking import intent, lock
from headway.tracking.addresses import is_local, tracking_uri
from headway.tracking.packaging import save
from headway.tracking.purpose import Purpose
from headway.tracking.record import read_tracking
from headway.tracking.registry import holder_of, store_client
from headway.tracking.store import is_there, open_store, problems

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient


def register(run: RunDirectory, root: Path, name: str, example: pd.DataFrame) -> str:
    """Log the run's bundle as a model and register it. Returns the version; a registered run keeps its version.

    ``example``: a few raw rows. Killed anywhere and repeated, it makes one logged model and one version. Raises ConfigError when the
    run is not in MLflow, MLflow does not answer, or the model has another purpose, DamagedError when the bundle is damaged.
    """
    tracking = read_tracking(run)
    if tracking is None or tracking.run_id is None:
        raise ConfigError(
            f"a run must be in MLflow before its model is registered, but {run.path.name} is not; "
            f"headway sync {run.path.name}"
        )
    run_id = tracking.run_id
    with lock.hold(root, name) as model_lock, store_client(root) as client:
        assert model_lock is not None
        intent.recover(client, name, model_lock.check)
        versions = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
        if versions:
            return str(versions[0].version)
        purpose = Purpose.of(run.plan["project"])
        _check_purpose(client, root, name, purpose, bool(run.plan.get("replace_champion")))
        checksums.check(run.bundle)  # its copy gets checksums of its own
        described = Description.of(run.bundle)
        model = _logged_model(client, str(tracking.experiment_id), name, run_id, described.model["name"])
        if model.status != "READY":
            with working_folder(root / "data" / "registry", "register") as folder:
                save(folder / "model", run.bundle, described, example, model, run_id)
                client.log_model_artifacts(model.model_id, str(folder / "model"))
            # Synced before a version refers to it: a power cut must not leave a version without its files.
            if is_local(tracking_uri(root)):
                checksums.sync_tree(Path(model.artifact_location.removeprefix("file://")))
            client.finalize_logged_model(model.model_id, "READY")
        _log_output(client, run_id, model.model_id)
        _ensure_model(client, name, run.plan["project"].get("description", ""), purpose)
        # MLflow looks up models:/ addresses in its global store, which may be another one than a local store.
        source = model.artifact_location if is_local(tracking_uri(root)) else f"models:/{model.model_id}"
        version = client.create_model_version(name, source, run_id, tags=purpose.tags(), model_id=model.model_id)
        return str(version.version)


def _logged_model(client: MlflowClient, experiment: str, name: str, run_id: str, kind: str) -> Any:
    """The run's logged model, which a killed process may have created already."""
    query = f"source_run_id = '{run_id}'"
    models = client.search_logged_models(experiment_ids=[experiment], filter_string=query, max_results=1)
    if models:
        return client.get_logged_model(models[0].model_id)
    return client.create_logged_model(experiment, name, run_id, params={"model": kind})


def _log_output(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Log the run's model as its output, once: MLflow would list it again each time."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs
    if model_id not in [one.model_id for one in (outputs.model_outputs if outputs else ())]:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def _ensure_model(client: MlflowClient, name: str, description: str, purpose: Purpose) -> None:
    """Create the registered model with its purpose. Where there is no champion, its purpose is the newest version's."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags=purpose.tags(), description=description or None)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        model = client.get_registered_model(name)
        if "champion" not in model.aliases:
            purpose.write(client, name, model.tags)


def check_purpose(root: Path, project: Mapping[str, Any], replace: bool) -> None:
    """Raise ConfigError where a project's model could not be registered, because the registered model has another purpose.

    Does nothing where MLflow does not answer: registering checks again. Creates nothing.
    """
    if not is_there(root):
        return
    with contextlib.suppress(*problems()):
        _check_purpose(open_store(root), root, project["name"], Purpose.of(project), replace)


def _check_purpose(client: MlflowClient, root: Path, name: str, purpose: Purpose, replace: bool) -> None:
    model = intent.registered_model(client, name)
    if model is None:
        return
    current = Purpose.of_tags(model.tags)
    if "champion" not in model.aliases:
        current = Purpose(current.project, None, None)
    elif current.task is None:  # of an early version, without these tags: the champion's files have it
        holder = holder_of(client, root, name, "champion")
        if holder is not None and holder.bundle is not None:
            with contextlib.suppress(HeadwayError, OSError):
                current = Purpose.of_bundle(Description.of(holder.bundle))
    purpose.check(name, current, replace)
