"""Small projects with everything that can be damaged, built once for a module and put back as they were before each test.

NAME-finished   the run of version 1, which is `previous`
NAME-champion   the run of version 2, which is the champion
NAME-dead       a training that was killed on its way, and closed
NAME-later      another one, which nobody has closed yet where a test asks for that

`build` makes one of a table and a network, `build_others` one of boosted trees and one of text in one folder.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from headway import tracking
from headway.files.atomic import read_json, write_json
from headway.files.versions import revisions_of
from headway.pipeline import runs, stages, zombies
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.tracking.store import let_go
from tests.support.deciding import decide

YAML = """
task: classification
data: {source: data/raw/rows.csv, target: y, features: {a: numeric, c: categorical}}
model: {name: mlp, width: 8, depth: 1}
train: {epochs: 8, learning_rate: 0.02, threads: 1}
evaluate: {resamples: 100, baselines: [trivial]}
gate: {first: beat_trivial}
"""
Stage = Callable[[RunDirectory, Path, Silent], object]
FLOW = {"flow_run_id": "0b0e2f2c-6a3c-4b59-9f0e-0d3f6f5b8f11", "url": None}


OTHERS = {
    "trees": """
task: classification
data: {source: data/raw/rows.csv, target: y, features: {a: numeric, c: categorical}}
model: {name: boosting, trees: 8}
train: {threads: 1}
""",
    "little": """
task: language
data: {source: data/raw/texts}
split: {test: 0.2, validation: 0.2}
prepare: {tokens: {tokenizer: characters}}
model: {name: gpt, layers: 1, heads: 2, width: 16, context: 8}
train: {epochs: 3, batch_size: 16, threads: 1}
""",
}
"""Projects of other kinds, in a folder of their own."""


@dataclass(frozen=True)
class WholeProject:
    """The projects' folder, and two copies of it: as it was, and with two trainings that were just killed. ``name``: one project."""

    root: Path
    kept: Path
    killed: Path
    name: str = "rows"

    def of(self, name: str) -> WholeProject:
        """Another project of the folder."""
        return replace(self, name=name)

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.root / "data" / "runs" / f"{self.name}-{name}")

    @property
    def store(self) -> Path:
        return self.run("finished").store

    @property
    def model(self) -> Path:
        """The champion's MLflow model."""
        with tracking.registry.store_client(self.root) as client:
            version = client.get_model_version_by_alias(self.name, "champion")
            folder = tracking.bundles.model_folder(client, version)
        assert folder is not None
        return folder

    @property
    def bundle(self) -> Path:
        return self.model / "artifacts" / "bundle"

    def status(self, name: str) -> str:
        """How MLflow shows a run."""
        run_id = read_json(self.kept / "data" / "runs" / f"{self.name}-{name}" / "tracking.json")["run_id"]
        with tracking.registry.store_client(self.root) as client:
            return client.get_run(run_id).info.status

    def restore(self, copy: Path) -> None:
        """Put back what a test has changed."""
        put_back(self.root, copy)


def put_back(root: Path, copy: Path) -> None:
    """Make a project's folder what its copy is."""
    let_go(root)
    before = {path.relative_to(copy): path for path in copy.rglob("*")}
    for path in sorted(root.rglob("*"), reverse=True):
        if path.relative_to(root) not in before:
            path.rmdir() if path.is_dir() else path.unlink()
    for name, path in sorted(before.items()):
        target = root / name
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists() or _stamp(target) != _stamp(path):
            target.unlink(missing_ok=True)
            shutil.copy2(path, target)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def build(folder: Path) -> WholeProject:
    """Train the project once, and add what a longer life leaves."""
    root = folder / "whole"
    _write_rows(root)
    _write_yaml(root, "rows", YAML)
    _lived(root, "rows", (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register))
    write_json(root / "data" / "watch" / "rows.json", {"reported": ["a"]})
    return _copies(folder, "rows")


def build_others(folder: Path) -> WholeProject:
    """The same of boosted trees and of a text. Nothing is evaluated: what that leaves does not differ by the kind of model."""
    root = folder / "whole"
    _write_rows(root)
    (root / "data" / "raw" / "texts").mkdir()
    words = random.Random(0)
    for n in range(60):
        text = f"the {words.choice(['cat', 'dog'])} sees the {words.choice(['bird', 'fish'])}, number {n}"
        (root / "data" / "raw" / "texts" / f"{n}.txt").write_text(text)
    for name, text in OTHERS.items():
        _write_yaml(root, name, text)
        _lived(root, name, (stages.validate, stages.prepare, stages.train))
    return _copies(folder, "trees")


def _write_rows(root: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=900)
    rows = pd.DataFrame(
        {"a": a, "c": rng.choice(list("xyz"), len(a)), "y": np.where(a + rng.normal(size=len(a)) > 0, "yes", "no")}
    )
    (root / "data" / "raw").mkdir(parents=True)
    rows.to_csv(root / "data" / "raw" / "rows.csv", index=False)


def _write_yaml(root: Path, name: str, text: str) -> None:
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / f"{name}.yaml").write_text(text)


def _lived(root: Path, name: str, through: Sequence[Stage]) -> None:
    """A project's four runs, the first through these stages."""
    finished = _finished(root, name, through)
    _copied(root, finished, "champion", _register)
    for run in ("dead", "later"):
        _copied(root, finished, run, _die)


def _copies(folder: Path, name: str) -> WholeProject:
    """The copies of the folder, before and after the killed trainings are closed."""
    root = folder / "whole"
    _prefect(root)
    let_go(root)
    shutil.copytree(root, folder / "killed")
    zombies.close_dead(root)
    let_go(root)
    shutil.copytree(root, folder / "kept")
    return WholeProject(root, folder / "kept", folder / "killed", name)


def _finished(root: Path, name: str, through: Sequence[Stage]) -> RunDirectory:
    run = runs.start(load_project(name, root), root)
    named = RunDirectory(run.path.rename(run.path.with_name(f"{name}-finished")))
    runs.track(named, root)
    for stage in through:
        stage(named, root, Silent())
    if stages.register not in through:
        _promote(root, named, "first")
    runs.conclude(named, root)
    assert tracking.version_of(root, name).version == "1"
    return named


def _copied(root: Path, finished: RunDirectory, name: str, then: Callable[[Path, RunDirectory], None]) -> None:
    """A further run that came as far as the training of the first."""
    path = finished.path.with_name(finished.path.name.replace("finished", name))
    own = (
        "tracking*",
        "evaluation.json",
        "decision.json",
        "owner.*",
        "plots",
        "validation.html",
    )  # pictures take MLflow long
    shutil.copytree(finished.path, path, ignore=shutil.ignore_patterns(*own))
    write_json(path / "run.json", {**read_json(path / "run.json"), "key": path.name})  # by which MLflow knows it
    write_json(path / "flow.json", FLOW)
    then(root, RunDirectory(path))


def _register(root: Path, run: RunDirectory) -> None:
    tracking.begin(run, root, {}, "champion", "name: x\n")
    _promote(root, run, "better")
    tracking.conclude(run, root, "FINISHED", {})


def _promote(root: Path, run: RunDirectory, reason: str) -> None:
    """Register a run's bundle, and make it the champion."""
    project = run.plan["project"]
    text = project["task"] == "language"
    example = pd.DataFrame({"prompt": ["the "]} if text else {"a": [0.5], "c": ["x"]})
    version = tracking.register(run, root, project["name"], example)
    decide(root, project["name"], version, {"promoted": True, "reason": reason})


def _die(root: Path, run: RunDirectory) -> None:
    """A training that was killed: it has journal and checkpoints, no result, and nobody holds its lock."""
    tracking.begin(run, root, {}, run.path.name, "name: x\n")
    (run.path / "result.json").unlink()
    write_json(run.path / "error.json", {"text": "x", "exit_code": 4})
    write_json(run.path / "tracking-cursor.json", {"n": 1})
    (run.path / "owner.lock").touch()


def _prefect(root: Path) -> None:
    """A database like Prefect's, as far as the doctor knows it."""
    (root / ".prefect").mkdir(exist_ok=True)
    version = min(revisions_of("prefect", "sqlite")[1])
    with sqlite3.connect(root / ".prefect" / "prefect.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES (?)", (version,))
        database.execute("CREATE TABLE flow_run (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO flow_run VALUES (?, ?)", [(n, f"run {n}" * 20) for n in range(500)])
    database.close()


def cut(path: Path) -> None:
    """The second half is lost, and not from the end of a line on: such a journal is a whole one."""
    half = path.stat().st_size // 2
    os.truncate(path, half - path.read_bytes()[:half].endswith(b"\n"))


def empty(path: Path) -> None:
    os.truncate(path, 0)


def zeros(path: Path) -> None:
    """What a power cut leaves: the length, without the content."""
    path.write_bytes(b"\0" * path.stat().st_size)


def half_zeros(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\0" * (len(content) - len(content) // 2))


def flip(path: Path) -> None:
    """One byte is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 0x10
    path.write_bytes(content)


def a_list(path: Path) -> None:
    """JSON, but not what is kept there."""
    path.write_text("[]")


def gone(path: Path) -> None:
    path.unlink()


__all__ = [
    "WholeProject",
    "a_list",
    "build",
    "build_others",
    "cut",
    "empty",
    "flip",
    "gone",
    "half_zeros",
    "put_back",
    "zeros",
]
