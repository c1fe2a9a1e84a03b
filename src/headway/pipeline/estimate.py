"""How long a run will take, by the stages of an earlier one of its project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.files.atomic import read_or_empty
from headway.run.directory import RunDirectory


@dataclass(frozen=True)
class Earlier:
    """The newest earlier run of a project with the same kind of model: its number, and the seconds of each stage."""

    number: int
    seconds: Mapping[str, float]

    def left(self, stages: Sequence[str]) -> float:
        """The seconds that these stages took."""
        return sum(self.seconds[name] for name in stages)


def earlier_run(run: RunDirectory, root: Path, stages: Sequence[str]) -> Earlier | None:
    """The run to estimate from, which went through all of these stages; None for the first one."""
    project = run.plan["project"]
    paths = (root / "data" / "runs").glob(f"{project['name']}-*/decision.json")
    runs = sorted((RunDirectory(path.parent) for path in paths), key=lambda one: one.number, reverse=True)
    for one in runs:
        other = read_or_empty(one.path / "run.json").get("project", {})
        same = (other.get("name"), other.get("model", {}).get("name")) == (project["name"], project["model"]["name"])
        seconds = read_or_empty(one.path / "stages.json")
        if same and one.path != run.path and all(name in seconds for name in stages):
            return Earlier(one.number, {name: float(seconds[name]) for name in stages})
    return None
