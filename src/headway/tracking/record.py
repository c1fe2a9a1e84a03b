"""tracking.json: what a run's folder knows of the run in MLflow.

run_id, experiment_id, uri, ui   where it is; none until MLflow answers
key                              by it, the run is found there
opening, ending                  what is told at its begin and at its end, whenever MLflow answers
results                          each metric of an end: its value, and when it was first told
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from headway.errors import DamagedError
from headway.files.atomic import digest, read_json, write_json
from headway.run.directory import RunDirectory


def read_tracking(run: RunDirectory) -> dict[str, Any] | None:
    """tracking.json, or None before the run was begun. Raises DamagedError where it is damaged."""
    path = run.path / "tracking.json"
    if not path.exists():
        return None
    tracking = read_json(path)
    if not {"run_id", "key", "opening", "ending"} <= tracking.keys():
        raise DamagedError(f"{path} must name the run in MLflow, but it does not; headway doctor finds what else")
    return tracking


def write_tracking(run: RunDirectory, tracking: Mapping[str, Any]) -> None:
    """Write tracking.json whole."""
    write_json(run.path / "tracking.json", tracking)


def unopened(key: str, opening: Mapping[str, Any]) -> dict[str, Any]:
    """tracking.json of a run that MLflow does not have yet; MLflow's run is found by its key."""
    nowhere = {"run_id": None, "experiment_id": None, "uri": None, "ui": None}
    return {**nowhere, "key": key, "opening": dict(opening), "ending": None}


def key_of(run: RunDirectory) -> str:
    """A key that follows from what the run is: copied here and delivered a second time, the same folder is the same run."""
    key = run.plan.get("key")
    if key is not None:
        return str(key)
    begun = next(run.events(), None)
    plan = (run.path / "run.json").read_text(encoding="utf-8")
    return digest({"name": run.path.name, "plan": plan, "begun": begun.time if begun else None})


def write_end(run: RunDirectory, status: str, metrics: Mapping[str, float], problem: str | None) -> None:
    """Write down how the run ended, whether MLflow answers or not."""
    tracking = read_tracking(run)
    assert tracking is not None
    ending = {"status": status, "time": _end_of(tracking), "problem": problem, "metrics": dict(metrics)}
    write_tracking(run, {**tracking, "ending": ending, "results": results_of(ending, tracking)})


def _end_of(tracking: Mapping[str, Any]) -> float:
    """Now; where the clock was set back, after the run's begin and after an earlier end, whose metrics would otherwise count as newer."""
    earlier = [float((tracking.get("ending") or tracking["opening"])["time"])]
    earlier += [float(time) for _, time in (tracking.get("results") or {}).values()]
    return max(time.time(), max(earlier) + 0.001)


def results_of(ending: Mapping[str, Any], tracking: Mapping[str, Any]) -> dict[str, list[float]]:
    """Each metric that was told at an end: its value, and when it was first told.

    MLflow knows a value again by its time: a run that ends again (closed as killed, then resumed) tells none twice.
    """
    earlier = tracking.get("results") or {}
    changed = {k: [v, ending["time"]] for k, v in ending["metrics"].items() if k not in earlier or earlier[k][0] != v}
    return {**earlier, **changed}
