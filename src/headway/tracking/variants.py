"""The variants of an effect study as runs under the study's own, so that MLflow's pages compare them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headway.files.atomic import read_or_empty
from headway.run.directory import RunDirectory

if TYPE_CHECKING:
    from mlflow import MlflowClient

VARIANT_TAG = "headway.variant"
PARENT_TAG = "mlflow.parentRunId"
"""On the runs of variants: which technique, and whose. They are no retrainings."""


def deliver_variants(client: MlflowClient, run: RunDirectory, run_id: str, experiment: str) -> None:
    """One run a technique under the study's run; one that is there already is left as it is, half a one of a killed delivery goes."""
    found = read_or_empty(run.path / "effect.json")
    if not found:
        return
    query = f"tags.`{PARENT_TAG}` = '{run_id}'"
    children = client.search_runs([experiment], query, max_results=1000)
    known = {child.data.tags.get(VARIANT_TAG) for child in children}
    for half in [child for child in children if VARIANT_TAG not in child.data.tags]:
        client.delete_run(half.info.run_id)
    recommended = _metrics({"name": "recommended", **found["recommended"]})
    now = int(time.time() * 1000)
    from mlflow.entities import Metric

    there = client.get_run(run_id).data.metrics
    news = {key: value for key, value in recommended.items() if there.get(key) != value}
    client.log_batch(run_id, metrics=[Metric(key, value, now, 0) for key, value in news.items()])
    rows = [{"name": "baseline", "verdict": "", "edit": found["baseline"]}, *found["techniques"], *_together(found)]
    for row in rows:
        if row["name"] not in known:
            _create(client, experiment, run_id, row, found["curves"].get(row["name"], []))


def _together(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Several techniques at once, as rows: the stack, it with and without others (over the stack's own time), the recommended recipe."""
    whole = [("stack", found["stack"], {}), ("recommended", found["recommended"], found["recommended"]["fields"])]
    rows: list[Mapping[str, Any]] = [
        {**told, "name": name, "verdict": "", "edit": {**fields, "techniques": ", ".join(told["names"])}}
        for name, told, fields in whole
        if told["time"] is not None
    ]
    for how in ("with", "without"):
        for told in found[how]:
            edit = {"techniques": f"{', '.join(found['stack']['names'])}, {how} {told['name']}"}
            name = f"stack {how} {told['name']}"
            rows.append({"name": name, "verdict": told["verdict"], "edit": edit, "of_stack": told["time"]})
    return rows


def _create(
    client: MlflowClient, experiment: str, parent: str, row: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]
) -> None:
    """The tag that says that it is there is set last: a death in between leaves a run that is made again."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    tags = {PARENT_TAG: parent, "verdict": row["verdict"]}
    if row.get("sentence"):
        text = f"**{row['verdict']}**: {row['reason'] or row['sentence']} ({row['reference']})"
        tags["mlflow.note.content"] = text
    made = client.create_run(experiment, now, tags, row["name"]).info.run_id
    params = [Param(key if key == "techniques" else f"train.{key}", str(value)) for key, value in row["edit"].items()]
    metrics = [Metric(key, value, now, 0) for key, value in _metrics(row).items()]
    for epoch in range(max((len(curve["quality"]) for curve in curves), default=0)):
        values = [curve["quality"][epoch] for curve in curves]
        metrics.append(Metric("validation/quality", sum(values) / len(values), now, epoch + 1))
    client.log_batch(made, metrics=metrics[:1000], params=params[:100])
    client.set_terminated(made, "FINISHED", now)
    client.log_batch(made, tags=[RunTag(VARIANT_TAG, row["name"])])


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    names = {
        "time": "step_time",
        "of_stack": "step_time_over_the_stacks",
        "to_target": "time_to_target",
        "quality": "quality_difference",
        "peak": "peak_memory",
        "joules": "energy",
        "cost": "cost",
    }
    found: dict[str, float] = {}
    for key, name in names.items():
        told = row.get(key)
        if told is not None:
            limits = {f"effect/{name}_{end}": told[end] for end in ("low", "high") if told[end] is not None}
            found |= {f"effect/{name}": told["value"], **limits} if limits else {}  # no interval, no figure
    if row.get("startup"):
        found["effect/ready_seconds"] = row["startup"][1]
    if row.get("money"):
        found["effect/money"] = row["money"][1]
    if row["name"] == "baseline":
        found["effect/cost"] = 1.0
        found["effect/step_time"] = found["effect/time_to_target"] = 1.0
    return {key: value for key, value in found.items() if math.isfinite(value)}
