"""The history of a model: every decision about which version is the champion, as a list that is only ever appended to.

Each decision is one tag of the registered model, `decision.00012.<id>`, whose value is the record as JSON. A new decision is a
new tag, so that no write changes an earlier one, also when two machines decide at the same moment. The model's description shows
the newest as a table; text that people wrote above the table is kept.
"""

from __future__ import annotations

import calendar
import contextlib
import getpass
import json
import os
import re
import socket
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from headway.files.records import Record
from headway.machine.clock import moment

if TYPE_CHECKING:
    from mlflow import MlflowClient

Kind = Literal["first", "promotion", "refusal", "rollback", "outside"]
GATE: tuple[Kind, ...] = ("first", "promotion", "refusal")
"""The kinds that the gate decides. `outside`: the alias was moved in MLflow itself."""
MOVES: tuple[Kind, ...] = ("first", "promotion", "rollback", "outside")
"""The kinds after which another version may be the champion."""

LONGEST_DESCRIPTION = 4900  # characters: MLflow keeps 5,000
LONGEST_TAG = 4800  # leaves room for what an intent holds beside the record
LEAST_ROOM = 800  # for one decision with a long reason
OUTSIDE = "the alias champion was moved outside Headway"
HEADING = "## Decisions"
TOLD_BY_TAGS = "tags"
"""The end of the keys of decisions that an early version kept in the versions' tags."""
_KEY = re.compile(r"decision\.(\d+)\.\w+")


@dataclass(frozen=True)
class DecisionRecord(Record):
    """One decision: the version, the champions before and after, who decided, when and why.

    ``when``: seconds since the epoch. ``before`` and ``after``: versions, None where there was none. ``run_id``: the MLflow
    run that made ``version``. ``metric`` to ``high``: the gate's measurement with its 95 % interval, where there is one; ``value``: the
    version's metric on the rows that decided; ``other``: what it was compared with.
    """

    kind: Kind
    version: str
    before: str | None
    after: str | None
    why: str
    who: str
    when: float
    run_id: str | None = None
    metric: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    number: int = 0
    value: float | None = None
    other: str | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values: `from` and `to` are versions, `when` names its zone."""
        plain = super().to_json()
        plain["from"], plain["to"] = plain.pop("before"), plain.pop("after")
        plain["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.when))
        return plain

    @classmethod
    def from_json(cls, values: Any, where: Path | str = "a decision") -> Self:
        """The record of ``to_json``."""
        when = calendar.timegm(time.strptime(values["when"], "%Y-%m-%dT%H:%M:%SZ"))
        return super().from_json({**values, "before": values["from"], "after": values["to"], "when": when}, where)

    def change(self) -> str:
        """The champions before and after: `1 → 2`."""
        if self.kind == "refusal":
            return f"{self.before} stays, {self.version} refused" if self.before else f"{self.version} refused"
        return f"{self.before or 'none'} → {self.after or 'none'}"


def read(client: MlflowClient, name: str) -> list[DecisionRecord]:
    """A model's decisions, the oldest first; empty where there is no such model.

    The decisions of a model of an early version are read from its versions' tags.
    """
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    records = {}
    for key, value in model.tags.items():
        if _KEY.fullmatch(key):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # edited by hand in MLflow
                records[key] = DecisionRecord.from_json(json.loads(value))
    if all(key.endswith(f".{TOLD_BY_TAGS}") for key in records):  # none, or a process was killed while it wrote them
        return _from_versions(client, name)
    return sorted(records.values(), key=lambda record: (record.number, record.when))


def catch_up(client: MlflowClient, name: str, upcoming: DecisionRecord) -> list[DecisionRecord]:
    """Add the missing records before a new decision; the whole list. The caller holds the model (``lock.hold``).

    Missing are decisions that only the versions' tags hold, and, where the champion differs from the list, that the alias
    was moved outside Headway. Repeated after a kill, this changes nothing more.
    """
    history = read(client, name)
    records = [one for one in history if one.number]
    moves = [one for one in records if one.kind in MOVES]
    for one in history:
        if not one.number:
            number = len(records) + 1
            records.append(append(client, name, _key(number, TOLD_BY_TAGS), replace(one, number=number)))
    if moves and moves[-1].after != upcoming.before:
        version = upcoming.before or moves[-1].after or upcoming.version
        outside = DecisionRecord(
            "outside", version, moves[-1].after, upcoming.before, OUTSIDE, "unknown", upcoming.when
        )
        number = following(records)
        records.append(append(client, name, new_key(number), replace(outside, number=number)))
    return records


def append(client: MlflowClient, name: str, key: str, record: DecisionRecord) -> DecisionRecord:
    """Write a record under its key, shortened where it is too long for MLflow. Returns the record as it is kept."""
    record = shorten(record)
    client.set_registered_model_tag(name, key, json.dumps(record.to_json(), ensure_ascii=False))
    return record


def shorten(record: DecisionRecord) -> DecisionRecord:
    """The record with a reason that is short enough for one tag."""
    while len(json.dumps(record.to_json(), ensure_ascii=False)) > LONGEST_TAG:
        record = replace(record, why=record.why[: len(record.why) * 3 // 4])
    return record


def following(history: list[DecisionRecord]) -> int:
    """The number of the next decision."""
    return max((one.number for one in history), default=0) + 1


def new_key(number: int) -> str:
    """A key that no other decision has, on whichever machine."""
    return _key(number, uuid.uuid4().hex[:6])


def _key(number: int, end: str) -> str:
    return f"decision.{number:05d}.{end}"


def reason_of(reason: str) -> str:
    """The gate's reason without the verdict at its start, which is shown beside it."""
    return reason.removeprefix("not promoted: ").removeprefix("promoted: ")


def describe(client: MlflowClient, name: str, history: list[DecisionRecord]) -> None:
    """Put the newest decisions below people's text in the model's description; nothing changes where that text fills the space."""
    text = client.get_registered_model(name).description or ""
    own = text.partition(HEADING)[0].rstrip()
    lines = [HEADING, "", "| # | when | decision | why | by |", "|---|---|---|---|---|"]
    room = LONGEST_DESCRIPTION - len(own) - sum(len(line) + 1 for line in lines) - 100
    if room < LEAST_ROOM:
        return
    rows: list[str] = []
    for record in reversed(history):
        row = _row(record)
        room -= len(row) + 1
        if room < 0:
            break
        rows.append(row)
    if len(rows) < len(history):
        rows += ["", f"{len(history) - len(rows)} earlier: `headway show {name} --all`"]
    client.update_registered_model(name, "\n".join([own, "", *lines, *rows] if own else [*lines, *rows]))


def _row(record: DecisionRecord) -> str:
    why = record.why.replace("|", "\\|").replace("\n", " ")
    why = why if len(why) <= 400 else f"{why[:400]} …"
    return f"| {record.number} | {moment(record.when)} | **{record.kind}** {record.change()} | {why} | {record.who} |"


def ways_back(history: list[DecisionRecord], champion: str) -> list[str]:
    """The versions that were champion before the present one, the newest first, without those that a rollback replaced last.

    A rollback to a version that a rollback had replaced undoes that one; the version that it replaces stays in the list.
    """
    moves = [one for one in history if one.kind in MOVES]
    departures: dict[str | None, str] = {}
    for one in moves:
        departures[one.before] = "undo" if one.kind == "rollback" == departures.get(one.after) else one.kind
    candidates = dict.fromkeys(version for one in reversed(moves) for version in (one.after, one.before) if version)
    return [version for version in candidates if version != champion and departures.get(version) != "rollback"]


def of_version(history: list[DecisionRecord], version: str) -> str:
    """The decisions that name a version, the newest first, as the text of its page."""
    concerned = [one for one in history if version in (one.version, one.before, one.after)]
    lines = [
        f"- {moment(one.when)}, {one.kind}, {one.change()}: {one.why}"
        for one in reversed(concerned)
        if one.kind != "refusal" or one.version == version
    ]
    return "\n".join(lines)[:LONGEST_DESCRIPTION]


def current_user() -> str:
    """The user of this process and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


_TAGGED: dict[str, Kind] = {"promoted": "promotion", "not promoted": "refusal", "rolled back": "rollback"}
_ROLLED = re.compile(r"rolled back to version (\d+): (.*)", re.DOTALL)


def _from_versions(client: MlflowClient, name: str) -> list[DecisionRecord]:
    """The decisions in the versions' tags, as records without a number. A rollback is in the tags of the version that it replaced."""
    records: list[DecisionRecord] = []
    before: str | None = None
    for version in sorted(client.search_model_versions(f"name = '{name}'"), key=lambda v: int(v.version)):
        kind = _TAGGED.get(version.tags.get("decision", ""))
        if kind is None:
            continue
        number, why = str(version.version), reason_of(version.tags.get("reason", ""))
        creation, change = version.creation_timestamp / 1000, version.last_updated_timestamp / 1000
        back = _ROLLED.fullmatch(why)
        if kind == "rollback" and back:
            records.append(DecisionRecord(kind, back[1], number, back[1], back[2], "unknown", change, version.run_id))
            continue
        after = number if kind == "promotion" else before
        kind = "first" if kind == "promotion" and before is None else kind
        records.append(DecisionRecord(kind, number, before, after, why, "unknown", creation, version.run_id))
        before = after
    return sorted(records, key=lambda record: record.when)
