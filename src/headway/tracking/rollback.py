"""Rolling back: an earlier version is made the champion; both versions' pages and the model's history say why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError, DamagedError
from headway.files.records import Record
from headway.machine.clock import moment
from headway.tracking import bundles, decisions, intent, lock, registry
from headway.tracking.decisions import DecisionRecord, current_user
from headway.tracking.store import is_there

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Rollback(Record):
    """The champion now and the one before, the reason, and whether the new one had been champion before.

    ``since``: seconds since the epoch of an earlier rollback, where there was nothing left to do.
    """

    version: str
    before: str
    reason: str
    again: bool
    since: float | None = None

    def sentence(self) -> str:
        """One line for people."""
        if self.since is not None:
            when = f"rolled back from version {self.before} on {moment(self.since)} ({self.reason})"
            return f"version {self.version} is champion already, {when}; --to makes another version champion"
        return f"version {self.version} is champion{' again' if self.again else ''}, in place of version {self.before}"


def rollback(root: Path, name: str, to: str = "", reason: str = "", who: str = "", instead_of: str = "") -> Rollback:
    """Make the version ``to`` the champion, or the previous champion where it is empty; the replaced one becomes `previous`.

    ``who``: who decided, where it is not the user of this process. ``instead_of``: the champion to replace; any other stays. Killed
    anywhere and repeated, the result is the same: a rollback without ``to`` never undoes a rollback. Raises ConfigError, and changes
    nothing, when there is no champion, another one than ``instead_of``, no earlier one, no such version, or another process holds the
    model for longer than PATIENCE_SECONDS; DamagedError when the version's files are missing or damaged.
    """
    if not is_there(root):
        raise ConfigError(_no_champion(name))
    with lock.hold(root, name, PATIENCE_SECONDS) as model_lock, registry.store_client(root) as client:
        if model_lock is None:
            raise ConfigError(
                f"only one process at a time may decide about {name}, but another has done so for {PATIENCE_SECONDS:.0f} s; "
                "try again"
            )
        intent.recover(client, name, model_lock.check)
        now = intent.aliased(client, name, "champion")
        if now is None:
            raise ConfigError(_no_champion(name))
        before, history = str(now.version), decisions.read(client, name)
        if instead_of not in ("", before):
            raise ConfigError(f"{name} version {instead_of} must be champion, but version {before} is now")
        repetition = _done_before(history, to, before)
        if repetition is not None:
            return repetition
        target = _target(client, name, to, before)
        try:
            bundles.bundle_of(client, root, target)
        except DamagedError as error:
            raise DamagedError(f"{error}{_another(client, root, name, before)}") from None
        version = str(target.version)
        why = " ".join(reason.split()) or "no reason was given"
        record = DecisionRecord(
            "rollback", version, before, version, why, who or current_user(), time.time(), target.run_id
        )
        intent.carry_out(client, name, record, model_lock.check)
        return Rollback(version, before, why, any(one.after == version for one in history))


def _another(client: MlflowClient, root: Path, name: str, before: str) -> str:
    """The newest whole version that was champion before, as the end of a line."""
    whole = (one for one in registry.earlier_of(client, root, name, before) if one.bundle is not None)
    other = next(whole, None)
    return "" if other is None else f"; or an earlier one: headway rollback {name} --to {other.version}"


def _done_before(history: list[DecisionRecord], to: str, champion: str) -> Rollback | None:
    """The rollback that made the present champion, where it is the newest change and the requested one; otherwise None.

    A command that was killed after its last change may be repeated, which must not undo it.
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
    """The version to make the champion."""
    numbers = sorted((str(v.version) for v in client.search_model_versions(f"name = '{name}'")), key=int)
    others = ", ".join([v for v in numbers if v != before][-10:]) or "none, so retrain first"
    if not to:
        previous = intent.aliased(client, name, "previous")
        if previous is None or str(previous.version) == before:
            raise ConfigError(
                f"{name} has no previous champion: version {before} is its first; "
                f"give --to one of its other versions: {others}"
            )
        return previous
    if to not in numbers:
        raise ConfigError(f"--to must be a version of {name}, but {to!r} is not one; other versions: {others}")
    if to == before:
        raise ConfigError(
            f"--to must be another version than the champion, but version {to} is the champion; "
            f"other versions: {others}"
        )
    return client.get_model_version(name, to)
