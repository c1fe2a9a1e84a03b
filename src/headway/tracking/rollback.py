"""Rolling back: an earlier version is put in charge, both versions say why, and the model's history keeps it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.base import ConfigError
from headway.tracking import decisions, registry, state
from headway.tracking.decisions import DecisionRecord, current_user
from headway.tracking.store import database_file, is_local, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Rollback:
    """Which version is in charge now, which one was, why, and whether the one in charge had been champion before."""

    version: str
    before: str
    reason: str
    again: bool

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return asdict(self)

    def sentence(self) -> str:
        """As people read it."""
        return f"version {self.version} is champion{' again' if self.again else ''}, in place of version {self.before}"


def rollback(root: Path, name: str, to: str = "", reason: str = "", who: str = "") -> Rollback:
    """Put the version ``to``, or the previous champion where it is empty, in charge; the one that was becomes `previous`.

    ``who``: who decided, where it is not the user of this process. One statement moves the alias, so that whatever dies, a
    champion stands. Raises ConfigError, and changes nothing, when there is no champion, nothing to go back to, no
    such version, or when its bundle is gone.
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
        again = any(one.after == version for one in decisions.read(client, name))
        record = DecisionRecord(
            "rollback", version, before, version, why, who or current_user(), time.time(), target.run_id
        )
        history = decisions.append(client, name, record)
        client.set_registered_model_alias(name, "champion", version)
        client.set_registered_model_alias(name, "previous", before)
        registry.drop_challenger(client, name, version)
        verb = "restored" if again else "put in charge"
        state.tell(client, name, version, verb, f"{verb} in place of version {before}: {why}", history)
        state.tell(client, name, before, "rolled back", f"rolled back to version {version}: {why}", history)
        decisions.describe(client, name, history)
        return Rollback(version, before, why, again)


def _no_champion(name: str) -> str:
    return f"{name} has no champion to roll back. Run: headway run {name}"


def _target(client: MlflowClient, name: str, to: str, before: str) -> Any:
    """The version that shall be in charge."""
    known = sorted((str(v.version) for v in client.search_model_versions(f"name = '{name}'")), key=int)
    others = ", ".join([v for v in known if v != before][-10:]) or "none, so retrain first"
    if not to:
        found = registry.aliased(client, name, "previous")
        if found is None or str(found.version) == before:
            raise ConfigError(
                f"{name} must have a previous champion to go back to, but there was none before version {before}; "
                f"give --to one of its other versions: {others}"
            )
        return found
    if to not in known:
        raise ConfigError(f"--to must be a version of {name}, but {to!r} is not one; other versions: {others}")
    if to == before:
        raise ConfigError(
            f"--to must be another version than the champion, but version {to} is in charge already; "
            f"other versions: {others}"
        )
    return client.get_model_version(name, to)
