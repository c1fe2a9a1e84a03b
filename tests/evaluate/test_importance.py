"""What drives a model: permutation importance against scikit-learn's, and its intervals against known truths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.inspection import permutation_importance as scikit_learns
from sklearn.linear_model import LinearRegression, LogisticRegression

from headway.columns.category import Category
from headway.columns.config import PrepareConfig, TokensConfig
from headway.columns.number import Number
from headway.columns.text import TokensFitter
from headway.data.prepare import Preparation
from headway.data.prepared_rows import Places, PreparedRows, places_of
from headway.evaluate.importance import MOST_SHUFFLES, orders_of, permutation_importance, write_table
from headway.evaluate.resample import Units
from headway.evaluate.result import Evaluation, Importance
from headway.pipeline.tables import importance_rows
from headway.serve.importance import FEWEST_ROWS, affordable_rows, columns_to_shuffle
from headway.tasks import Target

Predict = Callable[[np.ndarray], np.ndarray]
NAMES = ("a", "b", "c")


def measured(
    metric: str,
    x: np.ndarray,
    y: np.ndarray,
    predict: Predict,
    units: Units | None = None,
    orders: np.ndarray | None = None,
) -> Importance:
    def shuffled(column: str, order: np.ndarray) -> np.ndarray:
        z, i = x.copy(), NAMES.index(column)
        z[:, i] = x[order, i]
        return predict(z)

    units, orders = units or Units("row", len(y)), orders_of(len(y), len(y)) if orders is None else orders
    importance = permutation_importance(metric, y, predict(x), shuffled, NAMES, units, orders, len(y))
    assert importance is not None
    return importance


def scikit_orders(rows: int, repeats: int, seed: int) -> np.ndarray:
    """The orders that scikit-learn draws for each column: it shuffles the column that it shuffled before."""
    state = np.random.RandomState(np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1))
    shuffle, order, orders = np.arange(rows), np.arange(rows), []
    for _ in range(repeats):
        state.shuffle(shuffle)
        order = order[shuffle]
        orders.append(order)
    return np.stack(orders)


@pytest.mark.parametrize(("metric", "scoring"), [("auc", "roc_auc"), ("rmse", "neg_root_mean_squared_error")])
def test_importances_are_scikit_learns_on_the_same_shuffles(metric: str, scoring: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    value = 2 * x[:, 0] - x[:, 1] + rng.normal(size=400)
    if metric == "auc":
        y, model = (value > 0).astype(np.int64), LogisticRegression()
    else:
        y, model = value, LinearRegression()
    model.fit(x, y)
    theirs = scikit_learns(model, x, y, scoring=scoring, n_repeats=4, random_state=7)
    predict = model.predict_proba if metric == "auc" else model.predict
    ours = measured(metric, x, y, predict, orders=scikit_orders(400, 4, 7))
    assert [one.column for one in ours.columns] == ["a", "b", "c"]
    np.testing.assert_allclose([one.value for one in ours.columns], theirs.importances_mean, atol=1e-9)


def test_a_column_that_says_nothing_is_said_to_add_nothing_in_about_95_of_100_tables() -> None:
    """The model believes in a column of noise, whose shuffling costs nothing on average, whatever its weight."""
    holds = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(300, 3))
        y = x[:, 0] + rng.normal(size=300)
        importance = measured("rmse", x, y, lambda z: z[:, 0] + 0.3 * z[:, 1])
        one = next(one for one in importance.columns if one.column == "b")
        assert one.low is not None
        assert one.high is not None
        holds += one.low <= 0.0 <= one.high
    assert holds >= 53  # of 60 with 95 %, fewer than this once in a thousand


def test_the_interval_covers_what_a_column_is_worth_on_new_rows() -> None:
    """RMSE of the truth: 1 with the column, sqrt(1 + 2 w^2) where it is shuffled."""
    weight, covered = 0.8, 0
    truth = np.sqrt(1 + 2 * weight**2) - 1
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        x = rng.normal(size=(300, 3))
        y = weight * x[:, 0] + rng.normal(size=300)
        one = measured("rmse", x, y, lambda z: weight * z[:, 0]).columns[0]
        assert one.column == "a"
        assert one.low is not None
        assert one.high is not None
        covered += one.low <= truth <= one.high
    assert covered >= 53


def test_rows_that_belong_together_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(30), 20)
    x = rng.normal(size=(600, 3))
    x[:, 0] += 3 * rng.normal(size=30)[groups]
    y = x[:, 0] * (1 + rng.normal(size=30)[groups])

    def width(units: Units) -> float:
        one = next(c for c in measured("rmse", x, y, lambda z: z[:, 0], units).columns if c.column == "a")
        assert one.low is not None
        assert one.high is not None
        return one.high - one.low

    assert width(Units("group", 600, groups)) > 1.5 * width(Units("row", 600))


def test_the_sentence_names_what_drives_the_model_and_what_adds_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(500, 3))
    y = x[:, 1] + 0.1 * rng.normal(size=500)
    importance = measured("rmse", x, y, lambda z: z[:, 1])
    text = importance.text
    assert text.startswith("what drives it: b (RMSE worse by ")
    assert text.endswith("when it is shuffled); no measurable effect of a, c")
    evaluation = Evaluation(importance=importance)
    assert text in evaluation.remarks
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    assert [row["column"] for row in importance_rows(evaluation)] == ["b", "a", "c"]
    assert [row[""] for row in importance_rows(evaluation)] == ["", "no measurable effect", "no measurable effect"]
    write_table(tmp_path / "importance.csv", importance)
    lines = (tmp_path / "importance.csv").read_text().splitlines()
    assert lines[0] == "column,rmse_worse_by,low,high,measurable"
    assert [line.split(",")[0] for line in lines[1:]] == ["b", "a", "c"]
    nothing = measured("rmse", x, y, lambda z: 0 * z[:, 1])
    assert nothing.text.startswith("what drives it: no column by itself")


def test_a_metric_that_the_rows_do_not_define_has_no_importances() -> None:
    y = np.zeros(50, np.int64)
    p = np.tile([0.5, 0.5], (50, 1))
    orders, units = orders_of(50, 50), Units("row", 50)
    assert permutation_importance("auc", y, p, lambda *_: p, NAMES, units, orders, 50) is None


def test_a_shuffled_column_takes_all_that_it_became_along_and_leaves_the_others() -> None:
    texts = pa.array([f"word{i} two" for i in range(6)])
    fitter = TokensFitter("note", PrepareConfig(tokens=TokensConfig(vocabulary=260)))
    fitter.update(texts, texts)
    tokens = fitter.finish()
    assert tokens is not None
    columns = (Number("x", "numeric", 0.0, 0.0, 1.0, missing=True), Number("z", "numeric", 0.0, 0.0, 1.0))
    preparation = Preparation((*columns, Category("k", ("p", "q")), tokens), Target("t", "regression"))
    batch = pa.RecordBatch.from_pydict(
        {"x": [1.0, None, 3.0, 4.0, None, 6.0], "z": [*map(float, range(6))], "k": list("pqpqpq"), "note": texts}
    )
    order = np.array([3, 0, 4, 5, 1, 2])
    rows = PreparedRows.of(preparation, batch)
    for name, places in places_of(preparation).items():
        moved = batch.set_column(batch.schema.get_field_index(name), name, batch.column(name).take(pa.array(order)))
        truth, ours = PreparedRows.of(preparation, moved), rows.with_others_values(places, order)
        for array in ("numeric", "categorical"):
            np.testing.assert_array_equal(ours.arrays[array], truth.arrays[array])
        np.testing.assert_array_equal(ours.ragged["tokens_0"].values, truth.ragged["tokens_0"].values)
        np.testing.assert_array_equal(ours.ragged["tokens_0"].offsets, truth.ragged["tokens_0"].offsets)


def test_few_rows_are_shuffled_more_often_and_slow_models_predict_fewer() -> None:
    assert orders_of(100, 10_000).shape == (MOST_SHUFFLES, 100)
    assert orders_of(5_000, 10_000).shape == (2, 5_000)
    assert orders_of(10_000, 10_000).shape == (1, 10_000)
    assert affordable_rows(10_000, 10, 1e-6) == 10_000
    assert affordable_rows(10_000, 10, 1e-4) == 2_500
    assert FEWEST_ROWS <= affordable_rows(10_000, 10_000, 1.0) < 2 * FEWEST_ROWS
    assert affordable_rows(100, 10_000, 1.0) == 100  # as few as were asked for


def test_of_very_many_columns_those_are_shuffled_that_go_with_the_predictions() -> None:
    rng = np.random.default_rng(0)
    numeric = rng.normal(size=(400, 2500)).astype(np.float32)
    numeric[:, 7] = 1e6  # says nothing
    codes = rng.integers(0, 5, (400, 3)).astype(np.int32)
    rows = PreparedRows({"numeric": numeric, "categorical": codes}, {})
    places = {f"n{i}": Places((i,), (), ()) for i in range(2500)} | {f"c{i}": Places((), (i,), ()) for i in range(3)}
    prediction = 2 * numeric[:, 3] - 2 * numeric[:, 2400] + 3 * np.array([0, 1, -1, 2, -2])[codes[:, 1]]
    assert columns_to_shuffle(places, rows, prediction, 3) == ["n3", "n2400", "c1"]
    assert columns_to_shuffle(places, rows, np.zeros((400, 2)), 2500 + 3) == list(places)
    assert len(columns_to_shuffle(places, rows, np.zeros((400, 2)), 200)) == 200


def test_places_of_many_columns_ask_each_encoding_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encodings = [Number(f"n{i}", "numeric", 0.0, 0.0, 1.0) for i in range(2000)]
    preparation = Preparation(tuple(encodings), Target("y", "regression"))
    _ = preparation.by_array, preparation.by_ragged, preparation.seen
    requests = 0
    column_of = Number.__getattribute__

    def counted(self: Number, name: str) -> object:
        nonlocal requests
        requests += name == "column"
        return column_of(self, name)

    monkeypatch.setattr(Number, "__getattribute__", counted)
    places = places_of(preparation)
    assert [places[f"n{i}"].numeric for i in (0, 1999)] == [(0,), (1999,)]
    assert requests <= 3 * 2000
