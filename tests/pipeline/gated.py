"""A project with two whole versions and a worse model that waits before the gate; and how a version is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from headway import tracking
from headway.files.atomic import write_json
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.tracking.store import let_go
from tests.support.deciding import decide
from tests.support.whole_project import cut, flip, gone, put_back

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Gated:
    """Version 1 is `previous`, version 2 the champion; they are the same model, of the run ``good``.

    ``worse``, which is good enough for a first model, was evaluated before there was a version. ``kept``: a copy of the folder.
    """

    root: Path
    kept: Path
    name: str
    good: RunDirectory
    worse: RunDirectory

    def bundle(self, version: str) -> Path:
        """Where a version's files lie."""
        return tracking.version_of(self.root, self.name, version).bundle

    def aliases(self) -> dict[str, list[str]]:
        """Each version's."""
        return {row.version: list(row.aliases) for row in tracking.versions(self.root, self.name)}

    def restored(self) -> Gated:
        """As it was built."""
        put_back(self.root, self.kept)
        assert self.aliases() == {"1": ["previous"], "2": ["champion"]}
        return self


def trained(root: Path, name: str, *settings: str) -> RunDirectory:
    """A run as far as its training."""
    run = runs.start(load_project(name, root, settings), root)
    runs.track(run, root)
    for stage in (stages.validate, stages.prepare, stages.train):
        stage(run, root, Silent())
    return run


def repeated(run: RunDirectory, root: Path, name: str) -> RunDirectory:
    """A further run that came to the same weights."""
    own = shutil.ignore_patterns("tracking*", "evaluation.json", "decision.json", "owner.*")
    copy = RunDirectory(run.path.with_name(name))
    shutil.copytree(run.path, copy.path, ignore=own)
    write_json(copy.path / "run.json", {**run.plan, "key": name})  # by which MLflow knows it
    runs.track(copy, root)
    return copy


def build(root: Path, name: str, example: pd.DataFrame, *worse: str) -> Gated:
    """Train the project at ``root`` twice, the second time with the settings ``worse``."""
    poor = trained(root, name, *worse)
    stages.evaluate(poor, root, Silent())
    good = trained(root, name)
    stages.evaluate(good, root, Silent())
    assert stages.register(good, root, Silent()).promoted
    version = tracking.register(repeated(good, root, f"{name}-second"), root, name, example)
    decide(root, name, version, {"promoted": True, "reason": "promoted: as good"})
    let_go(root)
    copy = root.with_name("kept")
    shutil.copytree(root, copy)
    return Gated(root, copy, name, good, poor)


def without_checksums(bundle: Path) -> None:
    """As a version from before there were any: damage then shows only in that a file cannot be read."""
    gone(bundle / "checksums.json")
    cut(bundle / WEIGHTS)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte of the weights is another": (lambda bundle: flip(bundle / WEIGHTS), "holds other bytes than were written"),
    "the weights are cut": (lambda bundle: cut(bundle / WEIGHTS), r"weights.safetensors has [\d,]+ bytes instead of"),
    "cut, without checksums": (without_checksums, "must hold a whole bundle, but reading it failed: SafetensorError"),
}
"""What is done to a bundle, and what is said of it."""
