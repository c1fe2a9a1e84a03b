"""Batch scoring: every row once, the bundle's own numbers, whatever is wrong with rows and whenever it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway import tracking
from headway.errors import ConfigError, DataError
from headway.files.atomic import read_json
from headway.pipeline import scoring
from headway.pipeline.scoring import FEW_ROWS, score
from headway.run.report import Silent
from headway.serve.bundle import Predictor
from headway.serve.parts import Counts, Output, _join
from tests.serve.bundles import registered


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two projects with champions: classes, with keys; and a regression with an interval, without."""
    root = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registered(root, "classes")
        registered(root, "values")
        yield root


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = pd.Series(rng.normal(size=rows)).mask(rng.random(rows) < 0.1)
    return pd.DataFrame({"id": np.arange(rows) + seed * 1_000_000, "x": x, "k": rng.choice(["p", "q", "new"], rows)})


def predictor(root: Path, name: str) -> Predictor:
    return Predictor.load(tracking.version_of(root, name).bundle)


def test_every_file_of_a_folder_becomes_one_with_the_bundles_own_numbers(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "in"
    (data / "more").mkdir(parents=True)
    first, second = table(5000, 1), table(300, 2)
    first.to_parquet(data / "a.parquet")
    second.to_csv(data / "more" / "b.csv", index=False)
    outcome = score("classes", root, Silent(), str(data), tmp_path / "out")
    assert (outcome.rows, outcome.scored, outcome.refused) == (5300, 5300, 0)
    for frame, name in ((first, "a.parquet"), (second, "more/b.csv.parquet")):
        predictions = pd.read_parquet(tmp_path / "out" / name)
        truth = predictor(root, "classes").predict(frame)
        assert predictions["id"].astype("int64").tolist() == frame["id"].tolist()
        np.testing.assert_allclose(predictions[["probability_a", "probability_b", "probability_c"]], truth, atol=1e-6)
        assert predictions["prediction"].tolist() == [("a", "b", "c")[i] for i in truth.argmax(1)]
        assert set(predictions["model_version"]) == {"1"}
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert [file["rows"] for file in manifest["files"]] == [5000, 300]


def test_a_regression_gets_an_interval_and_row_numbers_where_it_has_no_keys(root: Path, tmp_path: Path) -> None:
    frame = table(50)
    frame.to_parquet(tmp_path / "a.parquet")
    score("values", root, Silent(), str(tmp_path / "a.parquet"), tmp_path / "out")
    answers = pd.read_parquet(tmp_path / "out" / "a.parquet")
    truth = predictor(root, "values").predict(frame)
    assert answers["row"].tolist() == list(range(1, 51))
    np.testing.assert_allclose(answers["prediction"], truth, rtol=1e-6)
    is_small, is_unknown = frame["x"].fillna(0.5) <= 0, ~frame["k"].isin(["p", "q"])
    exponents = np.where(is_small, np.where(is_unknown, 0.1, 0.4), np.where(frame["x"].fillna(0.5) <= 0.5, -0.2, 0.7))
    unit = np.exp(exponents)
    np.testing.assert_allclose(answers["low"], truth - unit * np.interp(truth, [9, 11], [2, 4]), rtol=1e-6)
    np.testing.assert_allclose(answers["high"], truth + unit * np.interp(truth, [9, 11], [3, 9]), rtol=1e-6)
    assert (answers["high"] - answers["low"]).nunique() > 10, "some rows lie between the knots"


def test_few_rows_are_predicted_without_further_processes_and_many_with_them(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "Workers", lambda _: pytest.fail("processes were started"))
    table(FEW_ROWS).to_parquet(tmp_path / "few.parquet")
    assert score("values", root, Silent(), str(tmp_path / "few.parquet"), tmp_path / "out").scored == FEW_ROWS
    table(FEW_ROWS + 1).to_parquet(tmp_path / "many.parquet")
    with open(tmp_path / "many.csv", "w") as file:
        file.write("x,k\n" + "1.5,p\n" * 200_000)
    for name in ("many.parquet", "many.csv"):
        with pytest.raises(pytest.fail.Exception, match="processes were started"):
            score("values", root, Silent(), str(tmp_path / name), tmp_path / "out")


def test_rows_that_break_the_schema_go_aside_with_the_reason_and_none_is_lost(root: Path, tmp_path: Path) -> None:
    lines = ["id,x,k"] + [f"{i},{'six' if i % 100 == 7 else i / 10},p" for i in range(3000)]
    lines[51:51] = ["51,1", "52,1,p,q"]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    scoring_outcome = score("classes", root, Silent(), str(tmp_path / "a.csv"), tmp_path / "out")
    assert (scoring_outcome.rows, scoring_outcome.scored, scoring_outcome.refused) == (3002, 2970, 32)
    good = pd.read_parquet(tmp_path / "out" / "a.csv.parquet")
    bad = pd.read_parquet(tmp_path / "out" / "a.csv.refused.parquet")
    assert sorted([*good["id"].astype(int), *bad["id"].dropna().astype(int)]) == list(range(3000))
    assert bad["line"].dropna().tolist() == ["51,1", "52,1,p,q"]
    assert bad["reason"][0] == "x must be numeric, but is 'six'"
    assert bad["row"].dropna().astype(int).tolist() == [i + 1 for i in range(7, 3000, 100)]


def test_a_file_that_is_done_is_kept_and_a_changed_one_is_scored_again(root: Path, tmp_path: Path) -> None:
    frame = table(40)
    file, out = tmp_path / "a.parquet", tmp_path / "out"
    frame.to_parquet(file)
    score("classes", root, Silent(), str(file), out)
    before = (out / "a.parquet").stat().st_mtime_ns
    assert score("classes", root, Silent(), str(file), out).files[0].done_before
    assert (out / "a.parquet").stat().st_mtime_ns == before
    frame.head(30).to_parquet(file)
    outcome = score("classes", root, Silent(), str(file), out)
    assert (outcome.files[0].done_before, outcome.rows) == (False, 30)
    assert pq.read_metadata(out / "a.parquet").num_rows == 30


KILLED = """
import sys
from pathlib import Path
from headway.run.report import Silent
from headway.serve import stream
from headway.pipeline import scoring as score
stream.PART_ROWS = 4096
score.score("classes", Path(sys.argv[1]), Silent(), sys.argv[2], Path(sys.argv[3]))
"""


@pytest.mark.parametrize("before", [0, 1], ids=["none refused before", "one refused before"])
@pytest.mark.parametrize("after", [0, 1], ids=["none refused", "one refused"])
def test_a_kill_between_the_two_files_of_an_input_leaves_no_mixed_pair_that_counts_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    old, new = Output(tmp_path / "a.parquet", "old"), Output(tmp_path / "a.parquet", "new")

    def wrote(one: Output, refused: int) -> None:
        assert one.begin() == 0
        rows = [pa.table({"by": [one.digest] * count}) for count in (2, refused)]
        one.write(0, 2 + refused, rows[0], rows[1] if refused else None)

    wrote(old, before)
    assert old.finish(None) == old.done() == Counts(2, before)
    wrote(new, after)
    with monkeypatch.context() as patch:
        patch.setattr("headway.serve.parts._join", lambda at, *rest: dying() if at == new.path else _join(at, *rest))
        with pytest.raises(KeyboardInterrupt):
            new.finish(None)
    assert new.done() is None
    if before or after:
        assert old.done() is None  # its side file is gone, or of the other model
    assert new.begin() == 2 + after
    assert new.finish(None) == new.done() == Counts(2, after)
    assert old.done() is None
    assert new.refused.exists() == bool(after)


def dying() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_killed_twice_on_the_way_it_ends_as_one_that_never_was(root: Path, tmp_path: Path, ending: str) -> None:
    frame, out = table(200_000), tmp_path / "out"
    file = tmp_path / f"a.{ending}"
    frame.to_parquet(file) if ending == "parquet" else frame.to_csv(file, index=False)
    parts = 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(root), str(file), str(out)]) as child:
            while len(list(out.glob(".parts/*/*.parquet"))) < parts + 2:
                assert child.poll() is None
                time.sleep(0.002)
            os.kill(child.pid, signal.SIGKILL)
        assert not list(out.glob("*.parquet"))
        parts = len(list(out.glob(".parts/*/*.parquet")))
    outcome = score("classes", root, Silent(), str(file), out)
    assert (outcome.scored, outcome.refused) == (200_000, 0)
    predictions = pd.read_parquet(next(out.glob("*.parquet")))
    assert predictions["id"].astype(int).tolist() == frame["id"].tolist()
    truth = predictor(root, "classes").predict(frame)
    np.testing.assert_allclose(predictions[["probability_a", "probability_b", "probability_c"]], truth, atol=1e-6)
    assert sorted(p.name for p in out.iterdir()) == sorted([".lock", "manifest.json", next(out.glob("*.parquet")).name])


def test_a_file_without_a_column_is_refused_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "in"
    data.mkdir()
    table(10).to_parquet(data / "a.parquet")
    table(10).drop(columns="x").to_parquet(data / "b.parquet")
    with pytest.raises(DataError, match=r"^b.parquet: rows to predict must have the column x"):
        score("classes", root, Silent(), str(data), tmp_path / "out")
    table(10).drop(columns="id").to_parquet(data / "b.parquet")
    with pytest.raises(DataError, match=r"^b.parquet: rows to predict must have the key column id"):
        score("classes", root, Silent(), str(data), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scored_files_are_never_taken_for_rows_to_score(root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        table(10).to_parquet(tmp_path / f"{name}.parquet")
    for out in (tmp_path, tmp_path / "out"):
        with pytest.raises(ConfigError, match="--out must"):
            score("classes", root, Silent(), str(tmp_path), out)


def test_a_version_that_is_not_there_is_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'9' is none; there is version 1$"):
        score("classes", root, Silent(), str(tmp_path), tmp_path / "out", "9")
    (root / "conf" / "new.yaml").write_text((root / "conf" / "classes.yaml").read_text())
    with pytest.raises(ConfigError, match=r"^new has no champion yet\. Run: headway run new$"):
        score("new", root, Silent(), str(tmp_path), tmp_path / "out")
