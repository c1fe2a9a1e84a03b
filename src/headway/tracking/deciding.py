"""Carries out the gate's decisions: a candidate replaces only the version that it was compared with.

This is a compare-and-set on the alias champion, under the model's lock (``tracking.lock``). Where another version took charge while
the candidate was trained, evaluated or paused, the candidate is first compared with that one.
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
from headway.tracking.registry import Holder, holder_of, reading, store_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from headway.tracking.lock import Lock


def settle(
    root: Path,
    name: str,
    version: str,
    rival: str | None,
    decision: Decision,
    again: Callable[[Holder | None], Decision],
) -> Decision:
    """Carry out the gate's decision about a version. Returns the decision that holds.

    ``rival``: the champion when the candidate was compared, None where there was none; ``decision``: the result of that.
    Where another version is the champion now, ``again`` compares with that one and decides again; no other process decides about the model
    meanwhile. A version that has a decision already, from a process that was killed, keeps it.
    """
    with lock.hold(root, name) as model_lock:
        assert model_lock is not None
        with store_client(root) as client:
            intent.recover(client, name, model_lock.check)
            earlier = _newest_record(client, name, version)
        if earlier is not None:
            return _decision_of(earlier)
        while True:
            with store_client(root) as client:
                now = holder_of(client, root, name, "champion")
            in_charge = None if now is None else now.version
            if in_charge == rival:
                break
            decision, rival = again(now), in_charge
        with store_client(root) as client:
            _carry_out(client, name, version, rival, decision, model_lock)
        return decision


def decision_of_run(root: Path, name: str, run_id: str) -> Decision | None:
    """The gate's decision about a run's version, as in decision.json; None where there is no decision or no version."""
    with reading(root, name) as client:
        for version in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
            record = _newest_record(client, name, str(version.version))
            if record is not None:
                return replace(_decision_of(record), name=name, version=record.version)
    return None


def _newest_record(client: MlflowClient, name: str, version: str) -> DecisionRecord | None:
    """The gate's newest recorded decision about a version."""
    history = decisions.read(client, name)
    return next((one for one in reversed(history) if one.number and one.version == version and one.kind in GATE), None)


def _carry_out(
    client: MlflowClient, name: str, version: str, before: str | None, decision: Decision, model_lock: Lock
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
        value=decision.value,
        other=decision.other,
    )
    intent.carry_out(client, name, record, model_lock.check)


def _decision_of(record: DecisionRecord) -> Decision:
    """A record as the gate's decision."""
    is_promoted = record.kind != "refusal"
    reason = f"{'promoted' if is_promoted else 'not promoted'}: {record.why}"
    numbers = (record.difference, record.low, record.high)
    return Decision(is_promoted, reason, record.metric, *numbers, value=record.value, other=record.other)
