"""Bundles of an earlier day, kept in tests/bundles/: what a team registered then must load, score and be compared for ever.

`python -m tests.support.kept_bundles FOLDER` makes one of each model that FOLDER lacks. What is there is never made anew: a change of
format adds to it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.serve.bundle import load_predictor
from tests.support import letters, whole

KEPT = Path(__file__).parents[1] / "bundles"
MODELS = {
    "mlp": "rows",
    "linear": "rows",
    "boosting": "rows",
    "ensemble": "rows",
    "tabm": "rows",
    "bag": "rows",
    "encoder": "rows",
    "gpt": "little",
    "gpt-prepared": "little",
}
"""Each bundle, named after its model, and its project. `gpt` has tokenizer.json, `gpt-prepared` preparation.json."""

TEXT = 'data.features={"a": "numeric", "c": "text"}'
SMALL = {
    "bag": (TEXT, "prepare.ngrams.words=32", "prepare.ngrams.characters=32", "model.width=8"),
    "encoder": (TEXT, "prepare.tokens.vocabulary=257", "model.layers=1", "model.width=8", "model.heads=2"),
}
"""Settings of models that read texts, by which their bundles are small."""

TEXTS = pd.DataFrame({"text": ["the cat sees the bird.", "the dog hears the fish.\nnumber 7"]})


def inputs(model: str) -> pd.DataFrame:
    """The rows, or texts, whose predictions are kept beside the bundle."""
    return TEXTS if MODELS[model] == "little" else whole.frame().drop(columns="y").head(50)


def answers(model: str, bundle: Path) -> pd.DataFrame:
    """What the bundle says of them."""
    return load_predictor(bundle).answer(inputs(model), {})


def train(root: Path, model: str) -> RunDirectory:
    """A run of the model's project through the first three stages."""
    name = MODELS[model]
    if name == "rows":
        whole.make(root)
    else:
        letters.write_project(root)
    settings = [f"model={model}", *SMALL.get(model, ())] if name == "rows" else []
    run = runs.start(load_project(name, root, settings), root)
    for stage in (stages.validate, stages.prepare, stages.train):
        stage(run, root, Silent())
    return run


def main(folder: Path) -> None:
    """Make one of each that the folder lacks."""
    for model in MODELS:
        if (folder / model).exists():
            continue
        with tempfile.TemporaryDirectory() as place:
            run = train(Path(place), model)
            shutil.copytree(run.bundle, folder / model / "bundle")
        answers(model, folder / model / "bundle").to_csv(folder / model / "answers.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
