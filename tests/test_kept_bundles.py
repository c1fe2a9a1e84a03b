"""What was registered by earlier code still loads, says what it said, and is the champion that a new model is held against."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from headway import tracking
from headway.errors import ConfigError
from headway.files import checksums
from headway.files.atomic import read_json, write_json
from headway.models import model_configs
from headway.models.description import BY_NAME, CHANGES, FEATURES, PLAIN, THRESHOLD, VARYING, format_of
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.report import Silent
from headway.serve.bundle import load_predictor, preparation_of
from tests.support.deciding import decide
from tests.support.kept_bundles import KEPT, MODELS, answers, inputs, train

KINDS = sorted(path.name for path in KEPT.iterdir())


def test_a_bundle_of_every_model_is_kept() -> None:
    assert {*MODELS} == {*KINDS}
    assert {name.partition("-")[0] for name in KINDS} == {*model_configs()}


@pytest.mark.parametrize("model", KINDS)
def test_a_kept_bundle_is_whole_and_says_what_it_said(model: str) -> None:
    assert checksums.check(KEPT / model / "bundle")
    first_answers = pd.read_csv(KEPT / model / "answers.csv")
    pd.testing.assert_frame_equal(
        answers(model, KEPT / model / "bundle"), first_answers, rtol=0, atol=1e-5, check_dtype=False
    )


def test_trees_predict_without_torch_and_mlflow() -> None:
    lines = [
        "import sys",
        "from tests.support.kept_bundles import inputs, KEPT",
        "from headway.pipeline.scoring import score",
        "from headway.serve.bundle import load_predictor",
        "print(len(load_predictor(KEPT / 'boosting' / 'bundle').answer(inputs('boosting'), {})))",
        "print(*sorted({'torch', 'mlflow', 'prefect', 'great_expectations', 'lightgbm'} & {*sys.modules}))",
    ]
    script = "\n".join(lines)
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.split() == ["50", "lightgbm"]


@pytest.mark.parametrize("model", ["mlp", "gpt", "gpt-prepared"])
@pytest.mark.parametrize("read", [load_predictor, preparation_of])
def test_a_bundle_of_a_newer_format_is_refused_in_one_line(
    tmp_path: Path, model: str, read: Callable[[Path], object]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(KEPT / model / "bundle", bundle)
    write_json(bundle / "bundle.json", {**read_json(bundle / "bundle.json"), "format": 99})
    checksums.seal(bundle)
    newest = max(FEATURES.values())
    with pytest.raises(ConfigError, match=rf"^a bundle's format must be at most {newest}, but is 99; update Headway$"):
        read(bundle)


@pytest.mark.parametrize("read", [load_predictor, preparation_of])
def test_a_bundle_that_needs_what_this_version_lacks_is_refused_by_its_name(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(KEPT / "mlp" / "bundle", bundle)
    needs = {"format": BY_NAME, "needs": ["ngrams", "pictures"]}
    write_json(bundle / "bundle.json", {**read_json(bundle / "bundle.json"), **needs})
    checksums.seal(bundle)
    with pytest.raises(
        ConfigError, match="^a bundle must need only what this version of Headway has, but needs pictures;"
    ):
        read(bundle)


def test_a_bundle_of_a_later_version_that_needs_nothing_new_is_read(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(KEPT / "mlp" / "bundle", bundle)
    write_json(bundle / "bundle.json", {**read_json(bundle / "bundle.json"), "format": BY_NAME, "needs": [VARYING]})
    checksums.seal(bundle)
    pd.testing.assert_frame_equal(answers("mlp", bundle), answers("mlp", KEPT / "mlp" / "bundle"))


def test_a_bundle_has_the_least_format_that_reads_it() -> None:
    assert format_of([]) == PLAIN
    assert format_of([THRESHOLD, "tokens"]) == FEATURES[THRESHOLD]
    assert format_of([THRESHOLD, CHANGES]) == BY_NAME == max(FEATURES.values()), (
        "earlier versions refuse it by its number"
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "boosting", "gpt"])
def test_a_kept_bundle_is_the_champion_that_a_new_model_is_compared_with(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    name = MODELS[model]
    run = train(tmp_path, model)
    earlier = runs.start(load_project(name, tmp_path), tmp_path)
    shutil.copytree(KEPT / model / "bundle", earlier.bundle)
    assert tracking.begin(earlier, tmp_path, {}, "of an earlier day", "") is None
    version = tracking.register(earlier, tmp_path, name, inputs(model))
    decide(tmp_path, name, version, {"promoted": True, "reason": "the first"})
    runs.track(run, tmp_path)
    stages.evaluate(run, tmp_path, Silent())
    decision = stages.register(run, tmp_path, Silent())
    assert "version 1" in decision.reason, decision.reason
    assert read_json(run.path / "evaluation.json")["champion"]["version"] == "1"
    runs.conclude(run, tmp_path)
