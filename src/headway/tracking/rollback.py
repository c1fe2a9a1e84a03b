"""Rolling back: an earlier version is in charge again, and both versions say why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.base import ConfigError
from headway.tracking import registry
from headway.tracking.store import database_file, is_local, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Rollback:
    """Which version is in charge now, which one was, and why."""

    version: str
    before: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """As the command prints it."""
        return asdict(self)


def rollback(root: Path, name: str, to: str = "", reason: str = "") -> Rollback:
    """Put the version ``to``, or the previous champion where it is empty, in charge; the one that was becomes `previous`.

    One statement moves the alias, so that whatever dies, a champion stands. Raises ConfigError, and changes nothing,
    when there is no champion, nothing to go back to, no such version, or when its bundle is gone.
    """
    uri = tracking_uri(root)
    if is_local(uri) and not database_file(uri).exists():
        raise ConfigError(_no_champion(name))
    with registry.opened(root) as client, registry.deciding(root, name):
        now = registry.aliased(client, name, "champion")
        if now is None:
            raise ConfigError(_no_champion(name))
        before = str(now.version)
        target = _target(client, name, to, before)
        registry.bundle_of(client, root, target)
        version = str(target.version)
        why = " ".join(reason.split()) or "no reason was given"
        challenger = registry.aliased(client, name, "challenger")
        client.set_registered_model_alias(name, "champion", version)
        client.set_registered_model_alias(name, "previous", before)
        if challenger is not None and str(challenger.version) == version:
            client.delete_registered_model_alias(name, "challenger")
        _explain(client, name, version, "restored", f"restored in place of version {before}: {why}")
        _explain(client, name, before, "rolled back", f"rolled back to version {version}: {why}")
        return Rollback(version, before, why)


def _no_champion(name: str) -> str:
    return f"{name} must have a champion to roll back, however it has none; headway run {name}"


def _target(client: MlflowClient, name: str, to: str, before: str) -> Any:
    """The version that shall be in charge."""
    known = sorted((str(v.version) for v in client.search_model_versions(f"name = '{name}'")), key=int)
    others = ", ".join([v for v in known if v != before][-10:]) or "none, so retrain first"
    if not to:
        found = registry.aliased(client, name, "previous")
        if found is None or str(found.version) == before:
            raise ConfigError(
                f"{name} must have a previous champion to go back to, however there was none before version {before}; "
                f"give --to one of its other versions: {others}"
            )
        return found
    if to not in known:
        raise ConfigError(f"--to must be a version of {name}, however {to!r} is none; other versions: {others}")
    if to == before:
        raise ConfigError(
            f"--to must be another version than the champion, however version {to} is in charge already; "
            f"other versions: {others}"
        )
    return client.get_model_version(name, to)


def _explain(client: MlflowClient, name: str, version: str, decision: str, reason: str) -> None:
    client.set_model_version_tag(name, version, "decision", decision)
    client.set_model_version_tag(name, version, "reason", reason[:5000])
    client.update_model_version(name, version, reason[:5000])
