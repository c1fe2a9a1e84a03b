"""The gate's decisions, carried out: a candidate takes charge only from the version that it was compared with.

This is a compare-and-set on the alias champion, under the model's lock (``tracking.lock``): where another version took charge while
the candidate was trained, evaluated or paused, the comparison is made again with that one before anything is decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headway.evaluate.decision import Decision
from headway.tracking import decisions, intent, lock
from headway.tracking.decisions import GATE, DecisionRecord, current_user, reason_of
from headway.tracking.registry import Holder, holder_of, opened, reading

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from headway.tracking.lock import Lock


def settle(
    root: Path,
    name: str,
    version: str,
    compared: str | None,
    decision: Decision,
    again: Callable[[Holder | None], Decision],
) -> Decision:
    """Carry out what the gate decides about a version; the decision that holds.

    ``compared``: the version in charge when the candidate was compared, None where there was none; ``decision`` is what came of
    it. Where another one is in charge now, ``again`` compares with that one and decides anew; nobody else decides about the model
    meanwhile. A version that the gate has decided about already, in a process that was killed, keeps that decision.
    """
    with lock.held(root, name) as held:
        assert held is not None
        with opened(root) as client:
            intent.recover(client, name, held.check)
            earlier = _decided(client, name, version)
        if earlier is not None:
            return _told(earlier)
        while True:
            with opened(root) as client:
                now = holder_of(client, root, name, "champion")
            in_charge = None if now is None else now.version
            if in_charge == compared:
                break
            decision, compared = again(now), in_charge
        with opened(root) as client:
            _carry_out(client, name, version, compared, decision, held)
        return decision


def decided(root: Path, name: str, run_id: str) -> Decision | None:
    """What the gate has decided about the version that a run made, as decision.json says it; None where it has not, or there is none."""
    with reading(root, name) as client:
        for version in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
            record = _decided(client, name, str(version.version))
            if record is not None:
                return replace(_told(record), name=name, version=record.version)
    return None


def _decided(client: MlflowClient, name: str, version: str) -> DecisionRecord | None:
    """The gate's newest decision about a version that was written down."""
    history = decisions.read(client, name)
    return next((one for one in reversed(history) if one.number and one.version == version and one.kind in GATE), None)


def _carry_out(
    client: MlflowClient, name: str, version: str, before: str | None, decision: Decision, held: Lock
) -> None:
    record = DecisionRecord(
        kind="refusal" if not decision.promoted else "first" if before is None else "promotion",
        version=version,
        before=before,
        after=version if decision.promoted else before,
        why=reason_of(decision.reason),
        who=current_user(),
        when=time.time(),
        run_id=client.get_model_version(name, version).run_id,
        metric=decision.metric,
        difference=decision.difference,
        low=decision.low,
        high=decision.high,
    )
    intent.carry_out(client, name, record, held.check)


def _told(record: DecisionRecord) -> Decision:
    """A decision of the gate as the stage `register` gives it."""
    promoted = record.kind != "refusal"
    reason = f"{'promoted' if promoted else 'not promoted'}: {record.why}"
    return Decision(promoted, reason, record.metric, record.difference, record.low, record.high)
