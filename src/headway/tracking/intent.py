"""A decision is carried out whole: it is written down as an intent before the first change, and the intent goes after the last.

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
"""Of the registered model."""

Check = Callable[[], Any]
"""Raises ConfigError where the model is no longer held."""


@dataclass(frozen=True)
class Intent:
    """A decision that is being carried out. ``key``: where the list will keep it. ``previous``: who had that alias before."""

    key: str
    record: DecisionRecord
    previous: str | None

    def to_json(self) -> str:
        """The tag's value."""
        plain = {"key": self.key, "previous": self.previous, "record": self.record.to_json()}
        return json.dumps(plain, ensure_ascii=False)


def intent_of(model: Any) -> Intent | None:
    """The intent that a registered model holds; None where there is none, or where its text was spoilt by hand."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        plain = json.loads(model.tags[TAG])
        return Intent(plain["key"], DecisionRecord.from_json(plain["record"]), plain["previous"])
    return None


def carry_out(client: MlflowClient, name: str, record: DecisionRecord, check: Check = lambda: None) -> DecisionRecord:
    """Write the intent, and do what it says; the decision as the list keeps it. The caller holds the model (``lock.held``).

    ``check`` raises where the lock was lost. A decision that another machine has finished meanwhile counts as done. Raises
    ConfigError, with nothing changed, where another machine, which no lock reaches, decides about the model at this moment.
    """
    check()
    history = decisions.catch_up(client, name, record)
    number = decisions.following(history)
    previous = aliases_of(client.get_registered_model(name)).get("previous")
    made = Intent(decisions.new_key(number), decisions.fitted(replace(record, number=number)), previous)
    check()
    try:
        _begin(client, name, made)
        _finish(client, name, made, check)
    except ConfigError:
        if not _is_finished_elsewhere(client, name, made):
            raise
    return made.record


def _begin(client: MlflowClient, name: str, made: Intent) -> None:
    client.set_registered_model_tag(name, TAG, made.to_json())
    model = client.get_registered_model(name)
    own = (model.tags.get(TAG), aliases_of(model).get("champion")) == (made.to_json(), made.record.before)
    if not own:
        if model.tags.get(TAG) == made.to_json():
            client.delete_registered_model_tag(name, TAG)
        raise ConfigError(f"{name} must be decided about by one at a time, but another machine does so now; try again")


def _is_finished_elsewhere(client: MlflowClient, name: str, intent: Intent) -> bool:
    """Whether another machine, which took this one for dead, has finished its decision.

    Where this one's alias champion came after that, the version that was decided on last is put in charge again.
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
    """Finish, or undo, what a killed process began; the decision that was finished. The caller holds the model.

    ``check`` raises where the lock was lost.
    """
    model = registered_model(client, name)
    left = None if model is None else intent_of(model)
    if left is None:
        return None
    aliases, record = aliases_of(model), left.record
    is_there = exists(client, name, record.version)
    if is_there and aliases.get("champion") in (record.before, record.after):
        try:
            _finish(client, name, left, check)
        except ConfigError:
            if not _is_finished_elsewhere(client, name, left):
                raise
        return record
    _undo(client, name, left, aliases)
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
    record, replaced = intent.record, _replaced(client, name, intent.record)
    check()
    if record.kind in MOVES:
        client.set_registered_model_alias(name, "champion", record.version)
        check()
        if replaced is not None:
            client.set_registered_model_alias(name, "previous", replaced)
        model = client.get_registered_model(name)
        if aliases_of(model).get("challenger") == record.version:
            client.delete_registered_model_alias(name, "challenger")
        Purpose.of_tags(client.get_model_version(name, record.version).tags).write(client, name, model.tags)
    else:
        client.set_registered_model_alias(name, "challenger", record.version)
    check()
    decisions.append(client, name, intent.key, record)
    history = decisions.read(client, name)
    state.tell(client, name, record, replaced, history)
    decisions.describe(client, name, history)
    check()
    client.delete_registered_model_tag(name, TAG)


def _replaced(client: MlflowClient, name: str, record: DecisionRecord) -> str | None:
    """The version that leaves with this decision, if it was not deleted."""
    leaves = record.kind in MOVES and record.before is not None and record.before != record.version
    return record.before if leaves and exists(client, name, str(record.before)) else None


def _undo(client: MlflowClient, name: str, intent: Intent, aliases: dict[str, str]) -> None:
    """The version in charge before is in charge again, unless a person has put another there."""
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
