"""The note of loans as tokens beside its numbers, from the table to the predictions of a registered bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway import tracking
from headway.data.store import Store
from headway.errors import ConfigError, DataError
from headway.files.atomic import read_json
from headway.models.description import PLAIN
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from tests.pipeline.retraining import retrained
from tests.pipeline.warnings_reporter import WarningsReporter

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
FEW = (
    "data.options.months=2",
    "data.options.rows_per_month=1500",
    "split.by=random",
    "train.epochs=2",
    "train.threads=1",
    "train.batch_size=64",
    "evaluate.resamples=100",
    "evaluate.baselines=[trivial]",
    "gate.first=beat_trivial",
    "model.width=32",
    "prepare.impute=mean",
)


def retrain(root: Path, *settings: str) -> RunDirectory:
    return retrained(root, "loans", *FEW, *settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loans")
    shutil.copytree(CONF, root / "conf")
    return root


@pytest.fixture(scope="module")
def run(root: Path) -> RunDirectory:
    return retrain(root, "model.text=tokens")


def test_the_note_of_loans_as_tokens_becomes_a_champion(root: Path, run: RunDirectory) -> None:
    store = Store(run.store)
    assert store.preparation.inputs().tokens
    assert not [name for name in store.preparation.by_array["numeric"] if name[0].column == "note"]
    bundle = tracking.version_of(root, "loans").bundle
    assert read_json(bundle / "bundle.json")["needs"] == ["tokens"]
    (tokens,) = read_json(bundle / "preparation.json")["tokens"]
    assert (tokens["column"], tokens["tokenizer"]["kind"]) == ("note", "bpe")
    assert "tokenizers==" in (bundle.parents[1] / "requirements.txt").read_text()
    rows = store.raw_test().combine_chunks().to_batches()[0]
    predictor = Predictor.load(bundle)
    np.testing.assert_allclose(predictor.predict(rows), np.load(run.predictions("test")), atol=1e-6)
    without = rows.set_column(rows.schema.get_field_index("note"), "note", pa.nulls(rows.num_rows, pa.string()))
    assert np.abs(predictor.predict(without) - predictor.predict(rows)).max() > 1e-3, "the note matters"


def test_a_model_of_words_meets_the_champion_of_tokens_on_the_same_rows(root: Path, run: RunDirectory) -> None:
    later = retrain(root, "model.text=words")
    assert Store(later.store).preparation.inputs().tokens == ()
    assert read_json(later.bundle / "bundle.json")["format"] == PLAIN
    evaluation = read_json(later.path / "evaluation.json")
    assert evaluation["rival"] == ""
    assert evaluation["champion"]["rows"] == Store(later.store).rows["test"]
    own = read_json(run.path / "evaluation.json")["metrics"]["auc"]["value"]
    assert evaluation["champion"]["metrics"]["auc"]["value"] == pytest.approx(own, abs=1e-6)


def test_what_cannot_be_given_or_taken_is_refused_in_one_line(root: Path) -> None:
    for settings, line in {
        ("model.text=tokens", 'data.features={"age": "numeric"}'): "data.features must have a column of type text",
        ("model=boosting", "model.text=tokens"): "model.text must be one of 'ngrams' or 'words', but is 'tokens'",
        ("model=tabm", "model.text=tokens"): "text: no such setting",
        ("model.text=letters",): "model.text must be one of 'words' or 'tokens', but is 'letters'",
        ("prepare.tokens.vocabulary=9",): "prepare.tokens.vocabulary must be at least 257, but is 9",
    }.items():
        with pytest.raises(ConfigError) as error:
            load_project("loans", root, settings)
        assert line in str(error.value)
        assert "\n" not in str(error.value)


YAML = """
task: classification
data: {{source: rows.parquet, target: y, features: {features}, keys: [id]}}
model: {{name: mlp, width: 8, depth: 1, text: {text}}}
train: {{epochs: 2, threads: 1, batch_size: 32}}
evaluate: {{resamples: 100}}
"""


def small(root: Path, features: dict[str, str], text: str, notes: list[str]) -> RunDirectory:
    (root / "conf").mkdir()
    (root / "conf" / "rows.yaml").write_text(YAML.format(features=json.dumps(features), text=text))
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pd.DataFrame(
        {"id": range(400), "x": x, "note": notes, "y": np.where(x + rng.normal(size=400) > 0, "yes", "no")}
    )
    frame.to_parquet(root / "rows.parquet")
    return runs.start(load_project("rows", root), root)


def test_a_column_whose_texts_are_all_empty_is_told_in_one_line_and_left_out(tmp_path: Path) -> None:
    run, reporter = small(tmp_path, {"x": "numeric", "note": "text"}, "tokens", ["", "  "] * 200), WarningsReporter()
    stages.prepare(run, tmp_path, reporter)
    assert reporter.warnings == ["note has no text in any training row, so the model does not use it"]
    stages.train(run, tmp_path, Silent())
    rows = pd.DataFrame({"x": [0.5, -0.5], "note": ["never seen", None]})
    predictor = Predictor.load(run.bundle)
    np.testing.assert_array_equal(predictor.predict(rows), predictor.predict(rows[["x"]]))


@pytest.mark.parametrize("text", ["words", "tokens"])
def test_a_table_without_anything_to_learn_from_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    run = small(tmp_path, {"note": "text"}, text, [""] * 400)
    with pytest.raises(DataError, match="a feature must hold something to learn from .* but note does not") as error:
        stages.prepare(run, tmp_path, Silent())
    assert "\n" not in str(error.value)


def test_a_text_can_be_all_that_there_is(tmp_path: Path) -> None:
    notes = [f"{'late' if i % 3 else 'paid'} {i % 7}" for i in range(400)]
    run = small(tmp_path, {"note": "text"}, "tokens", notes)
    for stage in (stages.prepare, stages.train, stages.evaluate):
        stage(run, tmp_path, Silent())
    predictor = Predictor.load(run.bundle)
    rows = pd.DataFrame({"note": ["late 3", "", None, "4.0", "late " * 200_000]})
    predictions = predictor.predict(rows)
    assert np.isfinite(predictions).all()
    np.testing.assert_array_equal(predictions[1], predictions[2])
    for i in range(len(rows)):
        np.testing.assert_allclose(predictor.predict(rows.iloc[i : i + 1])[0], predictions[i], atol=1e-6)
