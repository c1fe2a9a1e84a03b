"""tracking.json: the state of a run in MLflow, in its folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headway.files.atomic import digest
from headway.files.records import Record
from headway.run.directory import RunDirectory

Results = Mapping[str, tuple[float, float]]
"""Each final metric: its value, and when it was first sent."""


@dataclass(frozen=True)
class Opening(Record):
    """The beginning of a run, sent as soon as MLflow answers: its name in lists, flat settings, the project's YAML, the time."""

    name: str
    params: Mapping[str, object]
    yaml: str
    time: float


@dataclass(frozen=True)
class Ending(Record):
    """The end of a run: FINISHED, FAILED or KILLED, the time, the problem, and the final metrics."""

    status: str
    time: float
    problem: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracking(Record):
    """The run in MLflow is found by its ``key``; where it is (``run_id`` to ``ui``) is known once MLflow has answered."""

    run_id: str | None
    key: str
    opening: Opening
    ending: Ending | None
    experiment_id: str | None = None
    uri: str | None = None
    ui: str | None = None
    results: Results = field(default_factory=dict)

    def with_end(self, status: str, metrics: Mapping[str, float], problem: str | None) -> Tracking:
        """The same with an end, now."""
        ending = Ending(status, self._end(), problem, metrics)
        return replace(self, ending=ending, results=results_of(ending, self.results))

    def _end(self) -> float:
        """Now; where the clock was set back, after the run's beginning and earlier end, whose metrics would otherwise count as newer."""
        earlier = [(self.ending or self.opening).time, *(moment for _, moment in self.results.values())]
        return max(time.time(), max(earlier) + 0.001)


def read_tracking(run: RunDirectory) -> Tracking | None:
    """tracking.json, or None before the run was begun. Raises DamagedError where it is damaged."""
    path = run.path / "tracking.json"
    return Tracking.read(path) if path.exists() else None


def write_tracking(run: RunDirectory, tracking: Tracking) -> None:
    """Write tracking.json whole."""
    tracking.write(run.path / "tracking.json")


def unopened(key: str, opening: Opening) -> Tracking:
    """tracking.json of a run that MLflow does not have yet; MLflow's run is found by its key."""
    return Tracking(None, key, opening, None)


def key_of(run: RunDirectory) -> str:
    """A key computed from the run itself, so that a copied folder is the same run in MLflow."""
    key = run.plan.get("key")
    if key is not None:
        return str(key)
    first = next(run.events(), None)
    plan = (run.path / "run.json").read_text(encoding="utf-8")
    return digest({"name": run.path.name, "plan": plan, "begun": first.time if first else None})


def results_of(ending: Ending, earlier: Results) -> Results:
    """Each final metric that was sent ``earlier`` or is sent now.

    MLflow recognises a value by its time: a run that ends again (closed as killed, then resumed) sends no value twice.
    """
    news = {k: (v, ending.time) for k, v in ending.metrics.items() if k not in earlier or earlier[k][0] != v}
    return {**earlier, **news}
