"""Error bars on the command line, against the project's own single run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headway.cli import commands as cli
from headway.data.store import Store
from headway.errors import ConfigError
from headway.files.atomic import read_json
from headway.models.boosting import Boosting, predict
from headway.pipeline import runs, stages
from headway.pipeline.seeds import variants_of
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.tasks import target_task

YAML = """
task: classification
data:
  source: rows.csv
  target: y
  features: {a: numeric, b: numeric}
model: {name: mlp, width: 8, depth: 1, dropout: 0.0}
train: {epochs: 4, batch_size: 64, learning_rate: 0.01, threads: 1}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "rows.yaml").write_text(YAML)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 900))
    labels = np.where(a + rng.normal(size=900) > 0, "yes", "no")
    (tmp_path / "rows.csv").write_text(
        "a,b,y\n" + "\n".join(f"{x},{z},{y}" for x, z, y in zip(a, b, labels, strict=True))
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_seed_is_measured_and_the_first_is_the_projects_own(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["seeds", "rows", "--count", "3", "--json", "--set", "train.precision=fp32"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in report["rows"]] == [0, 1, 2]
    by_name = {row["metric"]: row for row in report["summary"]}
    values = [row["auc"] for row in report["rows"]]
    assert by_name["auc"]["mean"] == pytest.approx(np.mean(values))
    assert by_name["auc"]["deviation"] == pytest.approx(np.std(values, ddof=1))

    run = runs.start(load_project("rows", root, ["train.precision=fp32"]), root)
    stages.validate(run, root, Silent())
    stages.prepare(run, root, Silent())
    stages.train(run, root, Silent())
    many = Path(report["run_directory"]) / "predictions" / "test-0.npy"
    np.testing.assert_allclose(np.load(many), np.load(run.predictions("test")), atol=1e-4)

    from headway import tracking

    (tracked,) = tracking.list_runs(root, "rows")
    assert tracked.status == "FINISHED"
    assert tracked.metrics["seeds/auc"] == pytest.approx(values[-1])
    assert read_json(Path(report["run_directory"]) / "seeds.json")["rows"] == report["rows"]


def test_settings_are_crossed_with_seeds(root: Path) -> None:
    project = load_project("rows", root)
    variants = variants_of(project, 2, [0.1, 0.01], [0.0])
    assert [(v["seed"], v["learning_rate"]) for v in variants] == [(0, 0.1), (1, 0.1), (0, 0.01), (1, 0.01)]
    with pytest.raises(ConfigError, match="networks trained at once must be 2 to 256, but they are 1"):
        variants_of(project, 1, [], [])
    with pytest.raises(ConfigError, match="learning rates must be above 0"):
        variants_of(project, 2, [-1.0], [])


def test_seeds_of_boosting_are_fits_of_their_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "model=boosting", "--set", "model.trees=60"]
    assert cli.main(["seeds", "rows", "--count", "2", "--json", *settings]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert [row["seed"] for row in reply["rows"]] == [0, 1]
    assert reply["rows"][0]["auc"] != reply["rows"][1]["auc"]

    store = Store(RunDirectory(Path(reply["run_directory"])).store)
    arrays, inputs = (
        {split: store.arrays(split) for split in ("train", "validation", "test")},
        store.preparation.inputs(),
    )
    alone = Boosting(trees=60).fit(
        inputs,
        arrays["train"],
        arrays["validation"],
        task=target_task("classification"),
        seed=1,
        patience=50,
        threads=1,
        on_tree=lambda *_: None,
    )
    second = np.load(Path(reply["run_directory"]) / "predictions" / "test-1.npy")
    np.testing.assert_array_equal(second, predict(alone, arrays["test"], inputs))


LITTLE = """
task: language
data: {source: little.txt}
split: {by: position, test: 0.2, validation: 0.2}
prepare: {tokens: {tokenizer: characters}}
model: {layers: 1, heads: 1, width: 8, context: 16}
train: {epochs: 2, batch_size: 8, learning_rate: 0.01, threads: 1, optimizer: muon}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "metric", "warning"),
    [
        ("little", [], "bits_per_byte", ""),
        ("rows", ["train.ema=0.9"], "auc", "many seeds at once need train.ema 0.0, but it is 0.9"),
    ],
)
def test_networks_that_cannot_be_trained_at_once_are_trained_one_after_the_other(
    root: Path, capsys: pytest.CaptureFixture[str], name: str, settings: list[str], metric: str, warning: str
) -> None:
    (root / "conf" / "little.yaml").write_text(LITTLE)
    (root / "little.txt").write_text("the cat sees the dog, and the dog sees the cat. " * 60)
    words = [word for setting in [*settings, "train.precision=fp32"] for word in ("--set", setting)]
    assert cli.main(["seeds", name, "--count", "2", "--json", *words]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    first, second = (row[metric] for row in report["rows"])
    assert first != second
    assert warning in " ".join(output.err.split())

    run = runs.start(load_project(name, root, [*settings, "train.precision=fp32"]), root)
    for stage in (stages.validate, stages.prepare, stages.train):
        stage(run, root, Silent())
    many = Path(report["run_directory"]) / "predictions" / "test-0.npy"
    np.testing.assert_array_equal(np.load(many), np.load(run.predictions("test")))


def test_rates_for_boosting_are_refused_before_anything_is_trained(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["seeds", "rows", "--set", "model=boosting", "--rates", "0.1", "0.2"]) == 2
    assert "--rates and --decays must be for a network, but the model is boosting" in capsys.readouterr().err
    assert not (root / "mlruns" / "runs").exists()
