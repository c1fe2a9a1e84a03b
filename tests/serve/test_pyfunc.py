"""The registered model in a process that has never heard of headway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from safetensors.torch import save_file
from starlette.testclient import TestClient

from headway import tracking
from headway.columns.category import Category
from headway.columns.number import Number
from headway.data.prepare import Preparation
from headway.errors import DataError
from headway.models.mlp import MLP
from headway.run.directory import RunDirectory
from headway.serve.app import application
from headway.serve.bundle import Predictor, complete_bundle
from headway.serve.config import ServeConfig
from headway.serve.rows import sift
from headway.tasks import Target
from tests.support.deciding import decide

PROJECT = {"name": "small", "description": "", "task": "classification", "model": {"name": "mlp"}}
ROWS = pd.DataFrame({"a": [0.5, None, -1.0, 2.0], "b": [1.0, 2.0, None, 4.0], "c": ["x", "never seen", None, "z"]})

INFINITE = "rows to predict: column a must be finite, but 1 value is not (row 2: '-inf')"

LOAD = """
import importlib.util, json, sys
for hooks in (sys.meta_path, sys.path_hooks):  # an editable installation hooks in here
    hooks[:] = [h for h in hooks if "editable" not in repr(h) + getattr(h, "__module__", "")]
sys.path[:] = [p for p in sys.path if "editable" not in p]
assert importlib.util.find_spec("headway") is None
import mlflow.pyfunc, pandas as pd
model = mlflow.pyfunc.load_model("models:/small@champion")
answers = []
for rows in json.load(sys.stdin):
    try:
        answers.append(model.predict(pd.DataFrame(rows)).to_dict("list"))
    except Exception as error:
        answers.append(f"{type(error).__name__}: {error}")
import headway
print(json.dumps({"answers": answers, "file": headway.__file__}))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose champion is a small network with random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield _registered(tmp_path_factory.mktemp("small"))


def _registered(tmp_path: Path) -> Path:
    numbers = (Number("a", "numeric", 0.0, 0.0, 1.0), Number("b", "numeric", 1.0, 0.0, 2.0))
    preparation = Preparation((*numbers, Category("c", ("x", "y", "z"))), Target("t", "classification", ("no", "yes")))
    run = RunDirectory.create(tmp_path, "small", {"project": PROJECT, "seed": 0})
    run.bundle.mkdir()
    save_file(MLP(width=8).build(preparation.inputs()).state_dict(), run.bundle / "weights.safetensors")
    complete_bundle(run.bundle, preparation, MLP(width=8), "name: small\n")
    tracking.begin(run, tmp_path, {}, "mlp", "")
    version = tracking.register(run, tmp_path, "small", ROWS)
    decide(tmp_path, "small", version, {"promoted": True, "reason": "first"})
    return tmp_path


def test_a_fresh_process_without_headway_predicts_what_the_bundle_predicts(root: Path) -> None:
    champion = tracking.champion(root, "small")
    assert champion is not None
    truth = Predictor.load(champion.bundle).predict(ROWS)
    plain = json.loads(ROWS.to_json(orient="records"))
    questions = [
        plain,
        [{**row, "more": 1} for row in plain],
        [{"a": 2, "b": 4, "c": "z"}],  # whole numbers where fractions were
        [{"a": 2.0, "b": None, "c": None}],
        [{"a": 2.0, "c": "z"}],
        [{"a": 2.0, "b": 4.0, "c": "z"}, {"a": -np.inf, "b": 4.0, "c": "z"}],
    ]
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    outcome = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:headway", "-c", LOAD],
        input=json.dumps(questions),
        env={**elsewhere, "MLFLOW_TRACKING_URI": tracking.tracking_uri(root)},
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    report = json.loads(outcome.stdout.splitlines()[-1])
    whole, extra, integers, nulls, missing, infinite = report["answers"]
    assert "/artifacts/small/models/" in report["file"]
    for i, name in enumerate(("no", "yes")):
        np.testing.assert_allclose(whole[f"probability_{name}"], truth[:, i], atol=1e-5)
    assert "probability" not in whole
    assert whole["prediction"] == [("no", "yes")[i] for i in truth.argmax(1)]
    assert extra == whole
    np.testing.assert_allclose(integers["probability_yes"], truth[3:, 1], atol=1e-5)
    assert len(nulls["prediction"]) == 1
    assert missing.startswith("DataError: rows to predict must have the column b")
    assert "\n" not in missing
    assert infinite == f"BadValues: {INFINITE}"


def test_the_server_and_score_refuse_an_infinity_as_the_model_does(root: Path) -> None:
    champion = tracking.champion(root, "small")
    assert champion is not None
    predictor = Predictor.load(champion.bundle)
    rows = pd.DataFrame({"a": [2.0, -np.inf], "b": [4.0, 4.0], "c": ["z", "z"]})
    with pytest.raises(DataError) as error:
        predictor.answer(rows, {})
    assert str(error.value) == INFINITE
    server = TestClient(application(predictor, ServeConfig()))
    answer = server.post("/invocations", content=rows.to_csv(index=False), headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["message"]) == (400, INFINITE)
    reasons = sift(predictor.preparation, pa.RecordBatch.from_pandas(rows))
    assert reasons == {1: "a must be finite, but is '-inf'"}
