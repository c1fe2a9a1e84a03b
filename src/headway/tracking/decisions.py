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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from headway.base import moment

if TYPE_CHECKING:
    from mlflow import MlflowClient

Kind = Literal["first", "promotion", "refusal", "rollback", "outside"]
GATE: tuple[Kind, ...] = ("first", "promotion", "refusal")
"""What the gate decides; `outside` is an alias that was moved in MLflow itself."""
MOVES: tuple[Kind, ...] = ("first", "promotion", "rollback", "outside")
"""The kinds after which another version may be in charge."""

LONGEST_TAG = LONGEST_DESCRIPTION = 4900  # characters: MLflow keeps 5,000
LEAST_ROOM = 800  # for one decision with a long reason
OUTSIDE = "the alias champion was moved outside Headway, or the process of a decision died before it was carried out"
HEADING = "## Decisions"
_KEY = re.compile(r"decision\.(\d+)\.\w+")


@dataclass(frozen=True)
class DecisionRecord:
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

    def to_json(self) -> dict[str, Any]:
        """Plain values: `from` and `to` are versions, `when` names its zone."""
        plain = asdict(self)
        plain["from"], plain["to"] = plain.pop("before"), plain.pop("after")
        plain["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.when))
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> DecisionRecord:
        """The record of ``to_json``; fields that a later version of this code has added are left out."""
        values: dict[str, Any] = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        when = float(calendar.timegm(time.strptime(plain["when"], "%Y-%m-%dT%H:%M:%SZ")))
        values.update(before=plain["from"], after=plain["to"], when=when)
        return cls(**values)

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
    kept = []
    for key, value in model.tags.items():
        if _KEY.fullmatch(key):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # edited by hand in MLflow
                kept.append(DecisionRecord.from_json(json.loads(value)))
    return sorted(kept, key=lambda record: (record.number, record.when)) if kept else _from_versions(client, name)


def append(client: MlflowClient, name: str, record: DecisionRecord) -> list[DecisionRecord]:
    """Add a decision to the end of the list; the whole list. The caller holds the model (``registry.deciding``).

    Where another version is in charge than the list says, its alias was moved outside Headway: that is noted first.
    """
    history = read(client, name)
    written = [one for one in history if one.number]
    unwritten = [one for one in history if not one.number]  # what the versions' tags told
    moves = [one for one in written if one.kind in MOVES]
    if moves and moves[-1].after != record.before:
        version = record.before or moves[-1].after or record.version
        unwritten.append(
            DecisionRecord("outside", version, moves[-1].after, record.before, OUTSIDE, "unknown", record.when)
        )
    for one in (*unwritten, record):
        written.append(_write(client, name, replace(one, number=written[-1].number + 1 if written else 1)))
    return written


def _write(client: MlflowClient, name: str, record: DecisionRecord) -> DecisionRecord:
    text = json.dumps(record.to_json(), ensure_ascii=False)
    while len(text) > LONGEST_TAG:
        record = replace(record, why=record.why[: len(record.why) * 3 // 4])
        text = json.dumps(record.to_json(), ensure_ascii=False)
    client.set_registered_model_tag(name, f"decision.{record.number:05d}.{uuid.uuid4().hex[:6]}", text)
    return record


def note_gate(
    client: MlflowClient, name: str, version: str, champion: str | None, decision: Mapping[str, Any]
) -> tuple[list[DecisionRecord], DecisionRecord]:
    """Append what the gate decided about a version, unless it is there already; the history and the record.

    ``champion``: the version in charge. ``decision``: promoted, reason, and metric, difference, low, high where measured.
    """
    promoted = bool(decision.get("promoted"))
    kinds: tuple[Kind, ...] = ("first", "promotion") if promoted else ("refusal",)
    history = read(client, name)
    earlier = [one for one in history if one.number and one.version == version and one.kind in kinds]
    if earlier:
        return history, earlier[-1]
    record = DecisionRecord(
        kind="refusal" if not promoted else "first" if champion is None else "promotion",
        version=version,
        before=champion,
        after=version if promoted else champion,
        why=reason_of(decision),
        who=current_user(),
        when=time.time(),
        run_id=client.get_model_version(name, version).run_id,
        metric=decision.get("metric"),
        difference=decision.get("difference"),
        low=decision.get("low"),
        high=decision.get("high"),
    )
    history = append(client, name, record)
    describe(client, name, history)
    return history, history[-1]


def reason_of(decision: Mapping[str, Any]) -> str:
    """Why the gate decided, without the verdict that its sentence begins with: it stands beside it wherever it is shown."""
    return str(decision.get("reason", "")).removeprefix("not promoted: ").removeprefix("promoted: ")


def is_overtaken(history: list[DecisionRecord], record: DecisionRecord, kinds: tuple[Kind, ...]) -> bool:
    """Whether a later decision of one of these kinds was taken."""
    return any(one.number > record.number and one.kind in kinds for one in history)


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
        number, why = str(version.version), reason_of(version.tags)
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
