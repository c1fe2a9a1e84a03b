"""The time that a retraining still needs, as a progress artifact that is there from its first second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.naming import artifact_key
from headway.machine.clock import moment
from headway.pipeline.estimate import earlier_run
from headway.run.directory import RunDirectory


class Remaining:
    """Which stage a run is in, and about when it ends: as long after its beginning as an earlier run took."""

    def __init__(self, run: RunDirectory, root: Path, stages: Sequence[str]) -> None:
        self._project = run.plan["project"]["name"]
        self._stages, self._earlier = stages, earlier_run(run, root, stages)
        key = artifact_key(self._project, "progress")
        bar = create_progress_artifact(progress=0.0, key=key, description=self._text(stages[0]))
        self._bar = bar if isinstance(bar, UUID) else None

    def enter(self, stage: str) -> None:
        """A stage begins."""
        place = self._stages.index(stage)
        if place:
            share = place / len(self._stages)
            if self._earlier is not None:
                share = 1 - self._earlier.left(self._stages[place:]) / max(self._earlier.left(self._stages), 1e-9)
            self._move(100 * share, self._text(stage))

    def finish(self) -> None:
        """All stages are done."""
        self._move(100.0, "done")

    def _move(self, percent: float, text: str) -> None:
        if self._bar is not None:
            update_progress_artifact(artifact_id=self._bar, progress=round(percent, 1), description=text)

    def _text(self, stage: str) -> str:
        place = self._stages.index(stage)
        where = f"{stage}, stage {place + 1} of {len(self._stages)}"
        if self._earlier is None:
            return (
                f"{where}; this is the first run of {self._project} with this model, so the time left is not known yet"
            )
        seconds = self._earlier.left(self._stages[place:])
        left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        end = moment(time.time() + seconds, "%H:%M:%S")
        return f"{where}; about {left} left, until {end}, if it takes as long as run #{self._earlier.number}"
