"""Rolling back: an earlier version is put in charge, both versions say why, and the model's history keeps it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError, DamagedError
from headway.files.records import Record
from headway.machine.clock import moment
from headway.tracking import decisions, intent, lock, registry
from headway.tracking.decisions import DecisionRecord, current_user
from headway.tracking.store import is_there

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Rollback(Record):
    """Which version is in charge now, which one was, why, and whether the one in charge had been champion before.

    ``since``: seconds since the epoch where this was decided before, and nothing was left to do.
    """

    version: str
    before: str
    reason: str
    again: bool
    since: float | None = None

    def sentence(self) -> str:
        """As people read it."""
        if self.since is not None:
            when = f"rolled back from version {self.before} on {moment(self.since)} ({self.reason})"
            return f"version {self.version} is champion already, {when}; --to puts another version in charge"
        return f"version {self.version} is champion{' again' if self.again else ''}, in place of version {self.before}"


def rollback(root: Path, name: str, to: str = "", reason: str = "", who: str = "", instead_of: str = "") -> Rollback:
    """Put the version ``to``, or the previous champion where it is empty, in charge; the one that was becomes `previous`.

    ``who``: who decided, where it is not the user of this process. ``instead_of``: the champion that shall leave; any other stays.
    Killed anywhere and repeated, it is the same as done once: a rollback without ``to`` never undoes a rollback. Raises ConfigError,
    and changes nothing, when there is no champion, another than ``instead_of``, nothing to go back to, no such version, or another
    process holds the model for longer than PATIENCE_SECONDS; DamagedError when the version's files are gone or damaged.
    """
    if not is_there(root):
        raise ConfigError(_no_champion(name))
    with lock.held(root, name, PATIENCE_SECONDS) as held, registry.opened(root) as client:
        if held is None:
            raise ConfigError(
                f"{name} must have one process that decides about it, but another has been at it for {PATIENCE_SECONDS:.0f} s; "
                "try again"
            )
        intent.recover(client, name, held.check)
        now = registry.aliased(client, name, "champion")
        if now is None:
            raise ConfigError(_no_champion(name))
        before, history = str(now.version), decisions.read(client, name)
        if instead_of not in ("", before):
            raise ConfigError(f"{name} version {instead_of} must be in charge, but version {before} is by now")
        done = _done_before(history, to, before)
        if done is not None:
            return done
        target = _target(client, name, to, before)
        try:
            registry.bundle_of(client, root, target)
        except DamagedError as error:
            raise DamagedError(f"{error}{_another(client, root, name, before)}") from None
        version = str(target.version)
        why = " ".join(reason.split()) or "no reason was given"
        record = DecisionRecord(
            "rollback", version, before, version, why, who or current_user(), time.time(), target.run_id
        )
        intent.carry_out(client, name, record, held.check)
        return Rollback(version, before, why, any(one.after == version for one in history))


def _another(client: MlflowClient, root: Path, name: str, before: str) -> str:
    """The newest whole version that was in charge before, as the end of a line."""
    whole = (one for one in registry.earlier_of(client, root, name, before) if one.bundle is not None)
    other = next(whole, None)
    return "" if other is None else f"; or an earlier one: headway rollback {name} --to {other.version}"


def _done_before(history: list[DecisionRecord], to: str, champion: str) -> Rollback | None:
    """The rollback that put the champion in charge, where it is the newest change and the one that is wanted; else None.

    A command whose process died after its last change is repeated: what it did must not be turned round.
    """
    moves = [one for one in history if one.number and one.kind in decisions.MOVES]
    newest = moves[-1] if moves else None
    if newest is None or newest.kind != "rollback" or newest.after != champion or to not in ("", champion):
        return None
    again = any(one.after == champion and one.number < newest.number for one in history)
    return Rollback(champion, str(newest.before), newest.why, again, newest.when)


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
