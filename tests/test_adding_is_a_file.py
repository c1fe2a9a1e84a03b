"""A model, a technique and a data set are one new file each: added to a copy of the package, they take part in a whole retraining."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headway.files.atomic import read_json
from headway.files.checksums import sha256
from headway.run.directory import RunDirectory
from headway.train.recipe import Recipe
from tests.serving import outside

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]

MODEL = '''
"""One straight line for each output."""

from typing import Literal

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig


class Straight(ModelConfig):
    """A linear network."""

    name: Literal["straight"] = "straight"

    def build(self, inputs: Inputs):
        from torch import nn

        from headway.models.layers import Columns, TableNetwork

        columns = Columns(inputs.numeric, inputs.categorical)
        return TableNetwork(columns, nn.Linear(columns.width, inputs.outputs))
'''

TECHNIQUE = '''
"""Half the learning rate."""

from headway.effect.technique import Technique

TECHNIQUE = Technique(
    name="half rate",
    sentence="The learning rate is halved.",
    reference="none: it is a test's own",
    part="nothing",
    changes="maths",
    edit=lambda setting: {"learning_rate": setting.recipe.learning_rate / 2},
)
'''

DATASET = '''
"""Coins that mostly fall on the side that is up."""

import random
from pathlib import Path

from headway.config import Config
from headway.data.datasets import Dataset


class Options(Config):
    rows: int = 2000


def generate(options: Options, folder: Path) -> tuple[Path, ...]:
    path = folder / "coins.csv"
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    ups = [chance.gauss(0, 2) for _ in range(options.rows)]
    lines = [f"{up:.4f},{'heads' if up + chance.gauss(0, 1) > 0 else 'tails'}" for up in ups]
    path.write_text("up,side\\n" + "\\n".join(lines) + "\\n")
    return (path,)


DATASET = Dataset(options=Options, generate=generate)
'''

PROJECT = """
task: classification
data: {dataset: coins, options: {rows: 3000}, target: side, positive: heads, features: {up: numeric}}
split: {by: random}
model: {name: straight}
train: {epochs: 2, threads: 1}
evaluate: {resamples: 100, baselines: [trivial]}
"""

ADDED = {
    "models/straight.py": MODEL,
    "effect/techniques/half_rate.py": TECHNIQUE,
    "data/datasets/coins.py": DATASET,
}


RETRAIN = """
import json
from pathlib import Path
from headway.effect.technique import Setting
from headway.effect.techniques import techniques
from headway.files.atomic import read_json
from headway.project import load_project
from headway.pipeline import runs, stages
from headway.run.report import Silent
from headway.train.recipe import Recipe

technique = techniques()["half rate"]
recipe = Recipe(epochs=2, threads=1)
fields = technique.edit(Setting(recipe, "straight", "classification", 2000, 2000, "cpu", 2))
run = runs.start(load_project("coins", Path.cwd(), [f"train.{name}={value}" for name, value in fields.items()]), Path.cwd())
runs.track(run, Path.cwd())
for stage in (stages.validate, stages.prepare, stages.train, stages.evaluate, stages.register):
    stage(run, Path.cwd(), Silent())
runs.conclude(run, Path.cwd())
print(json.dumps(runs.summary(run)))
"""


def retrain(root: Path) -> dict[str, Any]:
    """A whole retraining by the package in ``root``."""
    environment = {**outside(), "PYTHONPATH": os.pathsep.join((str(root / "src"), str(root)))}
    command = [sys.executable, "-c", RETRAIN]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_model_a_technique_and_a_data_set_are_a_file_each(tmp_path: Path) -> None:
    package = tmp_path / "src" / "headway"
    shutil.copytree(ROOT / "src" / "headway", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "flows", tmp_path / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    before = {path: sha256(path) for path in tmp_path.rglob("*.py")}
    for name, content in ADDED.items():
        assert not (package / name).exists()
        (package / name).write_text(content)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "coins.yaml").write_text(PROJECT)

    summary = retrain(tmp_path)
    assert summary["metrics"]["accuracy"]["value"] > 0.75
    run = RunDirectory(Path(summary["run_directory"]))
    assert run.plan["project"]["train"]["learning_rate"] == Recipe().learning_rate / 2
    assert read_json(run.bundle / "bundle.json")["model"]["name"] == "straight"
    assert summary["decision"]["promoted"]
    assert {path: sha256(path) for path in before} == before, "nothing else had to change"
