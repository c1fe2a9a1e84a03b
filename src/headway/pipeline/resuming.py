"""Unfinished runs: which of them can be resumed, and from which stage.

The training so far is in the run's folder. A run is resumed with the rows that it was trained on: where the store is missing and cannot
be made again from the same rows, resuming is refused.
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
"""Keys of run.json that mark a run that is no retraining, and the command that repeats it."""


@dataclass(frozen=True)
class Unfinished:
    """A run that can be resumed. ``progress``: where it ended, in words."""

    run: RunDirectory
    progress: str

    @property
    def is_ahead(self) -> bool:
        """Whether resuming saves time: training has begun."""
        return len(remaining_stages(self.run)) < len(STAGES)

    @property
    def offer(self) -> str:
        """One line at the start of a new run."""
        name = self.run.path.name
        return f"{name} ended {self.progress}; to resume it instead: headway resume {name} (or headway run --resume)"


def unfinished(name: str, root: Path) -> Unfinished:
    """A run, by its name or its folder. Raises ConfigError, with the reason, where it cannot be resumed."""
    run = find_run(name, root)
    project = run.plan["project"]["name"]
    for mark, command in OTHERS.items():
        if mark in run.plan:
            raise ConfigError(
                f"{run.path.name} is not a retraining, so it cannot be resumed; run again: {command.format(name=project)}"
            )
    if lifetime.lives(run.path):
        raise ConfigError(f"{run.path.name} must have one process, but another still works on it; wait for its end")
    runs.recall(run, root)
    if run.result is not None and not (run.bundle.is_dir() and run.predictions("test").exists()):
        fix = f"start a new run: headway run {project}"
        raise ConfigError(f"{run.path.name} must have its bundle to be resumed, but headway gc has removed it; {fix}")
    if has_begun(run) and not is_decided(run) and _has_store(run) and is_earlier(run.store):
        fix = f"start a new run: headway run {project}"
        raise ConfigError(
            f"{run.path.name} must be resumed with its prepared data, but an earlier version of Headway made it in a form that this one "
            f"does not read; {fix}"
        )
    if "prepare" in remaining_stages(run) and has_begun(run):  # the same rows must be prepared again
        _rows_of(run)
    return Unfinished(run, _progress(run))


def newest(project: Project, root: Path) -> Unfinished | None:
    """The newest run of a project, if it can be resumed and has the settings and rows of a new run. Otherwise None."""
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
    """The retrainings of this folder, the oldest first, without unreadable ones."""
    runs = []
    for path in (root / "data" / "runs").glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError):
            run = RunDirectory(path.parent)
            if not OTHERS.keys() & run.plan.keys():
                runs.append((run.number, path.stat().st_mtime, run))
    return [run for _, _, run in sorted(runs, key=lambda entry: (*entry[:2], entry[2].path.name))]


def is_decided(run: RunDirectory) -> bool:
    """Whether the gate's decision about the run was carried out, so that nothing remains to do."""
    return (run.path / "decision.json").exists()


def is_told(run: RunDirectory) -> bool:
    """Whether the run is closed as finished. It may have failed between its decision and closing."""
    ending = read_or_empty(run.path / "tracking.json").get("ending")
    return ending is not None and ending.get("status") == "FINISHED"


def has_begun(run: RunDirectory) -> bool:
    """Whether training has begun, so that the rows are fixed."""
    return run.result is not None or any(run.checkpoints.glob("*"))


def remaining_stages(run: RunDirectory) -> tuple[str, ...]:
    """The stages that a run still needs. Once training has begun, its rows are fixed; evaluation is repeated: the champion may differ."""
    if is_decided(run):
        return ()
    if not has_begun(run):
        return STAGES
    return STAGES[2 if _has_store(run) else 1 :]


def _has_store(run: RunDirectory) -> bool:
    """Whether the prepared data exist; false where store.json, which names them, is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return run.store.is_dir()
    return False


def _rows_of(run: RunDirectory) -> Prepared:
    """The content of store.json about the rows that a run was trained on. Raises ConfigError where it is missing or damaged."""
    try:
        return Prepared.read(run.path / "store.json")
    except (OSError, DamagedError):
        fix = f"start a new run: headway run {run.plan['project']['name']}"
        raise ConfigError(
            f"{run.path.name} must say in store.json which rows it was trained on, but the file is missing or damaged; {fix}"
        ) from None


def prepare_again(run: RunDirectory, root: Path, report: Reporter) -> Prepared:
    """Prepare the rows of a run that was training again. Raises ConfigError where they have changed."""
    before = _rows_of(run)
    prepared = stages.prepare(run, root, report)
    if prepared.digest != before.digest:
        before.write(run.path / "store.json")
        fix = f"start a new run: headway run {run.plan['project']['name']}"
        raise ConfigError(
            f"{run.path.name} must be resumed with the rows that it was trained on, but they have changed; {fix}"
        )
    return prepared


def _progress(run: RunDirectory) -> str:
    """Where a run ended, in words."""
    if is_decided(run):
        return "after its decision"
    if (run.path / "evaluation.json").exists():
        return "before its decision"
    if run.result is not None:
        return "after training"
    last = max((event.step for event in run.events() if event.kind in ("progress", "checkpoint")), default=0)
    if any(run.checkpoints.glob("*")):  # it may have been killed before its journal had a step
        return "while it was training" + (f", at step {last:,}" if last else "")
    return "before training"
