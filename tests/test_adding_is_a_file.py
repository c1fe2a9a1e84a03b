"""A model of rows or of documents, a technique, a type of column, a data set and a task are one new file each: in a copy of the package,
they run a retraining. The files are those of the pages docs/add-a-*.md."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway.files.atomic import read_json
from headway.files.checksums import sha256
from headway.run.directory import RunDirectory
from tests.support import letters
from tests.support.pages import page
from tests.support.serving import outside

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

PROJECT = """
task: count
data: {dataset: calls, options: {rows: 3000}, target: calls, features: {up: numeric, at: hour}}
model: {name: straight}
train: {epochs: 2, threads: 1}
evaluate: {resamples: 100}
"""

LETTERS = """
task: language
data: {source: texts}
split: {test: 0.2, validation: 0.2}
prepare: {tokens: {tokenizer: characters}}
model: {name: recurrent}
train: {epochs: 20, batch_size: 16, learning_rate: 0.02, threads: 1}
evaluate: {resamples: 100, prompts: ["the "]}
gate: {first: beat_trivial}
"""

MODEL, LANGUAGE_MODEL = page("docs/add-a-model.md").code("python")

ADDED = {"models/straight.py": MODEL} | {
    place: page(f"docs/{name}.md").code("python")[0]
    for place, name in {
        "columns/hour.py": "add-a-column-type",
        "effect/techniques/half_rate.py": "add-a-technique",
        "data/datasets/calls.py": "add-a-data-set",
        "tasks/count.py": "add-a-task",
    }.items()
}
"""The code of the pages, by its place in the package."""


STAGES = """
import json
from pathlib import Path
from headway.effect.technique import Setting
from headway.effect.techniques import techniques
from headway.cli.overview import sample
from headway.pipeline import runs, stages
from headway.pipeline.scoring import score
from headway.project import load_project
from headway.run.report import Silent
from headway.train.recipe import Recipe

root = Path.cwd()

def retrain(name, settings=()):
    stages.check(name, root, settings, Silent())
    run = runs.start(load_project(name, root, settings), root)
    runs.track(run, root)
    for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register):
        stage(run, root, Silent())
    runs.conclude(run, root)
    score(name, root, Silent())
    return runs.summary(run).to_json()
"""

CALLS = """
technique = techniques()["half rate"]
recipe = Recipe(epochs=20, threads=1, learning_rate=0.04)
fields = technique.edit(Setting(recipe, "straight", "count", 2000, 2000, "cpu", 2))
settings = [f"train.{name}={value}" for name, value in {"epochs": 20, **fields}.items()]
print(json.dumps(retrain("calls", settings)))
"""

TEXTS = """
summary = retrain("little")
text = sample("little", root, "the ", {"tokens": 40, "temperature": 0})
print(json.dumps({**summary, "sample": text}))
"""


def run_by_the_copy(root: Path, script: str) -> dict[str, Any]:
    """What a script says that the package in ``root`` runs."""
    environment = {**outside(), "PYTHONPATH": os.pathsep.join((str(root / "src"), str(root)))}
    command = [sys.executable, "-c", STAGES + script]
    outcome = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout.splitlines()[-1])


@contextlib.contextmanager
def copy_of_the_package(root: Path, added: Mapping[str, str]) -> Iterator[None]:
    """With these files added, and nothing else changed at the end."""
    package = root / "src" / "headway"
    for source, folder in ((ROOT / "src" / "headway", package), (ROOT / "flows", root / "flows")):
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "conf").mkdir()
    before = {path: sha256(path) for path in root.rglob("*.py")}
    for name, content in added.items():
        assert not (package / name).exists()
        (package / name).write_text(content)
    yield
    assert {path: sha256(path) for path in before} == before, "nothing else had to change"


def test_a_model_a_technique_a_column_a_data_set_and_a_task_are_a_file_each(tmp_path: Path) -> None:
    with copy_of_the_package(tmp_path, ADDED):
        (tmp_path / "conf" / "calls.yaml").write_text(PROJECT)
        summary = run_by_the_copy(tmp_path, CALLS)
    run = RunDirectory(Path(summary["run_directory"]))
    evaluation = read_json(run.path / "evaluation.json")
    deviance = {name: row["metrics"]["deviance"]["value"] for name, row in evaluation["baselines"].items()}
    own = summary["metrics"]["deviance"]["value"]
    assert own == pytest.approx(deviance["linear"], rel=0.03), "a log link on both sides: the same line"
    assert own < 0.8 * deviance["trivial"]
    assert deviance["boosting"] < 0.8 * deviance["trivial"]
    assert run.plan["project"]["train"]["learning_rate"] == 0.02
    assert read_json(run.bundle / "bundle.json")["model"]["name"] == "straight"
    assert read_json(run.bundle / "preparation.json")["hours"] == [{"column": "at"}]
    assert summary["decision"]["promoted"]
    scored = pd.read_parquet(tmp_path / "data" / "scored" / "calls" / "calls.csv.parquet")
    assert list(scored.columns) == ["row", "prediction", "model_version"]
    rates = np.load(run.predictions("test"))
    assert set(rates.round(4)) <= set(scored["prediction"].to_numpy().round(4))


def test_a_language_model_is_a_file(tmp_path: Path) -> None:
    with copy_of_the_package(tmp_path, {"models/recurrent.py": LANGUAGE_MODEL}):
        letters.write_project(tmp_path, LETTERS)
        summary = run_by_the_copy(tmp_path, TEXTS)

    run = RunDirectory(Path(summary["run_directory"]))
    assert read_json(run.bundle / "bundle.json")["model"] == {"name": "recurrent", "width": 32, "memory": 16}
    assert sorted(path.name for path in run.bundle.glob("*.json")) == sorted(
        ("bundle.json", "checksums.json", "learnt.json", "preparation.json", "reference.json")
    )
    evaluation = read_json(run.path / "evaluation.json")
    unigram = evaluation["baselines"]["unigram"]["metrics"]["bits_per_byte"]["value"]
    assert summary["metrics"]["bits_per_byte"]["value"] < 0.5 * unigram
    assert summary["decision"]["promoted"], summary["decision"]
    assert set(summary["sample"].split()) & {"cat", "dog", "sees", "hears", "bird", "fish."}, summary["sample"]
    (path,) = (tmp_path / "data" / "scored" / "little").glob("*.parquet")
    scored = pd.read_parquet(path)
    assert len(scored) == 80
    assert scored["bits_per_byte"].mean() < 0.5 * unigram
