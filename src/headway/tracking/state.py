"""What a version's page in MLflow says: tags hold what is true of it now, the description its part of the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headway.tracking.decisions import DecisionRecord, of_version, reason_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

MEASURED = ("difference", "low", "high")


def tell(
    client: MlflowClient, name: str, version: str, decision: str, reason: str, history: list[DecisionRecord]
) -> None:
    """Say of a version what was decided about it last, and why.

    The gate's measurement goes: it belongs to an earlier decision, and is in the history.
    """
    client.set_model_version_tag(name, version, "decision", decision)
    client.set_model_version_tag(name, version, "reason", reason[:5000])
    tags = client.get_model_version(name, version).tags
    for key in MEASURED:
        if key in tags:
            client.delete_model_version_tag(name, version, key)
    client.update_model_version(name, version, of_version(history, version))


def tell_gate(
    client: MlflowClient, name: str, version: str, decision: Mapping[str, Any], history: list[DecisionRecord]
) -> None:
    """Say of a version what the gate decided and measured."""
    verdict = "promoted" if decision.get("promoted") else "not promoted"
    tell(client, name, version, verdict, reason_of(decision), history)
    for key in ("metric", *MEASURED):
        value = decision.get(key)
        if value is not None:
            client.set_model_version_tag(name, version, key, f"{value:.6g}" if isinstance(value, float) else str(value))
