"""A version's page in MLflow: the tags hold its present state, the description its part of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.tracking.decisions import DecisionRecord, of_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

MEASURED = ("difference", "low", "high")


def tell(
    client: MlflowClient, name: str, record: DecisionRecord, predecessor: str | None, history: list[DecisionRecord]
) -> None:
    """Set the state of both versions of a decision; repeated, the result is the same.

    ``predecessor``: the version that was in charge; None where there was none, where it stays, or where it was deleted.
    """
    if record.kind == "rollback":
        again = any(one.after == record.version and one.number < record.number for one in history)
        verb = "restored" if again else "put in charge"
        reason = f"{verb} in place of version {record.before}: {record.why}"
        _tell(client, name, record.version, verb, reason, history)
        if predecessor is not None:
            reason = f"rolled back to version {record.version}: {record.why}"
            _tell(client, name, predecessor, "rolled back", reason, history)
        return
    if predecessor is not None:
        _tell(client, name, predecessor, "replaced", f"replaced by version {record.version}", history)
    verdict = "not promoted" if record.kind == "refusal" else "promoted"
    _tell(client, name, record.version, verdict, record.why, history)
    for key in ("metric", *MEASURED):
        value = getattr(record, key)
        if value is not None:
            client.set_model_version_tag(
                name, record.version, key, f"{value:.6g}" if isinstance(value, float) else str(value)
            )


def _tell(
    client: MlflowClient, name: str, version: str, decision: str, reason: str, history: list[DecisionRecord]
) -> None:
    """Set decision and reason, and remove the gate's measurement of an earlier decision, which is in the history."""
    client.set_model_version_tag(name, version, "decision", decision)
    client.set_model_version_tag(name, version, "reason", reason[:5000])
    tags = client.get_model_version(name, version).tags
    for key in MEASURED:
        if key in tags:
            client.delete_model_version_tag(name, version, key)
    client.update_model_version(name, version, of_version(history, version))
