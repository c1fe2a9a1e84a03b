"""The variants of an effect study as child runs of the study's run, so that MLflow's pages compare them."""

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
"""Tags of variants' runs: the technique, and the study's run. They are no retrainings."""


def deliver_variants(client: MlflowClient, run: RunDirectory, run_id: str, experiment: str) -> None:
    """One child run for each technique. An existing one stays as it is; an incomplete one of a killed delivery is deleted."""
    result = read_or_empty(run.path / "effect.json")
    if not result:
        return
    query = f"tags.`{PARENT_TAG}` = '{run_id}'"
    children = client.search_runs([experiment], query, max_results=1000)
    names = {child.data.tags.get(VARIANT_TAG) for child in children}
    for half in [child for child in children if VARIANT_TAG not in child.data.tags]:
        client.delete_run(half.info.run_id)
    recommended = {"name": "recommended", **result["recommended"]}
    now = int(time.time() * 1000)
    from mlflow.entities import Metric, RunTag

    there = client.get_run(run_id).data.metrics
    news = {key: value for key, value in _metrics(recommended).items() if there.get(key) != value}
    tags = [RunTag(key, value) for key, value in _intervals(recommended).items()]
    client.log_batch(run_id, metrics=[Metric(key, value, now, 0) for key, value in news.items()], tags=tags)
    rows = [{"name": "baseline", "verdict": "", "edit": result["baseline"]}, *result["techniques"], *_together(result)]
    for row in rows:
        if row["name"] not in names:
            _create(client, experiment, run_id, row, result["curves"].get(row["name"], []))


def _together(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Several techniques at once, as rows: the stack, the stack with and without others (over its own time), the recommended recipe."""
    whole = [("stack", result["stack"], {}), ("recommended", result["recommended"], result["recommended"]["fields"])]
    rows: list[Mapping[str, Any]] = [
        {**measurement, "name": name, "verdict": "", "edit": {**fields, "techniques": ", ".join(measurement["names"])}}
        for name, measurement, fields in whole
        if measurement["time"] is not None
    ]
    for how in ("with", "without"):
        for measurement in result[how]:
            edit = {"techniques": f"{', '.join(result['stack']['names'])}, {how} {measurement['name']}"}
            name = f"stack {how} {measurement['name']}"
            rows.append(
                {"name": name, "verdict": measurement["verdict"], "edit": edit, "of_stack": measurement["time"]}
            )
    return rows


def _create(
    client: MlflowClient, experiment: str, parent: str, row: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]
) -> None:
    """Create the run of a variant. Its tag is set last, so that an incomplete run after a kill is recognised and made again."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    tags = {PARENT_TAG: parent, "verdict": row["verdict"], **_intervals(row)}
    if row.get("sentence"):
        text = f"**{row['verdict']}**: {row['reason'] or row['sentence']} ({row['reference']})"
        tags["mlflow.note.content"] = text
    variant_id = client.create_run(experiment, now, tags, row["name"]).info.run_id
    params = [Param(key if key == "techniques" else f"train.{key}", str(value)) for key, value in row["edit"].items()]
    metrics = [Metric(key, value, now, 0) for key, value in _metrics(row).items()]
    for epoch in range(max((len(curve["quality"]) for curve in curves), default=0)):
        values = [curve["quality"][epoch] for curve in curves]
        metrics.append(Metric("validation/quality", sum(values) / len(values), now, epoch + 1))
    client.log_batch(variant_id, metrics=metrics[:1000], params=params[:100])
    client.set_terminated(variant_id, "FINISHED", now)
    client.log_batch(variant_id, tags=[RunTag(VARIANT_TAG, row["name"])])


NAMES = {
    "time": "step_time",
    "of_stack": "step_time_over_the_stacks",
    "to_target": "time_to_target",
    "quality": "quality_difference",
    "peak": "peak_memory",
    "joules": "energy",
    "cost": "cost",
}
"""What a row of a study has measured, and its name in MLflow."""


def _effects(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The measured effects by name. One without an interval is no figure."""
    effects = {name: row.get(key) for key, name in NAMES.items()}
    return {
        name: effect
        for name, effect in effects.items()
        if effect is not None and (effect["low"] is not None or effect["high"] is not None)
    }


def _intervals(row: Mapping[str, Any]) -> dict[str, str]:
    """Each effect with its 95 % interval, as tags: as metrics, they would be two more charts for each."""
    return {
        name: f"{effect['value']:.3g} [{_limit(effect['low'])}, {_limit(effect['high'])}]"
        for name, effect in _effects(row).items()
    }


def _limit(value: float | None) -> str:
    return "open" if value is None else f"{value:.3g}"


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    metrics: dict[str, float] = {f"effect/{name}": effect["value"] for name, effect in _effects(row).items()}
    if row.get("startup"):
        metrics["effect/ready_seconds"] = row["startup"][1]
    if row.get("money"):
        metrics["effect/money"] = row["money"][1]
    if row["name"] == "baseline":
        metrics["effect/cost"] = 1.0
        metrics["effect/step_time"] = metrics["effect/time_to_target"] = 1.0
    return {key: value for key, value in metrics.items() if math.isfinite(value)}
