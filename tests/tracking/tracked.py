"""A run directory as the stages would leave it, and a look into the store."""

from __future__ import annotations

from pathlib import Path

from headway.data.prepare import Preparation
from headway.files.atomic import read_json, write_json
from headway.run.directory import RunDirectory
from headway.tasks import Target

PROJECT = {
    "name": "loans",
    "description": "Which loan is not paid back.",
    "task": "classification",
    "data": {"dataset": "loans", "features": {"age": "numeric", "job": "categorical"}, "target": "default"},
    "model": {"name": "mlp", "width": 64},
    "train": {"epochs": 3, "seed": 0},
}
PLAN = {
    "project": PROJECT,
    "seed": 0,
    "code": {"version": "0.1.0", "commit": "a" * 40, "dirty": False},
    "environment": {"python": "3.11", "packages": {"torch": "2.13.0"}},
}


def journal(run: RunDirectory, steps: int) -> None:
    """Two metrics at each of ``steps`` steps, further on from what is there."""
    writer = run.journal()
    first = sum(event.kind == "metric" for event in run.events())
    for step in range(first, first + steps):
        writer.write("metric", step=step, values={"train/loss": 1 / (step + 1), "validation/loss": float("nan")})
        writer.write("progress", step=step, steps=steps, text="")
    writer.close()


def pretend_bundle(run: RunDirectory) -> Path:
    """A bundle's description and a preparation of no columns, without a model."""
    described = {"format": 1, "task": "classification", "model": {"name": "mlp"}, "classes": ["no", "yes"]}
    write_json(run.bundle / "bundle.json", {**described, "features": {"age": "numeric", "job": "categorical"}})
    write_json(
        run.bundle / "preparation.json", Preparation((), Target("default", "classification", ("no", "yes"))).to_json()
    )
    return run.bundle


def histories(root: Path, run_id: str, key: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlruns' / 'mlflow.db'}")
    return sorted((m.step, m.value) for m in client.get_metric_history(run_id, key))


def run_id_of(run: RunDirectory) -> str:
    return read_json(run.path / "tracking.json")["run_id"]
