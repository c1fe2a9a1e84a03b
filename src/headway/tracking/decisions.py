"""The history of a model: every decision about which version is in charge, as a list that is only ever appended to.

Each decision is one tag of the registered model, `decision.00012.<id>`, whose value is the record as JSON. A new decision is a
new tag, so that no write touches an earlier one, also when two machines decide at the same moment. The model's
description repeats the newest as a table for people; what was written above that table by hand is kept.
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
"""What the gate decides; `outside` is an alias that was moved in MLflow itself."""
MOVES: tuple[Kind, ...] = ("first", "promotion", "rollback", "outside")
"""The kinds after which another version may be in charge."""

LONGEST_DESCRIPTION = 4900  # characters: MLflow keeps 5,000
LONGEST_TAG = 4800  # leaves room for what an intent holds beside the record
LEAST_ROOM = 800  # for one decision with a long reason
OUTSIDE = "the alias champion was moved outside Headway"
HEADING = "## Decisions"
TOLD_BY_TAGS = "tags"
"""The end of the keys of decisions from before this list, which the versions' tags told."""
_KEY = re.compile(r"decision\.(\d+)\.\w+")


@dataclass(frozen=True)
class DecisionRecord(Record):
    """One decision: about which version, who was in charge before and after it, who decided, when and why.

    ``when``: seconds since the epoch. ``before`` and ``after``: versions, None where none was in charge. ``run_id``: the MLflow
    run that made ``version``. ``metric`` to ``high``: the gate's measurement with its 95 % interval, where there is one.
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
        """Who was in charge before and after: `1 → 2`."""
        if self.kind == "refusal":
            return f"{self.before or 'none'} stays, {self.version} refused"
        return f"{self.before or 'none'} → {self.after or 'none'}"


def read(client: MlflowClient, name: str) -> list[DecisionRecord]:
    """A model's decisions, the oldest first; empty where there is no such model.

    A model from before there was this list has the decisions that its versions' tags still tell.
    """
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    kept = {}
    for key, value in model.tags.items():
        if _KEY.fullmatch(key):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # edited by hand in MLflow
                kept[key] = DecisionRecord.from_json(json.loads(value))
    if all(key.endswith(f".{TOLD_BY_TAGS}") for key in kept):  # none, or a process died while it wrote them down
        return _from_versions(client, name)
    return sorted(kept.values(), key=lambda record: (record.number, record.when))


def catch_up(client: MlflowClient, name: str, coming: DecisionRecord) -> list[DecisionRecord]:
    """Note what is missing before a decision that is coming; the whole list. The caller holds the model (``lock.held``).

    Missing is what the versions' tags alone told, and, where another version is in charge than the list says, that its alias
    was moved outside Headway. Done again after a kill, it changes nothing more.
    """
    history = read(client, name)
    written = [one for one in history if one.number]
    moves = [one for one in written if one.kind in MOVES]
    for one in history:
        if not one.number:
            number = len(written) + 1
            written.append(append(client, name, _key(number, TOLD_BY_TAGS), replace(one, number=number)))
    if moves and moves[-1].after != coming.before:
        version = coming.before or moves[-1].after or coming.version
        outside = DecisionRecord("outside", version, moves[-1].after, coming.before, OUTSIDE, "unknown", coming.when)
        number = following(written)
        written.append(append(client, name, new_key(number), replace(outside, number=number)))
    return written


def append(client: MlflowClient, name: str, key: str, record: DecisionRecord) -> DecisionRecord:
    """Write a record under its key, shortened where MLflow would not keep it whole; the record as it is kept."""
    record = fitted(record)
    client.set_registered_model_tag(name, key, json.dumps(record.to_json(), ensure_ascii=False))
    return record


def fitted(record: DecisionRecord) -> DecisionRecord:
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
    """Why the gate decided, without the verdict that its sentence begins with: it stands beside it wherever it is shown."""
    return reason.removeprefix("not promoted: ").removeprefix("promoted: ")


def describe(client: MlflowClient, name: str, history: list[DecisionRecord]) -> None:
    """Put the newest decisions below what people wrote into the model's description; left as it is where that fills the room."""
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
    """The versions that were in charge before the champion, the newest first, without those that were rolled back from last.

    A rollback to a version that had been rolled back from takes that back, and says nothing against the one that leaves.
    """
    moves = [one for one in history if one.kind in MOVES]
    left: dict[str | None, str] = {}
    for one in moves:
        left[one.before] = "undo" if one.kind == "rollback" == left.get(one.after) else one.kind
    found = dict.fromkeys(version for one in reversed(moves) for version in (one.after, one.before) if version)
    return [version for version in found if version != champion and left.get(version) != "rollback"]


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
    """Who decides: the user of this process and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


_TAGGED: dict[str, Kind] = {"promoted": "promotion", "not promoted": "refusal", "rolled back": "rollback"}
_ROLLED = re.compile(r"rolled back to version (\d+): (.*)", re.DOTALL)


def _from_versions(client: MlflowClient, name: str) -> list[DecisionRecord]:
    """What the tags of versions still tell, as records without a number. A rollback is told by the version that left."""
    records: list[DecisionRecord] = []
    before: str | None = None
    for version in sorted(client.search_model_versions(f"name = '{name}'"), key=lambda v: int(v.version)):
        kind = _TAGGED.get(version.tags.get("decision", ""))
        if kind is None:
            continue
        number, why = str(version.version), reason_of(version.tags.get("reason", ""))
        made, changed = version.creation_timestamp / 1000, version.last_updated_timestamp / 1000
        back = _ROLLED.fullmatch(why)
        if kind == "rollback" and back:
            records.append(DecisionRecord(kind, back[1], number, back[1], back[2], "unknown", changed, version.run_id))
            continue
        after = number if kind == "promotion" else before
        kind = "first" if kind == "promotion" and before is None else kind
        records.append(DecisionRecord(kind, number, before, after, why, "unknown", made, version.run_id))
        before = after
    return sorted(records, key=lambda record: record.when)
