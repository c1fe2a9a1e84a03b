"""The registry: bundles as model versions, the aliases champion, challenger and previous, and why each was given."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway import checksums
from headway.base import ConfigError, DamagedError, read_json
from headway.checksums import Damage
from headway.locks import working_folder
from headway.run import RunDirectory
from headway.tracking import decisions, state
from headway.tracking.contents import NUMBER_TAG
from headway.tracking.decisions import DecisionRecord
from headway.tracking.models import forget_unregistered
from headway.tracking.packaging import save
from headway.tracking.runs import read_tracking
from headway.tracking.store import database_file, is_local, needing, open_store, tracking_uri
from headway.tracking.variants import PARENT_TAG

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Champion:
    """The model version in charge, and its bundle as a folder on this machine."""

    version: str
    run_id: str
    bundle: Path


@contextlib.contextmanager
def opened(root: Path) -> Iterator[MlflowClient]:
    """The store's client; what MLflow raises meanwhile becomes one clear line."""
    client = open_store(root)
    with needing(tracking_uri(root)):
        yield client


@contextlib.contextmanager
def deciding(root: Path, name: str) -> Iterator[None]:
    """Hold a model's aliases: what reads and then moves them does so alone among the processes of this folder."""
    folder = root / "data" / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def register(run: RunDirectory, root: Path, name: str, example: pd.DataFrame) -> str:
    """Log the run's bundle as a model and register it; the version. A run that is registered already keeps its version.

    ``example``: a few raw rows. Raises ConfigError when the run is not in MLflow or MLflow does not answer.
    """
    tracking = read_tracking(run)
    if tracking is None or tracking["run_id"] is None:
        raise ConfigError(
            f"a run must be in MLflow before its model is registered, however {run.path.name} is not; "
            f"headway sync {run.path.name}"
        )
    run_id = tracking["run_id"]
    with opened(root) as client:
        known = client.search_model_versions(f"run_id = '{run_id}'")
        if known:
            return str(known[0].version)
        described = read_json(run.bundle / "bundle.json")
        forget_unregistered(client, tracking["experiment_id"], run_id)
        model = client.create_logged_model(
            tracking["experiment_id"], name, run_id, params={"model": described["model"]["name"]}
        )
        with working_folder(root / "data" / "registry", "register") as folder:
            save(folder / "model", run.bundle, described, example, model, run_id)
            client.log_model_artifacts(model.model_id, str(folder / "model"))
        if is_local(tracking_uri(root)):  # before a version names it: a power cut must not leave one without its files
            checksums.sync_tree(Path(model.artifact_location.removeprefix("file://")))
        client.finalize_logged_model(model.model_id, "READY")
        _log_output(client, run_id, model.model_id)
        _ensure_model(client, name, run.plan["project"].get("description", ""))
        # MLflow would look a models:/ address of a local store up in its global store, which need not be this one.
        source = model.artifact_location if is_local(tracking_uri(root)) else f"models:/{model.model_id}"
        return str(client.create_model_version(name, source, run_id, model_id=model.model_id).version)


def _log_output(client: MlflowClient, run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def _ensure_model(client: MlflowClient, name: str, description: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description or None)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def champion(root: Path, name: str) -> Champion | None:
    """The version that the alias champion names; None when there is none yet."""
    with opened(root) as client:
        version = aliased(client, name, "champion")
        if version is None:
            return None
        return Champion(str(version.version), version.run_id, bundle_of(client, root, version))


def version_of(root: Path, name: str, wanted: str = "champion") -> Champion:
    """A version by its number or by an alias, with its bundle on this machine.

    Raises ConfigError when there is none; nothing is created by looking.
    """
    uri = tracking_uri(root)
    if is_local(uri) and not database_file(uri).exists():
        raise ConfigError(_no_version(name, wanted, []))
    with opened(root) as client:
        known = sorted((str(v.version) for v in client.search_model_versions(f"name = '{name}'")), key=int)
        version = client.get_model_version(name, wanted) if wanted in known else None
        if version is None and not wanted.isdigit():
            version = aliased(client, name, wanted)
        if version is None:
            raise ConfigError(_no_version(name, wanted, known))
        return Champion(str(version.version), version.run_id, bundle_of(client, root, version))


def _no_version(name: str, wanted: str, known: list[str]) -> str:
    if not known:
        return f"{name} must have a champion, however it has none yet; headway run {name}"
    fix = f"there is version {', '.join(known[-10:])}"
    if wanted == "champion":
        return f"{name} must have a champion, however no version is it; {fix}: give --version"
    return f"--version must be a version of {name} or an alias, however {wanted!r} is none; {fix}"


def aliased(client: MlflowClient, name: str, alias: str) -> Any:
    """The version that an alias names; None when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def bundle_of(client: MlflowClient, root: Path, version: Any) -> Path:
    """Where a version's files lie, for a store on this machine; else a copy, made once.

    Raises DamagedError where they are gone or damaged, with the commands that help.
    """
    place = model_folder(client, version)
    if place is None:
        return _fetched(client, root, version)
    found = place / "artifacts" / "bundle"
    gone = Damage(found / "bundle.json", "is gone") if not (found / "bundle.json").exists() else None
    damage = gone or next(checksums.damages(found), None)
    if damage is not None:
        raise DamagedError(
            f"{version.name} version {version.version} must be what was registered, but {damage} in {found}; "
            f"{_ways_out(client, version)}"
        )
    return found


def model_folder(client: MlflowClient, version: Any) -> Path | None:
    """The folder of a version's MLflow model on this machine; None where it is kept elsewhere."""
    uri = _address(client, version)
    path = Path(uri.removeprefix("file://"))
    return path if path.is_absolute() and "://" not in uri.removeprefix("file://") else None


def _address(client: MlflowClient, version: Any) -> str:
    uri = client.get_model_version_download_uri(version.name, version.version)
    if uri.startswith("models:/"):
        uri = client.get_logged_model(uri.removeprefix("models:/").split("/")[0]).artifact_location
    return str(uri)


def _ways_out(client: MlflowClient, version: Any) -> str:
    """What helps where a version is damaged: with a single version nothing can be rolled back to."""
    name, number = version.name, str(version.version)
    others = [str(v.version) for v in client.search_model_versions(f"name = '{name}'") if str(v.version) != number]
    champion = aliased(client, name, "champion")
    if champion is not None and str(champion.version) != number:
        other = f"version {champion.version} is in charge"
    elif others:
        other = f"headway rollback {name} --to {max(others, key=int)}"
    else:
        other = f"headway run {name} --replace-champion"
    return f"headway doctor --apply mends it where a copy is left; else: {other}"


def _fetched(client: MlflowClient, root: Path, version: Any) -> Path:
    """A copy of the bundle of a version that is kept elsewhere; a damaged copy is fetched again."""
    import mlflow.artifacts

    kept = root / "data" / "champions" / version.name / str(version.version)
    if kept.exists() and next(checksums.damages(kept), None) is not None:
        shutil.rmtree(kept)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(kept.parent, "download") as folder:
            address = f"{_address(client, version).rstrip('/')}/artifacts/bundle"
            got = mlflow.artifacts.download_artifacts(
                artifact_uri=address, dst_path=str(folder), tracking_uri=tracking_uri(root)
            )
            checksums.check(Path(got))
            Path(got).rename(kept)
    return kept


def promote(root: Path, name: str, version: str, decision: Mapping[str, Any]) -> None:
    """Make a version champion, as the gate decided, and note it in the model's history.

    The decision is written first and one statement moves the alias, so that whatever dies, a champion stands, and the same
    call finishes what was begun; done twice, it is the same as done once. Where a later decision put another
    version in charge, a repeated call changes nothing.
    """
    with opened(root) as client, deciding(root, name):
        history, record = _note(client, name, version, decision)
        if decisions.is_overtaken(history, record, decisions.MOVES):
            return
        replaced = record.before if record.before != version else None
        if replaced is not None:
            client.set_registered_model_alias(name, "previous", replaced)
        client.set_registered_model_alias(name, "champion", version)
        drop_challenger(client, name, version)
        if replaced is not None:
            state.tell(client, name, replaced, "replaced", f"replaced by version {version}", history)
        state.tell_gate(client, name, version, decision, history)


def keep_challenger(root: Path, name: str, version: str, decision: Mapping[str, Any]) -> None:
    """Keep a version that the gate did not let through, with the reason, as `challenger`; noted in the history, too."""
    with opened(root) as client, deciding(root, name):
        history, record = _note(client, name, version, decision)
        if not decisions.is_overtaken(history, record, decisions.GATE):
            client.set_registered_model_alias(name, "challenger", version)
            state.tell_gate(client, name, version, decision, history)


def _note(
    client: MlflowClient, name: str, version: str, decision: Mapping[str, Any]
) -> tuple[list[DecisionRecord], DecisionRecord]:
    champion = aliased(client, name, "champion")
    return decisions.note_gate(client, name, version, None if champion is None else str(champion.version), decision)


def drop_challenger(client: MlflowClient, name: str, version: str) -> None:
    """Take the alias challenger from a version that is in charge now."""
    challenger = aliased(client, name, "challenger")
    if challenger is not None and str(challenger.version) == str(version):
        client.delete_registered_model_alias(name, "challenger")


def history(root: Path, name: str) -> list[DecisionRecord]:
    """Every decision about a model, the oldest first."""
    with opened(root) as client:
        return decisions.read(client, name)


def versions(root: Path, name: str) -> list[dict[str, Any]]:
    """A model's versions, newest first: version, run_id, created (seconds since the epoch), aliases, and its tags."""
    with opened(root) as client:
        found = client.search_model_versions(f"name = '{name}'")
        aliases: dict[str, list[str]] = {}
        if found:
            for alias, version in client.get_registered_model(name).aliases.items():
                aliases.setdefault(str(version), []).append(alias)
        rows = [
            {
                "version": str(v.version),
                "run_id": v.run_id,
                "created": v.creation_timestamp / 1000,
                "aliases": sorted(aliases.get(str(v.version), [])),
                **v.tags,
            }
            for v in found
        ]
    return sorted(rows, key=lambda row: -int(row["version"]))


def list_runs(root: Path, project: str, most: int = 20) -> list[dict[str, Any]]:
    """A project's runs, newest first: {"run_id", "name", "status", "start", "end", "params", "metrics", "tags"}.

    The variants of effect studies are left out.
    """
    with opened(root) as client:
        experiment = client.get_experiment_by_name(project)
        if experiment is None:
            return []
        order = [
            f"tags.`{NUMBER_TAG}` DESC",
            "start_time DESC",
        ]  # the number is right also where the clock was set back
        newest = client.search_runs([experiment.experiment_id], max_results=1000, order_by=order)
        found = [r for r in newest if PARENT_TAG not in r.data.tags][:most]
    return [
        {
            "run_id": r.info.run_id,
            "name": r.info.run_name,
            "status": r.info.status,
            "start": r.info.start_time / 1000,
            "end": None if r.info.end_time is None else r.info.end_time / 1000,
            "params": dict(r.data.params),
            "metrics": dict(r.data.metrics),
            "tags": {k: v for k, v in r.data.tags.items() if not k.startswith("mlflow.")},
        }
        for r in found
    ]
