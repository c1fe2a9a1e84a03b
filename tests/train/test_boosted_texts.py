"""Trees read the n-grams that tell most of the target, beside numbers and categories, and a bundle reads them as training did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.data.store import Store
from headway.draft.drafting import draft
from headway.models.description import Description
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.explain import Explainer
from headway.tracking.packaging import _requirements

N = 1500
FEW = ("model=boosting", "model.trees=60", "model.learning_rate=0.2", "train.threads=1")
RNG = np.random.default_rng(4)
CLASSES = RNG.integers(0, 8, N)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight classes, each with forty words of its own among others: too many for flags of 64 words."""
    root = tmp_path_factory.mktemp("notes")
    (root / "conf").mkdir()
    own = RNG.integers(0, 40, (N, 3))
    other = RNG.integers(0, 400, (N, 5))
    notes = [
        " ".join([f"w{c}x{n}" for n in some] + [f"z{n}" for n in more])
        for c, some, more in zip(CLASSES, own, other, strict=True)
    ]
    frame = pd.DataFrame({"note": notes, "number": RNG.normal(size=N), "kind": [f"k{c}" for c in CLASSES]})
    frame.to_csv(root / "rows.csv", index=False)
    draft("rows.csv", "kind", None, root)
    return root


def _trained(root: Path, *settings: str) -> RunDirectory:
    run = runs.start(load_project("rows", root, [*FEW, *settings]), root)
    for stage in (stages.validate, stages.prepare, stages.train):
        stage(run, root, Silent())
    return run


def _accuracy(run: RunDirectory) -> float:
    target = np.asarray(Store(run.store).arrays("test")["target"])
    return float((np.load(run.predictions("test")).argmax(1) == target).mean())


@pytest.fixture(scope="module")
def run(root: Path) -> RunDirectory:
    return _trained(root)


def test_trees_that_read_n_grams_learn_what_flags_of_some_words_do_not_say(root: Path, run: RunDirectory) -> None:
    assert _accuracy(run) > _accuracy(_trained(root, "model.text=words")) + 0.1


def test_a_bundle_of_trees_reads_a_note_as_training_did(run: RunDirectory) -> None:
    rows = Store(run.store).raw_test().combine_chunks().to_batches()[0]
    predictor = Predictor.load(run.bundle)
    truth = np.load(run.predictions("test"))
    np.testing.assert_allclose(predictor.predict(rows), truth, atol=1e-6)
    np.testing.assert_allclose(predictor.predict(rows.slice(3, 1)), truth[3:4], atol=1e-6)
    without = rows.set_column(rows.schema.get_field_index("note"), "note", pa.nulls(rows.num_rows, pa.string()))
    assert np.abs(predictor.predict(without) - truth).max() > 0.1, "the note matters"


def test_reasons_of_trees_are_of_the_whole_note_and_add_up_to_the_margin(run: RunDirectory) -> None:
    rows = Store(run.store).raw_test().combine_chunks().to_batches()[0].slice(0, 20)
    explainer = Explainer.load(run.bundle)
    predictions = explainer.predictor.predict(rows)
    reasons = explainer.reasons(rows, predictions)
    assert set(reasons.columns) == {"note", "number"}
    note = np.abs(reasons.contributions[:, reasons.columns.index("note")]).mean()
    assert note > 3 * np.abs(reasons.contributions[:, reasons.columns.index("number")]).mean()
    target = explainer.predictor.preparation.target
    which = target.learner.explained(predictions)
    logs = np.log(predictions.astype(float))
    own = logs[np.arange(20), which]
    margins = own - (logs.sum(1) - own) / (logs.shape[1] - 1)
    np.testing.assert_allclose(reasons.contributions.sum(1) + reasons.base, margins, atol=1e-3)


def test_a_bundle_with_n_grams_needs_no_tokenizers(run: RunDirectory) -> None:
    names = [line.partition("==")[0] for line in _requirements(Description.of(run.bundle))]
    assert "lightgbm" in names
    assert "tokenizers" not in names
