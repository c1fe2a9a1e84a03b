"""Reading the registry: versions with their bundles, aliases, and decisions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError, HeadwayError
from headway.files.records import Record
from headway.tracking import decisions, intent, lock, memory
from headway.tracking.addresses import is_file, tracking_uri
from headway.tracking.bundles import bundle_of
from headway.tracking.contents import NUMBER_TAG
from headway.tracking.decisions import DecisionRecord
from headway.tracking.experiments import names_of
from headway.tracking.store import is_there, let_go, needing, open_store
from headway.tracking.variants import PARENT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Champion:
    """The champion of a model, and its bundle as a folder on this machine."""

    version: str
    run_id: str
    bundle: Path


@dataclass(frozen=True)
class VersionRow(Record):
    """A version in lists: its MLflow run, its time (seconds since the epoch), its aliases and tags."""

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
    """A run in lists; times are seconds since the epoch."""

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
    """The version that has an alias, and its bundle on this machine; None where files are missing or damaged (``problem``)."""

    version: str
    bundle: Path | None
    problem: str | None = None


@contextlib.contextmanager
def store_client(root: Path) -> Iterator[MlflowClient]:
    """The store's client; MLflow's errors in the block become a ConfigError of one line."""
    client = open_store(root)
    with needing(tracking_uri(root)):
        yield client


@contextlib.contextmanager
def reading(root: Path, name: str) -> Iterator[MlflowClient]:
    """The store's client for reading about a model. A decision of a killed process is finished first.

    A decision that a running process carries out is left to that process.
    """
    with store_client(root) as client:
        model = intent.registered_model(client, name)
        if model is not None and intent.intent_of(model) is not None:
            with lock.hold(root, name, seconds=0) as model_lock:
                if model_lock is not None:
                    intent.recover(client, name, model_lock.check)
        yield client


def champion(root: Path, name: str) -> Champion | None:
    """The version with the alias champion; None when there is none yet."""
    with reading(root, name) as client:
        version = intent.aliased(client, name, "champion")
        if version is None:
            return None
        return Champion(str(version.version), version.run_id, bundle_of(client, root, version))


def holder(root: Path, name: str, alias: str = "champion") -> Holder | None:
    """The version that has an alias, also where its files are damaged; None when there is none."""
    with reading(root, name) as client:
        return holder_of(client, root, name, alias)


def holder_of(client: MlflowClient, root: Path, name: str, alias: str) -> Holder | None:
    """As holder, with a client."""
    version = intent.aliased(client, name, alias)
    return None if version is None else _holder(client, root, version)


def earlier(root: Path, name: str, champion: str) -> Iterator[Holder]:
    """The versions that were champion before the present one, the newest first, also where their files are damaged."""
    with reading(root, name) as client:
        yield from earlier_of(client, root, name, champion)


def earlier_of(client: MlflowClient, root: Path, name: str, champion: str) -> Iterator[Holder]:
    """As earlier, with a client."""
    for number in decisions.ways_back(decisions.read(client, name), champion):
        if intent.exists(client, name, number):
            yield _holder(client, root, client.get_model_version(name, number))


def _holder(client: MlflowClient, root: Path, version: Any) -> Holder:
    try:
        return Holder(str(version.version), bundle_of(client, root, version))
    except HeadwayError as error:
        return Holder(str(version.version), None, str(error))


def version_of(root: Path, name: str, version_or_alias: str = "champion") -> Champion:
    """A version by its number or by an alias, with its bundle on this machine.

    Raises ConfigError when there is none. Creates nothing.
    """
    if not is_there(root):
        raise ConfigError(_no_version(name, version_or_alias, []))
    state = memory.state_of(root)
    earlier = memory.recall(root, state, name, version_or_alias)
    if earlier is not None:
        return Champion(*earlier)
    with reading(root, name) as client:
        numbers = sorted((str(v.version) for v in client.search_model_versions(f"name = '{name}'")), key=int)
        version = client.get_model_version(name, version_or_alias) if version_or_alias in numbers else None
        if version is None and not version_or_alias.isdigit():
            version = intent.aliased(client, name, version_or_alias)
        if version is None:
            raise ConfigError(_no_version(name, version_or_alias, numbers))
        result = Champion(str(version.version), version.run_id, bundle_of(client, root, version))
        if intent.intent_of(intent.registered_model(client, name)) is None:  # otherwise a decision is being carried out
            memory.remember(root, state, name, version_or_alias, (result.version, result.run_id, result.bundle))
        return result


def remember_champion(root: Path, name: str) -> None:
    """Look the champion up at the end of a run, which has MLflow in its memory, for the next scoring."""
    if not is_file(tracking_uri(root)):
        return
    let_go(root)  # whatever is still in the log goes to the file
    time.sleep(2 * memory.SETTLED_SECONDS)
    with contextlib.suppress(HeadwayError):
        version_of(root, name)


def _no_version(name: str, version_or_alias: str, numbers: list[str]) -> str:
    if not numbers:
        return f"{name} has no champion yet. Run: headway run {name}"
    fix = f"there is version {', '.join(numbers[-10:])}"
    if version_or_alias == "champion":
        return f"{name} has no champion; {fix}: give --version"
    return f"--version must be a version of {name} or an alias, but {version_or_alias!r} is none; {fix}"


def history(root: Path, name: str) -> list[DecisionRecord]:
    """Every decision about a model, the oldest first."""
    with reading(root, name) as client:
        return decisions.read(client, name)


def versions(root: Path, name: str) -> list[VersionRow]:
    """A model's versions, newest first."""
    with reading(root, name) as client:
        entries = client.search_model_versions(f"name = '{name}'")
        aliases: dict[str, list[str]] = {}
        if entries:
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
            for v in entries
        ]
    return sorted(rows, key=lambda row: -int(row.version))


def list_runs(root: Path, project: str, most: int = 20) -> list[RunRow]:
    """A project's retrainings, studies and watches, newest first. The variants of effect studies are left out."""
    with store_client(root) as client:
        experiments = [client.get_experiment_by_name(name) for name in names_of(project)]
        ids = [experiment.experiment_id for experiment in experiments if experiment is not None]
        if not ids:
            return []
        order = [
            f"tags.`{NUMBER_TAG}` DESC",
            "start_time DESC",
        ]  # the number is right also where the clock was set back
        newest = client.search_runs(ids, max_results=1000, order_by=order)
        runs = [r for r in newest if PARENT_TAG not in r.data.tags][:most]
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
        for r in runs
    ]
