"""The registry, for looking: versions with their bundles, who has which alias, and why each was given."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError, DamagedError, HeadwayError
from headway.files import checksums
from headway.files.checksums import Damage
from headway.files.locks import working_folder
from headway.files.records import Record
from headway.tracking import decisions, intent, lock
from headway.tracking.contents import NUMBER_TAG
from headway.tracking.decisions import DecisionRecord
from headway.tracking.store import is_there, needing, open_store, tracking_uri
from headway.tracking.variants import PARENT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Champion:
    """The model version in charge, and its bundle as a folder on this machine."""

    version: str
    run_id: str
    bundle: Path


@dataclass(frozen=True)
class VersionRow(Record):
    """A version as lists show it: the MLflow run that made it, when (seconds since the epoch), and what its page says."""

    version: str
    run_id: str
    created: float
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """With the tags among the fields."""
        own = super().to_json()
        del own["tags"]
        return {**own, **self.tags}


@dataclass(frozen=True)
class RunRow(Record):
    """A run as lists show it; times are seconds since the epoch."""

    run_id: str
    name: str
    status: str
    start: float
    end: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Holder:
    """The version that has an alias, and its bundle on this machine; None where the files are gone or damaged, as ``problem`` says."""

    version: str
    bundle: Path | None
    problem: str | None = None


@contextlib.contextmanager
def opened(root: Path) -> Iterator[MlflowClient]:
    """The store's client; what MLflow raises meanwhile becomes one clear line."""
    client = open_store(root)
    with needing(tracking_uri(root)):
        yield client


@contextlib.contextmanager
def reading(root: Path, name: str) -> Iterator[MlflowClient]:
    """The store's client for looking at a model. What a killed process began with it is finished first.

    A decision whose process is at work is left to that one.
    """
    with opened(root) as client:
        model = intent.registered_model(client, name)
        if model is not None and intent.intent_of(model) is not None:
            with lock.held(root, name, seconds=0) as held:
                if held is not None:
                    intent.recover(client, name, held.check)
        yield client


def champion(root: Path, name: str) -> Champion | None:
    """The version that the alias champion names; None when there is none yet."""
    with reading(root, name) as client:
        version = aliased(client, name, "champion")
        if version is None:
            return None
        return Champion(str(version.version), version.run_id, bundle_of(client, root, version))


def holder(root: Path, name: str, alias: str = "champion") -> Holder | None:
    """The version that an alias names, also where its files are damaged; None when there is none."""
    with reading(root, name) as client:
        return holder_of(client, root, name, alias)


def holder_of(client: MlflowClient, root: Path, name: str, alias: str) -> Holder | None:
    """As holder, with a client."""
    version = aliased(client, name, alias)
    return None if version is None else _holding(client, root, version)


def earlier(root: Path, name: str, champion: str) -> Iterator[Holder]:
    """The versions that were in charge before the champion, the newest first, also where their files are damaged."""
    with reading(root, name) as client:
        yield from earlier_of(client, root, name, champion)


def earlier_of(client: MlflowClient, root: Path, name: str, champion: str) -> Iterator[Holder]:
    """As earlier, with a client."""
    for number in decisions.ways_back(decisions.read(client, name), champion):
        if intent.exists(client, name, number):
            yield _holding(client, root, client.get_model_version(name, number))


def _holding(client: MlflowClient, root: Path, version: Any) -> Holder:
    try:
        return Holder(str(version.version), bundle_of(client, root, version))
    except HeadwayError as error:
        return Holder(str(version.version), None, str(error))


def version_of(root: Path, name: str, wanted: str = "champion") -> Champion:
    """A version by its number or by an alias, with its bundle on this machine.

    Raises ConfigError when there is none; nothing is created by looking.
    """
    if not is_there(root):
        raise ConfigError(_no_version(name, wanted, []))
    with reading(root, name) as client:
        known = sorted((str(v.version) for v in client.search_model_versions(f"name = '{name}'")), key=int)
        version = client.get_model_version(name, wanted) if wanted in known else None
        if version is None and not wanted.isdigit():
            version = aliased(client, name, wanted)
        if version is None:
            raise ConfigError(_no_version(name, wanted, known))
        return Champion(str(version.version), version.run_id, bundle_of(client, root, version))


def _no_version(name: str, wanted: str, known: list[str]) -> str:
    if not known:
        return f"{name} must have a champion, but it has none yet; headway run {name}"
    fix = f"there is version {', '.join(known[-10:])}"
    if wanted == "champion":
        return f"{name} must have a champion, but no version is it; {fix}: give --version"
    return f"--version must be a version of {name} or an alias, but {wanted!r} is none; {fix}"


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
    damage = sealed_damage(found)
    if damage is not None:
        raise DamagedError(
            f"{version.name} version {version.version} must be what was registered, but {damage} in {found}; "
            f"{_ways_out(client, version)}"
        )
    return found


def sealed_damage(bundle: Path) -> Damage | None:
    """The first file of a bundle that its checksums tell is not what was written; of one without any, only that it is gone."""
    if not (bundle / "bundle.json").exists():
        return Damage(bundle / "bundle.json", "is gone")
    return next(checksums.damages(bundle), None)


def _is_whole(client: MlflowClient, version: Any) -> bool:
    """Whether a version's files are; of those that are kept elsewhere, that is not known before they are fetched."""
    place = model_folder(client, version)
    return place is None or sealed_damage(place / "artifacts" / "bundle") is None


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
        back = [v for v in decisions.ways_back(decisions.read(client, name), number) if v in others]
        whole = (v for v in back if _is_whole(client, client.get_model_version(name, v)))
        other = f"headway rollback {name} --to {next(whole, max(others, key=int))}"
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


def history(root: Path, name: str) -> list[DecisionRecord]:
    """Every decision about a model, the oldest first."""
    with reading(root, name) as client:
        return decisions.read(client, name)


def versions(root: Path, name: str) -> list[VersionRow]:
    """A model's versions, newest first."""
    with reading(root, name) as client:
        found = client.search_model_versions(f"name = '{name}'")
        aliases: dict[str, list[str]] = {}
        if found:
            for alias, version in client.get_registered_model(name).aliases.items():
                aliases.setdefault(str(version), []).append(alias)
        rows = [
            VersionRow(
                version=str(v.version),
                run_id=v.run_id,
                created=v.creation_timestamp / 1000,
                aliases=tuple(sorted(aliases.get(str(v.version), []))),
                tags=dict(v.tags),
            )
            for v in found
        ]
    return sorted(rows, key=lambda row: -int(row.version))


def list_runs(root: Path, project: str, most: int = 20) -> list[RunRow]:
    """A project's runs, newest first. The variants of effect studies are left out."""
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
        RunRow(
            run_id=r.info.run_id,
            name=r.info.run_name,
            status=r.info.status,
            start=r.info.start_time / 1000,
            end=None if r.info.end_time is None else r.info.end_time / 1000,
            params=dict(r.data.params),
            metrics=dict(r.data.metrics),
            tags={k: v for k, v in r.data.tags.items() if not k.startswith("mlflow.")},
        )
        for r in found
    ]
