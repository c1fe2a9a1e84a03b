"""Carries a decision out completely: it is written as an intent before the first change, and the intent is removed after the last.

Whatever ends the process in between, the next command of the project finds the intent and finishes what it says. Every change is made
from the intent alone, so that doing it again changes nothing more. Where it cannot be finished, because its version was deleted or a
person moved the alias in MLflow meanwhile, it is undone.

Order: intent, alias champion, alias previous, alias challenger, purpose of the model, the decision in the list, what the versions'
pages and the model's page say, end of the intent. So no page tells of a promotion that has not happened.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError
from headway.tracking import decisions, state
from headway.tracking.decisions import MOVES, DecisionRecord
from headway.tracking.purpose import Purpose

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "intent"
"""The tag of the registered model that holds the intent."""

Check = Callable[[], Any]
"""Raises ConfigError where the model is no longer held."""


@dataclass(frozen=True)
class Intent:
    """A decision that is being carried out. ``key``: its key in the history. ``previous``: the version that had that alias before."""

    key: str
    record: DecisionRecord
    previous: str | None

    def to_json(self) -> str:
        """The tag's value."""
        plain = {"key": self.key, "previous": self.previous, "record": self.record.to_json()}
        return json.dumps(plain, ensure_ascii=False)


def intent_of(model: Any) -> Intent | None:
    """A registered model's intent; None where there is none, or where its text was spoilt by hand."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        plain = json.loads(model.tags[TAG])
        return Intent(plain["key"], DecisionRecord.from_json(plain["record"]), plain["previous"])
    return None


def carry_out(client: MlflowClient, name: str, record: DecisionRecord, check: Check = lambda: None) -> DecisionRecord:
    """Write the intent and carry it out. Returns the decision as it is kept. The caller holds the model (``lock.hold``).

    ``check`` raises where the lock was lost. A decision that another machine has finished meanwhile counts as done. Raises
    ConfigError, and changes nothing, where another machine, which this lock does not reach, decides at the same moment.
    """
    check()
    history = decisions.catch_up(client, name, record)
    number = decisions.following(history)
    previous = aliases_of(client.get_registered_model(name)).get("previous")
    intent = Intent(decisions.new_key(number), decisions.shorten(replace(record, number=number)), previous)
    check()
    try:
        _begin(client, name, intent)
        _finish(client, name, intent, check)
    except ConfigError:
        if not _is_finished_elsewhere(client, name, intent):
            raise
    return intent.record


def _begin(client: MlflowClient, name: str, intent: Intent) -> None:
    client.set_registered_model_tag(name, TAG, intent.to_json())
    model = client.get_registered_model(name)
    own = (model.tags.get(TAG), aliases_of(model).get("champion")) == (intent.to_json(), intent.record.before)
    if not own:
        if model.tags.get(TAG) == intent.to_json():
            client.delete_registered_model_tag(name, TAG)
        raise ConfigError(f"only one machine at a time may decide about {name}, but another does so now; try again")


def _is_finished_elsewhere(client: MlflowClient, name: str, intent: Intent) -> bool:
    """Whether another machine, to which this one seemed dead, has finished this decision.

    If this process set the alias champion after that, the version of the last decision is made the champion again.
    """
    model = client.get_registered_model(name)
    if intent.key not in model.tags:
        return False
    newest = next((one.after for one in reversed(decisions.read(client, name)) if one.kind in MOVES), None)
    is_late = intent.record.kind in MOVES and aliases_of(model).get("champion") == intent.record.version != newest
    if is_late and newest is not None and exists(client, name, newest):
        client.set_registered_model_alias(name, "champion", newest)
    return True


def recover(client: MlflowClient, name: str, check: Check = lambda: None) -> DecisionRecord | None:
    """Finish, or undo, the decision of a killed process. Returns a finished decision. The caller holds the model.

    ``check`` raises where the lock was lost.
    """
    model = registered_model(client, name)
    intent = None if model is None else intent_of(model)
    if intent is None:
        return None
    aliases, record = aliases_of(model), intent.record
    is_there = exists(client, name, record.version)
    if is_there and aliases.get("champion") in (record.before, record.after):
        try:
            _finish(client, name, intent, check)
        except ConfigError:
            if not _is_finished_elsewhere(client, name, intent):
                raise
        return record
    _undo(client, name, intent, aliases)
    return None


def registered_model(client: MlflowClient, name: str) -> Any:
    """The registered model; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def aliases_of(model: Any) -> dict[str, str]:
    """Versions by alias."""
    return {alias: str(version) for alias, version in model.aliases.items()}


def _finish(client: MlflowClient, name: str, intent: Intent, check: Check) -> None:
    record, predecessor = intent.record, _predecessor(client, name, intent.record)
    check()
    if record.kind in MOVES:
        client.set_registered_model_alias(name, "champion", record.version)
        check()
        if predecessor is not None:
            client.set_registered_model_alias(name, "previous", predecessor)
        model = client.get_registered_model(name)
        if aliases_of(model).get("challenger") == record.version:
            client.delete_registered_model_alias(name, "challenger")
        Purpose.of_tags(client.get_model_version(name, record.version).tags).write(client, name, model.tags)
    else:
        client.set_registered_model_alias(name, "challenger", record.version)
    check()
    decisions.append(client, name, intent.key, record)
    history = decisions.read(client, name)
    state.tell(client, name, record, predecessor, history)
    decisions.describe(client, name, history)
    check()
    client.delete_registered_model_tag(name, TAG)


def _predecessor(client: MlflowClient, name: str, record: DecisionRecord) -> str | None:
    """The version that this decision replaces, if it was not deleted."""
    leaves = record.kind in MOVES and record.before is not None and record.before != record.version
    return record.before if leaves and exists(client, name, str(record.before)) else None


def _undo(client: MlflowClient, name: str, intent: Intent, aliases: dict[str, str]) -> None:
    """Undo the decision: the previous champion is the champion again, unless a person has moved the alias."""
    record = intent.record
    if record.kind in MOVES and "champion" not in aliases and record.before is not None:
        if exists(client, name, record.before):
            client.set_registered_model_alias(name, "champion", record.before)
        if intent.previous is not None and exists(client, name, intent.previous):
            client.set_registered_model_alias(name, "previous", intent.previous)
        elif aliases.get("previous") == record.before:
            client.delete_registered_model_alias(name, "previous")
    client.delete_registered_model_tag(name, TAG)


def exists(client: MlflowClient, name: str, version: str) -> bool:
    """Whether a model has this version."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise
    return True


def aliased(client: MlflowClient, name: str, alias: str) -> Any:
    """The version that an alias names; None when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
