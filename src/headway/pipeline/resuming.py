"""Runs that did not come to their end: which of them can go on, where, and with what.

What was trained so far is in the run's folder. A run goes on with the rows that it was trained on: where the store has gone and cannot be
made again from the same rows, it is refused.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from headway.data.ready import is_earlier
from headway.errors import ConfigError, DamagedError, HeadwayError
from headway.files.atomic import read_json, read_or_empty
from headway.pipeline import runs, stages
from headway.pipeline.incremental import data_digest
from headway.pipeline.runs import Prepared
from headway.project import Project
from headway.run import lifetime
from headway.run.directory import RunDirectory, find_run
from headway.run.report import Reporter

STAGES = ("validate", "prepare", "train", "evaluate", "register")
OTHERS = {"effect": "headway effect {name}", "watch": "headway watch {name}", "variants": "headway seeds {name}"}
"""What in run.json marks a run that is no retraining, and the command that does it again."""


@dataclass(frozen=True)
class Unfinished:
    """A run that can go on. ``reached``: how far it came, in words."""

    run: RunDirectory
    reached: str

    @property
    def is_ahead(self) -> bool:
        """Whether going on with it saves anything: it has begun to learn."""
        return len(remaining(self.run)) < len(STAGES)

    @property
    def offer(self) -> str:
        """One line for whoever starts a new run."""
        name = self.run.path.name
        return f"{name} ended {self.reached}: headway resume {name} goes on with it instead (or headway run --resume)"


def unfinished(name: str, root: Path) -> Unfinished:
    """A run, by its name or its folder. Raises ConfigError, with the reason, where it cannot go on."""
    run = find_run(name, root)
    project = run.plan["project"]["name"]
    for mark, command in OTHERS.items():
        if mark in run.plan:
            raise ConfigError(
                f"{run.path.name} must be a retraining to go on; run again: {command.format(name=project)}"
            )
    if lifetime.lives(run.path):
        raise ConfigError(f"{run.path.name} must have one process, but another is at work on it; wait for its end")
    runs.recall(run, root)
    if run.result is not None and not (run.bundle.is_dir() and run.predictions("test").exists()):
        fix = f"start a new run: headway run {project}"
        raise ConfigError(f"{run.path.name} must have its bundle to go on, but headway gc has removed it; {fix}")
    if has_begun(run) and not is_decided(run) and _has_store(run) and is_earlier(run.store):
        fix = f"start a new run: headway run {project}"
        raise ConfigError(
            f"{run.path.name} must go on with its prepared data, but an earlier version of Headway made it in a form that this one "
            f"does not read; {fix}"
        )
    if "prepare" in remaining(run) and has_begun(run):  # the same rows are to be made again
        _rows_of(run)
    return Unfinished(run, _reached(run))


def newest(project: Project, root: Path) -> Unfinished | None:
    """The newest run of a project, if it can go on as what would be started now: the same settings, the same rows. Else None."""
    with contextlib.suppress(HeadwayError, OSError, ValueError, KeyError):
        runs = [run for run in _retrainings(root) if run.plan["project"]["name"] == project.name]
        if not runs or runs[-1].plan["project"] != project.model_dump(mode="json"):
            return None
        run = runs[-1]
        data = run.path / "data.json"
        if is_decided(run) or (data.exists() and read_json(data)["digest"] != data_digest(project, root)):
            return None
        return unfinished(str(run.path), root)
    return None


def _retrainings(root: Path) -> list[RunDirectory]:
    """The retrainings of this folder, the oldest first; what cannot be read is left out."""
    runs = []
    for path in (root / "data" / "runs").glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError):
            run = RunDirectory(path.parent)
            if not OTHERS.keys() & run.plan.keys():
                runs.append((run.number, path.stat().st_mtime, run))
    return [run for _, _, run in sorted(runs, key=lambda entry: (*entry[:2], entry[2].path.name))]


def is_decided(run: RunDirectory) -> bool:
    """Whether the gate's decision about the run was taken and carried out: nothing of it is left to do."""
    return (run.path / "decision.json").exists()


def is_told(run: RunDirectory) -> bool:
    """Whether the run is closed as finished: it may have failed after its decision was carried out, before it could say so."""
    ending = read_or_empty(run.path / "tracking.json").get("ending")
    return ending is not None and ending.get("status") == "FINISHED"


def has_begun(run: RunDirectory) -> bool:
    """Whether a run has learnt from its rows, so that they are fixed."""
    return run.result is not None or any(run.checkpoints.glob("*"))


def remaining(run: RunDirectory) -> tuple[str, ...]:
    """The stages that a run still needs. Once it learns, its rows are fixed; what follows is done anew: the champion may be another."""
    if is_decided(run):
        return ()
    if not has_begun(run):
        return STAGES
    return STAGES[2 if _has_store(run) else 1 :]


def _has_store(run: RunDirectory) -> bool:
    """Whether the prepared data are there; not where store.json, which names them, is gone or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return run.store.is_dir()
    return False


def _rows_of(run: RunDirectory) -> Prepared:
    """What store.json says of the rows that a run was trained on. Raises ConfigError where that cannot be read any more."""
    try:
        return Prepared.read(run.path / "store.json")
    except (OSError, DamagedError):
        fix = f"start a new run: headway run {run.plan['project']['name']}"
        raise ConfigError(
            f"{run.path.name} must say in store.json which rows it was trained on, but that is gone or damaged; {fix}"
        ) from None


def prepare_again(run: RunDirectory, root: Path, report: Reporter) -> Prepared:
    """Make the store of a run that has begun to learn again. Raises ConfigError where the rows are not the same any more."""
    before = _rows_of(run)
    made = stages.prepare(run, root, report)
    if made.digest != before.digest:
        before.write(run.path / "store.json")
        fix = f"start a new run: headway run {run.plan['project']['name']}"
        raise ConfigError(
            f"{run.path.name} must go on with the rows that it was trained on, but they have changed; {fix}"
        )
    return made


def _reached(run: RunDirectory) -> str:
    """How far a run came."""
    if is_decided(run):
        return "after its decision"
    if (run.path / "evaluation.json").exists():
        return "before its decision"
    if run.result is not None:
        return "after training"
    last = max((event.step for event in run.events() if event.kind in ("progress", "checkpoint")), default=0)
    if any(run.checkpoints.glob("*")):  # it may have died before its journal told of a step
        return "while it was training" + (f", at step {last:,}" if last else "")
    return "before training"
