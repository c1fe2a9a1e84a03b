"""Reasons for single rows: the bundle's own numbers, rows refused as `score` refuses them, wrong requests in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway import tracking
from headway.cli.commands import main
from headway.errors import HeadwayError
from headway.pipeline.explaining import MOST_SHOWN, explain
from headway.pipeline.reasons import Explanation, sentence, texts_of
from headway.pipeline.scoring import score
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.explain import BACKGROUND
from headway.tasks import Target
from tests.serve.bundles import CLASSES, VALUE, bundle_of, promoted, registered, rows
from tests.support import letters

COLUMNS = "features: {x: numeric, k: categorical}"


def explainable(root: Path, name: str, target: Target, keys: str) -> None:
    """A project whose champion has random weights, and rows to compare with."""

    def make(folder: Path) -> None:
        bundle_of(folder, target)
        pq.write_table(pa.Table.from_batches([rows(60, 9).select(["x", "k"])]), folder / BACKGROUND)

    text = f"task: {target.task}\ndata: {{source: rows.csv, target: y, {COLUMNS}, keys: [{keys}]}}\n"
    promoted(root, name, text, target.task, make, rows(5, 0).to_pandas())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`kinds` has three classes and keys, `amounts` a number and none; `classes` is from before bundles kept rows to compare with."""
    root = tmp_path_factory.mktemp("explained")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        letters.write_project(root)
        explainable(root, "kinds", CLASSES, "id")
        explainable(root, "amounts", VALUE, "")
        registered(root, "classes")
        yield root


def table(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = pd.Series(rng.normal(size=count)).mask(rng.random(count) < 0.1)
    return pd.DataFrame({"id": np.arange(count), "x": x, "k": rng.choice(["p", "q", "new"], count)})


def test_each_row_has_its_score_and_its_largest_reasons_which_add_up_to_it(root: Path, tmp_path: Path) -> None:
    frame = table(300)
    frame.to_parquet(tmp_path / "a.parquet")
    result = explain("kinds", root, Silent(), str(tmp_path / "a.parquet"), tmp_path / "out")
    assert [(file.explained, file.refused, file.refused_file) for file in result.files] == [(300, 0, None)]
    answers = pd.read_parquet(tmp_path / "out" / "a.parquet")
    score("kinds", root, Silent(), str(tmp_path / "a.parquet"), tmp_path / "scores")
    pd.testing.assert_frame_equal(
        answers[["id", "prediction", "probability_a", "probability_b", "probability_c", "model_version"]],
        pd.read_parquet(tmp_path / "scores" / "a.parquet"),
        atol=1e-6,
    )
    shares = np.log(answers[["probability_a", "probability_b", "probability_c"]].to_numpy())
    own = shares.max(1)
    margins = own - (shares.sum(1) - own) / 2
    sums = answers["base"] + answers["contribution_1"] + answers["contribution_2"] + answers["others"]
    np.testing.assert_allclose(sums, margins, atol=1e-4)
    np.testing.assert_allclose(answers["others"], 0, atol=1e-9)
    assert (answers["explains"] == "log-odds of " + answers["prediction"]).all()
    assert (answers["contribution_1"].abs() >= answers["contribution_2"].abs()).all()
    assert {frozenset(pair) for pair in zip(answers["reason_1"], answers["reason_2"], strict=True)} == {frozenset("xk")}
    assert answers["reason_1"].nunique() == 2, "either column is the largest for some rows"
    for name, value in (("reason_1", "value_1"), ("reason_2", "value_2")):
        for row in range(300):
            truth = frame[answers[name][row]][row]
            assert answers[value][row] == str(truth) or (pd.isna(truth) and pd.isna(answers[value][row]))


def test_what_is_not_named_is_summed_as_others(root: Path, tmp_path: Path) -> None:
    table(40).to_parquet(tmp_path / "a.parquet")
    all_of, one_of = (
        pd.read_parquet(
            Path(explain("amounts", root, Silent(), str(tmp_path), tmp_path.parent / name, top=top).out) / "a.parquet"
        )
        for name, top in (("all", 5), ("one", 1))
    )
    assert "reason_2" not in one_of
    np.testing.assert_allclose(one_of["others"], all_of["contribution_2"], atol=1e-9)
    np.testing.assert_allclose(
        one_of["base"] + one_of["contribution_1"] + one_of["others"], one_of["prediction"], rtol=1e-5
    )
    assert set(one_of["explains"]) == {"y"}


def test_rows_are_refused_as_scoring_refuses_them(root: Path, tmp_path: Path) -> None:
    lines = ["id,x,k", "1,0.5,p", "2,word,q", "3,1.5,p,more", "4,inf,p", "5,,q"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    for name, do in (("reasons", explain), ("scores", score)):
        do("kinds", root, Silent(), str(tmp_path / "a.csv"), tmp_path / name)
    answers, truth = (pd.read_parquet(tmp_path / name / "a.csv.refused.parquet") for name in ("reasons", "scores"))
    pd.testing.assert_frame_equal(answers, truth)
    assert len(answers) == 3
    assert pd.read_parquet(tmp_path / "reasons" / "a.csv.parquet")["id"].tolist() == ["1", "5"]
    outcome = explain("kinds", root, Silent(), str(tmp_path / "a.csv"))
    assert [row.answer["id"] for row in outcome.rows] == ["1", "5"]
    assert sorted(outcome.refusals) == sorted(
        f"row {row:.0f}: {reason}" if pd.notna(row) else reason
        for row, reason in zip(truth["row"], truth["reason"], strict=True)
    )


def test_a_file_of_refused_rows_alone_leaves_an_empty_one_of_the_same_columns(root: Path, tmp_path: Path) -> None:
    for name, value in (("good", "1.0"), ("bad", "word")):
        (tmp_path / f"{name}.csv").write_text(f"id,x,k\n1,{value},p\n")
    explain("kinds", root, Silent(), str(tmp_path), tmp_path.parent / "sides")
    good, bad = (pq.read_table(tmp_path.parent / "sides" / f"{name}.csv.parquet") for name in ("good", "bad"))
    assert (good.num_rows, bad.num_rows) == (1, 0)
    assert good.schema.equals(bad.schema)


def test_without_a_folder_the_first_rows_are_shown(root: Path, tmp_path: Path) -> None:
    frame = table(50)
    frame.to_parquet(tmp_path / "a.parquet")
    result = explain("amounts", root, Silent(), str(tmp_path / "a.parquet"), top=1)
    assert len(result.rows) == MOST_SHOWN
    assert not result.is_whole
    truth = Predictor.load(tracking.version_of(root, "amounts").bundle).predict(frame)[:MOST_SHOWN]
    sums = [one.base + sum(reason.contribution for reason in one.reasons) + one.others for one in result.rows]
    np.testing.assert_allclose(sums, truth, rtol=1e-5)
    assert Explanation.from_json(json.loads(json.dumps(result.to_json()))) == result
    first = texts_of(result)[0]
    assert list(first) == ["row", "prediction", "because of"]
    (reason,) = result.rows[0].reasons
    assert first["because of"].startswith(f"{reason.column} = ")
    assert f"({reason.contribution:+.3g}), others (" in first["because of"]
    assert sentence(result).startswith("in y: contributions are added to an average of ")


def test_the_command_prints_a_table_or_one_json_object(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table(3).to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.chdir(root)
    assert main(["explain", "kinds", "--rows", str(tmp_path / "a.csv")]) == 0
    printed = capsys.readouterr().out
    assert "because of" in printed
    assert "in log-odds of" in printed
    assert main(["explain", "kinds", "--rows", str(tmp_path / "a.csv"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["project"], answer["model"], answer["version"], len(answer["rows"])) == ("kinds", "kinds", "1", 3)
    assert {reason["column"] for reason in answer["rows"][0]["reasons"]} == {"x", "k"}


Ask = Callable[[Path, Path], dict[str, Any]]
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing is to be named": ("kinds", {"top": 0}, "--top must be at least 1, but is 0"),
    "no such file": ("kinds", {"rows": "none.csv"}, "--rows"),
    "a column is missing": ("kinds", {"rows": "lacking.csv"}, "lacking.csv: rows to predict must have the column k"),
    "no such version": ("kinds", {"version": "9"}, "9"),
    "rows would be written beside the data": ("kinds", {"out": "."}, "--out must be another folder than the data's"),
    "a language model": (
        "little",
        {},
        "reasons need columns of a table from which a target is predicted, but the task is language",
    ),
    "no rows to compare with": (
        "classes",
        {},
        "reasons need rows in the bundle to compare with, but this version has none",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_one_line_and_writes_nothing(case: str, root: Path, tmp_path: Path) -> None:
    name, arguments, text = WRONG[case]
    table(5).to_csv(tmp_path / "a.csv", index=False)
    table(5).drop(columns="k").to_csv(tmp_path / "lacking.csv", index=False)
    out = tmp_path / arguments["out"] if "out" in arguments else tmp_path.parent / "never"
    with pytest.raises(HeadwayError) as error:
        explain(
            name,
            root,
            Silent(),
            str(tmp_path / arguments.get("rows", "a.csv")),
            out,
            arguments.get("version", "champion"),
            arguments.get("top", 5),
        )
    assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "lacking.csv"}
    assert not (tmp_path.parent / "never").exists()
