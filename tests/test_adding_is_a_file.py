"""A model of rows or of documents, a technique, a type of column, a data set and a task are one new file each: in a copy of the package,
they run a retraining."""

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
from tests.support.serving import outside

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

    def outputs(self):
        return [Prepared(f"{self.column} sine"), Prepared(f"{self.column} cosine")]

    def apply(self, column, missing=(), strict=False):
        angle = column.to_numpy(zero_copy_only=False) * (2 * np.pi / 24)
        return [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]


class CircleFitter(Fitter):
    def __init__(self, name):
        self._name = name

    def block(self, column, labels):
        return None

    def add(self, partial):
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
"""Calls, more of them the higher something is, and at night."""

from pathlib import Path

import numpy as np

from headway.config import Config
from headway.data.datasets import Dataset


class Options(Config):
    rows: int = 2000


def generate(options: Options, folder: Path) -> tuple[Path, ...]:
    path = folder / "calls.csv"
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    ups, hours = chance.normal(size=options.rows), chance.uniform(0, 24, options.rows).round(2)
    calls = chance.poisson(np.exp(0.5 * ups + np.cos(hours * np.pi / 12)))
    lines = [f"{up:.4f},{at},{count}" for up, at, count in zip(ups, hours, calls, strict=True)]
    path.write_text("up,at,calls\\n" + "\\n".join(lines) + "\\n")
    return (path,)


DATASET = Dataset(options=Options, generate=generate)
'''

TASK = '''
"""A count: the Poisson deviance of a rate, whose logarithm a model gives."""

import numpy as np

from headway.tasks.base import Target
from headway.tasks.metric import Metric, mean_of, scikit_learns
from headway.tasks.numbers import MAE, RMSE, Numbers
from headway.tasks.proposal import Problem


def deviances(target, rate):
    """(N,) McCullagh and Nelder 1989, section 2.3."""
    known = np.maximum(target, 1e-12)
    return 2 * (np.where(target > 0, target * np.log(known / rate), 0.0) - target + rate)


DEVIANCE = Metric(
    "deviance",
    "Poisson deviance",
    False,
    scikit_learns("mean_poisson_deviance"),
    mean_of(deviances),
    is_error=True,
)


class Count(Numbers):
    """A whole number of at least zero."""

    metrics = (DEVIANCE, RMSE, MAE)

    def problems(self, summary, positive):
        if summary.min is not None and summary.min < 0:
            return [Problem("stop", f"the target {summary.name} must be at least 0, but is {summary.min:g}")]
        return []

    def fitted(self, column, mean, std):
        return Target(column, "count")

    def training_target(self, target, values):
        return np.array(values, np.float32)

    def loss(self, outputs, target, smoothing=0.0):
        from torch.nn import functional

        logarithm = outputs.squeeze(-1).float()
        if logarithm.ndim == 2:
            target = target[:, None].expand_as(logarithm)
        return functional.poisson_nll_loss(logarithm, target)

    def decode(self, outputs):
        rate = outputs.squeeze(-1).float().exp()
        return rate.mean(1) if rate.ndim == 2 else rate

    def score(self, decoded, target):
        from torch.nn import functional

        return float(functional.poisson_nll_loss(decoded, target, log_input=False))

    def finish(self, target, decoded):
        return decoded.astype(np.float64)

    def lightgbm(self, outputs):
        return "poisson", "poisson"

    def solve_linear(self, x, target, outputs, l2, weights=None):
        from sklearn.linear_model import PoissonRegressor

        model = PoissonRegressor(alpha=l2 / len(target)).fit(x, target, weights)
        return model.coef_[:, None], np.array([model.intercept_])

    def linear_predictions(self, outputs):
        return np.exp(outputs[:, 0])

    def boosted(self, x, target, z, outputs, options, weights=None):
        return super().boosted(x, target, z, outputs, {**options, "loss": "poisson"}, weights)


TASK = Count()
'''

LANGUAGE_MODEL = '''
"""A recurrent language model: gated recurrent units (Cho et al. 2014, arXiv:1406.1078)."""

from typing import ClassVar, Literal

from headway.data.inputs import Inputs
from headway.models.base import ModelConfig


class Recurrent(ModelConfig):
    """One layer of gated recurrent units."""

    completes: ClassVar[bool] = True

    name: Literal["recurrent"] = "recurrent"
    width: int = 32
    memory: int = 16

    @property
    def window(self) -> int:
        return self.memory

    def build(self, inputs: Inputs):
        from torch import nn

        class Network(nn.Module):
            def __init__(self, vocabulary, width):
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, width)
                self.units = nn.GRU(width, width, batch_first=True)
                self.head = nn.Linear(width, vocabulary)

            def forward(self, tokens):
                return self.head(self.units(self.embedding(tokens))[0])

        return Network(*inputs.tokens, self.width)
'''

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

ADDED = {
    "models/straight.py": MODEL,
    "columns/hour.py": COLUMN,
    "effect/techniques/half_rate.py": TECHNIQUE,
    "data/datasets/calls.py": DATASET,
    "tasks/count.py": TASK,
}


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
text = sample("little", root, "the ", tokens=40, temperature=0.0, seed=0)
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
