"""A language model through all stages, from a folder of text to samples of the champion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.cli import commands as cli
from headway.cli.overview import sample
from headway.data.store import Store
from headway.data.storing import make_document_store
from headway.errors import ConfigError, DataError
from headway.files.atomic import read_json
from headway.pipeline import runs, scoring, stages, watching
from headway.pipeline.assessment import exam_of
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.serve import rehearse
from headway.serve.bundle import load_predictor
from tests.pipeline.retraining import retrained
from tests.support.letters import YAML, texts, write_project

LOAD = """
import sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/little@champion")
print(repr(model.predict(pd.DataFrame({"prompt": ["the "]}), params={"tokens": 20})["completion"][0]))
losses = model.predict(pd.DataFrame({"text": ["the cat sees the bird.", "bird the sees cat the."]}))["loss"]
assert losses[0] < losses[1], losses
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    write_project(root)
    return root


def retrain(root: Path, *settings: str) -> RunDirectory:
    return retrained(root, "little", *settings)


@pytest.fixture(scope="module")
def first(root: Path) -> RunDirectory:
    return retrain(root)


def test_text_becomes_a_champion_with_samples(root: Path, first: RunDirectory) -> None:
    evaluation, decision = read_json(first.path / "evaluation.json"), read_json(first.path / "decision.json")
    assert decision["promoted"], decision["reason"]
    assert (
        evaluation["metrics"]["bits_per_byte"]["value"]
        < evaluation["baselines"]["unigram"]["metrics"]["bits_per_byte"]["value"]
    )
    assert "the" in (first.path / "rehearsal" / "samples.txt").read_text()
    assert (first.path / "plots" / "learning_curve.png").stat().st_size > 5000
    answer = runs.summary(first)
    assert answer.decision is not None
    assert (answer.decision.name, answer.decision.version) == ("little", "1")
    assert answer.evaluation is not None
    assert set(answer.evaluation.baselines) >= {"unigram"}


def test_a_second_model_meets_the_champion_on_the_same_text(root: Path, first: RunDirectory) -> None:
    second = retrain(root, "train.epochs=1")
    assert read_json(second.path / "store.json")["reused"]
    evaluation, decision = read_json(second.path / "evaluation.json"), read_json(second.path / "decision.json")
    assert evaluation["champion"]["metrics"] == read_json(first.path / "evaluation.json")["metrics"]
    assert not decision["promoted"]
    assert "against version 1's" in decision["reason"]


def test_a_champion_with_another_tokenizer_is_measured_on_the_same_bytes(
    root: Path, first: RunDirectory, tmp_path: Path
) -> None:
    project = load_project("little", root, ["prepare.tokens.tokenizer=bpe", "prepare.tokens.vocabulary=300"])
    documents = runs.documents_of(project, runs.table_of(project, root))
    store, _ = make_document_store(tmp_path / "prepared", documents, project.prepare, 16)
    assert store.tokens("test").size < Store(first.store).tokens("test").size
    rehearse.main(str(store.path), str(tmp_path / "out"), [], [str(first.bundle)])
    losses, truth = (np.load(folder / "0.npy") for folder in (tmp_path / "out", first.path / "rehearsal"))
    np.testing.assert_array_equal(losses, truth)
    assert not (tmp_path / "out" / "samples.txt").exists()


def test_sums_of_a_run_that_earlier_code_evaluated_are_read_too(
    root: Path, first: RunDirectory, tmp_path: Path
) -> None:
    """Evaluated before an update of Headway, and registered after it."""
    exam = exam_of(first, load_project("little", root), root)
    truth = exam.candidate()
    np.savez(tmp_path / "0.npz", **dict(zip(("nats", "tokens", "bytes"), truth.T, strict=True)))
    for name in ("0.npz", "0.npy"):  # as evaluation.json has the champion's, and as the candidate's is looked for
        np.testing.assert_array_equal(exam.read(tmp_path / name), truth)


def test_a_fresh_process_completes_a_prompt_as_the_command_line_does(root: Path, first: RunDirectory) -> None:
    from headway.tracking import tracking_uri

    words = [sys.executable, "-c", LOAD, tracking_uri(root)]
    answer = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root).stdout.splitlines()[-1]
    pieces: list[str] = []
    text = sample("little", root, "the ", {"tokens": 20}, pieces.append)
    assert answer == repr(text)
    assert (pieces[0], "".join(pieces), len(pieces)) == ("the ", f"the {text}", 1 + len(text))
    likeliest = [sample("little", root, "the ", {"tokens": 20, "temperature": 0, "seed": seed}) for seed in (0, 1)]
    assert likeliest[0] == likeliest[1]


def test_documents_are_scored_by_every_road_alike_and_blank_ones_are_refused(
    root: Path, first: RunDirectory, tmp_path: Path
) -> None:
    texts = {f"{n}.txt": f"the {'cat' if n % 2 else 'dog'} sees the fish. number {n}" for n in range(5)}
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    for name, text in {**texts, "blank.txt": " \n", "empty.txt": ""}.items():
        (incoming / name).write_text(text)
    frame = pd.DataFrame({"name": list(texts), "text": list(texts.values())})
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    outcome = scoring.score("little", root, Silent(), str(incoming), tmp_path / "out")
    assert (outcome.rows, outcome.scored, outcome.refused) == (7, 5, 2)
    scored = pd.read_parquet(tmp_path / "out" / "incoming.parquet").set_index("name").sort_index()
    assert list(scored.columns) == ["bits_per_byte", "loss", "perplexity", "model_version"]
    assert np.allclose(scored["perplexity"], np.exp(scored["loss"]))
    (path,) = (tmp_path / "out").glob("*refused*")
    refused = pd.read_parquet(path)
    assert set(refused["name"]) == {"blank.txt", "empty.txt"}
    assert refused["reason"].str.startswith("text must be a text of two tokens or more, but is").all()
    predictor = load_predictor(first.bundle)
    by_frame = predictor.answer(frame[["text"]], {}).set_index(frame["name"])
    assert np.allclose(by_frame["loss"], scored["loss"].loc[by_frame.index], atol=1e-6)
    for form in ("parquet", "jsonl"):
        scoring.score("little", root, Silent(), str(tmp_path / f"rows.{form}"), tmp_path / form)
        (path,) = (tmp_path / form).glob("rows*.parquet")
        assert np.allclose(pd.read_parquet(path)["loss"], by_frame["loss"], atol=1e-6)
    assert scoring.score("little", root, Silent(), str(incoming), tmp_path / "out").files[0].done_before


def test_longer_and_stranger_documents_drift_and_others_do_not(root: Path, first: RunDirectory, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    usual = texts(80, seed=1)
    kinds = {
        "same": usual,
        "longer": [text * 3 for text in usual],
        "stranger": ["".join(rng.permutation(list(text))) for text in usual],
    }
    drifted = {}
    for name, documents in kinds.items():
        folder = tmp_path / name
        folder.mkdir()
        for n, text in enumerate([*documents, ""]):
            (folder / f"{n}.txt").write_text(text)
        run = watching.open_watch("little", root, str(folder))
        assert isinstance(run, RunDirectory)
        result = watching.watch(run, root, Silent())
        assert result.rows == 81
        drifted[name] = result.drifted_columns
    assert drifted["same"] == []
    assert "text" in drifted["longer"]
    assert drifted["stranger"] == ["predictions"]


def test_copied_test_documents_and_wrong_settings_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prepare.tokens.tokeniser: no such setting; did you mean tokenizer\?"):
        load_project("little", root, ["prepare.tokens.tokeniser=bpe"])
    with pytest.raises(ConfigError, match=r"width must be a multiple of twice the heads, but is 30"):
        load_project("little", root, ["model.width=30"])
    with pytest.raises(ConfigError, match=r"gate.metric must be bits_per_byte for language, but is auc"):
        load_project("little", root, ["gate.metric=auc"])
    with pytest.raises(ConfigError, match=r"train.loss must suit language, but is mse"):
        load_project("little", root, ["train.loss=mse"])
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "little.yaml").write_text(YAML)
    (tmp_path / "texts").mkdir()
    for n in range(40):
        (tmp_path / "texts" / f"{n}.txt").write_text("always the same")
    with pytest.raises(DataError, match=r"test documents must not also be training documents, but .* are, for example"):
        stages.check("little", tmp_path, [], Silent())


def test_what_cannot_be_sampled_is_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "little.yaml").write_text(YAML)
    (tmp_path / "conf" / "rows.yaml").write_text(
        "task: regression\ndata: {source: x.csv, target: y, features: {a: numeric}}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["sample", "little"]) == 2
    assert cli.main(["sample", "rows"]) == 2
    assert cli.main(["sample", "little", "--tokens", "0"]) == 2
    assert cli.main(["sample", "little", "--top-p", "2"]) == 2
    assert cli.main(["sample", "little", "--stop", ""]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "headway: little has no champion yet. Run: headway run little"
    assert lines[1] == "headway: rows must be a language project to be sampled, but its task is regression"
    assert lines[2] == "headway: --tokens must be a whole number of at least 1, but is 0"
    assert lines[3] == "headway: --top-p must be a number above 0 and at most 1, but is 2.0"
    assert lines[4] == "headway: --stop must be texts of at least one character, but one is empty"
    assert len(lines) == 5
