"""A model, a technique, a type of column and a data set are one new file each: in a copy of the package, they take part in a retraining."""

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

COLUMN = '''
"""Hours of the day, 0 to 24, on a circle: half past eleven is near midnight."""

from dataclasses import dataclass

import numpy as np

from headway.columns.base import Encoding, Fitter, Prepared
from headway.columns.number import NumericColumn


@dataclass(frozen=True)
class Circle(Encoding):
    group = "hours"

    def kind_name(self):
        return HourColumn.name

    def prepared(self):
        return [Prepared(f"{self.column} sine"), Prepared(f"{self.column} cosine")]

    def apply(self, column, missing=(), strict=False):
        angle = column.to_numpy(zero_copy_only=False) * (2 * np.pi / 24)
        return [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]


class CircleFitter(Fitter):
    def __init__(self, name):
        self._name = name

    def update(self, column, labels):
        pass

    def finish(self):
        return Circle(self._name)


class HourColumn(NumericColumn):
    name = "hour"
    rank = 9
    encoding = Circle
    adds_up = False

    def fitter(self, name, config, numbers):
        return CircleFitter(name)
'''

DATASET = '''
"""Coins that mostly fall on the side that is up, and at night on their heads."""

import math
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
    falls = [(chance.gauss(0, 2), chance.uniform(0, 24)) for _ in range(options.rows)]
    sides = [up + 4 * math.cos(hour * math.pi / 12) + chance.gauss(0, 1) > 0 for up, hour in falls]
    lines = [f"{up:.4f},{hour:.2f},{'heads' if side else 'tails'}" for (up, hour), side in zip(falls, sides)]
    path.write_text("up,at,side\\n" + "\\n".join(lines) + "\\n")
    return (path,)


DATASET = Dataset(options=Options, generate=generate)
'''

PROJECT = """
task: classification
data: {dataset: coins, options: {rows: 3000}, target: side, positive: heads, features: {up: numeric, at: hour}}
split: {by: random}
model: {name: straight}
train: {epochs: 2, batch_size: 64, threads: 1}
evaluate: {resamples: 100, baselines: [trivial]}
"""

ADDED = {
    "models/straight.py": MODEL,
    "columns/hour.py": COLUMN,
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
recipe = Recipe(epochs=2, threads=1, learning_rate=0.1)
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


def test_a_model_a_technique_a_column_and_a_data_set_are_a_file_each(tmp_path: Path) -> None:
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
    assert summary["metrics"]["accuracy"]["value"] > 0.8, "without the hour it is 0.69"
    run = RunDirectory(Path(summary["run_directory"]))
    assert run.plan["project"]["train"]["learning_rate"] == 0.1 / 2
    assert read_json(run.bundle / "bundle.json")["model"]["name"] == "straight"
    assert read_json(run.bundle / "preparation.json")["hours"] == [{"column": "at"}]
    assert summary["decision"]["promoted"]
    assert {path: sha256(path) for path in before} == before, "nothing else had to change"
