"""Time series from `init` to scoring: what a row is given of the past is the same in training, when scored, served and watched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.data.past import Past
from headway.data.store import Store
from headway.draft.drafting import draft
from headway.errors import ConfigError, DataError
from headway.evaluate.result import Evaluation
from headway.pipeline import runs, watching
from headway.pipeline.explaining import explain
from headway.pipeline.scoring import score
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from headway.serve import stream
from headway.serve.body import CSV, JSON, read_body
from headway.serve.bundle import Predictor
from headway.serve.config import ServeConfig
from headway.watch.result import WatchResult
from tests.pipeline.retraining import retrained

SHOPS = ("north", "south", "west")
DAYS, LEARNT = 200, 170
FEW = (
    "model=linear",
    "evaluate.baselines=[trivial, naive, seasonal_naive]",
    "evaluate.resamples=100",
    "split.test=0.1",
)


def sales() -> pd.DataFrame:
    """A row for each shop and day in an order of no meaning; footfall is known with the sales, what is planned before."""
    chance = np.random.default_rng(5)
    days = pd.date_range("2024-01-01", periods=DAYS)
    parts = []
    for level, shop in enumerate(SHOPS):
        noise = chance.normal(0, 1, DAYS)
        walk = pd.Series(noise).ewm(alpha=0.1).mean().to_numpy() * 30
        y = 100 * level + 10 * days.day_of_week.to_numpy() + walk + noise
        part = pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "shop": shop, "y": y.round(3)})
        part["footfall"] = (y + chance.normal(0, 0.01, DAYS)).round(3)
        part["planned"] = chance.normal(size=DAYS).round(3)
        parts.append(part)
    return pd.concat(parts).sample(frac=1, random_state=0, ignore_index=True)


TABLE = sales()
IS_NEW = (TABLE.day >= pd.Series(pd.date_range("2024-01-01", periods=DAYS).strftime("%Y-%m-%d"))[LEARNT]).to_numpy()
NEW = TABLE[IS_NEW].reset_index(drop=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `init` drafts it, with its champion."""
    root = tmp_path_factory.mktemp("forecasts")
    (root / "conf").mkdir()
    TABLE[~IS_NEW].to_csv(root / "sales.csv", index=False)
    decisions = draft("sales.csv", "y", None, root).decisions
    assert any(line.startswith("footfall, planned: read 1 day before, because") for line in decisions)
    yaml = root / "conf" / "sales.yaml"
    yaml.write_text(yaml.read_text().replace("season: 7\n", "season: 7\n    known: [planned]\n"))
    retrained(root, "sales", *FEW)
    return root


@pytest.fixture(scope="module")
def run(root: Path) -> RunDirectory:
    return RunDirectory(next(iter((root / "data" / "runs").iterdir())))


@pytest.fixture(scope="module")
def predictor(run: RunDirectory) -> Predictor:
    return Predictor.load(run.bundle)


def of_training(root: Path, target: str | None = "y") -> pd.DataFrame:
    """The past of the new rows, in a training of all rows."""
    TABLE.to_csv(root / "every.csv", index=False)
    project = load_project("sales", root, ["data.source=every.csv"])
    table, past = runs.table_of(project, root), Past.of(project.data, project.split)
    assert past is not None
    names = [*past.names, *([target] if target else [])]
    chunks = [chunk.batch for chunk in table.extended(past.over(table)).chunks(columns=names)]
    return pa.Table.from_batches(chunks).to_pandas()[IS_NEW].reset_index(drop=True)


def test_a_model_is_given_no_number_of_the_same_moment_that_is_not_known(run: RunDirectory) -> None:
    columns = [one.column for one in Store(run.store).preparation.columns]
    assert {"y 1 day before", "y 7 days before", "footfall 1 day before", "planned", "shop"} <= set(columns)
    assert not {"footfall", "planned 1 day before"} & set(columns)
    evaluation = Evaluation.read(run.path / "evaluation.json")
    errors = {name: baseline.metrics["rmse"].value or 0.0 for name, baseline in evaluation.baselines.items()}
    assert list(errors) == ["trivial", "naive", "seasonal_naive"]
    assert (evaluation.metrics["rmse"].value or 0.0) < 0.9 * min(errors.values())


def test_rows_that_follow_are_scored_from_the_same_numbers_as_in_training(root: Path, predictor: Predictor) -> None:
    truth = of_training(root).drop(columns="y")
    assert truth.notna().all(axis=None)
    for rows in (NEW, pa.RecordBatch.from_pandas(NEW.astype({"shop": object, "day": object}))):
        answer = predictor.canonical(rows).to_pandas()[list(truth)]
        pd.testing.assert_frame_equal(answer, truth, check_exact=True)


def test_rows_without_a_target_know_the_newest_of_the_training_alone(root: Path, predictor: Predictor) -> None:
    first = NEW.day == NEW.day.min()
    unknown = predictor.canonical(NEW.drop(columns=["y", "footfall"])).to_pandas()
    names = list(of_training(root, None))
    pd.testing.assert_frame_equal(unknown.loc[first, names], of_training(root, None)[first], check_exact=True)
    late = NEW.day > "2024-07-01"
    assert unknown.loc[late, "y 1 day before"].isna().all()
    assert np.isfinite(predictor.predict(NEW.drop(columns=["y", "footfall"]))).all()


def scored(root: Path, table: pd.DataFrame, name: str = "new") -> pd.DataFrame:
    table.to_csv(root / f"{name}.csv", index=False)
    manifest = score("sales", root, Silent(), data=f"{name}.csv", out=root / "scored" / name)
    assert manifest.rows == len(table)
    return pq.read_table(root / "scored" / name / f"{name}.csv.parquet").to_pandas()


def test_a_file_s_rows_have_their_past_in_all_of_it_however_it_is_cut_and_ordered(
    root: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BATCH_ROWS", 7)
    monkeypatch.setattr(stream, "PAST_ROWS", 11)
    answer = scored(root, NEW)
    np.testing.assert_allclose(answer.prediction, predictor.predict(NEW), rtol=1e-6)
    every = scored(root, TABLE, "whole")
    np.testing.assert_allclose(every.prediction[IS_NEW], answer.prediction, rtol=1e-6)
    alone = np.concatenate([predictor.predict(NEW.iloc[[i]]) for i in range(5)])
    assert not np.allclose(alone, answer.prediction[:5])


def test_a_request_may_hold_the_target_of_earlier_rows_and_need_not(predictor: Predictor) -> None:
    def predict_by_request(rows: pd.DataFrame, kind: str) -> np.ndarray:
        body = rows.to_csv(index=False) if kind == CSV else json.dumps({"inputs": rows.to_dict("records")})
        read = read_body(body.encode(), kind, predictor.columns, True, ServeConfig(), (), predictor.observed)
        return predictor.answer(read.rows, {}).prediction.to_numpy()

    without = NEW.drop(columns=["y", "footfall"])
    for rows in (NEW, without):
        for kind in (CSV, JSON):
            np.testing.assert_allclose(predict_by_request(rows, kind), predictor.predict(rows), rtol=1e-6)
    assert not np.allclose(predictor.predict(NEW), predictor.predict(without))
    with pytest.raises(DataError, match=r"^rows to predict must have the column day, but they have"):
        predict_by_request(NEW.drop(columns="day"), CSV)


BAD: Mapping[str, pd.DataFrame] = {
    "a moment twice": pd.concat([NEW, NEW.head(3)], ignore_index=True),
    "a gap": NEW[NEW.day != NEW.day.unique()[2]].reset_index(drop=True),
    "a series seen first": NEW.assign(shop="moon"),
    "long after the training": NEW.assign(day="2031-01-01", y=np.nan),
    "long before it": NEW.assign(day="1999-01-01"),
    "no target that can be read": NEW.assign(y="?"),
    "one row": NEW.head(1),
}


@pytest.mark.parametrize("name", BAD)
def test_odd_rows_are_scored(name: str, root: Path) -> None:
    answer = scored(root, BAD[name], name.replace(" ", "_"))
    assert len(answer) == len(BAD[name])
    assert np.isfinite(answer.prediction).all()


def test_a_row_whose_moment_cannot_be_read_is_refused_and_no_other(root: Path, predictor: Predictor) -> None:
    days = NEW.day.where(NEW.index != 4, "someday")
    answer = scored(root, NEW.assign(day=days), "someday")
    refused = pq.read_table(root / "scored" / "someday" / "someday.csv.refused.parquet").to_pylist()
    assert [(row["row"], row["reason"]) for row in refused] == [
        (5, "day must be a date such as 2024-12-31, but is 'someday'")
    ]
    others = NEW.drop(index=4).reset_index(drop=True)
    np.testing.assert_allclose(answer.prediction, predictor.predict(others), rtol=1e-6)


def test_answers_say_which_series_and_moment_they_are_of_and_which_are_beyond_the_horizon(root: Path) -> None:
    is_early = NEW.day <= sorted(NEW.day.unique())[3]
    answer = scored(root, NEW.assign(y=NEW.y.where(is_early)), "ahead")
    assert answer.day.tolist() == NEW.day.tolist()
    assert answer["shop"].tolist() == NEW["shop"].tolist()
    assert answer.beyond_horizon.tolist() == (NEW.day > sorted(NEW.day.unique())[4]).tolist()
    assert not scored(root, NEW, "behind").beyond_horizon.any()


@pytest.mark.slow
def test_a_champion_of_other_lags_is_compared_by_its_own_past_on_the_same_rows(root: Path, run: RunDirectory) -> None:
    later = retrained(root, "sales", *FEW, "data.series.lags=[2, 9]", "data.series.windows=[]", "data.series.known=[]")
    assert Store(later.store).preparation.past != Store(run.store).preparation.past
    evaluation, before = (Evaluation.read(one.path / "evaluation.json") for one in (later, run))
    champion = evaluation.champion
    assert champion is not None
    assert champion.rows == len(Store(run.store).arrays("test")["target"])
    assert champion.metrics["rmse"].value == pytest.approx(before.metrics["rmse"].value, rel=1e-6)
    assert not evaluation.rival


@pytest.mark.slow
def test_newest_rows_are_watched_with_the_past_that_they_hold(root: Path) -> None:
    NEW.to_csv(root / "newest.csv", index=False)
    opened = watching.open_watch("sales", root, "newest.csv")
    assert isinstance(opened, RunDirectory)
    result = watching.watch(opened, root, Silent())
    assert isinstance(result, WatchResult)
    assert result.rows == len(NEW)
    assert "footfall" in {column.column for column in result.columns}


def test_a_horizon_beyond_the_series_is_trained_without_a_past(root: Path) -> None:
    settings = ["data.series.horizon=400", "evaluate.baselines=[trivial]", "model=linear"]
    project = load_project("sales", root, settings)
    table = runs.table_of(project, root)
    store, _ = runs.store_of(table, project, root, project.model.takes)
    assert {one.column for one in store.preparation.columns} == {"day", "shop", "planned"}


def test_a_file_with_a_column_of_a_made_name_is_refused_in_one_line(root: Path) -> None:
    TABLE[~IS_NEW].assign(**{"y 1 day before": 0}).to_csv(root / "named.csv", index=False)
    project = load_project("sales", root, ["data.source=named.csv"])
    with pytest.raises(
        ConfigError, match=r"^a column must not be called y 1 day before, which data\.series makes"
    ) as e:
        runs.store_of(runs.table_of(project, root), project, root, ())
    assert "\n" not in str(e.value)


def test_reasons_name_the_columns_of_the_past_and_their_values(root: Path, predictor: Predictor) -> None:
    NEW.to_csv(root / "why.csv", index=False)
    explained = explain("sales", root, Silent(), "why.csv", out=root / "why", top=len(predictor.preparation.seen))
    assert explained.files[0].explained == len(NEW)
    table = pq.read_table(root / "why" / "why.csv.parquet").to_pandas()
    np.testing.assert_allclose(table.prediction, predictor.predict(NEW), rtol=1e-6)
    row = table.iloc[0]
    reasons = {row[f"reason_{i}"]: row[f"value_{i}"] for i in range(1, len(predictor.preparation.seen) + 1)}
    truth = predictor.canonical(NEW).to_pandas().iloc[0]
    assert set(reasons) == set(predictor.preparation.seen)
    assert float(reasons["y 7 days before"]) == truth["y 7 days before"]
    first = explain("sales", root, Silent(), "why.csv", top=len(predictor.preparation.seen)).rows[0]
    values = {reason.column: reason.value or "" for reason in first.reasons}
    (mean,) = (name for name in values if " mean of 7 " in name)
    assert values[mean] == f"{truth[mean]:.6g}"
    assert values["y 7 days before"] == reasons["y 7 days before"]
