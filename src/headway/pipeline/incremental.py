"""Whether a retraining is necessary: not where data, project and code are those of an earlier version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.errors import HeadwayError
from headway.files.atomic import read_or_empty
from headway.machine.clock import moment
from headway.machine.environment import code_version
from headway.project import Project
from headway.run.directory import RunDirectory


@dataclass(frozen=True)
class UpToDate:
    """The version that a retraining would reproduce; ``created`` in seconds since the epoch."""

    project: str
    version: str
    created: float
    run: RunDirectory

    @property
    def text(self) -> str:
        """One line for people."""
        return f"up to date: version {self.version} of {moment(self.created)} was made from the same data, project and code"

    def to_json(self) -> dict[str, object]:
        """The output of `headway run --json`."""
        values = {"version": self.version, "run_directory": str(self.run.path)}
        return {"project": self.project, "up_to_date": True, **values}


def up_to_date(project: Project, root: Path) -> UpToDate | None:
    """The champion, or without one this folder's newest version, if it is from the same data, project and code.

    None where anything differs or is unknown; the retraining itself reports what is wrong then. Writes only digests.
    """
    try:
        inputs = {"project": _plain(project.model_dump(mode="json")), "code": code_version(root).to_json()}
        if inputs["code"]["dirty"]:  # changes since the commit are not recorded
            return None
        same = [run for run in _complete_runs(root, project.name) if _made_of(run) == inputs]
        if not same:
            return None
        digest = data_digest(project, root)
        same = [run for run in same if read_or_empty(run.path / "data.json").get("digest") == digest]
        return _standing(root, project.name, same) if same else None
    except (HeadwayError, OSError):
        return None


def _complete_runs(root: Path, name: str) -> list[RunDirectory]:
    """The complete runs of a project in this folder."""
    runs = [RunDirectory(path.parent) for path in sorted((root / "data" / "runs").glob(f"{name}-*/decision.json"))]
    return [run for run in runs if _made_of(run).get("project", {}).get("name") == name]


def _standing(root: Path, name: str, same: Sequence[RunDirectory]) -> UpToDate | None:
    """The version of one of the ``same`` runs that is champion, or this folder's newest that was not rolled back."""
    from headway import tracking

    runs_by_id = {_run_id(run): run for run in same}
    own = {_run_id(run) for run in _complete_runs(root, name)} - {None}
    rows = tracking.versions(root, name)
    standing = [row for row in rows if "champion" in row.aliases]
    standing += [row for row in rows if row.run_id in own and row.tags.get("decision") != "rolled back"][:1]
    for row in standing:
        run = runs_by_id.get(row.run_id)
        if run is not None:
            return UpToDate(name, row.version, row.created, run)
    return None


def data_digest(project: Project, root: Path) -> str:
    """The digest of the rows that a project reads now."""
    from headway.pipeline.runs import table_of

    return table_of(project, root).digest


def _made_of(run: RunDirectory) -> Mapping[str, Any]:
    plan = read_or_empty(run.path / "run.json")
    return {"project": plan["project"], "code": plan.get("code")} if "project" in plan else {}


def _run_id(run: RunDirectory) -> str | None:
    return read_or_empty(run.path / "tracking.json").get("run_id")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
