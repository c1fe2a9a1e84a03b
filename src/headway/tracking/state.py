"""A version's page in MLflow: the tags hold its present state, the description its part of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.run.report import number
from headway.tracking.decisions import DecisionRecord, of_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMPARED = ("against", "difference", "low", "high")
"""Tags of a comparison. The last two are of an early version, which had a tag for each number."""
CHAMPION_TAG = "champion"
"""The tag of a run that says whether its version is the champion."""


def tell(
    client: MlflowClient, name: str, record: DecisionRecord, predecessor: str | None, history: list[DecisionRecord]
) -> None:
    """Set the state of both versions of a decision, and the tag of their runs; repeated, the result is the same.

    ``predecessor``: the champion before; None where there was none, where it stays, or where it was deleted.
    """
    if record.kind == "rollback":
        again = any(one.after == record.version and one.number < record.number for one in history)
        verb = "restored" if again else "made champion"
        reason = f"{verb} in place of version {record.before}: {record.why}"
        _tell(client, name, record.version, verb, reason, history, "yes")
        if predecessor is not None:
            reason = f"rolled back to version {record.version}: {record.why}"
            _tell(client, name, predecessor, "rolled back", reason, history, f"rolled back to {record.version}")
        return
    if predecessor is not None:
        fact = f"replaced by version {record.version}"
        _tell(client, name, predecessor, "replaced", fact, history, f"replaced by {record.version}")
    verdict, in_charge = ("not promoted", "no") if record.kind == "refusal" else ("promoted", "yes")
    _tell(client, name, record.version, verdict, record.why, history, in_charge)
    for key, value in measurement(record).items():
        client.set_model_version_tag(name, record.version, key, value)


def measurement(record: DecisionRecord) -> dict[str, str]:
    """The gate's measurement as tags: `auc: 0.7857`, `against: version 1`, `difference: +0.0200 [+0.0150, +0.0250]`."""
    tags = {} if record.metric is None else {"metric": record.metric}
    if record.metric is not None and record.value is not None:
        tags[record.metric] = number(record.value)
    if record.other is not None:
        tags["against"] = record.other
    if record.difference is not None:
        tags["difference"] = _signed(record.difference)
        if record.low is not None and record.high is not None:
            tags["difference"] += f" [{_signed(record.low)}, {_signed(record.high)}]"
    return tags


def _signed(value: float) -> str:
    return ("" if value < 0 else "+") + number(value)


def _tell(
    client: MlflowClient,
    name: str,
    version: str,
    decision: str,
    reason: str,
    history: list[DecisionRecord],
    in_charge: str,
) -> None:
    """Set decision and reason, and remove the gate's comparison of an earlier decision, which is in the history."""
    client.set_model_version_tag(name, version, "decision", decision)
    client.set_model_version_tag(name, version, "reason", reason[:5000])
    model = client.get_model_version(name, version)
    for key in COMPARED:
        if key in model.tags:
            client.delete_model_version_tag(name, version, key)
    client.update_model_version(name, version, of_version(history, version))
    _tell_run(client, model.run_id, in_charge)


def _tell_run(client: MlflowClient, run_id: str | None, in_charge: str) -> None:
    """Say in the list of runs whether a run's version is the champion. A version made by hand may have no run, or one that was deleted."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return
    try:
        client.set_tag(run_id, CHAMPION_TAG, in_charge)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
